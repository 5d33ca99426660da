// Subscriptions that go on without a gap, for every client that speaks by graphql-ws.
// docs: live
import { createClient, type Client, type FormattedExecutionResult, type Sink, type SubscribePayload } from "graphql-ws";

// Gives an access token that is still good; with `forceRefresh` a new one, since the server has refused the last. With
// Amplify: `async (options) => String((await fetchAuthSession(options)).tokens?.accessToken)`.
export type Token = (options?: { forceRefresh: boolean }) => Promise<string>;

export interface LiveOptions {
  url: string;
  // Asked for with every connection.
  token: Token;
  // Reads again what a page shows: a subscription of this name has begun, and cannot know what happened before.
  reread: (operationName: string) => void;
  pingEvery?: number;
}

// Of one root field: what a subscription tells.
interface Event {
  cursor?: string;
  version?: number;
  messageGroup?: { id: string };
}

// After these, coming back would end the same way.
const FINAL = [4400, 4406, 4409, 4429];
// The token has expired; it, or its user, is not good. A new token may be, so that is tried once.
const REFUSED = [4401, 4403];
// Nothing tells when a subscription has begun, but by then it has.
const BEGUN = 1000;

export function liveClient({ url, token, reread, pingEvery = 10_000 }: LiveOptions): Client {
  let forceRefresh = false;
  let signedOut = false;
  const client = createClient({
    url: url.replace(/^http/, "ws"),
    connectionParams: async () => ({ Authorization: `Bearer ${await token({ forceRefresh })}` }),
    // It would ask for the same again, from the same cursor: `subscribe` below comes back instead.
    retryAttempts: 0,
    keepAlive: pingEvery,
  });

  // A connection that is dead without a word is noticed by the pong that does not come.
  let dead: ReturnType<typeof setTimeout>;
  client.on("ping", (received) => {
    if (!received) dead = setTimeout(() => client.terminate(), pingEvery / 2);
  });
  client.on("pong", (received) => {
    if (received) clearTimeout(dead);
  });

  // All come back at once when a server stops, so each waits for a time of its own.
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
      // Whether these errors end it only for now.
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
              // Of two states of a group the one with the larger version is the newer.
              const { id } = event.messageGroup;
              if (event.version <= (versions.get(id) ?? 0)) return;
              versions.set(id, event.version);
            }
            sink.next(result);
          },
          error(cause) {
            if (over || (Array.isArray(cause) && isForNow(cause))) return;
            const { code } = cause as { code?: number };
            // Of a failure to connect browsers say nothing but that it is one.
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
