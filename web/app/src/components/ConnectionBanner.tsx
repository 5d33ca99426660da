import { useEffect, useState } from "react";
import { useMessenger, useStore } from "../messenger";
import styles from "./ConnectionBanner.module.css";

// The banner appears when the connection has been lost for this time, in milliseconds.
const SHOWN_AFTER = 1500;

export function ConnectionBanner() {
  const { connection, reconnect } = useMessenger();
  const isConnected = useStore(connection).status === "connected";
  const [isShown, setIsShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsShown(!isConnected), isConnected ? 0 : SHOWN_AFTER);
    return () => clearTimeout(timer);
  }, [isConnected]);
  return (
    <div className={styles.place} role="status">
      {isShown && (
        <div className={styles.banner}>
          <span>No connection. New messages appear when it is restored.</span>
          <button className={styles.retry} type="button" onClick={reconnect}>
            Try now
          </button>
        </div>
      )}
    </div>
  );
}
