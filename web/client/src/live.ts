// Subscriptions that go on without a gap, for every client that speaks by graphql-ws.
// docs: live
import { createClient, type Client, type FormattedExecutionResult, type Sink, type SubscribePayload } from "graphql-ws";

// Returns a valid access token; with `forceRefresh` a new one, because the server has rejected the previous token. With
// Amplify: `async (options) => String((await fetchAuthSession(options)).tokens?.accessToken)`.
export type Token = (options?: { forceRefresh: boolean }) => Promise<string>;

export interface LiveOptions {
  url: string;
  // Called for each new connection.
  token: Token;
  // Refetches the displayed data, because a subscription with this name has started and does not report earlier events.
  reread: (operationName: string) => void;
  pingEvery?: number;
}

// The root field's value in an event of a subscription.
interface Event {
  cursor?: string;
  version?: number;
  messageGroup?: { id: string };
}

// Close codes after which a retry would fail in the same way.
const FINAL = [4400, 4406, 4409, 4429];
// Close codes for an expired token (4401) and for an invalid token or an unknown user (4403): retried with a new token,
// but after 4403 only once.
const REFUSED = [4401, 4403];
// The protocol does not report when a subscription has started; after this many milliseconds it has.
const BEGUN = 1000;

export function liveClient({ url, token, reread, pingEvery = 10_000 }: LiveOptions): Client {
  let forceRefresh = false;
  let signedOut = false;
  const client = createClient({
    url: url.replace(/^http/, "ws"),
    connectionParams: async () => ({ Authorization: `Bearer ${await token({ forceRefresh })}` }),
    // graphql-ws would resubscribe from the initial cursor, so `subscribe` below retries instead.
    retryAttempts: 0,
    keepAlive: pingEvery,
  });

  // Detects a dead connection by the missing pong.
  let dead: ReturnType<typeof setTimeout>;
  client.on("ping", (received) => {
    if (!received) dead = setTimeout(() => client.terminate(), pingEvery / 2);
  });
  client.on("pong", (received) => {
    if (received) clearTimeout(dead);
  });

  // When a server stops, all its clients reconnect, so each waits for a random time.
  let failures = 0;
  client.on("connected", () => {
    failures = 0;
    forceRefresh = false;
  });
  client.on("closed", (event) => {
    clearTimeout(dead);
    failures += 1;
    const { code } = event as { code?: number };
    signedOut = code === 4403 && forceRefresh;
    forceRefresh = REFUSED.includes(code ?? 0);
  });
  const delay = () => Math.min(30_000, 250 * 2 ** failures) * (0.5 + Math.random() / 2);

  function subscribe<Data, Extensions>(payload: SubscribePayload, sink: Sink<FormattedExecutionResult<Data, Extensions>>) {
    let after = payload.variables?.after;
    const versions = new Map<string, number>();
    let waiting: ReturnType<typeof setTimeout>;
    let settling: ReturnType<typeof setTimeout>;
    let leave = () => {};

    function begin() {
      let over = false;
      const end = () => {
        over = true;
        clearTimeout(settling);
        leaveThis();
      };
      const comeBack = (wait: number) => {
        end();
        waiting = setTimeout(begin, wait);
      };
      // Returns true and schedules a retry if the errors are temporary.
      const isForNow = (errors: FormattedExecutionResult["errors"]) => {
        const { code, retryAfterMs } = (errors?.[0]?.extensions ?? {}) as { code?: string; retryAfterMs?: number };
        if (code === "RESYNC") after = undefined;
        else if (code !== "UNAVAILABLE") return false;
        comeBack(retryAfterMs ?? delay());
        return true;
      };

      const leaveThis = client.subscribe<Data, Extensions>(
        { ...payload, variables: { ...payload.variables, after } },
        {
          next(result) {
            if (over || isForNow(result.errors)) return;
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
            if (over || (Array.isArray(cause) && isForNow(cause))) return;
            const { code } = cause as { code?: number };
            // Browsers do not report why a connection failed, so a failure without a final close code is retried.
            if (!Array.isArray(cause) && !FINAL.includes(code ?? 0) && !signedOut) return comeBack(delay());
            end();
            sink.error(cause);
          },
          complete() {
            if (over) return;
            end();
            sink.complete();
          },
        },
      );
      leave = end;
      if (!after) settling = setTimeout(() => reread(payload.operationName ?? ""), BEGUN);
    }

    begin();
    return () => {
      clearTimeout(waiting);
      leave();
    };
  }
  return { ...client, subscribe };
}
// docs: end
