import { failureOf } from "../failures";
import styles from "./Notice.module.css";

interface Props {
  title: string;
  text: string;
  action?: { label: string; onClick: () => void };
  children?: React.ReactNode;
}

// A notice in place of content that cannot be displayed, or that does not exist yet.
export function Notice({ title, text, action, children }: Props) {
  return (
    <div className={styles.notice}>
      {children}
      <h1>{title}</h1>
      <p>{text}</p>
      {action && (
        <button className="button" type="button" onClick={action.onClick}>
          {action.label}
        </button>
      )}
    </div>
  );
}

interface LoadingProps {
  /** Shown while there is no error. */
  text: string;
  /** Title of the notice in case of an error. */
  title: string;
  error: unknown;
  retry: () => Promise<unknown>;
}

// A placeholder for content that is being loaded, or that could not be loaded.
export function Loading({ text, title, error, retry }: LoadingProps) {
  if (error) return <Notice title={title} text={failureOf(error).reason} action={{ label: "Try again", onClick: () => void retry().catch(() => {}) }} />;
  return (
    <p className={styles.loading} role="status">
      {text}
    </p>
  );
}
