// Relay.
import assert from "node:assert/strict";
// docs: relay-environment
import type { Api } from "@cruddur/client";
import { listen, MessageEnvironment } from "@cruddur/client/relay";

export const environmentOf = (api: Api, trustedDocuments = false) =>
  new MessageEnvironment(api, {
    connections: { messageGroups: "operations_messageGroups", messages: "operations_messages" },
    trustedDocuments,
  });
// docs: end
import {
  commitMutation,
  createOperationDescriptor,
  fetchQuery,
  getRequest,
  getSelector,
  type GraphQLTaggedNode,
  type MutationParameters,
  type SelectorStoreUpdater,
  type Variables,
} from "relay-runtime";
import { trusted } from "../src/harness";
import { suite, type ChatClient } from "../src/suite";
import {
  createMessageMutation,
  groupQuery,
  groupsFragment,
  groupsQuery,
  markReadMutation,
  messageCreatedSubscription,
  messageGroupUpdatedSubscription,
  messagesFragment,
  receiverQuery,
  unreadQuery,
} from "./operations";
import groupsPagination from "./__generated__/operationsGroupsPaginationQuery.graphql";
import messagesPagination from "./__generated__/operationsMessagesPaginationQuery.graphql";
import type { operations_groups$data } from "./__generated__/operations_groups.graphql";
import type { operations_messages$data } from "./__generated__/operations_messages.graphql";
import type { operationsCreateMessageMutation } from "./__generated__/operationsCreateMessageMutation.graphql";
import type { operationsGroupQuery$data } from "./__generated__/operationsGroupQuery.graphql";
import type { operationsGroupsQuery$data } from "./__generated__/operationsGroupsQuery.graphql";
import type { operationsMarkReadMutation } from "./__generated__/operationsMarkReadMutation.graphql";
import type { operationsMessageCreatedSubscription } from "./__generated__/operationsMessageCreatedSubscription.graphql";
import type { operationsReceiverQuery } from "./__generated__/operationsReceiverQuery.graphql";
import type { operationsUnreadQuery$data } from "./__generated__/operationsUnreadQuery.graphql";

// docs: relay-page-info
// relay-compiler selects `pageInfo` for the hooks, but omits it from the generated types.
const pageInfoOf = (connection: unknown) =>
  (connection as { pageInfo: { startCursor: string; endCursor: string; hasPreviousPage: boolean; hasNextPage: boolean } }).pageInfo;
// docs: end

function connect(api: Api): ChatClient {
  const environment = environmentOf(api, trusted);

  // As `useLazyLoadQuery`: fetches a query unless the store has it, and retains it.
  async function show<Data>(query: GraphQLTaggedNode, variables: Variables) {
    const operation = createOperationDescriptor(getRequest(query), variables);
    const isAvailable = environment.check(operation).status === "available";
    const { dispose } = environment.retain(operation);
    if (!isAvailable) await fetchQuery(environment, query, variables).toPromise();
    return { data: () => environment.lookup(operation.fragment).data as Data, close: dispose };
  }
  // As `useFragment`.
  function read<Data>(fragment: GraphQLTaggedNode, reference: unknown): Data {
    const selector = getSelector(fragment as never, reference);
    assert.ok(selector && selector.kind === "SingularReaderSelector");
    return environment.lookup(selector).data as Data;
  }
  const commit = <Mutation extends MutationParameters>(
    mutation: GraphQLTaggedNode,
    variables: Mutation["variables"],
    updater?: SelectorStoreUpdater<Mutation["response"]>,
  ) =>
    new Promise<Mutation["response"]>((resolve, reject) => {
      commitMutation<Mutation>(environment, {
        mutation,
        variables,
        updater,
        onCompleted: (data, errors) => (errors ? reject(errors[0]) : resolve(data)),
        onError: reject,
      });
    });

  return {
    names: { group: "operationsGroupQuery", older: "operationsMessagesPaginationQuery", createMessage: "operationsCreateMessageMutation" },
    async start(first) {
      const { data } = await show<operationsGroupsQuery$data>(groupsQuery, { first });
      const groups = () => read<operations_groups$data>(groupsFragment, data()).messageGroups;
      return {
        eventCursor: data().eventCursor,
        shown: () =>
          groups().edges.map(({ node: { otherUser, lastMessage, unreadCount } }) => ({
            handle: otherUser.handle,
            body: lastMessage.body,
            unreadCount,
          })),
        hasMore: () => pageInfoOf(groups()).hasNextPage,
        more: () => fetchQuery(environment, groupsPagination, { first, after: pageInfoOf(groups()).endCursor }).toPromise(),
      };
    },
    async open(uuid, last) {
      const { data, close } = await show<operationsGroupQuery$data>(groupQuery, { uuid, last });
      const messages = () => read<operations_messages$data>(messagesFragment, data().messageGroup).messages;
      const { __id: id } = data().messageGroup as unknown as { __id: string };
      return {
        shown: () => messages().edges.map(({ node }) => node.body),
        unreadCount: () => data().messageGroup?.unreadCount,
        newest: () => messages().edges.at(-1)?.cursor ?? "",
        hasOlder: () => pageInfoOf(messages()).hasPreviousPage,
        older: () =>
          fetchQuery(environment, messagesPagination, { id, last, before: pageInfoOf(messages()).startCursor }).toPromise(),
        close,
      };
    },
    async groupWith(handle) {
      const data = await fetchQuery<operationsReceiverQuery>(environment, receiverQuery, { handle })
        .toPromise()
        // docs: relay-error
        .catch((error: Error & { source?: { errors?: { extensions?: { code?: string } }[] } }) => {
          throw new Error(error.source?.errors?.[0]?.extensions?.code, { cause: error });
        });
      // docs: end
      return data?.user?.messageGroup?.uuid;
    },
    async send(to, body, idempotencyKey) {
      // docs: relay-send
      const { createMessage } = await commit<operationsCreateMessageMutation>(
        createMessageMutation,
        { input: { to, body, idempotencyKey } },
        (store) => environment.addMessage(store, store.getRootField("createMessage")),
      );
      // docs: end
      return createMessage;
    },
    markRead: (messageGroupUuid, upTo) =>
      // docs: relay-mark
      commit<operationsMarkReadMutation>(markReadMutation, { input: { messageGroupUuid, upTo } }, (store, data) => {
        const read = data?.markMessageGroupRead;
        if (read?.__typename !== "MarkMessageGroupReadSuccess") return;
        store.getRoot().setValue(read.unreadMessageGroupCount, "unreadMessageGroupCount");
      }),
    // docs: end
    unreadGroups() {
      const operation = createOperationDescriptor(getRequest(unreadQuery), {});
      return (environment.lookup(operation.fragment).data as operationsUnreadQuery$data).unreadMessageGroupCount;
    },
    listen: (after, onMessage, onError) =>
      // docs: relay-listen
      listen<operationsMessageCreatedSubscription>(environment, api, {
        after,
        messageCreated: messageCreatedSubscription,
        messageGroupUpdated: messageGroupUpdatedSubscription,
        onMessage: ({ messageEdge, idempotencyKey }) => onMessage(messageEdge.node.body, idempotencyKey),
        onError,
      }),
    // docs: end
  };
}

await suite(connect);
