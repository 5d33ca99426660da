// Apollo Client.
import assert from "node:assert/strict";
import { connectApi, type Api } from "@cruddur/client";
import { listen, MessageCache } from "@cruddur/client/apollo";
import { ApolloLink, CombinedGraphQLErrors, gql } from "@apollo/client";
import { clientOf } from "./client";
// docs: apollo-ids
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

// With `--trusted-documents`: sends the IDs that graphql-codegen has written into the documents.
const byIds = () =>
  new PersistedQueryLink({ generateHash: (document) => (document as unknown as { __meta__: { hash: string } }).__meta__.hash });
// docs: end
// docs: apollo-hashes
async function sha256(text: string) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Automatic persisted queries: sends only the hash once the server has the document.
const byHashes = () => new PersistedQueryLink({ sha256 });
// docs: end
import { places, signedIn, step, trusted, until } from "./harness";
import {
  CreateMessage,
  MarkMessageGroupRead,
  MessageCreated,
  MessageGroup,
  MessageGroups,
  MessageGroupUpdated,
  Receiver,
  Start,
  UnreadMessageGroupCount,
} from "./operations";
import { suite, type ChatClient } from "./suite";

const links = trusted ? [byIds()] : [];

function connect(api: Api): ChatClient {
  const client = clientOf(api, ...links);
  return {
    names: { group: "MessageGroup", older: "MessageGroup", createMessage: "CreateMessage" },
    async start(first) {
      const started = client.watchQuery({ query: Start, variables: { first } });
      started.subscribe(() => {});
      await until(() => started.getCurrentResult().dataState === "complete");
      const list = () => {
        const { data, dataState } = started.getCurrentResult();
        assert.ok(dataState === "complete");
        return data;
      };
      return {
        eventCursor: list().eventCursor,
        shown: () =>
          list().messageGroups.edges.map(({ node: { otherUser, lastMessage, unreadCount } }) => ({
            handle: otherUser.handle,
            body: lastMessage.body,
            unreadCount,
          })),
        hasMore: () => list().messageGroups.pageInfo.hasNextPage,
        more: () => started.fetchMore({ query: MessageGroups, variables: { first, after: list().messageGroups.pageInfo.endCursor } }),
      };
    },
    async open(uuid, last) {
      const query = client.watchQuery({ query: MessageGroup, variables: { uuid, last } });
      // The data that is displayed while the query is fetched again.
      let shown = query.getCurrentResult();
      const subscription = query.subscribe((result) => (shown = result));
      const group = () => (shown.dataState === "complete" ? shown.data.messageGroup : undefined);
      await until(() => group() !== undefined);
      return {
        shown: () => group()?.messages.edges.map(({ node }) => node.body) ?? [],
        unreadCount: () => group()?.unreadCount,
        newest: () => group()?.messages.edges.at(-1)?.cursor ?? "",
        hasOlder: () => group()?.messages.pageInfo.hasPreviousPage ?? false,
        older: () => query.fetchMore({ variables: { before: group()?.messages.pageInfo.startCursor } }),
        close: () => subscription.unsubscribe(),
      };
    },
    async groupWith(handle) {
      const query = client.query({ query: Receiver, variables: { handle }, fetchPolicy: "network-only" });
      // docs: apollo-error
      const { data } = await query.catch((error) => {
        const code = CombinedGraphQLErrors.is(error) && error.errors[0]?.extensions?.code;
        throw new Error(String(code), { cause: error });
      });
      // docs: end
      return data?.user?.messageGroup?.uuid;
    },
    async send(to, body, idempotencyKey) {
      const { data } = await client.mutate({
        mutation: CreateMessage,
        variables: { input: { to, body, idempotencyKey } },
      });
      assert.ok(data);
      return data.createMessage;
    },
    markRead: (messageGroupUuid, upTo) =>
      client.mutate({
        mutation: MarkMessageGroupRead,
        variables: { input: { messageGroupUuid, upTo } },
      }),
    unreadGroups: () => client.readQuery({ query: UnreadMessageGroupCount })?.unreadMessageGroupCount,
    listen: (after, onMessage, onError) =>
      listen(client, api, {
        after,
        messageCreated: MessageCreated,
        messageGroupUpdated: MessageGroupUpdated,
        onMessage: ({ messageEdge, idempotencyKey }) => onMessage(messageEdge.node.body, idempotencyKey),
        onError,
      }),
  };
}

