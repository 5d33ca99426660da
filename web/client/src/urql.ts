// urql with its normalized cache.
import {
  createRequest,
  fetchExchange,
  gql,
  mapExchange,
  subscriptionExchange,
  type Client,
  type Exchange,
  type GraphQLRequest,
  type Operation,
  type TypedDocumentNode,
} from "@urql/core";
import { cacheExchange, type Cache, type CacheExchangeOpts, type Data, type FieldInfo, type Resolver } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { pipe, tap } from "wonka";
import { onStale, type Api } from "./api";
import { groupIndex, messageIndex, newestGroups, remember, type CreatedMessage, type LiveOptions } from "./groups";

export type ListenOptions<Created, Updated> = LiveOptions<
  Created,
  TypedDocumentNode<{ messageCreated: Created }, { after?: string | null }>,
  TypedDocumentNode<{ messageGroupUpdated: Updated }, Record<string, never>>
>;

const text = (cache: Cache, entity: string, field: string) => String(cache.resolve(entity, field) ?? "");
const nodeOf = (cache: Cache, edge: string) => String(cache.resolve(edge, "node"));
const edgesOf = (cache: Cache, page: string) => (cache.resolve(page, "edges") as string[] | undefined) ?? [];
const pageInfoOf = (cache: Cache, page: string, field: string) => cache.resolve(cache.resolve(page, "pageInfo") as string, field);
const keyOf = ({ node }: Data) => (typeof node === "object" && node && "id" in node && typeof node.id === "string" ? node.id : null);

/**
 * The exchanges of a client of this API, and `listen`, which keeps the cache up to date. The queries name the variables of
 * a page `before` and `after`.
 */
export function messageExchanges(api: Api, options: Pick<CacheExchangeOpts, "schema" | "possibleTypes">) {
  const recent: CreatedMessage[] = [];
  // The number of the write that wrote each field, and the number of the write from which on fields are valid.
  const written = new Map<string, number>();
  let writes = 0;
  let validSince = 0;
  const mark = (key: string) => written.set(key, (writes += 1));
  const isValid = (key: string) => (written.get(key) ?? 0) >= validSince;

  function placeGroup(cache: Cache, { messageGroupEdge }: CreatedMessage) {
    const edge = cache.keyOfEntity({ ...messageGroupEdge, __typename: "MessageGroupEdge" });
    if (!edge) return;
    for (const { fieldName, fieldKey, arguments: args } of cache.inspectFields("Query")) {
      const page = cache.resolve("Query", fieldKey);
      if (fieldName !== "messageGroups" || args?.after || args?.before || typeof page !== "string") continue;
      const edges = edgesOf(cache, page);
      const others = edges.filter((other) => other !== edge);
      const time = (key: string) => text(cache, nodeOf(cache, key), "lastMessageAt");
      const index = groupIndex(others.map(time), time(edge));
      // The item belongs after the first page.
      if (index === edges.length && pageInfoOf(cache, page, "hasNextPage") === true) continue;
      cache.link(page, "edges", others.toSpliced(index, 0, edge));
    }
  }

  function placeMessage(cache: Cache, { messageEdge, messageGroupEdge }: CreatedMessage) {
    const edge = cache.keyOfEntity({ ...messageEdge, __typename: "MessageEdge" });
    const group = cache.keyOfEntity({ ...messageGroupEdge.node, __typename: "MessageGroup" });
    if (!edge || !group) return;
    for (const { fieldName, fieldKey, arguments: args } of cache.inspectFields(group)) {
      const page = cache.resolve(group, fieldKey);
      if (fieldName !== "messages" || args?.before || args?.after || typeof page !== "string") continue;
      const edges = edgesOf(cache, page);
      if (edges.includes(edge)) continue;
      const index = messageIndex(edges.map((key) => text(cache, nodeOf(cache, key), "createdAt")), messageEdge.node.createdAt);
      // The item belongs before the newest page.
      if (index === 0 && pageInfoOf(cache, page, "hasPreviousPage") === true) continue;
      cache.link(page, "edges", edges.toSpliced(index, 0, edge));
    }
  }

  function addMessage(cache: Cache, message: CreatedMessage) {
    remember(recent, message);
    placeMessage(cache, message);
    placeGroup(cache, message);
  }

  function setUnreadCount(cache: Cache, { unreadMessageGroupCount }: { unreadMessageGroupCount?: number }) {
    if (unreadMessageGroupCount === undefined) return;
    cache.updateQuery({ query: countQuery }, () => ({ __typename: "Query", unreadMessageGroupCount }));
    mark("Query.unreadMessageGroupCount");
  }

  // The server can have read a page before the messages that have arrived since.
  function replaceRecent(cache: Cache, place: (cache: Cache, message: CreatedMessage) => void) {
    for (const message of recent) place(cache, message);
  }

  const pages = (asked: "after" | "before"): Resolver =>
    withoutGaps(relayPagination(asked === "before" ? { mergeMode: "outwards" } : {}), asked, isValid);
  const newest = newestGroups();
  const active = new Map<number, Operation>();

  const exchanges: Exchange[] = [
    ({ forward }) =>
      (operations) =>
        forward(
          pipe(
            operations,
            tap((operation) => {
              if (operation.kind === "query") active.set(operation.key, operation);
              if (operation.kind === "teardown") active.delete(operation.key);
            }),
          ),
        ),
    cacheExchange({
      ...options,
      // An edge has no ID, and belongs to one message or one group.
      keys: { MessageEdge: keyOf, MessageGroupEdge: keyOf },
      resolvers: {
        Query: {
          messageGroups: pages("after"),
          unreadMessageGroupCount: (_parent, _args, cache) =>
            isValid("Query.unreadMessageGroupCount") ? cache.resolve("Query", "unreadMessageGroupCount") : undefined,
        },
        MessageGroup: {
          // Older pages are placed before newer pages.
          messages: pages("before"),
          unreadCount: (_parent, _args, cache, { parentKey }) =>
            isValid(`${parentKey}.unreadCount`) ? cache.resolve(parentKey, "unreadCount") : undefined,
        },
      },
      updates: {
        Query: {
          messageGroups(_parent, args, cache) {
            mark(`Query.${cache.keyOfField("messageGroups", args)}`);
            replaceRecent(cache, placeGroup);
          },
          unreadMessageGroupCount: () => mark("Query.unreadMessageGroupCount"),
        },
        MessageGroup: {
          messages(_parent, args, cache, { parentKey }) {
            mark(`${parentKey}.${cache.keyOfField("messages", args)}`);
            replaceRecent(cache, placeMessage);
          },
          unreadCount: (_parent, _args, _cache, { parentKey }) => mark(`${parentKey}.unreadCount`),
        },
        Mutation: {
          createMessage: ({ createMessage }: { createMessage: Partial<CreatedMessage> }, _args, cache) => {
            const { messageEdge, messageGroupEdge } = createMessage;
            if (messageEdge && messageGroupEdge) addMessage(cache, { messageEdge, messageGroupEdge });
          },
          markMessageGroupRead: ({ markMessageGroupRead: read }: { markMessageGroupRead: { unreadMessageGroupCount?: number } }, _args, cache) =>
            setUnreadCount(cache, read),
        },
        Subscription: {
          messageCreated: ({ messageCreated }: { messageCreated: CreatedMessage }, _args, cache) => addMessage(cache, messageCreated),
          messageGroupUpdated: ({ messageGroupUpdated }: { messageGroupUpdated: { unreadMessageGroupCount: number } }, _args, cache) =>
            setUnreadCount(cache, messageGroupUpdated),
        },
      },
    }),
    mapExchange({ onResult: (result) => ({ ...result, data: newest(result.data) }) }),
    fetchExchange,
    // Subscriptions use the WebSocket, which is open while there is at least one subscription.
    subscriptionExchange({
      forwardSubscription: ({ query = "", variables, operationName, extensions }) => ({
        subscribe: (sink) => ({ unsubscribe: api.live.subscribe({ query, variables, operationName, extensions }, sink) }),
      }),
    }),
  ];

  // Fetches the newest page of each displayed list. Data that no response has contained since is fetched when it is
  // displayed.
  async function refresh(client: Client) {
    const start = writes + 1;
    const requests = new Map<number, GraphQLRequest>();
    for (const { query, variables } of active.values()) {
      const { before: _before, after: _after, ...newestPage } = variables ?? {};
      const request = createRequest(query, newestPage);
      requests.set(request.key, request);
    }
    const run = (request: GraphQLRequest) => client.executeQuery(request, { requestPolicy: "network-only" }).toPromise();
    const results = await Promise.all([...requests.values()].map(run));
    const failure = results.find(({ error }) => error);
    if (failure?.error) throw failure.error;
    validSince = start;
  }

  /** Keeps the cache up to date until the returned function is called. */
  function listen<Created extends CreatedMessage, Updated>(
    client: Client,
    { after, messageCreated, messageGroupUpdated, onMessage = () => {}, onError = () => {} }: ListenOptions<Created, Updated>,
  ) {
    const messages = client.subscription(messageCreated, { after }).subscribe(({ data, error }) => {
      if (error) onError(error);
      if (data) onMessage(data.messageCreated);
    });
    const groups = client.subscription(messageGroupUpdated, {}).subscribe(({ error }) => error && onError(error));
    const stop = onStale(api, () => refresh(client));
    return () => {
      stop();
      messages.unsubscribe();
      groups.unsubscribe();
    };
  }

  return { exchanges, listen };
}

