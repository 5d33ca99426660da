import { type KeyboardEvent, useEffect, useRef } from "react";
import { NavLink } from "react-router";
import { useQuery } from "@apollo/client/react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import type { MessageGroupPartsFragment } from "../gql/graphql";
import { useNow } from "../hooks";
import { useMessenger } from "../messenger";
import { MessageGroups } from "../operations";
import { GROUPS_PAGE } from "../start";
import { fullTime, shortTime } from "../time";
import { Avatar } from "./Avatar";
import styles from "./GroupList.module.css";

// The next page is loaded when the list has at most this number of groups below the window.
const AHEAD = 10;

export function GroupList() {
  const { data, error, fetchMore, refetch } = useQuery(MessageGroups, { variables: { first: GROUPS_PAGE } });
  const now = useNow();
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  // The end of the list from which the next page was requested.
  const requested = useRef<string | null>(null);

  const edges = data?.messageGroups.edges ?? [];
  const { hasNextPage = false, endCursor = null } = data?.messageGroups.pageInfo ?? {};
  const loadMore = () => {
    const handle = list.current;
    if (!handle || !hasNextPage || requested.current === endCursor) return;
    if (handle.findItemIndex(handle.scrollOffset + handle.viewportSize) < edges.length - AHEAD) return;
    requested.current = endCursor;
    // After a failure, the next scroll event requests the page again.
    fetchMore({ variables: { first: GROUPS_PAGE, after: endCursor } }).catch(() => (requested.current = null));
  };
  // The end of the list can still be visible after the next page was added.
  useEffect(() => {
    // After the list was read again from its start, it can have the same end as before.
    requested.current = null;
    loadMore();
  }, [endCursor]);

  if (error && !data)
    return (
      <p className={styles.note} role="alert">
        The message groups cannot be loaded.{" "}
        <button className="plain" type="button" onClick={() => void refetch().catch(() => {})}>
          Try again
        </button>
      </p>
    );
  if (!data) return <p className={styles.note}>Loading…</p>;
  if (edges.length === 0)
    return (
      <div className={styles.empty}>
        <p>No messages yet</p>
        <p>To send a message, choose “New message” above, and enter a handle.</p>
      </div>
    );

  return (
    <div className={styles.scroller} ref={scroller} onKeyDown={moveFocus}>
      <Virtualizer ref={list} as="ul" item="li" scrollRef={scroller} itemSize={72} onScroll={loadMore}>
        {edges.map(({ node }) => (
          <GroupItem key={node.uuid} group={node} now={now} />
        ))}
      </Virtualizer>
    </div>
  );
}

function GroupItem({ group, now }: { group: MessageGroupPartsFragment; now: number }) {
  const { viewer } = useMessenger();
  const { uuid, otherUser, lastMessage, lastMessageAt, unreadCount } = group;
  return (
    <NavLink className={styles.group} to={`/messages/${uuid}`} data-unread={unreadCount > 0}>
      <Avatar user={otherUser} />
      <span className={styles.texts}>
        <span className={styles.line}>
          <span className={styles.name} dir="auto">
            {otherUser.displayName}
          </span>
          <span className={styles.handle}>@{otherUser.handle}</span>
          <time dateTime={lastMessageAt} title={fullTime(lastMessageAt)}>
            {shortTime(lastMessageAt, now)}
          </time>
        </span>
        <span className={styles.line}>
          <span className={styles.preview}>
            {lastMessage.sender.uuid === viewer.uuid && "You: "}
            <bdi>{lastMessage.body}</bdi>
          </span>
          {unreadCount > 0 && (
            <span className={styles.badge}>
              {unreadCount > 99 ? "99+" : unreadCount}
              <span className="visually-hidden"> unread</span>
            </span>
          )}
        </span>
      </span>
    </NavLink>
  );
}

// The arrow keys move the focus from group to group.
function moveFocus(event: KeyboardEvent<HTMLDivElement>): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!step) return;
  const links = [...event.currentTarget.querySelectorAll("a")];
  const next = links[links.findIndex((link) => link === document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
