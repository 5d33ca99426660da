// The rules that all caches share: which state of a group is the newest, and the position of a new item in a list.

/** The fields of a group that change with its `version`. */
const STATE = ["version", "unreadCount", "lastMessage", "lastMessageAt"];

/** A message and its group: in the result of `createMessage` and in the event `messageCreated`. */
export interface CreatedMessage {
  messageEdge: { cursor: string; node: { id: string; createdAt: string } };
  messageGroupEdge: { cursor: string; node: { id: string } };
}

/** The subscriptions that `listen` of each client starts: `MessageDocument` and `GroupDocument` are the client's types of documents. */
export interface LiveOptions<Message, MessageDocument, GroupDocument = MessageDocument, Failure = unknown> {
  /** `eventCursor` of the query that fetched the lists, or of a later one: the events contain all messages since it began. */
  after: string;
  messageCreated: MessageDocument;
  messageGroupUpdated: GroupDocument;
  /** Called for each message, after it is in the cache. */
  onMessage?: (message: Message) => void;
  /** Called when the subscriptions have ended: their documents are invalid. */
  onError?: (error: Failure) => void;
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null;

export interface NewestGroups {
  /**
   * Returns a response's data in which each message group has its newest state that this client has received: a response
   * can be older than an event that arrived before it. `onGroup` gets each group of the data.
   */
  <Data>(data: Data, onGroup?: (group: Json) => void): Data;
}

export function newestGroups(): NewestGroups {
  const known = new Map<string, Map<string, { version: number; value: unknown }>>();

  function newest(group: Json, id: string, version: number): Json {
    const fields = known.get(id) ?? new Map<string, { version: number; value: unknown }>();
    known.set(id, fields);
    const state: Json = {};
    for (const field of STATE.filter((name) => name in group)) {
      const before = fields.get(field);
      if (!before || before.version < version) fields.set(field, { version, value: group[field] });
      else if (before.version > version && hasSelection(before.value, group[field])) state[field] = before.value;
    }
    return { ...group, ...state };
  }

  function walk(value: unknown, onGroup?: (group: Json) => void): unknown {
    if (Array.isArray(value)) return value.map((item) => walk(item, onGroup));
    if (!isObject(value)) return value;
    const copy = Object.fromEntries(Object.entries(value).map(([name, item]) => [name, walk(item, onGroup)]));
    if (typeof copy.id !== "string" || typeof copy.version !== "number") return copy;
    onGroup?.(copy);
    return newest(copy, copy.id, copy.version);
  }

  // The copy has the same shape.
  return <Data>(data: Data, onGroup?: (group: Json) => void) => walk(data, onGroup) as Data;
}

/** Whether a value has all fields that are selected in another. */
const hasSelection = (value: unknown, other: unknown) =>
  !isObject(other) || (isObject(value) && Object.keys(other).every((name) => name in value));

/** Where a group belongs in a list of groups with these times, newest first. */
export function groupIndex(times: readonly string[], lastMessageAt: string): number {
  const index = times.findIndex((time) => time < lastMessageAt);
  return index < 0 ? times.length : index;
}

/**
 * Where a message belongs in a list of messages with these times, oldest first. The times are texts: two messages can be
 * less than a millisecond apart. An existing message whose time is in the future precedes a new message.
 */
export function messageIndex(times: readonly string[], createdAt: string, now = new Date().toISOString()): number {
  return times.findLastIndex((time) => time <= createdAt || time > now) + 1;
}

/** Keeps the newest messages of events, up to a maximum number, because a slower response can lack them. */
const RECENT = 100;
export function remember<T>(recent: T[], item: T) {
  recent.push(item);
  if (recent.length > RECENT) recent.shift();
}
