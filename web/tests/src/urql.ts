// urql with its normalized cache.
import assert from "node:assert/strict";
// docs: urql-client
import { Client } from "@urql/core";
import type { Api } from "@cruddur/client";
import { messageExchanges } from "@cruddur/client/urql";
import type { CacheExchangeOpts } from "@urql/exchange-graphcache";
import introspection from "./generated/introspection.json" with { type: "json" };

export function clientOf(api: Api) {
  // With the schema, `... on Problem` matches the types that implement it.
  const { exchanges, listen } = messageExchanges(api, { schema: introspection as CacheExchangeOpts["schema"] });
  return { client: new Client({ url: api.url, fetch: api.fetch, preferGetMethod: false, exchanges }), listen };
}
// docs: end
import type { ResultOf, TypedDocumentNode } from "@graphql-typed-document-node/core";
import { until } from "./harness";
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

function connect(api: Api): ChatClient {
  const { client, listen } = clientOf(api);

  // Like `useQuery`, keeps the last result while the variables change.
  function show<Data, Variables extends Record<string, unknown>>(query: TypedDocumentNode<Data, Variables>, initial: NoInfer<Variables>) {
    let data: Data | undefined;
    let close = () => {};
    const set = (variables: Variables) =>
      new Promise<void>((resolve) => {
        close();
        close = client.query(query, variables).subscribe((result) => {
          if (result.data) data = result.data;
          if (!result.stale) resolve();
        }).unsubscribe;
      });
    void set(initial);
    return { data: () => data, set, close: () => close() };
  }

  return {
    names: { group: "MessageGroup", older: "MessageGroup", createMessage: "CreateMessage" },
    async start(first) {
      const started = await client.query(Start, { first }).toPromise();
      assert.ok(started.data, String(started.error));
      const list = show(MessageGroups, { first });
      await until(() => list.data() !== undefined);
      const groups = (): ResultOf<typeof MessageGroups>["messageGroups"] => {
        const data = list.data();
        assert.ok(data);
        return data.messageGroups;
      };
      return {
        eventCursor: started.data.eventCursor,
        shown: () =>
          groups().edges.map(({ node: { otherUser, lastMessage, unreadCount } }) => ({
            handle: otherUser.handle,
            body: lastMessage.body,
            unreadCount,
          })),
        hasMore: () => groups().pageInfo.hasNextPage,
        more: () => list.set({ first, after: groups().pageInfo.endCursor }),
      };
    },
    async open(uuid, last) {
      const page = show(MessageGroup, { uuid, last });
      const group = () => page.data()?.messageGroup;
      await until(() => group() !== undefined);
      return {
        shown: () => group()?.messages.edges.map(({ node }) => node.body) ?? [],
        unreadCount: () => group()?.unreadCount,
        newest: () => group()?.messages.edges.at(-1)?.cursor ?? "",
        hasOlder: () => group()?.messages.pageInfo.hasPreviousPage ?? false,
        older: () => page.set({ uuid, last, before: group()?.messages.pageInfo.startCursor }),
        close: page.close,
      };
    },
    async groupWith(handle) {
      const { data, error } = await client.query(Receiver, { handle }, { requestPolicy: "network-only" }).toPromise();
      // docs: urql-error
      if (error) throw new Error(String(error.graphQLErrors[0]?.extensions.code), { cause: error });
      // docs: end
      return data?.user?.messageGroup?.uuid;
    },
    async send(to, body, idempotencyKey) {
      const { data, error } = await client.mutation(CreateMessage, { input: { to, body, idempotencyKey } }).toPromise();
      assert.ok(data, String(error));
      return data.createMessage;
    },
    markRead: (messageGroupUuid, upTo) => client.mutation(MarkMessageGroupRead, { input: { messageGroupUuid, upTo } }).toPromise(),
    unreadGroups: () => client.readQuery(UnreadMessageGroupCount, {})?.data?.unreadMessageGroupCount,
    listen: (after, onMessage, onError) =>
      // docs: urql-listen
      listen(client, {
        after,
        messageCreated: MessageCreated,
        messageGroupUpdated: MessageGroupUpdated,
        onMessage: ({ messageEdge, idempotencyKey }) => onMessage(messageEdge.node.body, idempotencyKey),
        onError,
      }),
    // docs: end
  };
}

await suite(connect);
