import { useTitle } from "../hooks";
import { Icon } from "../components/Icon";
import { Notice } from "../components/Notice";
import styles from "./Welcome.module.css";

// The page that is displayed beside the list while no group is open.
export function Welcome() {
  useTitle(null);
  return (
    <div className={styles.welcome}>
      <Notice title="Your messages" text="Choose a message group, or send a message to a new receiver.">
        <span className={styles.mark}>
          <Icon name="message" />
        </span>
      </Notice>
    </div>
  );
}
