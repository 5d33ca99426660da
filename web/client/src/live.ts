// Subscriptions that resume after their last event, over one WebSocket.
import { createClient, type Client, type FormattedExecutionResult, type Sink, type SubscribePayload } from "graphql-ws";
import { codeOf, type ErrorLike } from "./errors";
import { SignedOut, type Session } from "./session";

export interface ConnectionState {
  /**
   * `idle`: there is no subscription. `connecting`, `connected`. `waiting`: the connection is lost, and the next attempt
   * is at `retryAt`. `signedOut`: the user has to sign in again.
   */
  status: "idle" | "connecting" | "connected" | "waiting" | "signedOut";
  /** When the connection was established or lost, in milliseconds as `Date.now()`. */
  since: number;
  retryAt?: number;
}

export interface Live extends Client {
  getState: () => ConnectionState;
  /** Calls the listener after each change of the state. Returns a function that removes the listener. */
  onState: (listener: () => void) => () => void;
  /** Connects at once if the client waits for the next attempt. */
  reconnect: () => void;
  /**
   * Calls the listener with the operation's name when a subscription has started again without a cursor: the caches may
   * lack the events before. Returns a function that removes the listener.
   */
  onStale: (listener: (operationName: string) => void) => () => void;
}

export interface LiveOptions {
  url: string;
  session: Session;
  webSocket?: typeof WebSocket;
  /** How often the client checks the connection, in milliseconds. */
  pingEvery?: number;
}

/** The root field's value in an event of a subscription. */
interface Event {
  cursor?: string;
  version?: number;
  messageGroup?: { id: string };
}

/** Close codes after which an attempt with the same messages would fail in the same way. */
const FINAL = [1002, 1007, 1009, 4004, 4400, 4406, 4409, 4429];
/** The server has rejected the token: it has expired (4401), or it is invalid or of an unknown user (4403). */
const REJECTED = [4401, 4403];
/** Codes of errors after which the same subscription can succeed. */
const TEMPORARY = ["UNAVAILABLE", "RATE_LIMITED", "INTERNAL_SERVER_ERROR"];
/** Time in milliseconds after which a subscription that the server has received counts as started: the protocol has no message for this. */
const STARTED = 1000;
/** Number of consecutive failures of `token({ forceRefresh: true })` after which the user is signed out. */
const MOST_REFRESHES = 3;

/** Exponential backoff from 250 ms to 30 s. When a server stops, its clients reconnect at random times. */
export const backoff = (failures: number) => Math.min(30_000, 250 * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);

