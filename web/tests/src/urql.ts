// urql with its normalized cache.
import assert from "node:assert/strict";
// docs: urql-client
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";
import { cacheExchange, type Cache, type CacheExchangeOpts, type FieldInfo, type Resolver, type Variables } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import introspection from "./generated/introspection.json" with { type: "json" };
import type {
  CreateMessageMutation,
  MarkMessageGroupReadMutation,
  MessageCreatedSubscription,
  MessageGroupUpdatedSubscription,
} from "./generated/graphql";
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

// `reread` refetches the newest page of the displayed lists with `requestPolicy: "network-only"`.
export function clientOf(url: string, token: Token, reread: (subscription: string) => void = () => {}) {
  const socket = liveClient({ url, token, reread });
  return new Client({
    url,
    exchanges: [
      cacheExchange({
        // With the schema, `... on Problem` matches the types that implement it.
        schema: introspection as CacheExchangeOpts["schema"],
        resolvers: {
          Query: { messageGroups: withoutGaps(relayPagination(), "after", "endCursor") },
          // Older pages are placed before newer pages.
          MessageGroup: { messages: withoutGaps(relayPagination({ mergeMode: "outwards" }), "before", "startCursor") },
        },
        updates: {
          Mutation: {
            createMessage: (result, _args, cache) => addCreatedMessage(result as CreateMessageMutation, cache),
            markMessageGroupRead(result, _args, cache) {
              const { markMessageGroupRead: read } = result as MarkMessageGroupReadMutation;
              if (read.__typename === "MarkMessageGroupReadSuccess") showUnread(read, cache);
            },
          },
          Subscription: {
            messageCreated: (result, _args, cache) => addMessage((result as MessageCreatedSubscription).messageCreated, cache),
            // The cache has already updated the group and its `unreadCount`.
            messageGroupUpdated: (result, _args, cache) => showUnread((result as MessageGroupUpdatedSubscription).messageGroupUpdated, cache),
          },
        },
      }),
      // If the server rejects the token, gets a new token and retries the request once.
      authExchange(async ({ appendHeaders }) => {
        let current = await token();
        return {
          addAuthToOperation: (operation) => appendHeaders(operation, { authorization: `Bearer ${current}` }),
          didAuthError: ({ graphQLErrors }) => graphQLErrors[0]?.extensions.code === "UNAUTHENTICATED",
          async refreshAuth() {
            current = await token({ forceRefresh: true });
          },
        };
      }),
      fetchExchange,
      // Subscriptions use the WebSocket, which is open while there is at least one subscription.
      subscriptionExchange({
        forwardSubscription: ({ query = "", variables, operationName }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables, operationName }, sink) }),
        }),
      }),
    ],
  });
}
// docs: end
// docs: urql-pages
// `relayPagination` joins all cached pages. After a refetch of the newest page, there can be a gap between that page
// and the older cached pages. This resolver omits the pages behind the gap until scrolling has closed it.
function withoutGaps(join: Resolver, asked: "after" | "before", end: "endCursor" | "startCursor"): Resolver {
  return (parent, args, cache, info) => {
    const pages = cache.inspectFields(info.parentKey).filter(({ fieldName }) => fieldName === info.fieldName);
    const endOf = ({ fieldKey }: FieldInfo) => {
      const page = cache.resolve(info.parentKey, fieldKey) as string | undefined;
      return cache.resolve(cache.resolve(page, "pageInfo") as string | undefined, end);
    };
    // Other parts of the app can have cached newest pages of other sizes, which may be out of date: they are used only
    // if there is no page of this size.
    const size = (page: Variables | null) => page?.first ?? page?.last;
    const newest = pages.filter((page) => !page.arguments?.[asked]);
    const own = newest.filter((page) => size(page.arguments) === size(args));
    const joined = new Set<FieldInfo>();
    let next = own.length > 0 ? own : newest;
    while (next.length > 0) {
      next.forEach((page) => joined.add(page));
      const ends = next.map(endOf);
      next = pages.filter((page) => !joined.has(page) && ends.includes(page.arguments?.[asked] as string));
    }
    return join(parent, args, Object.create(cache, { inspectFields: { value: () => [...joined] } }), info);
  };
}
// docs: end
// docs: urql-send
// Adds the sent message to the cached lists.
function addCreatedMessage({ createMessage: created }: CreateMessageMutation, cache: Cache) {
  if (created.__typename === "CreateMessageSuccess") addMessage(created, cache);
}

