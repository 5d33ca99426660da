// Apollo Client.
import assert from "node:assert/strict";
// docs: apollo-client
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import possibleTypes from "./generated/possible-types";
import { liveClient, type Token } from "@cruddur/client";
import {
  CreateMessage,
  MarkMessageGroupRead,
  MessageCreated,
  MessageGroup,
  MessageGroups,
  MessageGroupUpdated,
  Receiver,
  UnreadMessageGroupCount,
} from "./operations";

export function clientOf(url: string, token: Token, ...before: ApolloLink[]) {
  const signed = new SetContextLink(async ({ headers, forceRefresh = false }) => ({
    headers: { ...headers, authorization: `Bearer ${await token({ forceRefresh })}` },
  }));
  // If the server rejects the token, gets a new token and retries the request once.
  const renewed = new ErrorLink(({ error, operation, forward }) => {
    const isRefused = CombinedGraphQLErrors.is(error) && error.errors[0]?.extensions?.code === "UNAUTHENTICATED";
    if (!isRefused || operation.getContext().forceRefresh) return;
    operation.setContext({ forceRefresh: true });
    return forward(operation);
  });
  const http = ApolloLink.from([renewed, signed, new HttpLink({ uri: url })]);
  // Subscriptions use the WebSocket, which is open while there is at least one subscription.
  const socket = new GraphQLWsLink(liveClient({ url, token, reread }));
  const isLive = ({ operationType }: ApolloLink.Operation) => operationType === OperationTypeNode.SUBSCRIPTION;
  const client = new ApolloClient({
    link: ApolloLink.from([...before, ApolloLink.split(isLive, socket, http)]),
    cache: new InMemoryCache({
      // Without `possibleTypes`, `... on Problem` would match no type.
      possibleTypes: possibleTypes.possibleTypes,
      // The cache stores each object by its `id`, which is the same in all responses.
      typePolicies: {
        Query: { fields: { messageGroups: relayStylePagination() } },
        MessageGroup: { fields: { messages: relayStylePagination() } },
      },
    }),
  });
  // Refetches the data that may have changed before the subscription started: for `MessageCreated` all displayed data,
  // otherwise only the data that changes without a new message. Of each list it fetches the newest page, which replaces
  // all displayed pages; scrolling loads the older pages again.
  function reread(subscription: string) {
    const unread = ["MessageGroups", "UnreadMessageGroupCount"];
    void client.refetchQueries({ include: subscription === "MessageCreated" ? "active" : unread });
  }
  return client;
}
// docs: end
// docs: apollo-send
import type { ApolloCache, Reference } from "@apollo/client";
import type { CreateMessageMutation, MessageCreatedSubscription } from "./generated/graphql";

interface Edge {
  cursor: string;
  node: Reference;
}
interface Connection {
  edges: Edge[];
}

// Adds the sent message to the cached lists: pass this function as `update` of the mutation.
export function addCreatedMessage(cache: ApolloCache, { data }: { data?: CreateMessageMutation | null }) {
  if (data?.createMessage.__typename === "CreateMessageSuccess") addMessage(cache, data.createMessage);
}

// Adds a message to the cached lists in the correct order, unless the message is already there.
export function addMessage(
  cache: ApolloCache,
  { messageEdge, messageGroupEdge }: Pick<MessageCreatedSubscription["messageCreated"], "messageEdge" | "messageGroupEdge">,
) {
  const message = cache.identify(messageEdge.node);
  const group = cache.identify(messageGroupEdge.node);
  if (!message || !group) return;
  cache.modify<{ messageGroups: Connection }>({
    fields: {
      // Moves the group to the top, or below newer groups. The message has changed the group's cursor.
      messageGroups(groups, { readField }) {
        const edges = (groups as Connection).edges.filter(({ node }) => node.__ref !== group);
        const isOlder = ({ node }: Edge) => (readField<string>("lastMessageAt", node) ?? "") < messageGroupEdge.node.lastMessageAt;
        const place = edges.findIndex(isOlder);
        const edge = { ...messageGroupEdge, node: { __ref: group } };
        return { ...(groups as Connection), edges: edges.toSpliced(place < 0 ? edges.length : place, 0, edge) };
      },
    },
  });
  cache.modify<{ messages: Connection }>({
    id: group,
    fields: {
      // Adds the message at the end, or before newer messages. An existing message whose `createdAt` is in the future
      // precedes the new message.
      messages(messages, { readField }) {
        const { edges } = messages as Connection;
        if (edges.some(({ node }) => node.__ref === message)) return messages;
        const now = new Date().toISOString();
        const isOlder = ({ node }: Edge) => {
          const createdAt = readField<string>("createdAt", node) ?? "";
          return createdAt < messageEdge.node.createdAt || createdAt > now;
        };
        const edge = { ...messageEdge, node: { __ref: message } };
        return { ...(messages as Connection), edges: edges.toSpliced(edges.findLastIndex(isOlder) + 1, 0, edge) };
      },
    },
  });
}
// docs: end
// docs: apollo-live
// Call this when a user signs in and the returned function when the user signs out. After `onEnd`, the user has to sign
// in again.
export function listen(client: ApolloClient, onEnd: (error: unknown) => void) {
  const messages = client.subscribe({ query: MessageCreated }).subscribe(({ data, error }) => {
    if (error) onEnd(error);
    if (data) addMessage(client.cache, data.messageCreated);
  });
  // Apollo Client has already updated the group and its `unreadCount` in the cache.
  const groups = client.subscribe({ query: MessageGroupUpdated }).subscribe(({ data, error }) => {
    if (error) onEnd(error);
    if (data) showUnread(client.cache, data.messageGroupUpdated);
  });
  return () => {
    messages.unsubscribe();
    groups.unsubscribe();
  };
}

