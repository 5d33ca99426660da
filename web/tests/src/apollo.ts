// Apollo Client.
import assert from "node:assert/strict";
import { connectApi, type Api } from "@cruddur/client";
import { listen } from "@cruddur/client/apollo";
import { ApolloLink, CombinedGraphQLErrors } from "@apollo/client";
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
      // What is displayed while the query is fetched again.
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
        onMessage: ({ messageEdge }) => onMessage(messageEdge.node.body),
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