// Adds a message to the cached lists in the correct order, unless the message is already there.
function addMessage(
  { messageEdge, messageGroupEdge }: Pick<MessageCreatedSubscription["messageCreated"], "messageEdge" | "messageGroupEdge">,
  cache: Cache,
) {
  const { id, uuid, lastMessageAt } = messageGroupEdge.node;
  // Moves the group to the top, or below newer groups.
  for (const { fieldName, arguments: page } of cache.inspectFields("Query")) {
    if (fieldName !== "messageGroups" || page?.after) continue;
    cache.updateQuery({ query: MessageGroups, variables: { ...page } }, (data) => {
      if (!data) return data;
      const edges = data.messageGroups.edges.filter(({ node }) => node.id !== id);
      const place = edges.findIndex(({ node }) => node.lastMessageAt < lastMessageAt);
      edges.splice(place < 0 ? edges.length : place, 0, messageGroupEdge);
      return { ...data, messageGroups: { ...data.messageGroups, edges } };
    });
  }
  // Adds the message at the end, or before newer messages. An existing message whose `createdAt` is in the future
  // precedes the new message.
  const group = cache.keyOfEntity({ __typename: "MessageGroup", id });
  for (const { fieldName, arguments: page } of group ? cache.inspectFields(group) : []) {
    if (fieldName !== "messages" || page?.before) continue;
    cache.updateQuery({ query: MessageGroup, variables: { ...page, uuid } }, (data) => {
      if (!data?.messageGroup) return data;
      const { messages } = data.messageGroup;
      if (messages.edges.some(({ node }) => node.id === messageEdge.node.id)) return data;
      const now = new Date().toISOString();
      const { createdAt } = messageEdge.node;
      const place = messages.edges.findLastIndex(({ node }) => node.createdAt < createdAt || node.createdAt > now) + 1;
      const edges = messages.edges.toSpliced(place, 0, messageEdge);
      return { ...data, messageGroup: { ...data.messageGroup, messages: { ...messages, edges } } };
    });
  }
}

// Writes the number of groups with unread messages to the cache.
function showUnread({ unreadMessageGroupCount }: { unreadMessageGroupCount: number }, cache: Cache) {
  cache.updateQuery({ query: UnreadMessageGroupCount }, () => ({ __typename: "Query" as const, unreadMessageGroupCount }));
}
// docs: end
// docs: urql-live
// Call this when a user signs in and the returned function when the user signs out. After `onEnd`, the user has to sign
// in again.
export function listen(client: Client, onEnd: (error: unknown) => void) {
  const messages = client.subscription(MessageCreated, {}).subscribe(({ error }) => error && onEnd(error));
  const groups = client.subscription(MessageGroupUpdated, {}).subscribe(({ error }) => error && onEnd(error));
  return () => {
    messages.unsubscribe();
    groups.unsubscribe();
  };
}
// docs: end
import { expiredSession, newKey, places, signedIn, step, until } from "./harness";
import { networkTo } from "./network";

const network = await networkTo(places.graphql);
const rereads: string[] = [];
const luu = clientOf(network.url, signedIn("luu"), (subscription) => {
  rereads.push(subscription);
  reread(subscription);
});
const unamused = clientOf(places.graphql, signedIn("unamused"));

// docs: urql-groups
import type { ResultOf, VariablesOf } from "@graphql-typed-document-node/core";

// As with useQuery: fetches the page that becomes visible; the result contains all pages that were fetched so far.
let groups: ResultOf<typeof MessageGroups>["messageGroups"] | undefined;
function showGroups(variables: VariablesOf<typeof MessageGroups>) {
  return luu.query(MessageGroups, variables).subscribe(({ data }) => {
    if (data) groups = data.messageGroups;
  });
}
// docs: end
const shownGroups = () => groups?.edges.map(({ node }) => node.otherUser.handle) ?? [];

await step("lists the message groups a page at a time, most recently active first", async () => {
  const first = showGroups({ first: 1 });
  await until(() => shownGroups().length === 1);
  first.unsubscribe();
  showGroups({ first: 1, after: groups?.pageInfo.endCursor });
  await until(() => shownGroups().length === 2);
  assert.deepEqual(shownGroups(), ["unamused", "mirabel"]);
});

const receiver = await luu.query(Receiver, { handle: "mirabel" });
const uuid = receiver.data?.user?.messageGroup?.uuid;
assert.ok(uuid);

