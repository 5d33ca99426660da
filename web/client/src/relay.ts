// Relay.
import {
  ConnectionHandler,
  DefaultHandlerProvider,
  Environment,
  Network,
  Observable,
  RecordSource,
  Store,
  commitLocalUpdate,
  fetchQuery,
  requestSubscription,
  type FetchFunction,
  type GraphQLResponse,
  type GraphQLSingularResponse,
  type GraphQLTaggedNode,
  type OperationDescriptor,
  type OperationType,
  type RecordProxy,
  type RecordSourceProxy,
  type SubscribeFunction,
} from "relay-runtime";
import { onStale, type Api } from "./api";
import { groupIndex, messageIndex, newestGroups, remember, type LiveOptions } from "./groups";

export interface EnvironmentOptions {
  /** The keys of the `@connection` directives on `Query.messageGroups` and on `MessageGroup.messages`. */
  connections: { messageGroups: string; messages: string };
  /** Sends document IDs, for a server that has relay-compiler's manifest as its trusted documents. */
  trustedDocuments?: boolean;
}

/** IDs of a message and its group, and their edges' cursors. */
interface RememberedMessage {
  message: string;
  messageCursor: unknown;
  group: string;
  groupCursor: unknown;
}

const text = (record: RecordProxy | null | undefined, field: string) => String(record?.getValue(field) ?? "");
const nodeOf = (edge: RecordProxy) => edge.getLinkedRecord("node");
const isTrue = (connection: RecordProxy, field: string) => connection.getLinkedRecord("pageInfo")?.getValue(field) === true;

/** An environment for this API: without gaps in lists, and with each group's newest state. */
export class MessageEnvironment extends Environment {
  readonly #connections: EnvironmentOptions["connections"];
  readonly #recent: RememberedMessage[];
  // The queries of the components that are displayed.
  readonly #retained = new Set<OperationDescriptor>();

  constructor(api: Api, { connections, trustedDocuments = false }: EnvironmentOptions) {
    const recent: RememberedMessage[] = [];
    const handlerProvider: typeof DefaultHandlerProvider = (handle) => {
      if (handle !== "connection") return DefaultHandlerProvider(handle);
      return {
        update(store, payload) {
          ConnectionHandler.update(store, payload);
          // The server can have read the page before the messages that have arrived since.
          if (payload.args.before || payload.args.after) return;
          for (const created of recent) {
            placeMessage(store, connections.messages, created);
            placeGroup(store, connections.messageGroups, created);
          }
        },
      };
    };
    super({ network: networkOf(api, trustedDocuments), store: new Store(new RecordSource()), handlerProvider });
    this.#connections = connections;
    this.#recent = recent;
  }

  override retain(operation: OperationDescriptor) {
    const { dispose } = super.retain(operation);
    this.#retained.add(operation);
    return {
      dispose: () => {
        this.#retained.delete(operation);
        dispose();
      },
    };
  }

