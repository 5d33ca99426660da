import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { useMessenger, useStore } from "../messenger";
import { type Destination, destinationKey } from "@cruddur/client";
import { lengthOf, MAX_LENGTH } from "../text";
import { Icon } from "./Icon";
import styles from "./Composer.module.css";

// The counter appears when fewer characters than this are left.
const NEAR_THE_END = 100;

interface Props {
  to: Destination;
  name: string;
  onSend?: () => void;
}

// The field for a new message. Its React key is the destination.
export function Composer({ to, name, onSend }: Props) {
  const { drafts, outbox, rejections } = useMessenger();
  const destination = destinationKey(to);
  const [text, setText] = useState(() => drafts.read(destination));
  const rejection = useStore(rejections).get(destination);
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();

  // After a rejection, the draft contains the rejected text again.
  useEffect(() => {
    if (rejection) setText(drafts.read(destination));
  }, [rejection, drafts, destination]);
  // On a touch screen, the focus would open the keyboard over the messages.
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);

  const left = MAX_LENGTH - lengthOf(text);
  const canSend = left >= 0 && text.trim() !== "";
  const forgetRejection = () => {
    if (!rejection) return;
    const others = new Map(rejections.get());
    others.delete(destination);
    rejections.set(others);
  };
  const change = (value: string) => {
    setText(value);
    drafts.write(destination, value);
    forgetRejection();
  };
  const send = () => {
    if (!canSend) return;
    outbox.add(to, text.toWellFormed());
    change("");
    onSend?.();
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // Enter also ends the input of a Chinese, Japanese or Korean word.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  const error = left < 0 ? `${-left} characters too many. A message has at most ${MAX_LENGTH}.` : rejection;

  return (
    <form
      className={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <p className={styles.error} id={`${id}-error`} role="alert">
        {error}
      </p>
      <div className={styles.field} data-invalid={Boolean(error)}>
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          value={text}
          placeholder={`Message ${name}`}
          aria-label={`Message to ${name}`}
          aria-describedby={`${id}-error ${id}-count`}
          aria-invalid={Boolean(error)}
          enterKeyHint="send"
          onChange={(event) => change(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <span className={styles.count} id={`${id}-count`} data-over={left < 0}>
          {left <= NEAR_THE_END && (
            <>
              {left}
              <span className="visually-hidden"> characters left</span>
            </>
          )}
        </span>
        <button className={styles.send} type="submit" aria-label="Send" disabled={!canSend}>
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}
