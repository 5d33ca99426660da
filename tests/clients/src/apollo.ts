// Apollo Client.
import assert from "node:assert/strict";
// docs: apollo-client
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import possibleTypes from "./generated/possible-types.js";

export const clientOf = (url: string, token: string, ...before: ApolloLink[]) =>
  new ApolloClient({
    link: ApolloLink.from([...before, new HttpLink({ uri: url, headers: { authorization: `Bearer ${token}` } })]),
    cache: new InMemoryCache({
      // Without these `... on Problem` would match nothing.
      possibleTypes: possibleTypes.possibleTypes,
      // Objects are kept under their `id`, the same wherever they appear.
      typePolicies: {
        Query: { fields: { messageGroups: relayStylePagination() } },
        MessageGroup: { fields: { messages: relayStylePagination() } },
      },
    }),
  });
// docs: end
// docs: apollo-send
import type { ApolloCache, Reference } from "@apollo/client";
import type { CreateMessageMutation } from "./generated/graphql.js";

interface Edge {
  cursor: string;
  node: Reference;
}
interface Connection {
  edges: Edge[];
}

// Puts what was sent into the lists that are shown: pass it as `update` of the mutation.
export function addCreatedMessage(cache: ApolloCache, { data }: { data?: CreateMessageMutation | null }) {
  const created = data?.createMessage;
  if (created?.__typename !== "CreateMessageSuccess") return;
  const { messageEdge, messageGroupEdge } = created;
  const message = cache.identify(messageEdge.node);
  const group = cache.identify(messageGroupEdge.node);
  if (!message || !group) return;
  const edgeTo = (ref: string, edge: { cursor: string }) => ({ ...edge, node: { __ref: ref } });
  const without = (edges: Edge[], ref: string) => edges.filter(({ node }) => node.__ref !== ref);
  cache.modify<{ messageGroups: Connection }>({
    fields: {
      // The group moves to the top. Its cursor has changed with the message.
      messageGroups: (groups) => ({
        ...(groups as Connection),
        edges: [edgeTo(group, messageGroupEdge), ...without((groups as Connection).edges, group)],
      }),
    },
  });
  cache.modify<{ messages: Connection }>({
    id: group,
    fields: {
      // The message goes to the end, once, however often one is told of it.
      messages: (messages) => ({
        ...(messages as Connection),
        edges: [...without((messages as Connection).edges, message), edgeTo(message, messageEdge)],
      }),
    },
  });
}
// docs: end
import { CombinedGraphQLErrors } from "@apollo/client";
// docs: apollo-ids
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

// With `--trusted-documents`: the ids that graphql-codegen has put into the documents.
const byIds = () =>
  new PersistedQueryLink({ generateHash: (document) => (document as unknown as { __meta__: { hash: string } }).__meta__.hash });
// docs: end
// docs: apollo-hashes
import { createHash } from "node:crypto";

// Automatic persisted queries: the hash alone, once the server knows the document.
const byHashes = () => new PersistedQueryLink({ sha256: (text) => createHash("sha256").update(text).digest("hex") });
// docs: end
import { newKey, places, step, tokenOf, trusted, until } from "./harness.js";
import { CreateMessage, MessageGroup, MessageGroups, Receiver } from "./operations.js";

const luu = clientOf(places.graphql, tokenOf("luu"), ...(trusted ? [byIds()] : []));
const unamused = clientOf(places.graphql, tokenOf("unamused"), ...(trusted ? [byIds()] : []));
// In this much of the list there are pages for a test.
const first = 1;

// docs: apollo-groups
const groups = luu.watchQuery({ query: MessageGroups, variables: { first } });
// The next page, when the end of the list comes into view.
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
// The page before, when the top of the window is reached.
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
  const fresh = await luu.query({ query: MessageGroup, variables: { uuid, last: 100 }, fetchPolicy: "no-cache" });
  const bodies = fresh.data?.messageGroup?.messages.edges.map(({ node }) => node.body);
  assert.deepEqual(bodies, shownMessages, "the cache shows what there is");
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

if (!trusted) {
  await step("sends a hash instead of a document that the server knows", async () => {
    const asked: string[] = [];
    const count = new ApolloLink((operation, forward) => {
      asked.push(operation.getContext().http.includeQuery ? "document" : "hash");
      return forward(operation);
    });
    for (const expected of [["hash", "document"], ["hash"]]) {
      const client = clientOf(places.graphql, tokenOf("luu"), byHashes(), count);
      asked.length = 0;
      const { data } = await client.query({ query: Receiver, variables: { handle: "quill" } });
      assert.equal(data?.user?.displayName, "Quill");
      assert.deepEqual(asked, expected);
    }
  });
}

await step("fails with a code", async () => {
  const expired = clientOf(places.graphql, "expired");
  await assert.rejects(expired.query({ query: MessageGroups }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error), String(error));
    return error.errors[0]?.extensions?.code === "UNAUTHENTICATED";
  });
});
luu.stop();