  /**
   * Adds a message to the lists in the correct order, unless it is already there, and moves its group. `created` is the
   * payload of `createMessage` or `messageCreated`: call this in the `updater` of the mutation.
   */
  addMessage(store: RecordSourceProxy, created: RecordProxy | null | undefined) {
    const messageEdge = created?.getLinkedRecord("messageEdge");
    const groupEdge = created?.getLinkedRecord("messageGroupEdge");
    const message = messageEdge && nodeOf(messageEdge)?.getDataID();
    const group = groupEdge && nodeOf(groupEdge)?.getDataID();
    if (!message || !group) return;
    const item = { message, group, messageCursor: messageEdge.getValue("cursor"), groupCursor: groupEdge.getValue("cursor") };
    remember(this.#recent, item);
    placeMessage(store, this.#connections.messages, item);
    placeGroup(store, this.#connections.messageGroups, item);
  }

  /** Fetches the displayed queries. All other queries are fetched again when they are displayed. */
  async refresh() {
    commitLocalUpdate(this, (store) => store.invalidateStore());
    const queries = [...this.#retained].filter(({ request }) => request.node.params.operationKind === "query");
    await Promise.all(queries.map(({ request }) => fetchQuery(this, request.node, request.variables).toPromise()));
  }
}

function networkOf(api: Api, trustedDocuments: boolean) {
  const newest = newestGroups();
  // Relay has no merge function, so a response gets the newest states before it is stored.
  const withNewest = <Response extends GraphQLSingularResponse>(response: Response) =>
    response.data ? { ...response, data: newest(response.data) } : response;
  const fetchFunction: FetchFunction = async ({ id, name, text: query }, variables) => {
    const document = trustedDocuments ? { documentId: id } : { query };
    const response = await api.fetch(api.url, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/graphql-response+json, application/json" },
      body: JSON.stringify({ ...document, operationName: name, variables }),
    });
    return withNewest(await response.json());
  };
  const subscribeFunction: SubscribeFunction = ({ id, name, text: query }, variables) =>
    Observable.create<GraphQLResponse>((sink) => {
      const document = trustedDocuments ? { documentId: id, query: "" } : { query: query ?? "" };
      return api.live.subscribe(
        { ...document, operationName: name, variables },
        {
          next: (result) => sink.next(withNewest(result as GraphQLSingularResponse)),
          // The cause can be a close event, which is not an `Error`.
          error: (cause) => sink.error(cause instanceof Error ? cause : new Error("The subscription has ended", { cause })),
          complete: sink.complete,
        },
      );
    });
  return Network.create(fetchFunction, subscribeFunction);
}

function placeGroup(store: RecordSourceProxy, key: string, { group: id, groupCursor }: RememberedMessage) {
  const group = store.get(id);
  const groups = ConnectionHandler.getConnection(store.getRoot(), key);
  if (!group || !groups) return;
  const edges = groups.getLinkedRecords("edges") ?? [];
  const others = edges.filter((edge) => nodeOf(edge)?.getDataID() !== id);
  const index = groupIndex(others.map((edge) => text(nodeOf(edge), "lastMessageAt")), text(group, "lastMessageAt"));
  // The item belongs after the last page that was fetched.
  if (index === edges.length && isTrue(groups, "hasNextPage")) return;
  const edge = ConnectionHandler.createEdge(store, groups, group, "MessageGroupEdge");
  edge.setValue(groupCursor, "cursor");
  groups.setLinkedRecords(others.toSpliced(index, 0, edge), "edges");
}

function placeMessage(store: RecordSourceProxy, key: string, { message: id, messageCursor, group }: RememberedMessage) {
  const message = store.get(id);
  const parent = store.get(group);
  const messages = parent && ConnectionHandler.getConnection(parent, key);
  if (!message || !messages) return;
  const edges = messages.getLinkedRecords("edges") ?? [];
  if (edges.some((edge) => nodeOf(edge)?.getDataID() === id)) return;
  const index = messageIndex(edges.map((edge) => text(nodeOf(edge), "createdAt")), text(message, "createdAt"));
  // The item belongs before the first page that was fetched.
  if (index === 0 && isTrue(messages, "hasPreviousPage")) return;
  const edge = ConnectionHandler.createEdge(store, messages, message, "MessageEdge");
  edge.setValue(messageCursor, "cursor");
  messages.setLinkedRecords(edges.toSpliced(index, 0, edge), "edges");
}

interface MessageCreatedOperation extends OperationType {
  readonly variables: { after?: string | null };
  readonly response: { readonly messageCreated: object };
}
interface MessageGroupUpdatedOperation extends OperationType {
  readonly response: { readonly messageGroupUpdated: { readonly unreadMessageGroupCount: number } };
}

export type ListenOptions<Created extends MessageCreatedOperation> = LiveOptions<
  Created["response"]["messageCreated"],
  GraphQLTaggedNode,
  GraphQLTaggedNode,
  Error
>;

/** Keeps the store up to date until the returned function is called. */
export function listen<Created extends MessageCreatedOperation>(
  environment: MessageEnvironment,
  api: Api,
  { after, messageCreated, messageGroupUpdated, onMessage = () => {}, onError = () => {} }: ListenOptions<Created>,
) {
  const messages = requestSubscription<Created>(environment, {
    subscription: messageCreated,
    variables: { after },
    updater: (store) => environment.addMessage(store, store.getRootField("messageCreated")),
    onNext: (data) => data && onMessage(data.messageCreated),
    onError,
  });
  const groups = requestSubscription<MessageGroupUpdatedOperation>(environment, {
    subscription: messageGroupUpdated,
    variables: {},
    updater(store, data) {
      store.getRoot().setValue(data?.messageGroupUpdated.unreadMessageGroupCount, "unreadMessageGroupCount");
    },
    onError,
  });
  const stop = onStale(api, () => environment.refresh());
  return () => {
    stop();
    messages.dispose();
    groups.dispose();
  };
}
