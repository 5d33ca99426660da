import { useCallback, useEffect, useRef, useState } from "react";
import { Link, useParams } from "react-router";
import { useQuery } from "@apollo/client/react";
import { Avatar } from "../components/Avatar";
import { Composer } from "../components/Composer";
import { Icon } from "../components/Icon";
import { MessageList, type MessageListHandle } from "../components/MessageList";
import { Loading, Notice } from "../components/Notice";
import type { MessageGroupQuery, UserPartsFragment } from "../gql/graphql";
import { loadNewest, trimHistory } from "../history";
import { useTitle } from "../hooks";
import { useMessenger, useOutgoing } from "../messenger";
import { MarkMessageGroupRead, MessageGroup } from "../operations";
import { isUuid, MESSAGES_PAGE } from "../start";
import styles from "./GroupPage.module.css";

export function GroupPage() {
  const { uuid = "" } = useParams();
  return isUuid(uuid) ? <Group key={uuid} uuid={uuid} /> : <NoGroup />;
}

function NoGroup() {
  useTitle(null);
  return (
    <>
      <PageHeader />
      <Notice title="There is no such message group" text="The link may be wrong, or the group may be between other people." />
    </>
  );
}

function Group({ uuid }: { uuid: string }) {
  const { data, error, refetch } = useQuery(MessageGroup, { variables: { uuid, last: MESSAGES_PAGE } });
  if (data?.messageGroup) return <OpenGroup group={data.messageGroup} />;
  if (data && data.messageGroup === null) return <NoGroup />;
  return (
    <>
      <PageHeader />
      <Loading text="Loading messages…" title="The messages cannot be shown" error={error} retry={refetch} />
    </>
  );
}

type OpenGroupData = NonNullable<MessageGroupQuery["messageGroup"]>;

function OpenGroup({ group }: { group: OpenGroupData }) {
  const { client, viewer, onNewMessage } = useMessenger();
  const { uuid, otherUser, unreadCount, messages } = group;
  const { edges, pageInfo } = messages;
  const list = useRef<MessageListHandle>(null);
  // The cursor of the page that was requested last.
  const requested = useRef<string | null>(null);
  const farEnd = useRef<"newest" | "oldest">("oldest");
  // Trims the cache after the page is rendered, because the list can keep its position only when messages change at one end.
  useEffect(() => trimHistory(client.cache, group, farEnd.current));
  const [announced, setAnnounced] = useState<readonly { uuid: string; text: string }[]>([]);
  useTitle(otherUser.displayName);

  const outgoing = useOutgoing((to) =>
    "messageGroupUuid" in to ? to.messageGroupUuid === uuid : to.receiverHandle === otherUser.handle,
  );

  const load = async (cursor: string, page: { last: number; before: string } | { first: number; after: string }) => {
    if (requested.current === cursor) return;
    requested.current = cursor;
    farEnd.current = "before" in page ? "newest" : "oldest";
    try {
      await client.query({ query: MessageGroup, variables: { uuid, ...page }, fetchPolicy: "network-only" });
    } catch (cause) {
      // After a failure, the next scroll event requests the page again.
      console.warn(cause);
      requested.current = null;
    }
  };
  const loadOlder = () => {
    const { hasPreviousPage, startCursor } = pageInfo;
    if (hasPreviousPage && startCursor) void load(startCursor, { last: MESSAGES_PAGE, before: startCursor });
  };
  const loadNewer = () => {
    const { hasNextPage, endCursor } = pageInfo;
    if (hasNextPage && endCursor) void load(endCursor, { first: MESSAGES_PAGE, after: endCursor });
  };
  // Replaces the pages around an older message by the newest page.
  const showNewest = async () => {
    // Without a connection, the displayed pages remain.
    if (pageInfo.hasNextPage) await loadNewest(client, group).catch(() => {});
    list.current?.scrollToNewest();
  };

  const newestCursor = edges.at(-1)?.cursor;
  // The cursor of the request in progress.
  const marking = useRef<string | null>(null);
  const markRead = useCallback(() => {
    if (!newestCursor || marking.current === newestCursor) return;
    marking.current = newestCursor;
    client
      .mutate({ mutation: MarkMessageGroupRead, variables: { input: { messageGroupUuid: uuid, upTo: newestCursor } } })
      // The list calls this function again while the messages are visible.
      .catch((cause: unknown) => console.warn(cause))
      .finally(() => {
        if (marking.current === newestCursor) marking.current = null;
      });
  }, [client, uuid, newestCursor]);

  // Screen readers read these messages aloud.
  useEffect(
    () =>
      onNewMessage(({ messageEdge: { node }, messageGroupEdge }) => {
        if (messageGroupEdge.node.uuid !== uuid || node.sender.uuid === viewer.uuid) return;
        const text = `${node.sender.displayName}: ${node.body}`;
        setAnnounced((before) => [...before.slice(-4), { uuid: node.uuid, text }]);
      }),
    [onNewMessage, uuid, viewer.uuid],
  );

  return (
    <>
      <PageHeader user={otherUser} />
      <MessageList
        ref={list}
        edges={edges}
        outgoing={outgoing}
        viewerUuid={viewer.uuid}
        otherUser={otherUser}
        unreadCount={unreadCount}
        hasOlder={pageInfo.hasPreviousPage}
        hasNewer={pageInfo.hasNextPage}
        onOlder={loadOlder}
        onNewer={loadNewer}
        onNewest={() => void showNewest()}
        onRead={markRead}
      />
      <div className="visually-hidden" role="log" aria-label="New messages">
        {announced.map((message) => (
          <p key={message.uuid}>{message.text}</p>
        ))}
      </div>
      <Composer
        to={{ messageGroupUuid: uuid }}
        name={otherUser.displayName}
        onSend={() => void showNewest()}
      />
    </>
  );
}

export function PageHeader({ user }: { user?: UserPartsFragment }) {
  return (
    <div className={styles.header}>
      <Link className={styles.back} to="/messages" aria-label="Back to all message groups">
        <Icon name="back" />
      </Link>
      {user && (
        <>
          <Avatar user={user} size="small" />
          <h1 className={styles.name}>
            <span dir="auto">{user.displayName}</span> <span className={styles.handle}>@{user.handle}</span>
          </h1>
        </>
      )}
    </div>
  );
}
