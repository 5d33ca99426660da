// docs: relay-environment
import { Environment, Network, RecordSource, Store } from "relay-runtime";
import type { FetchFunction } from "relay-runtime";

export function environmentOf(url: string, token: string, trusted = false): Environment {
  const fetchFunction: FetchFunction = async ({ id, text }, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      // By id, where the server has the manifest of relay-compiler as its trusted documents.
      body: JSON.stringify(trusted ? { documentId: id, variables } : { query: text, variables }),
    });
    return response.json();
  };
  return new Environment({ network: Network.create(fetchFunction), store: new Store(new RecordSource()) });
}
// docs: end
