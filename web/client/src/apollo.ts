// Apollo Client.
import {
  ApolloLink,
  InMemoryCache,
  HttpLink,
  type ApolloClient,
  type Cache,
  type FieldPolicy,
  type InMemoryCacheConfig,
  type OperationVariables,
  type Reference,
  type TypedDocumentNode,
} from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { onStale, type Api } from "./api";
import { groupIndex, messageIndex, newestGroups, remember, type CreatedMessage, type LiveOptions } from "./groups";

/** Queries and mutations over HTTP, subscriptions over the WebSocket. The links `before` run first. */
export function apolloLink(api: Api, ...before: ApolloLink[]): ApolloLink {
  const isLive = ({ operationType }: ApolloLink.Operation) => operationType === OperationTypeNode.SUBSCRIPTION;
  const http = new HttpLink({ uri: api.url, fetch: api.fetch });
  return ApolloLink.from([...before, ApolloLink.split(isLive, new GraphQLWsLink(api.live), http)]);
}

interface UnreadCount {
  unreadMessageGroupCount: number;
}

interface Edge {
  cursor: string;
  node: Reference;
}
interface PageInfo {
  hasNextPage?: boolean;
  hasPreviousPage?: boolean;
  startCursor?: string | null;
  endCursor?: string | null;
}
interface Connection {
  edges: readonly Edge[];
  pageInfo: PageInfo;
}

const nodes = ({ edges }: Connection) => new Set(edges.map(({ node }) => node.__ref));
const without = (edges: readonly Edge[], refs: Set<string>) => edges.filter(({ node }) => !refs.has(node.__ref));

/**
 * One range of a list without gaps. A page joins the range only at its start or its end. The newest page of messages joins
 * where it overlaps the range; otherwise it replaces the range, unless the range has a next page. `onNewest` is called for each page without a cursor.
 */
function pagination(overlaps: boolean, onNewest: () => void): FieldPolicy<Connection | undefined, Connection> {
  return {
    keyArgs: false,
    merge(existing, incoming, { args }) {
      if (args?.before) {
        // A list can have been evicted while the page was fetched.
        if (!existing) return undefined;
        if (args.before !== (existing.pageInfo.startCursor ?? existing.edges[0]?.cursor)) return existing;
        const { hasPreviousPage, startCursor = incoming.edges[0]?.cursor } = incoming.pageInfo;
        return {
          ...existing,
          edges: [...without(incoming.edges, nodes(existing)), ...existing.edges],
          pageInfo: { ...existing.pageInfo, hasPreviousPage, startCursor: startCursor ?? args.before },
        };
      }
      if (args?.after) {
        if (!existing) return undefined;
        if (args.after !== (existing.pageInfo.endCursor ?? existing.edges.at(-1)?.cursor)) return existing;
        const { hasNextPage, endCursor = incoming.edges.at(-1)?.cursor } = incoming.pageInfo;
        return {
          ...existing,
          edges: [...existing.edges, ...without(incoming.edges, nodes(existing))],
          pageInfo: { ...existing.pageInfo, hasNextPage, endCursor: endCursor ?? args.after },
        };
      }
      onNewest();
      const [first] = incoming.edges;
      const start = existing && first && overlaps ? existing.edges.findIndex(({ node }) => node.__ref === first.node.__ref) : -1;
      // An app can remove the newest items of a long list. The newest page then does not join the range.
      if (existing?.pageInfo.hasNextPage && overlaps && start < 0) return existing;
      if (!existing || start <= 0) return incoming;
      const { hasPreviousPage, startCursor } = existing.pageInfo;
      return {
        ...incoming,
        edges: [...existing.edges.slice(0, start), ...incoming.edges],
        pageInfo: { ...incoming.pageInfo, hasPreviousPage, startCursor },
      };
    },
  };
}

/** The cache of a client of this API: without gaps in lists, and with each group's newest state. */
export class MessageCache extends InMemoryCache {
  #newest = newestGroups();
  #recent: CreatedMessage[] = [];
  #isReplaced = false;
  // The lists and counts that responses have contained since the last call of `refresh`.
  #fresh = new Set<string>();

  constructor(config?: InMemoryCacheConfig) {
    super(config);
    const onNewest = () => (this.#isReplaced = true);
    this.policies.addTypePolicies({
      Query: { fields: { messageGroups: pagination(false, onNewest) } },
      MessageGroup: { fields: { messages: pagination(true, onNewest) } },
    });
  }

  override write<Data, Variables extends OperationVariables>(options: Cache.WriteOptions<Data, Variables>) {
    const result = this.#newest(options.result, (group) => {
      const id = this.identify({ ...group, __typename: "MessageGroup" }) ?? "";
      this.#fresh.add(id);
      if ("messages" in group) this.#fresh.add(`${id}.messages`);
    });
    for (const field of Object.keys(options.result ?? {})) this.#fresh.add(field);
    const reference = super.write({ ...options, result });
    // The server can have read the page before the messages that have arrived since.
    if (this.#isReplaced) {
      this.#isReplaced = false;
      for (const message of this.#recent) this.#place(message);
    }
    if (options.dataId === "ROOT_MUTATION" || options.dataId === "ROOT_SUBSCRIPTION") this.#update(result);
    return reference;
  }

