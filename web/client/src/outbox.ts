// Messages that the server has not acknowledged yet. They are in the session storage with their idempotency keys, so the
// page sends them again with the same keys after a reload, and the server stores each message once.

// The destination of a message: a group by its UUID, or a user by handle.
export type Destination = { messageGroupUuid: string } | { receiverHandle: string };

export const destinationKey = (to: Destination) =>
  "messageGroupUuid" in to ? `group ${to.messageGroupUuid}` : `user ${to.receiverHandle}`;

export interface OutgoingMessage {
  idempotencyKey: string;
  to: Destination;
  body: string;
  createdAt: string;
  // `unknown`: the page was reloaded during sending, and the list can contain the message. It is not displayed.
  state: "unknown" | "sending" | "waiting" | "failed";
  reason: string | null;
}

export type SendResult =
  | { kind: "sent"; messageGroupUuid: string }
  // A rejection that the user can correct: the text is moved back to its field.
  | { kind: "rejected"; reason: string }
  | { kind: "failed"; reason: string }
  // The outbox sends the message again after a delay, or when the connection is restored.
  | { kind: "retry"; reason: string; retryAfterMs: number | null };

export interface OutboxOptions {
  viewerUuid: string;
  send: (message: OutgoingMessage) => Promise<SendResult>;
  onRejected: (message: OutgoingMessage, reason: string) => void;
  onSent: (message: OutgoingMessage, messageGroupUuid: string) => void;
}

// The server keeps an idempotency key for 24 hours: afterwards, sending again could store a message twice.
const KEY_LIFETIME = 23 * 3_600_000;
const LONGEST_DELAY = 15_000;

export class Outbox {
  readonly #storageKey: string;
  readonly #options: OutboxOptions;
  readonly #listeners = new Set<() => void>();
  readonly #sending = new Set<string>();
  readonly #wakers = new Set<() => void>();
  readonly #stored = new Map<string, string>();
  #messages: readonly OutgoingMessage[];
  #isClosed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#storageKey = `cruddur.outbox.${options.viewerUuid}`;
    this.#messages = readOutbox(this.#storageKey).map((message) => {
      if (message.state === "failed") return message;
      const isTooOld = Date.now() - Date.parse(message.createdAt) > KEY_LIFETIME;
      return isTooOld
        ? { ...message, state: "failed", reason: "It was written more than a day ago." }
        : { ...message, state: "unknown", reason: null };
    });
    for (const { to } of this.#messages) void this.#sendAll(destinationKey(to));
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly messages = () => this.#messages;

  add(to: Destination, body: string): void {
    const message: OutgoingMessage = {
      idempotencyKey: crypto.randomUUID(),
      to,
      body,
      createdAt: new Date().toISOString(),
      state: "sending",
      reason: null,
    };
    this.#set([...this.#messages, message]);
    void this.#sendAll(destinationKey(to));
  }

  // Sends a failed message again, with the same key; and a waiting one at once.
  retry(idempotencyKey: string): void {
    const message = this.#find(idempotencyKey);
    if (!message) return;
    if (message.state === "failed") this.#change(idempotencyKey, { state: "sending", reason: null });
    this.wake();
    void this.#sendAll(destinationKey(message.to));
  }

  // The reason why sending takes long.
  explain(reason: string): void {
    const isBeingSent = ({ state }: OutgoingMessage) => state === "sending" || state === "unknown";
    this.#set(this.#messages.map((each) => (isBeingSent(each) ? { ...each, state: "sending", reason } : each)));
  }

  // A response or an event with the key shows that the message is stored.
  stored(idempotencyKey: string, messageUuid: string): void {
    if (!this.#find(idempotencyKey)) return;
    this.#stored.set(idempotencyKey, messageUuid);
    // Apollo Client passes the message to the lists in a task that it has already scheduled.
    setTimeout(() => this.remove(idempotencyKey), 0);
  }

  // The UUID of the stored message. A list that contains it does not display the outgoing message.
  storedAs(idempotencyKey: string): string | undefined {
    return this.#stored.get(idempotencyKey);
  }

  remove(idempotencyKey: string): void {
    this.#stored.delete(idempotencyKey);
    this.#set(this.#messages.filter((each) => each.idempotencyKey !== idempotencyKey));
    this.wake();
  }

  // Sends waiting messages at once, because the connection is restored.
  readonly wake = () => {
    for (const waker of this.#wakers) waker();
  };

  close(): void {
    this.#isClosed = true;
    this.wake();
  }

  // Sends the messages of one destination one after the other, so that they are stored in the order of writing.
  async #sendAll(destination: string): Promise<void> {
    if (this.#sending.has(destination)) return;
    this.#sending.add(destination);
    let failures = 0;
    try {
      while (!this.#isClosed) {
        const message = this.#messages.find(
          ({ to, state, idempotencyKey }) => state !== "failed" && destinationKey(to) === destination && !this.#stored.has(idempotencyKey),
        );
        if (!message) return;
        const { idempotencyKey } = message;
        const result = await this.#options.send(message);
        // The user has signed out meanwhile.
        if (this.#isClosed) return;
        if (result.kind !== "retry") failures = 0;
        switch (result.kind) {
          case "sent":
            this.remove(idempotencyKey);
            this.#options.onSent(message, result.messageGroupUuid);
            break;
          case "rejected":
            this.remove(idempotencyKey);
            this.#options.onRejected(message, result.reason);
            break;
          case "failed":
            this.#change(idempotencyKey, { state: "failed", reason: result.reason });
            break;
          case "retry": {
            // The user has deleted the message, or an event shows that it is stored.
            if (!this.#find(idempotencyKey)) break;
            failures += 1;
            this.#change(idempotencyKey, { state: "waiting", reason: result.reason });
            const backoff = Math.min(LONGEST_DELAY, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
            await this.#pause(result.retryAfterMs ?? backoff);
            this.#change(idempotencyKey, { state: "sending", reason: result.reason });
          }
        }
      }
    } finally {
      this.#sending.delete(destination);
    }
  }

  #find(idempotencyKey: string): OutgoingMessage | undefined {
    return this.#messages.find((each) => each.idempotencyKey === idempotencyKey);
  }

  #change(idempotencyKey: string, change: Pick<OutgoingMessage, "state" | "reason">): void {
    this.#set(this.#messages.map((each) => (each.idempotencyKey === idempotencyKey ? { ...each, ...change } : each)));
  }

  #set(messages: readonly OutgoingMessage[]): void {
    // The storage can already be another user's.
    if (this.#isClosed) return;
    this.#messages = messages;
    sessionStorage.setItem(this.#storageKey, JSON.stringify(messages));
    for (const listener of this.#listeners) listener();
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer);
        this.#wakers.delete(go);
        resolve();
      };
      const timer = setTimeout(go, milliseconds);
      this.#wakers.add(go);
    });
  }
}

function readOutbox(storageKey: string): OutgoingMessage[] {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(storageKey) ?? "[]");
    return Array.isArray(value) ? value.filter(isOutgoingMessage) : [];
  } catch {
    return [];
  }
}

function isOutgoingMessage(value: unknown): value is OutgoingMessage {
  if (typeof value !== "object" || value === null) return false;
  const texts = ["idempotencyKey", "body", "createdAt", "state"] as const;
  return texts.every((name) => name in value && typeof Reflect.get(value, name) === "string") && "to" in value;
}