// Writes the number of groups with unread messages to the cache, from an event or from the result of a mutation.
export function showUnread(cache: ApolloCache, { unreadMessageGroupCount }: { unreadMessageGroupCount: number }) {
  cache.writeQuery({ query: UnreadMessageGroupCount, data: { __typename: "Query", unreadMessageGroupCount } });
}
// docs: end
// docs: apollo-ids
// With `--trusted-documents`: sends the IDs that graphql-codegen has written into the documents.
const byIds = () =>
  new PersistedQueryLink({ generateHash: (document) => (document as unknown as { __meta__: { hash: string } }).__meta__.hash });
// docs: end
// docs: apollo-hashes
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

async function sha256(text: string) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Automatic persisted queries: sends only the hash once the server has the document.
const byHashes = () => new PersistedQueryLink({ sha256 });
// docs: end
import { expiredSession, newKey, places, signedIn, step, trusted, until } from "./harness";
import { networkTo } from "./network";

const links = trusted ? [byIds()] : [];
const network = await networkTo(places.graphql);
const luu = clientOf(network.url, signedIn("luu"), ...links);
const unamused = clientOf(places.graphql, signedIn("unamused"), ...links);
// In this much of the list there are pages for a test.
const first = 1;

// docs: apollo-groups
const groups = luu.watchQuery({ query: MessageGroups, variables: { first } });
// Call this when the end of the list becomes visible: loads the next page.
async function moreGroups() {
  const { data, dataState } = groups.getCurrentResult();
  if (dataState !== "complete" || !data.messageGroups.pageInfo.hasNextPage) return;
  await groups.fetchMore({ variables: { after: data.messageGroups.pageInfo.endCursor } });
}
// docs: end
let shownGroups: string[] = [];
groups.subscribe(({ data, dataState }) => {
  if (dataState === "complete") shownGroups = data.messageGroups.edges.map(({ node }) => node.otherUser.handle);
});

await step("lists the message groups a page at a time, most recently active first", async () => {
  await until(() => shownGroups.length === 1);
  await moreGroups();
  await until(() => shownGroups.length === 2);
  assert.deepEqual(shownGroups, ["unamused", "mirabel"]);
  await moreGroups();
  assert.equal(shownGroups.length, 2);
});

const receiver = await luu.query({ query: Receiver, variables: { handle: "mirabel" } });
const uuid = receiver.data?.user?.messageGroup?.uuid;
assert.ok(uuid);

// docs: apollo-group
const group = luu.watchQuery({ query: MessageGroup, variables: { uuid, last: 2 } });
// Call this when the user scrolls to the top: loads the previous page.
async function olderMessages() {
  const { data, dataState } = group.getCurrentResult();
  const pageInfo = dataState === "complete" && data.messageGroup?.messages.pageInfo;
  if (!pageInfo || !pageInfo.hasPreviousPage) return;
  await group.fetchMore({ variables: { before: pageInfo.startCursor } });
}
// docs: end
let shownMessages: string[] = [];
group.subscribe(({ data, dataState }) => {
  if (dataState === "complete") shownMessages = data.messageGroup?.messages.edges.map(({ node }) => node.body) ?? [];
});

await step("shows a group and scrolls back to its first message", async () => {
  await until(() => shownMessages.length === 2);
  const newest = shownMessages;
  await olderMessages();
  await until(() => shownMessages.length === 3);
  assert.deepEqual(shownMessages.slice(1), newest, "older messages come before the newer");
});

