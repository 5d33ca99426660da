// The API for one signed-in user: requests over HTTP and subscriptions over one WebSocket, with one token.
import { codeOf, type ErrorLike } from "./errors";
import { backoff, liveClient, type Live, type LiveOptions } from "./live";
import { createSession, type SignedOut, type Token } from "./session";

/** A request waits, because of the rate limit or because the server is temporarily unavailable. */
export interface Retry {
  operationName?: string;
  code: string;
  /** When the client sends the request again, in milliseconds as `Date.now()`. */
  retryAt: number;
}

export interface ApiOptions extends Pick<LiveOptions, "webSocket" | "pingEvery"> {
  /** Absolute, or relative to the page, such as `/graphql`. */
  url: string;
  token: Token;
  /** Called once, when the user has to sign in again. */
  onSignedOut?: (reason: SignedOut) => void;
  onRetry?: (retry: Retry) => void;
  fetch?: typeof fetch;
}

export interface Api {
  url: string;
  /** A `fetch` for HTTP: adds the token, and sends a request again when that can succeed. */
  fetch: typeof fetch;
  /** The graphql-ws client for subscriptions. */
  live: Live;
}

/** How often the client sends a request that the server cannot execute now. */
const ATTEMPTS = 6;

export function connectApi({ url, token, onSignedOut = () => {}, onRetry = () => {}, fetch = globalThis.fetch, ...live }: ApiOptions): Api {
  const session = createSession(token);
  session.onSignedOut(onSignedOut);
  const absolute = new URL(url, globalThis.location?.href);

  async function request(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    let forceRefresh = false;
    for (let failures = 0; ; ) {
      const headers = new Headers(init.headers);
      headers.set("authorization", `Bearer ${await session.token({ forceRefresh })}`);
      const response = await fetch(input, { ...init, headers });
      if (response.status === 401) {
        if (!forceRefresh) {
          forceRefresh = true;
          continue;
        }
        // A new token was rejected as well.
        session.signOut(response);
        return response;
      }
      const text = await response.text();
      const copy = () => new Response(text, { status: response.status, statusText: response.statusText, headers: response.headers });
      const body = typeof init.body === "string" ? init.body : "";
      const retry = text.includes('"retryAfterMs"') ? retryOf(text, body) : undefined;
      failures += 1;
      if (!retry || failures >= ATTEMPTS) return copy();
      const delay = retry.retryAfterMs + backoff(failures - 1);
      onRetry({ operationName: operationNameOf(body), code: retry.code, retryAt: Date.now() + delay });
      await sleep(delay, init.signal);
    }
  }

  const socketUrl = new URL(absolute);
  socketUrl.protocol = socketUrl.protocol.replace("http", "ws");
  return { url: absolute.href, fetch: request, live: liveClient({ url: socketUrl.href, session, ...live }) };
}

/** Whether the same request can succeed later, and when. */
function retryOf(response: string, request: string) {
  const { errors } = JSON.parse(response) as { errors?: ErrorLike[] };
  const { code, retryAfterMs, mayBeExecuted } = codeOf(errors);
  if (!code || retryAfterMs === undefined) return undefined;
  // A message that may be stored is sent again only with its key.
  if (mayBeExecuted && !request.includes('"idempotencyKey"')) return undefined;
  return { code, retryAfterMs };
}

function operationNameOf(request: string) {
  const { operationName } = JSON.parse(request || "{}") as { operationName?: string };
  return operationName;
}

function sleep(delay: number, signal?: AbortSignal | null) {
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Calls `reread`, until it succeeds, when the caches may lack events. Returns a function that ends this. */
export function onStale(api: Api, reread: () => Promise<unknown>): () => void {
  let isOver = false;
  let isQueued = false;
  let previous = Promise.resolve();
  async function run() {
    isQueued = false;
    for (let failures = 0; !isOver && api.live.getState().status !== "signedOut"; failures += 1) {
      try {
        await reread();
        return;
      } catch {
        await sleep(backoff(failures));
      }
    }
  }
  const stop = api.live.onStale(() => {
    if (isQueued) return;
    isQueued = true;
    previous = previous.then(run);
  });
  return () => {
    isOver = true;
    stop();
  };
}