// docs: urql-group
let group: ResultOf<typeof MessageGroup>["messageGroup"] | undefined;
function showGroup(variables: VariablesOf<typeof MessageGroup>) {
  return luu.query(MessageGroup, variables).subscribe(({ data }) => {
    if (data) group = data.messageGroup;
  });
}
// docs: end
const shownMessages = () => group?.messages.edges.map(({ node }) => node.body) ?? [];

// docs: urql-reread
// Refetches the data that may have changed before the subscription started: for `MessageCreated` all displayed data,
// otherwise only the data that changes without a new message. Of each list it fetches the newest page without a cursor;
// scrolling loads the older pages again.
function reread(subscription: string) {
  const anew = { requestPolicy: "network-only" } as const;
  void luu.query(MessageGroups, { first: 1 }, anew).toPromise();
  void luu.query(UnreadMessageGroupCount, {}, anew).toPromise();
  if (subscription === "MessageCreated" && group) void luu.query(MessageGroup, { uuid: group.uuid, last: 2 }, anew).toPromise();
}
// docs: end

await step("shows a group and scrolls back to its first message", async () => {
  const newest = showGroup({ uuid, last: 2 });
  await until(() => shownMessages().length === 2);
  const expected = shownMessages();
  newest.unsubscribe();
  showGroup({ uuid, last: 2, before: group?.messages.pageInfo.startCursor });
  await until(() => shownMessages().length === 3);
  assert.deepEqual(shownMessages().slice(1), expected, "older messages come before the newer");
});

await step("sends to a group: it moves to the top, and the message is at its end once", async () => {
  // docs: urql-mutate
  const input = { to: { messageGroupUuid: uuid }, body: "by urql", idempotencyKey: newKey() };
  const send = () => luu.mutation(CreateMessage, { input }).toPromise();
  // docs: end
  assert.equal((await send()).error, undefined);
  // As when no answer came, and the client tries again with the same key.
  await send();
  await until(() => shownMessages().length === 4);
  assert.equal(shownMessages().at(-1), "by urql");
  await until(() => shownGroups()[0] === "mirabel");
  assert.deepEqual(shownGroups(), ["mirabel", "unamused"]);
  assert.deepEqual(shownMessages(), (await served()).messages, "the cache shows what there is");
});

await step("sends to somebody new by handle, whose group is then at the top", async () => {
  const input = { to: { receiverHandle: "tove" }, body: "by urql", idempotencyKey: newKey() };
  await luu.mutation(CreateMessage, { input });
  await until(() => shownGroups().length === 3);
  assert.deepEqual(shownGroups(), ["tove", "mirabel", "unamused"]);
});

await step("is refused with a type, which changes nothing that is shown", async () => {
  const before = shownMessages();
  const input = { to: { messageGroupUuid: uuid }, body: " ", idempotencyKey: newKey() };
  const { data } = await luu.mutation(CreateMessage, { input });
  assert.equal(data?.createMessage.__typename, "InvalidMessageBody");
  assert.ok("message" in data.createMessage && data.createMessage.message, "`... on Problem` matches");
  assert.deepEqual(shownMessages(), before);
  const strangers = await unamused.query(MessageGroup, { uuid });
  assert.equal(strangers.data?.messageGroup, null);
});

const mirabel = clientOf(places.graphql, signedIn("mirabel"));
let said = 0;
async function say(client: Client): Promise<string> {
  const body = `said ${(said += 1)}`;
  const input = { to: { messageGroupUuid: uuid ?? "" }, body, idempotencyKey: newKey() };
  assert.equal((await client.mutation(CreateMessage, { input })).error, undefined);
  return body;
}
// What the server has, by a cache that knows nothing.
async function served() {
  const fresh = clientOf(places.graphql, signedIn("luu"));
  const ofGroup = await fresh.query(MessageGroup, { uuid: uuid ?? "", last: 100 });
  const ofGroups = await fresh.query(MessageGroups, { first: 100 });
  return {
    messages: ofGroup.data?.messageGroup?.messages.edges.map(({ node }) => node.body),
    groups: ofGroups.data?.messageGroups.edges.map(({ node }) => node.otherUser.handle),
  };
}
const newestOf = () => group?.messages.edges.at(-1);
const unreadGroups = () => luu.readQuery(UnreadMessageGroupCount, {})?.data?.unreadMessageGroupCount;
const ends: unknown[] = [];
const hush = listen(luu, (error) => ends.push(error));