await step("sends to a group: it moves to the top, and the message is at its end once", async () => {
  // docs: apollo-mutate
  const input = { to: { messageGroupUuid: uuid }, body: "by Apollo Client", idempotencyKey: newKey() };
  const send = () => luu.mutate({ mutation: CreateMessage, variables: { input }, update: addCreatedMessage });
  // docs: end
  await send();
  // As when no answer came, and the client tries again with the same key.
  await send();
  await until(() => shownMessages.length === 4);
  assert.equal(shownMessages.at(-1), "by Apollo Client");
  assert.deepEqual(shownGroups, ["mirabel", "unamused"]);
  assert.deepEqual(shownMessages, (await served()).messages, "the cache shows what there is");
});

await step("sends to somebody new by handle, whose group is then at the top", async () => {
  const input = { to: { receiverHandle: "tove" }, body: "by Apollo Client", idempotencyKey: newKey() };
  await luu.mutate({ mutation: CreateMessage, variables: { input }, update: addCreatedMessage });
  await until(() => shownGroups.length === 3);
  assert.deepEqual(shownGroups, ["tove", "mirabel", "unamused"]);
  const { data } = await luu.query({ query: Receiver, variables: { handle: "tove" } });
  assert.ok(data?.user?.messageGroup?.uuid);
});

await step("is refused with a type, which changes nothing that is shown", async () => {
  const before = [...shownMessages];
  const input = { to: { messageGroupUuid: uuid }, body: " ", idempotencyKey: newKey() };
  const { data } = await luu.mutate({ mutation: CreateMessage, variables: { input }, update: addCreatedMessage });
  assert.equal(data?.createMessage.__typename, "InvalidMessageBody");
  assert.ok("message" in data.createMessage && data.createMessage.message, "`... on Problem` matches");
  assert.deepEqual(shownMessages, before);
  const strangers = await unamused.query({ query: MessageGroup, variables: { uuid } });
  assert.equal(strangers.data?.messageGroup, null);
});

const mirabel = clientOf(places.graphql, signedIn("mirabel"), ...links);
const theirs = await mirabel.query({ query: Receiver, variables: { handle: "luu" } });
assert.equal(theirs.data?.user?.messageGroup?.uuid, uuid);
let said = 0;
async function say(client: ApolloClient): Promise<string> {
  const body = `said ${(said += 1)}`;
  const input = { to: { messageGroupUuid: uuid ?? "" }, body, idempotencyKey: newKey() };
  await client.mutate({ mutation: CreateMessage, variables: { input }, update: addCreatedMessage });
  return body;
}
const ofMirabel = () => {
  const { data, dataState } = group.getCurrentResult();
  return dataState === "complete" ? data.messageGroup : null;
};
// What the server has, past the cache.
async function served() {
  const ofGroup = await luu.query({ query: MessageGroup, variables: { uuid: uuid ?? "", last: 100 }, fetchPolicy: "no-cache" });
  const ofGroups = await luu.query({ query: MessageGroups, variables: { first: 100 }, fetchPolicy: "no-cache" });
  return {
    messages: ofGroup.data?.messageGroup?.messages.edges.map(({ node }) => node.body),
    groups: ofGroups.data?.messageGroups.edges.map(({ node }) => node.otherUser.handle),
  };
}
const unreadGroups = () => luu.readQuery({ query: UnreadMessageGroupCount })?.unreadMessageGroupCount;
const ends: unknown[] = [];
const hush = listen(luu, (error) => ends.push(error));

await step("reads again what is shown, once it listens", async () => {
  // All pages but the newest are gone.
  await until(() => shownGroups.length === 1 && shownMessages.length === 2);
});

await step("hears of a message: it is at the end of its group, which is at the top and unread", async () => {
  const heard = await say(mirabel);
  await until(() => shownMessages.at(-1) === heard && ofMirabel()?.unreadCount === 1);
  assert.equal(shownGroups[0], "mirabel");
  await until(() => unreadGroups() !== undefined);
});

await step("shows its own messages once, between those that it hears of", async () => {
  const expected = [shownMessages.at(-1), await say(luu), await say(mirabel), await say(luu)];
  await until(() => shownMessages.at(-1) === expected[3]);
  expected.push(await say(mirabel));
  await until(() => shownMessages.at(-1) === expected[4]);
  assert.deepEqual(shownMessages.slice(-5), expected);
});