  // Adds the message of a result to the lists in the correct order, and moves its group.
  #update(result: unknown) {
    for (const payload of Object.values(result ?? {}) as Partial<CreatedMessage & UnreadCount>[]) {
      const { messageEdge, messageGroupEdge, unreadMessageGroupCount } = payload ?? {};
      if (messageEdge && messageGroupEdge) {
        remember(this.#recent, { messageEdge, messageGroupEdge });
        this.#place({ messageEdge, messageGroupEdge });
      }
      if (unreadMessageGroupCount !== undefined) {
        this.modify<UnreadCount>({ fields: { unreadMessageGroupCount: () => unreadMessageGroupCount } });
      }
    }
  }

  override reset(options?: Cache.ResetOptions) {
    this.#newest = newestGroups();
    this.#recent = [];
    return super.reset(options);
  }

  #place({ messageEdge, messageGroupEdge }: CreatedMessage) {
    const message = this.identify({ ...messageEdge.node, __typename: "Message" });
    const group = this.identify({ ...messageGroupEdge.node, __typename: "MessageGroup" });
    if (!message || !group) return;
    this.modify<{ messageGroups: Connection }>({
      fields: {
        messageGroups(groups, { readField }) {
          const { edges, pageInfo } = groups as Connection;
          const others = without(edges, new Set([group]));
          const time = (node: Reference) => readField<string>("lastMessageAt", node) ?? "";
          const index = groupIndex(others.map(({ node }) => time(node)), time({ __ref: group }));
          // The item belongs after the last page that was fetched.
          if (index === edges.length && pageInfo.hasNextPage) return groups;
          const edge = { ...messageGroupEdge, node: { __ref: group } };
          return { ...(groups as Connection), edges: others.toSpliced(index, 0, edge) };
        },
      },
    });
    this.modify<{ messages: Connection }>({
      id: group,
      fields: {
        messages(messages, { readField }) {
          const { edges, pageInfo } = messages as Connection;
          // A message of an optimistic response is gone.
          if (readField("id", { __ref: message }) === undefined) return messages;
          if (pageInfo.hasNextPage || edges.some(({ node }) => node.__ref === message)) return messages;
          const index = messageIndex(edges.map(({ node }) => readField<string>("createdAt", node) ?? ""), messageEdge.node.createdAt);
          // The item belongs before the first page that was fetched.
          if (index === 0 && pageInfo.hasPreviousPage) return messages;
          const edge = { ...messageEdge, node: { __ref: message } };
          const endCursor = index === edges.length ? messageEdge.cursor : pageInfo.endCursor;
          return {
            ...(messages as Connection),
            edges: edges.toSpliced(index, 0, edge),
            pageInfo: { ...pageInfo, ...("endCursor" in pageInfo && { endCursor }) },
          };
        },
      },
    });
  }

  /**
   * Calls `reread`, which fetches the displayed data, and then evicts the lists and counts that no response has contained
   * since: they are fetched when they are displayed again.
   */
  async refresh(reread: () => Promise<unknown>) {
    this.#fresh.clear();
    await reread();
    this.batch({
      update: () => {
        for (const field of ["messageGroups", "unreadMessageGroupCount"]) {
          if (!this.#fresh.has(field)) this.evict({ id: "ROOT_QUERY", fieldName: field });
        }
        for (const id of Object.keys(this.extract()).filter((key) => key.startsWith("MessageGroup:"))) {
          if (!this.#fresh.has(`${id}.messages`)) this.evict({ id, fieldName: "messages" });
          if (!this.#fresh.has(id)) this.evict({ id, fieldName: "unreadCount" });
        }
      },
    });
  }
}

export type ListenOptions<Created, Updated> = LiveOptions<
  Created,
  TypedDocumentNode<{ messageCreated: Created }, { after?: string | null }>,
  TypedDocumentNode<{ messageGroupUpdated: Updated }, Record<string, never>>
>;

/** Keeps the cache up to date until the returned function is called. */
export function listen<Created, Updated>(
  client: ApolloClient,
  api: Api,
  { after, messageCreated, messageGroupUpdated, onMessage = () => {}, onError = () => {} }: ListenOptions<Created, Updated>,
) {
  const { cache } = client;
  if (!(cache instanceof MessageCache)) throw new TypeError("listen() needs a client with a MessageCache");
  // Apollo Client writes the events to the cache.
  const messages = client.subscribe({ query: messageCreated, variables: { after } }).subscribe(({ data, error }) => {
    if (error) onError(error);
    if (data) onMessage(data.messageCreated);
  });
  const groups = client.subscribe({ query: messageGroupUpdated }).subscribe(({ error }) => error && onError(error));
  const stop = onStale(api, () => cache.refresh(() => client.refetchQueries({ include: "active" })));
  return () => {
    stop();
    messages.unsubscribe();
    groups.unsubscribe();
  };
}
