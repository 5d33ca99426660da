// One user's connection to the server, whose network, responses and cursors a test controls.
import { connectApi, type Api, type ApiOptions, type Retry } from "@cruddur/client";
import { places, signedIn } from "./harness";
import { networkTo, type Network } from "./network";

export interface Held {
  /** Resolves when the server has responded. */
  arrived: Promise<void>;
  release: () => void;
}

export interface Wire {
  api: Api;
  network: Network;
  /** The names of the operations that were sent by HTTP. */
  requests: string[];
  /** The number of pending responses that are not delayed. */
  inFlight: () => number;
  retries: Retry[];
  signedOut: () => number;
  /** Delays the response of the next operation with this name. */
  hold: (operation: string) => Held;
  /** The server responds `RESYNC` to the next `messageCreated` with a cursor. */
  resync: () => void;
}

const nameIn = (request: string) => /"operationName":"(\w+)"/.exec(request)?.[1] ?? /operationName=(\w+)/.exec(request)?.[1] ?? "";

export async function wireOf(handle: string, options: Partial<ApiOptions> = {}): Promise<Wire> {
  const network = await networkTo(places.graphql);
  const requests: string[] = [];
  let inFlight = 0;
  const retries: Retry[] = [];
  const holds = new Map<string, { arrive: () => void; released: Promise<void> }>();
  let isResync = false;
  let signedOut = 0;

  class Socket extends WebSocket {
    override send(data: string) {
      const { type, id, payload } = JSON.parse(data);
      if (!isResync || type !== "subscribe" || !payload.variables?.after) return super.send(data);
      isResync = false;
      const errors = [{ message: "Too many groups", extensions: { code: "RESYNC" } }];
      const event = new MessageEvent("message", { data: JSON.stringify({ type: "error", id, payload: errors }) });
      queueMicrotask(() => this.onmessage?.(event));
    }
  }

  const api = connectApi({
    url: network.url,
    token: signedIn(handle),
    onRetry: (retry) => retries.push(retry),
    onSignedOut: () => (signedOut += 1),
    webSocket: Socket,
    async fetch(input, init) {
      const name = nameIn(`${String(init?.body ?? "")}${String(input)}`);
      requests.push(name);
      inFlight += 1;
      const response = await fetch(input, init).finally(() => (inFlight -= 1));
      const hold = holds.get(name);
      if (hold) {
        holds.delete(name);
        hold.arrive();
        await hold.released;
      }
      return response;
    },
    ...options,
  });
  return {
    api,
    network,
    requests,
    inFlight: () => inFlight,
    retries,
    signedOut: () => signedOut,
    hold(operation) {
      let release = () => {};
      let arrive = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      const arrived = new Promise<void>((resolve) => (arrive = resolve));
      holds.set(operation, { arrive, released });
      return { arrived, release };
    },
    resync: () => (isResync = true),
  };
}
