import { type Ref, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useReducer, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import type { MessagePageFragment, UserPartsFragment } from "../gql/graphql";
import { useAttention, useNow } from "../hooks";
import type { OutgoingMessage } from "@cruddur/client";
import { useMessenger } from "../messenger";
import { clockTime, dayName, isSameDay } from "../time";
import { Icon } from "./Icon";
import { Message, Outgoing } from "./Message";
import styles from "./MessageList.module.css";

type Edge = MessagePageFragment["edges"][number];

export interface MessageListHandle {
  scrollToNewest: () => void;
}

interface Props {
  ref: Ref<MessageListHandle>;
  edges: readonly Edge[];
  outgoing: readonly OutgoingMessage[];
  viewerUuid: string;
  otherUser: UserPartsFragment;
  unreadCount: number;
  hasOlder: boolean;
  hasNewer: boolean;
  onOlder: () => void;
  onNewer: () => void;
  onNewest: () => void;
  // Called when the newest message has become visible.
  onRead: () => void;
}

// The height of the content above the first message, in pixels.
const TOP = 56;
// Earlier messages are loaded when the list has less than this height above the window, in pixels.
const AHEAD = 3000;
// Messages up to this distance outside the window are measured before they become visible, in pixels.
const MEASURED = 1000;
// A position up to this distance from the end counts as the end, in pixels.
const END = 24;
// If marking the visible messages as read has failed, it is tried again after this time, in milliseconds.
const READ_AGAIN = 3000;
// A change of the position counts as scrolling by the user for this time after an input event, in milliseconds.
const INPUT = 500;
// Consecutive messages of one sender within this time are displayed as a block, in milliseconds.
const TOGETHER = 5 * 60_000;

export function MessageList(props: Props) {
  const { viewerUuid, otherUser, unreadCount, hasOlder, hasNewer } = props;
  const edges = useOneEndAtATime(props.edges);
  const now = useNow();
  const hasAttention = useAttention();
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const [isAtEnd, setIsAtEnd] = useState(true);
  const staysAtEnd = useRef(true);
  // The first message that was unread when the group was opened, or that arrived while the user did
  // not see the end.
  const [firstNew, setFirstNew] = useState(() => edges[edges.length - unreadCount]?.node.uuid ?? null);

  const { outbox } = useMessenger();
  const uuids = edges.map(({ node }) => node.uuid);
  const outgoing = props.outgoing.filter(({ idempotencyKey }) => !uuids.includes(outbox.storedAs(idempotencyKey) ?? ""));
  const keys = [...uuids, ...outgoing.map(({ idempotencyKey }) => idempotencyKey)];

  // Whether messages were added or removed only at the start since the last rendering.
  const shown = useRef(keys);
  const isShifted = keys.at(-1) === shown.current.at(-1) && keys[0] !== shown.current[0];
  const lastKey = keys.at(-1);
  useLayoutEffect(() => {
    shown.current = keys;
  });

  const distance = () => {
    const element = scroller.current;
    return element ? element.scrollHeight - element.scrollTop - element.clientHeight : 0;
  };
  const keepAtEnd = () => {
    if (staysAtEnd.current && scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
  };
  const scrollToNewest = () => {
    staysAtEnd.current = true;
    setIsAtEnd(true);
    keepAtEnd();
  };
  useImperativeHandle(props.ref, () => ({ scrollToNewest }));

  const last = useRef(0);
  const lastInput = useRef(-Infinity);
  const isPressed = useRef(false);
  // The list renders scrolled messages in a later task, possibly after they have come into the window.
  const [, renderNow] = useReducer((count: number) => count + 1, 0);
  const onInput = () => (lastInput.current = performance.now());
  const onScroll = () => {
    const element = scroller.current;
    if (!element) return;
    // Messages that come near are rendered and measured before this frame is painted.
    flushSync(renderNow);
    const { scrollTop: top, clientHeight } = element;
    // Positions also change when messages are measured or loaded. Assistive technology scrolls without input events, but
    // over a larger distance.
    const isByUser = isPressed.current || performance.now() - lastInput.current < INPUT || distance() > clientHeight;
    const isBack = top < last.current && isByUser;
    last.current = top;
    // Smooth scrolling back begins with a few pixels, still close to the end.
    if (isBack) staysAtEnd.current = false;
    else if (distance() <= END) staysAtEnd.current = true;
    setIsAtEnd(staysAtEnd.current || distance() <= END);
    if (!staysAtEnd.current) loadMore();
  };
  const loadMore = () => {
    const element = scroller.current;
    if (!element) return;
    if (element.scrollTop < AHEAD) props.onOlder();
    if (hasNewer && distance() < AHEAD) props.onNewer();
  };

  // Opens at the first unread message, or else at the end.
  useLayoutEffect(() => {
    const first = edges.findIndex(({ node }) => node.uuid === firstNew);
    if (first > 0) {
      staysAtEnd.current = false;
      list.current?.scrollToIndex(first - 1, { align: "start" });
      requestAnimationFrame(onScroll);
    } else keepAtEnd();
    // For measurements of the time from navigation to messages.
    performance.mark("messages-shown");
    // This effect runs once, when the list is opened.
  }, []);
  // After a new message, the list scrolls to the end, unless the user has scrolled back.
  useLayoutEffect(keepAtEnd, [lastKey]);
  // The list also stays at its end when the height of the window, of the message field or of a message changes.
  useEffect(() => {
    const observer = new ResizeObserver(keepAtEnd);
    for (const element of [scroller.current, content.current]) if (element) observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // A page can be shorter than the window, so the start of the list can still be visible after a page was added.
  useEffect(() => {
    const element = scroller.current;
    if (element && (!staysAtEnd.current || element.scrollHeight <= element.clientHeight)) loadMore();
  });

  const { onRead } = props;
  const isNewestVisible = isAtEnd && !hasNewer;
  const isRead = unreadCount > 0 && isNewestVisible && hasAttention;
  useEffect(() => {
    if (!isRead) return;
    onRead();
    const timer = setInterval(onRead, READ_AGAIN);
    return () => clearInterval(timer);
  }, [isRead, onRead]);

  // Messages that arrive while the window is not active, or while the end is not visible, are marked as new until the user
  // sends a message.
  const newest = edges.at(-1)?.node;
  const known = useRef(newest?.uuid);
  useEffect(() => {
    if (!newest || newest.uuid === known.current) return;
    known.current = newest.uuid;
    if (newest.sender.uuid === viewerUuid) setFirstNew(null);
    else if (!hasAttention || !staysAtEnd.current) setFirstNew((before) => before ?? newest.uuid);
  }, [newest, hasAttention, viewerUuid]);

  const rows = useMemo(
    () =>
      edges.map(({ node }, index) => {
        const before = edges[index - 1]?.node;
        const after = edges[index + 1]?.node;
        const startsDay = before ? !isSameDay(before.createdAt, node.createdAt) : !hasOlder;
        const isLast =
          !after ||
          after.sender.uuid !== node.sender.uuid ||
          Date.parse(after.createdAt) - Date.parse(node.createdAt) > TOGETHER ||
          after.uuid === firstNew;
        return (
          <div key={node.uuid} data-message={node.uuid}>
            {startsDay && <p className={styles.day}>{dayName(node.createdAt, now)}</p>}
            {node.uuid === firstNew && (
              <p className={styles.new}>
                <span>{before ? `New since ${isSameDay(before.createdAt, node.createdAt) ? clockTime(before.createdAt) : dayName(before.createdAt, now)}` : "New"}</span>
              </p>
            )}
            <Message
              body={node.body}
              createdAt={node.createdAt}
              isOwn={node.sender.uuid === viewerUuid}
              sender={node.sender.displayName}
              isLast={isLast}
            />
          </div>
        );
      }),
    [edges, hasOlder, firstNew, now, viewerUuid],
  );

  return (
    <div className={styles.frame}>
      <div
        className={styles.scroller}
        ref={scroller}
        role="region"
        aria-label={`Messages with ${otherUser.displayName}`}
        tabIndex={0}
        onWheel={onInput}
        onTouchMove={onInput}
        onKeyDown={onInput}
        onPointerDown={() => (isPressed.current = true)}
        onPointerUp={() => (isPressed.current = false)}
        onPointerCancel={() => (isPressed.current = false)}
      >
        <div className={styles.content} ref={content}>
          <div className={styles.top}>
            {hasOlder ? "Loading earlier messages…" : `This is the beginning of your messages with ${otherUser.displayName}.`}
          </div>
          <Virtualizer
            ref={list}
            as="ol"
            item="li"
            scrollRef={scroller}
            startMargin={TOP}
            bufferSize={MEASURED}
            shift={isShifted}
            onScroll={onScroll}
          >
            {rows}
            {outgoing.map((message) => (
              <div key={message.idempotencyKey} data-outgoing={message.state}>
                <Outgoing message={message} />
              </div>
            ))}
          </Virtualizer>
        </div>
      </div>
      {!isNewestVisible && (
        <button className={styles.pill} type="button" onClick={props.onNewest}>
          <Icon name="down" />
          {unreadCount > 0 ? `${unreadCount} new message${unreadCount === 1 ? "" : "s"}` : <span className="visually-hidden">Newest messages</span>}
        </button>
      )}
    </div>
  );
}

// Unacknowledged messages to a user with whom the viewer has no group yet.
export function OutgoingList({ outgoing }: { outgoing: readonly OutgoingMessage[] }) {
  return outgoing.map((message) => (
    <div key={message.idempotencyKey} data-outgoing={message.state}>
      <Outgoing message={message} />
    </div>
  ));
}

// The list can keep its position when messages change at one end, but not at both. If an earlier page and a new message
// arrive at the same time, they are therefore rendered one after the other.
function useOneEndAtATime(edges: readonly Edge[]): readonly Edge[] {
  const rendered = useRef(edges);
  const [, renderRest] = useState(0);
  const isSameStart = edges[0]?.node.uuid === rendered.current[0]?.node.uuid;
  const end = edges.findLastIndex(({ node }) => node.uuid === rendered.current.at(-1)?.node.uuid) + 1;
  const hasBoth = !isSameStart && end > 0 && end < edges.length;
  const next = useMemo(() => (hasBoth ? edges.slice(0, end) : edges), [edges, hasBoth, end]);
  useEffect(() => {
    rendered.current = next;
    if (next !== edges) renderRest((count) => count + 1);
  }, [next, edges]);
  return next;
}