export function liveClient({ url, session, webSocket, pingEvery = 10_000 }: LiveOptions): Live {
  let state: ConnectionState = { status: "idle", since: Date.now() };
  const listeners = new Set<() => void>();
  const staleListeners = new Set<(operationName: string) => void>();
  function setState(status: ConnectionState["status"], retryAt?: number) {
    const isLost = (value: ConnectionState["status"]) => value === "connecting" || value === "waiting";
    const since = isLost(state.status) && isLost(status) ? state.since : Date.now();
    state = { status, since, ...(retryAt && { retryAt }) };
    for (const listener of [...listeners]) listener();
  }

  let subscriptions = 0;
  let failures = 0;
  let forceRefresh = false;
  let failedRefreshes = 0;

  const client = createClient({
    url,
    webSocketImpl: webSocket,
    async connectionParams() {
      try {
        const token = await session.token({ forceRefresh });
        failedRefreshes = 0;
        return { Authorization: `Bearer ${token}` };
      } catch (cause) {
        // A token function that fails repeatedly at renewal cannot renew the token.
        if (forceRefresh && ++failedRefreshes >= MOST_REFRESHES) session.signOut(cause);
        // Otherwise graphql-ws would report an error, and close the socket later.
        client.terminate();
        return {};
      }
    },
    // graphql-ws would subscribe again from the initial cursor, and treats 4401 as final. `subscribe` below retries.
    retryAttempts: 0,
    keepAlive: pingEvery,
  });

  // Resolves when the next attempt is due.
  let due = Promise.resolve();
  let attempt = () => {};
  function reconnect() {
    if (state.status !== "waiting") return;
    failures = 0;
    attempt();
  }
  function wait() {
    const delay = backoff(failures);
    failures += 1;
    due = new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      attempt = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    setState("waiting", Date.now() + delay);
  }

  let socket: WebSocket | undefined;
  let isCounted = true;
  client.on("connecting", () => {
    isCounted = false;
    setState("connecting");
  });
  client.on("connected", (connected) => {
    socket = connected as WebSocket;
    failures = 0;
    forceRefresh = false;
    setState("connected");
  });
  // A socket can fail with an error, a close event, or both. The client closes it (1000) when there is no subscription.
  function lost(code?: number) {
    socket = undefined;
    clearTimeout(dead);
    if (isCounted) return;
    isCounted = true;
    if (session.isSignedOut()) setState("signedOut");
    else if (subscriptions > 0 && code !== 1000) wait();
    else setState("idle");
  }
  client.on("error", () => lost());
  client.on("closed", (event) => {
    const { code = 0 } = event as { code?: number };
    if (REJECTED.includes(code)) {
      // A new token was rejected as well.
      if (code === 4403 && forceRefresh) session.signOut(event);
      forceRefresh = true;
    }
    lost(code);
  });

  // If pings get no pong, the connection is lost. Browsers close such a connection only after minutes.
  let dead: ReturnType<typeof setTimeout>;
  client.on("ping", (isReceived) => {
    if (isReceived) return;
    clearTimeout(dead);
    dead = setTimeout(() => client.terminate(), pingEvery / 2);
  });
  client.on("pong", (isReceived) => {
    if (isReceived) clearTimeout(dead);
  });

  // Browsers report when the network is lost and when it is available again.
  const offline = () => client.terminate();
  globalThis.addEventListener?.("online", reconnect);
  globalThis.addEventListener?.("offline", offline);
  const stopListening = session.onSignedOut(() => {
    attempt();
    client.terminate();
    setState("signedOut");
  });

  // Calls back when the server has started the subscription that the client has just sent.
  let probes = 0;
  function whenStarted(callback: () => void): () => void {
    const probe = `started ${(probes += 1)}`;
    let timer: ReturnType<typeof setTimeout>;
    const ping = () => {
      // graphql-ws sends the subscription before this.
      timer = setTimeout(() => socket?.send(JSON.stringify({ type: "ping", payload: { probe } })), 0);
    };
    const cancels = [
      client.on("connected", ping),
      // The server reads messages in order, so its pong shows that it has received the subscription.
      client.on("pong", (_, payload) => {
        if (payload?.probe === probe) timer = setTimeout(callback, STARTED);
      }),
    ];
    if (socket) ping();
    return () => {
      clearTimeout(timer);
      for (const cancel of cancels) cancel();
    };
  }

  function subscribe<Data, Extensions>(payload: SubscribePayload, sink: Sink<FormattedExecutionResult<Data, Extensions>>) {
    let after = payload.variables?.after;
    const versions = new Map<string, number>();
    let isEnded = false;
    let errors = 0;
    let timer: ReturnType<typeof setTimeout>;
    let leave = () => {};
    subscriptions += 1;

    function end() {
      if (isEnded) return;
      isEnded = true;
      subscriptions -= 1;
      clearTimeout(timer);
      leave();
    }
    function fail(cause: unknown) {
      end();
      sink.error(cause);
    }

    function begin(isAgain: boolean) {
      if (isEnded) return;
      if (session.isSignedOut()) return fail(new SignedOut());
      let isOver = false;
      function over() {
        isOver = true;
        cancelStale();
      }
      leave = () => {
        over();
        unsubscribe();
      };
      // Returns true and subscribes again later if the errors are temporary.
      function isTemporary(list: readonly ErrorLike[]) {
        const { code, retryAfterMs } = codeOf(list);
        if (code === "RESYNC") after = undefined;
        else if (!code || !TEMPORARY.includes(code)) return false;
        over();
        const delay = Math.max(retryAfterMs ?? 0, backoff(errors));
        errors += 1;
        timer = setTimeout(() => {
          // The server completes it. graphql-ws would count the end of a subscription twice.
          unsubscribe();
          begin(true);
        }, delay);
        return true;
      }

      const unsubscribe = client.subscribe<Data, Extensions>(
        { ...payload, variables: { ...payload.variables, after } },
        {
          next(result) {
            if (isOver || (result.errors && isTemporary(result.errors))) return;
            errors = 0;
            const event = Object.values(result.data ?? {})[0] as Event | undefined;
            if (event?.cursor) after = event.cursor;
            if (event?.version && event.messageGroup) {
              // Ignores a state that is not newer than the group's previous state.
              const { id } = event.messageGroup;
              if (event.version <= (versions.get(id) ?? 0)) return;
              versions.set(id, event.version);
            }
            sink.next(result);
          },
          error(cause) {
            if (isOver) return;
            const isList = Array.isArray(cause);
            if (isList && isTemporary(cause)) return;
            over();
            // Browsers do not report why a connection failed, so a failure without a final close code is retried.
            const { code } = cause as { code?: number };
            if (isList || FINAL.includes(code ?? 0)) return fail(cause);
            void due.then(() => begin(true));
          },
          complete() {
            if (isOver) return;
            // The client closed the connection.
            end();
            sink.complete();
          },
        },
      );
      const stale = () => staleListeners.forEach((listener) => listener(payload.operationName ?? ""));
      const cancelStale = isAgain && !after ? whenStarted(stale) : () => {};
    }

    begin(false);
    return end;
  }

  return {
    ...client,
    subscribe,
    getState: () => state,
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reconnect,
    onStale(listener) {
      staleListeners.add(listener);
      return () => staleListeners.delete(listener);
    },
    dispose() {
      stopListening();
      globalThis.removeEventListener?.("online", reconnect);
      globalThis.removeEventListener?.("offline", offline);
      return client.dispose();
    },
  };
}
