import styles from "./Notice.module.css";

interface Props {
  title: string;
  text: string;
  action?: { label: string; onClick: () => void };
  children?: React.ReactNode;
}

// In the place of something that cannot be shown, or that is not there yet.
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