await step("is told when it has begun to listen, to read again what is shown", async () => {
  await until(() => rereads.length === 2);
  assert.deepEqual(rereads.toSorted(), ["MessageCreated", "MessageGroupUpdated"]);
  // All pages but the newest are gone.
  await until(() => shownGroups().length === 1 && shownMessages().length === 2);
  await until(() => unreadGroups() !== undefined);
});

await step("hears of a message: it is at the end of its group, which is at the top and unread", async () => {
  const heard = await say(mirabel);
  await until(() => newestOf()?.node.body === heard && group?.unreadCount === 1);
  await until(() => shownGroups()[0] === "mirabel");
});

await step("shows its own messages once, between those that it hears of", async () => {
  const expected = [...shownMessages(), await say(luu), await say(mirabel), await say(luu)];
  await until(() => newestOf()?.node.body === expected.at(-1));
  expected.push(await say(mirabel));
  await until(() => newestOf()?.node.body === expected.at(-1));
  assert.deepEqual(shownMessages(), expected);
});

await step("marks as read, here and on another device", async () => {
  const before = 1;
  await until(() => group?.unreadCount === 1 && unreadGroups() === before);
  // docs: urql-mark
  // Call this with the newest visible message while the window has the focus.
  const markRead = (client: Client, messageGroupUuid: string, upTo: string) =>
    client.mutation(MarkMessageGroupRead, { input: { messageGroupUuid, upTo } }).toPromise();
  // docs: end
  await markRead(luu, uuid, newestOf()?.cursor ?? "");
  await until(() => group?.unreadCount === 0);
  assert.equal(unreadGroups(), before - 1);

  const heard = await say(mirabel);
  await until(() => newestOf()?.node.body === heard && unreadGroups() === before);
  await markRead(clientOf(places.graphql, signedIn("luu")), uuid, newestOf()?.cursor ?? "");
  await until(() => group?.unreadCount === 0 && unreadGroups() === before - 1);
});

await step("misses nothing while it is cut off", async () => {
  const expected = shownMessages();
  network.cut();
  expected.push(await say(mirabel), await say(mirabel));
  network.mend();
  expected.push(await say(mirabel));
  await until(() => newestOf()?.node.body === expected.at(-1));
  assert.deepEqual(shownMessages(), expected);
  assert.deepEqual(ends, []);
});
hush();

await step("reads again after messages that it has not heard of, and scrolls back through all of them", async () => {
  // Of another size, and as old.
  await luu.query(MessageGroup, { uuid, last: 1 });
  for (let unheard = 0; unheard < 6; unheard += 1) await say(mirabel);
  for (const handle of ["tove", "unamused"]) {
    const input = { to: { receiverHandle: "luu" }, body: "unheard", idempotencyKey: newKey() };
    await clientOf(places.graphql, signedIn(handle)).mutation(CreateMessage, { input });
  }
  const { messages, groups: handles } = await served();
  const hushAgain = listen(luu, (error) => ends.push(error));
  await until(() => newestOf()?.node.body === messages?.at(-1) && shownGroups()[0] === handles?.[0]);
  assert.deepEqual(shownMessages(), messages?.slice(-2));
  assert.deepEqual(shownGroups(), handles?.slice(0, 1));
  while (group?.messages.pageInfo.hasPreviousPage) {
    const before = group.messages.pageInfo.startCursor;
    showGroup({ uuid, last: 2, before });
    await until(() => group?.messages.pageInfo.startCursor !== before);
  }
  assert.deepEqual(shownMessages(), messages);
  while (groups?.pageInfo.hasNextPage) {
    const after = groups.pageInfo.endCursor;
    showGroups({ first: 1, after });
    await until(() => groups?.pageInfo.endCursor !== after);
  }
  assert.deepEqual(shownGroups(), handles);
  assert.deepEqual(ends, []);
  hushAgain();
});
network.close();

await step("renews a token that has expired, and asks again", async () => {
  const { token, renewals } = expiredSession("luu");
  const { data } = await clientOf(places.graphql, token).query(MessageGroups, {});
  assert.ok(data?.messageGroups.edges.length);
  assert.equal(renewals(), 1);
});

await step("fails with a code", async () => {
  const signedOut = clientOf(places.graphql, async () => "bad");
  // docs: urql-error
  const { error } = await signedOut.query(MessageGroups, {});
  assert.equal(error?.graphQLErrors[0]?.extensions.code, "UNAUTHENTICATED");
  // docs: end
});
