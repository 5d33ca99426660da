import { useId, useRef } from "react";
import { Link, Outlet, useLocation, useNavigate } from "react-router";
import { Avatar } from "../components/Avatar";
import { ConnectionBanner } from "../components/ConnectionBanner";
import { GroupList } from "../components/GroupList";
import { Icon } from "../components/Icon";
import { useMessenger } from "../messenger";
import styles from "./Layout.module.css";

// The list of message groups, and beside it the open page. A narrow window shows only one of the two.
export function Layout() {
  const isListShown = useLocation().pathname.replace(/\/$/, "") === "/messages";
  return (
    <main className={styles.layout} data-shows={isListShown ? "list" : "content"}>
      <a className={styles.skip} href="#content">
        Skip to the messages
      </a>
      <ConnectionBanner />
      <div className={styles.list}>
        <ListHeader />
        <nav className={styles.groups} aria-label="Message groups">
          <GroupList />
        </nav>
      </div>
      <div className={styles.content} id="content" tabIndex={-1}>
        <Outlet />
      </div>
    </main>
  );
}

function ListHeader() {
  const { viewer, graphiql, signOut } = useMessenger();
  const menu = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <div className={styles.header}>
      <button
        className={styles.viewer}
        type="button"
        popoverTarget={menu}
        aria-label={`Signed in as ${viewer.displayName}, @${viewer.handle}`}
      >
        <Avatar user={viewer} size="small" />
      </button>
      <div className={styles.menu} id={menu} popover="auto">
        <p>
          <strong>{viewer.displayName}</strong>
          <span>@{viewer.handle}</span>
        </p>
        {graphiql && (
          <a href={graphiql}>
            GraphiQL <Icon name="external" />
          </a>
        )}
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      </div>
      <h1 className={styles.title}>
        <Link to="/messages">Messages</Link>
      </h1>
      <button className="round" type="button" aria-label="New message" onClick={() => dialog.current?.showModal()}>
        <Icon name="compose" />
      </button>
      <dialog className={styles.dialog} ref={dialog} closedby="any" aria-labelledby={`${menu}-title`}>
        <NewMessageForm titleId={`${menu}-title`} onDone={() => dialog.current?.close()} />
      </dialog>
    </div>
  );
}

function NewMessageForm({ titleId, onDone }: { titleId: string; onDone: () => void }) {
  const navigate = useNavigate();
  const field = useId();
  const open = (form: FormData) => {
    const handle = String(form.get("handle") ?? "").trim().replace(/^@/, "");
    if (!handle) return;
    onDone();
    void navigate(`/messages/new/${encodeURIComponent(handle)}`);
  };
  return (
    <form action={open}>
      <h2 id={titleId}>New message</h2>
      <label htmlFor={field}>Handle of the receiver</label>
      <span className={styles.handle}>
        <span aria-hidden="true">@</span>
        <input
          id={field}
          name="handle"
          required
          autoCapitalize="none"
          autoComplete="off"
          autoCorrect="off"
          spellCheck={false}
          maxLength={256}
        />
      </span>
      <div className={styles.buttons}>
        <button className="plain" type="button" onClick={onDone}>
          Cancel
        </button>
        <button className="button" type="submit">
          Continue
        </button>
      </div>
    </form>
  );
}
