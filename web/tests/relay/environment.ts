// docs: relay-environment
import { Environment, Network, Observable, RecordSource, Store } from "relay-runtime";
import type { FetchFunction, GraphQLResponse, SubscribeFunction } from "relay-runtime";
import { liveClient, type Token } from "@cruddur/client";

export interface Options {
  url: string;
  token: Token;
  // Sends document IDs, for a server that has relay-compiler's manifest as its trusted documents.
  trusted?: boolean;
  // Refetches the displayed data with `fetchQuery`.
  reread?: (subscription: string) => void;
}

export function environmentOf({ url, token, trusted = false, reread = () => {} }: Options): Environment {
  const ask = async (body: string, forceRefresh: boolean) =>
    fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${await token({ forceRefresh })}`, "content-type": "application/json" },
      body,
    });
  const fetchFunction: FetchFunction = async ({ id, text }, variables) => {
    const body = JSON.stringify(trusted ? { documentId: id, variables } : { query: text, variables });
    let response = await ask(body, false);
    // If the server rejects the token, gets a new token and retries the request once.
    if (response.status === 401) response = await ask(body, true);
    return response.json();
  };
  const socket = liveClient({ url, token, reread });
  const subscribeFunction: SubscribeFunction = ({ id, name, text }, variables) =>
    Observable.create<GraphQLResponse>((sink) => {
      const document = trusted ? { documentId: id, query: "" } : { query: text ?? "" };
      return socket.subscribe(
        { ...document, operationName: name, variables },
        {
          next: (result) => sink.next(result as GraphQLResponse),
          // The cause can be a close event, which is not an `Error`.
          error: (cause) => sink.error(cause instanceof Error ? cause : new Error("the subscription has ended", { cause })),
          complete: sink.complete,
        },
      );
    });
  return new Environment({
    network: Network.create(fetchFunction, subscribeFunction),
    store: new Store(new RecordSource()),
  });
}
// docs: end
