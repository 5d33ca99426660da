// Whom one is signed in as, and the token, which is kept here and nowhere else.
import { createGraphiQLFetcher } from "@graphiql/toolkit";

const session = new URL("graphiql/session/", document.baseURI);
const graphql = new URL("graphql", document.baseURI).href;

let token = "";
let handle = null;

// Who can be signed in as without a password: the demo users of `dev`, nobody elsewhere.
export async function people() {
  const response = await fetch(new URL("people", session));
  return response.ok ? response.json() : [];
}

export async function signInAs(someone) {
  const response = await fetch(new URL("token", session), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ handle: someone }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  handle = someone;
  token = answer.access_token;
}

export function setToken(text) {
  token = text.trim().replace(/^bearer\s+/i, "");
}

async function signed(url, options) {
  const send = () => {
    const headers = new Headers(options.headers);
    // One that is written in the headers editor comes first.
    if (token && !headers.has("authorization")) headers.set("authorization", `Bearer ${token}`);
    return fetch(url, { ...options, headers });
  };
  const response = await send();
  if (response.status !== 401 || !handle) return response;
  await signInAs(handle);
  return send();
}

const send = createGraphiQLFetcher({ url: graphql, fetch: signed });

// A moment after a tab was changed GraphiQL still names the operation of the one before.
export const fetcher = (params, options) =>
  send(params.query.includes(params.operationName) ? params : { ...params, operationName: undefined }, options);

// Uuid of the newest message group of whom one is signed in as.
export async function newestMessageGroup() {
  const response = await signed(graphql, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "{ messageGroups(first: 1) { edges { node { uuid } } } }" }),
  });
  const { data } = await response.json();
  return data?.messageGroups.edges[0]?.node.uuid;
}
