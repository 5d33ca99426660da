import { Icon } from "../components/Icon";
import styles from "./Entrance.module.css";

type Props = { state: "loading" } | { state: "failed"; onRetry: () => void } | { state: "ended"; onSignIn: () => void };

// The page that is displayed while messages load, if the server is unreachable, and after a session has ended.
export function Entrance(props: Props) {
  return (
    <main className={styles.page}>
      <div className={styles.mark}>
        <Icon name="message" />
      </div>
      <h1>Messages</h1>
      {props.state === "loading" && (
        <p className={styles.text} role="status">
          Loading…
        </p>
      )}
      {props.state === "failed" && (
        <>
          <p className={styles.text} role="alert">
            Messages cannot be reached. Check your connection, and try again.
          </p>
          <button className="button" type="button" onClick={props.onRetry}>
            Try again
          </button>
        </>
      )}
      {props.state === "ended" && (
        <>
          <p className={styles.text} role="alert">
            Your session has ended. Sign in again to continue; what you have written is kept.
          </p>
          <button className="button" type="button" onClick={props.onSignIn}>
            Sign in
          </button>
        </>
      )}
    </main>
  );
}
