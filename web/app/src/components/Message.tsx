import { memo } from "react";
import type { OutgoingMessage } from "@cruddur/client";
import { useMessenger } from "../messenger";
import { partsOf } from "../text";
import { clockTime, fullTime } from "../time";
import { Icon } from "./Icon";
import styles from "./Message.module.css";

// The text exactly as sent, with its URLs as links.
function Body({ text }: { text: string }) {
  return (
    <span className={styles.body} dir="auto">
      {partsOf(text).map((part, index) =>
        part.href ? (
          <a key={index} href={part.href} target="_blank" rel="noopener noreferrer nofollow">
            {part.text}
          </a>
        ) : (
          part.text
        ),
      )}
    </span>
  );
}

interface Props {
  body: string;
  createdAt: string;
  isOwn: boolean;
  sender: string;
  // Whether the next message has another sender, or was sent much later.
  isLast: boolean;
}

export const Message = memo(function Message({ body, createdAt, isOwn, sender, isLast }: Props) {
  return (
    <div className={styles.message} data-own={isOwn} data-last={isLast}>
      <div className={styles.bubble}>
        <span className="visually-hidden">{isOwn ? "You" : sender}: </span>
        <Body text={body} />
      </div>
      {isLast && (
        <time className={styles.meta} dateTime={createdAt} title={fullTime(createdAt)}>
          {clockTime(createdAt)}
        </time>
      )}
    </div>
  );
});

// A message that the server has not acknowledged yet.
export function Outgoing({ message }: { message: OutgoingMessage }) {
  const { outbox } = useMessenger();
  const { idempotencyKey, body, state, reason } = message;
  return (
    <div className={styles.message} data-own data-last data-state={state}>
      <div className={styles.bubble}>
        <span className="visually-hidden">You: </span>
        <Body text={body} />
      </div>
      <div className={styles.meta} role={state === "failed" ? "alert" : "status"}>
        <Icon name={state === "failed" ? "alert" : "clock"} />
        <span>{state === "failed" ? `Not sent. ${reason ?? ""}` : state === "waiting" || reason ? `Waiting. ${reason ?? ""}` : "Sending"}</span>
        {state !== "sending" && (
          <>
            <button className={styles.action} type="button" onClick={() => outbox.retry(idempotencyKey)}>
              Send again
            </button>
            <button className={styles.action} type="button" onClick={() => outbox.remove(idempotencyKey)}>
              Delete
            </button>
          </>
        )}
      </div>
    </div>
  );
}