await suite(connect);

if (!trusted) {
  await step("sends a hash instead of a document that the server knows", async () => {
    const asked: string[] = [];
    const count = new ApolloLink((operation, forward) => {
      asked.push(operation.getContext().http.includeQuery ? "document" : "hash");
      return forward(operation);
    });
    for (const expected of [["hash", "document"], ["hash"]]) {
      const client = clientOf(connectApi({ url: places.graphql, token: signedIn("luu") }), byHashes(), count);
      asked.length = 0;
      const { data } = await client.query({ query: Receiver, variables: { handle: "quill" } });
      assert.equal(data?.user?.displayName, "Quill");
      assert.deepEqual(asked, expected);
    }
  });
}

await step("a list of which an app has removed the newer end gets pages at both ends, and no new message", async () => {
  const fields = "id messages(last: $last, before: $before, first: $first, after: $after) { edges { cursor node { id createdAt } } pageInfo { hasPreviousPage hasNextPage startCursor endCursor } }";
  const query = gql`query ($last: Int, $before: String, $first: Int, $after: String) { messageGroup(uuid: "1") { ${fields} } }`;
  const event = gql`subscription { messageCreated { messageEdge { cursor node { id createdAt } } messageGroupEdge { cursor node { id } } } }`;
  const cache = new MessageCache();
  // Each message is a letter.
  const edge = (id: string) => ({ __typename: "MessageEdge", cursor: id, node: { __typename: "Message", id, createdAt: id } });
  function write(ids: string, hasPreviousPage: boolean, hasNextPage: boolean, variables: Record<string, unknown>) {
    const pageInfo = { __typename: "PageInfo", hasPreviousPage, hasNextPage, startCursor: ids.at(0), endCursor: ids.at(-1) };
    const messages = { __typename: "MessageConnection", edges: Array.from(ids, edge), pageInfo };
    cache.writeQuery({ query, variables, data: { messageGroup: { __typename: "MessageGroup", id: "1", messages } } });
  }
  function receive(id: string) {
    const messageGroupEdge = { __typename: "MessageGroupEdge", cursor: id, node: { __typename: "MessageGroup", id: "1" } };
    const result = { messageCreated: { __typename: "MessageCreatedEvent", messageEdge: edge(id), messageGroupEdge } };
    cache.write({ dataId: "ROOT_SUBSCRIPTION", query: event, result });
  }
  function shown() {
    const data = cache.readQuery<{ messageGroup: { messages: { edges: { cursor: string }[]; pageInfo: { endCursor: string } } } }>({ query });
    const { edges = [], pageInfo } = data?.messageGroup.messages ?? {};
    assert.equal(pageInfo?.endCursor, edges.at(-1)?.cursor);
    return edges.map(({ cursor }) => cursor).join("");
  }
  write("cd", true, false, { last: 2 });
  write("ab", false, true, { last: 2, before: "c" });
  write("XY", true, true, { last: 2, before: "d" });
  assert.equal(shown(), "abcd");
  cache.modify({
    id: "MessageGroup:1",
    fields: {
      messages: ({ edges, pageInfo, ...rest }) => ({
        ...rest,
        edges: edges.slice(0, 2),
        pageInfo: { ...pageInfo, hasNextPage: true, endCursor: "b" },
      }),
    },
  });
  receive("e");
  write("de", true, false, { last: 2 });
  assert.equal(shown(), "ab");
  write("cd", true, true, { first: 2, after: "b" });
  write("e", true, false, { first: 2, after: "d" });
  receive("f");
  assert.equal(shown(), "abcdef");
  write("efg", true, false, { last: 3 });
  assert.equal(shown(), "abcdefg");
});