await step("marks as read, here and on another device", async () => {
  const before = 1;
  await until(() => ofMirabel()?.unreadCount === 1 && unreadGroups() === before);
  // docs: apollo-mark
  // Call this with the newest visible message while the window has the focus.
  async function markRead(messageGroupUuid: string, upTo: string) {
    await luu.mutate({
      mutation: MarkMessageGroupRead,
      variables: { input: { messageGroupUuid, upTo } },
      update(cache, { data }) {
        const read = data?.markMessageGroupRead;
        if (read?.__typename === "MarkMessageGroupReadSuccess") showUnread(cache, read);
      },
    });
  }
  // docs: end
  const newest = () => ofMirabel()?.messages.edges.at(-1)?.cursor ?? "";
  await markRead(uuid, newest());
  assert.equal(ofMirabel()?.unreadCount, 0);
  assert.equal(unreadGroups(), before - 1);

  const heard = await say(mirabel);
  await until(() => shownMessages.at(-1) === heard && unreadGroups() === before);
  const device = clientOf(places.graphql, signedIn("luu"), ...links);
  await device.mutate({ mutation: MarkMessageGroupRead, variables: { input: { messageGroupUuid: uuid, upTo: newest() } } });
  await until(() => ofMirabel()?.unreadCount === 0 && unreadGroups() === before - 1);
});

await step("misses nothing while it is cut off", async () => {
  const shown = [...shownMessages];
  network.cut();
  const expected = [await say(mirabel), await say(mirabel)];
  network.mend();
  expected.push(await say(mirabel));
  await until(() => shownMessages.length === shown.length + 3);
  assert.deepEqual(shownMessages, [...shown, ...expected]);
  assert.deepEqual(ends, []);
});

await step("reads again after messages that it has not heard of, and scrolls back through all of them", async () => {
  hush();
  const [before, groupsBefore] = [shownMessages.length, shownGroups.length];
  await olderMessages();
  await moreGroups();
  await until(() => shownMessages.length > before && shownGroups.length > groupsBefore);
  for (let unheard = 0; unheard < 6; unheard += 1) await say(mirabel);
  for (const handle of ["tove", "unamused"]) {
    const input = { to: { receiverHandle: "luu" }, body: "unheard", idempotencyKey: newKey() };
    await clientOf(places.graphql, signedIn(handle), ...links).mutate({ mutation: CreateMessage, variables: { input } });
  }
  const { messages, groups: handles } = await served();
  const hushAgain = listen(luu, (error) => ends.push(error));
  await until(() => shownMessages.at(-1) === messages?.at(-1) && shownGroups[0] === handles?.[0]);
  assert.deepEqual(shownMessages, messages?.slice(-2));
  assert.deepEqual(shownGroups, handles?.slice(0, 1));
  // What was fetched is shown a moment later.
  while (ofMirabel()?.messages.pageInfo.hasPreviousPage) {
    const shown = shownMessages.length;
    await olderMessages();
    await until(() => shownMessages.length > shown);
  }
  assert.deepEqual(shownMessages, messages);
  for (let shown = 1; shown < (handles?.length ?? 0); shown += 1) {
    await moreGroups();
    await until(() => shownGroups.length > shown);
  }
  assert.deepEqual(shownGroups, handles);
  assert.deepEqual(ends, []);
  hushAgain();
});
network.close();

if (!trusted) {
  await step("sends a hash instead of a document that the server knows", async () => {
    const asked: string[] = [];
    const count = new ApolloLink((operation, forward) => {
      asked.push(operation.getContext().http.includeQuery ? "document" : "hash");
      return forward(operation);
    });
    for (const expected of [["hash", "document"], ["hash"]]) {
      const client = clientOf(places.graphql, signedIn("luu"), byHashes(), count);
      asked.length = 0;
      const { data } = await client.query({ query: Receiver, variables: { handle: "quill" } });
      assert.equal(data?.user?.displayName, "Quill");
      assert.deepEqual(asked, expected);
    }
  });
}

await step("renews a token that has expired, and asks again", async () => {
  const { token, renewals } = expiredSession("luu");
  const { data } = await clientOf(places.graphql, token, ...links).query({ query: MessageGroups });
  assert.ok(data?.messageGroups.edges.length);
  assert.equal(renewals(), 1);
});

await step("fails with a code", async () => {
  const signedOut = clientOf(places.graphql, async () => "bad", ...links);
  // docs: apollo-error
  await assert.rejects(signedOut.query({ query: MessageGroups }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error), String(error));
    return error.errors[0]?.extensions?.code === "UNAUTHENTICATED";
  });
  // docs: end
});
luu.stop();