const countQuery = gql`
  query {
    unreadMessageGroupCount
  }
`;

/**
 * `relayPagination` joins all cached pages. After a page without a cursor was fetched again, there can be a gap between it
 * and the older cached pages. This resolver omits the pages behind the gap until scrolling has closed it.
 */
function withoutGaps(join: Resolver, asked: "after" | "before", isValid: (key: string) => boolean): Resolver {
  const end = asked === "after" ? "endCursor" : "startCursor";
  return (parent, args, cache, info) => {
    const isList = ({ fieldName }: FieldInfo) => fieldName === info.fieldName;
    const isUpToDate = ({ fieldKey }: FieldInfo) => isValid(`${info.parentKey}.${fieldKey}`);
    const cached = cache.inspectFields(info.parentKey).filter(isList);
    // Groups change, and messages do not.
    const pages = asked === "after" ? cached.filter(isUpToDate) : cached;
    const endOf = ({ fieldKey }: FieldInfo) => {
      const page = cache.resolve(info.parentKey, fieldKey);
      return typeof page === "string" ? pageInfoOf(cache, page, end) : undefined;
    };
    // Newest pages of other sizes are used only if there is no page of this size.
    const size = (page: FieldInfo["arguments"]) => page?.first ?? page?.last;
    const newest = pages.filter((page) => !page.arguments?.[asked] && isUpToDate(page));
    const own = newest.filter((page) => size(page.arguments) === size(args));
    const joined = new Set<FieldInfo>();
    let next = own.length > 0 ? own : newest;
    // The data is fetched.
    if (next.length === 0) return undefined;
    while (next.length > 0) {
      for (const page of next) joined.add(page);
      const ends = next.map(endOf);
      next = pages.filter((page) => !joined.has(page) && ends.includes(page.arguments?.[asked] as string));
    }
    return join(parent, args, Object.create(cache, { inspectFields: { value: () => [...joined] } }), info);
  };
}
