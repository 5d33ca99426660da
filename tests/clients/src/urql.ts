// urql with its normalized cache.
import assert from "node:assert/strict";
// docs: urql-client
import { Client, fetchExchange } from "@urql/core";
import { cacheExchange, type Cache, type CacheExchangeOpts } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import introspection from "./generated/introspection.json" with { type: "json" };
import type { CreateMessageMutation } from "./generated/graphql.js";
import { MessageGroup, MessageGroups } from "./operations.js";

export const clientOf = (url: string, token: string) =>
  new Client({
    url,
    fetchOptions: { headers: { authorization: `Bearer ${token}` } },
    exchanges: [
      cacheExchange({
        // With the schema `... on Problem` matches what it should.
        schema: introspection as CacheExchangeOpts["schema"],
        resolvers: {
          Query: { messageGroups: relayPagination() },
          // Older pages go before the newer ones.
          MessageGroup: { messages: relayPagination({ mergeMode: "outwards" }) },
        },
        updates: { Mutation: { createMessage: (result, _args, cache) => addCreatedMessage(result as CreateMessageMutation, cache) } },
      }),
      fetchExchange,
    ],
  });
// docs: end
// docs: urql-send
// Puts what was sent into the lists that are shown.
function addCreatedMessage({ createMessage: created }: CreateMessageMutation, cache: Cache) {
  if (created.__typename !== "CreateMessageSuccess") return;
  const { messageEdge, messageGroupEdge } = created;
  const { uuid } = messageGroupEdge.node;
  // The group moves to the top.
  for (const { fieldName, arguments: page } of cache.inspectFields("Query")) {
    if (fieldName !== "messageGroups" || page?.after) continue;
    cache.updateQuery({ query: MessageGroups, variables: { ...page } }, (data) => {
      if (!data) return data;
      const others = data.messageGroups.edges.filter(({ node }) => node.uuid !== uuid);
      return { ...data, messageGroups: { ...data.messageGroups, edges: [messageGroupEdge, ...others] } };
    });
  }
  // The message goes to the end, once, however often one is told of it.
  const group = cache.keyOfEntity({ __typename: "MessageGroup", id: messageGroupEdge.node.id });
  for (const { fieldName, arguments: page } of group ? cache.inspectFields(group) : []) {
    if (fieldName !== "messages" || page?.before) continue;
    cache.updateQuery({ query: MessageGroup, variables: { ...page, uuid } }, (data) => {
      if (!data?.messageGroup) return data;
      const { messages } = data.messageGroup;
      const others = messages.edges.filter(({ node }) => node.uuid !== messageEdge.node.uuid);
      return { ...data, messageGroup: { ...data.messageGroup, messages: { ...messages, edges: [...others, messageEdge] } } };
    });
  }
}
// docs: end
import type { ResultOf, VariablesOf } from "@graphql-typed-document-node/core";
import { newKey, places, step, tokenOf, until } from "./harness.js";
import { CreateMessage, Receiver } from "./operations.js";

const luu = clientOf(places.graphql, tokenOf("luu"));
const unamused = clientOf(places.graphql, tokenOf("unamused"));

// docs: urql-groups
// As with useQuery: the page that comes into view is asked for, and what is shown is all pages so far.
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
  const fresh = await clientOf(places.graphql, tokenOf("luu")).query(MessageGroup, { uuid, last: 100 });
  const bodies = fresh.data?.messageGroup?.messages.edges.map(({ node }) => node.body);
  assert.deepEqual(bodies, shownMessages(), "the cache shows what there is");
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

await step("fails with a code", async () => {
  const { error } = await clientOf(places.graphql, "expired").query(MessageGroups, {});
  assert.equal(error?.graphQLErrors[0]?.extensions.code, "UNAUTHENTICATED");
});
