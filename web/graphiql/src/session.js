// The current user and the token, which is stored only here.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { parse } from "graphql";
import { createClient } from "graphql-ws";

const session = new URL("graphiql/session/", document.baseURI);
const graphql = new URL("graphql", document.baseURI).href;

let token = "";
let handle = null;
// Number of times that a user was selected.
let choices = 0;

// Returns the demo users of `dev`, for whom no password is needed. Other servers have none.
export async function people() {
  const response = await fetch(new URL("people", session));
  return response.ok ? response.json() : [];
}

async function tokenOf(someone) {
  const response = await fetch(new URL("token", session), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ handle: someone }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer.access_token;
}

// Signs in as a user. Returns false if another user was selected meanwhile.
export async function signInAs(someone) {
  const choice = (choices += 1);
  const given = await tokenOf(someone);
  if (choice !== choices) return false;
  if (someone !== handle) hangUp();
  handle = someone;
  token = given;
  return true;
}

// Gets a new token of a user, if that user is still signed in.
async function renew(someone) {
  const given = await tokenOf(someone);
  if (someone !== handle) return undefined;
  token = given;
  return given;
}

export function setToken(text) {
  const given = text.trim().replace(/^bearer\s+/i, "");
  if (/[^\x21-\x7e]/.test(given)) throw new Error("A token contains only ASCII characters and no spaces.");
  hangUp();
  token = given;
}

async function signed(url, options) {
  const send = (given) => {
    const headers = new Headers(options.headers);
    // A token in the headers editor takes precedence.
    if (given && !headers.has("authorization")) headers.set("authorization", `Bearer ${given}`);
    return fetch(url, { ...options, headers });
  };
  const sender = handle;
  const response = await send(token);
  if (response.status !== 401 || !sender) return response;
  // A request is not repeated as another user.
  const renewed = await renew(sender);
  return renewed ? send(renewed) : response;
}

// The socket is open while there are subscriptions. It is not reconnected: a subscription reports its end.
const dial = () =>
  createClient({
    url: graphql.replace(/^http/, "ws"),
    connectionParams: () => (token ? { Authorization: `Bearer ${token}` } : {}),
    retryAttempts: 0,
  });
let socket = dial();

// Another user gets a new socket, and receives no events of the previous user.
function hangUp() {
  socket.dispose().catch(() => {});
  socket = dial();
}

const NOT_SIGNED_IN = [4401, 4403];

function subscribe(payload, sink, subscriber = handle) {
  let over = false;
  // Sent as a result, because the page does not catch errors.
  const fail = (errors) => {
    sink.next({ errors });
    sink.complete();
  };
  let leave = socket.subscribe(payload, {
    next: (result) => sink.next(result),
    complete: () => sink.complete(),
    error(cause) {
      if (over) return;
      if (subscriber && NOT_SIGNED_IN.includes(cause.code)) {
        const again = (renewed) => {
          if (over) return;
          if (renewed) leave = subscribe(payload, sink, null);
          else sink.complete();
        };
        renew(subscriber).then(again, ({ message }) => fail([{ message }]));
      } else {
        fail(Array.isArray(cause) ? cause : ended(cause));
      }
    },
  });
  return () => {
    over = true;
    leave();
  };
}

function ended({ code, reason }) {
  if (NOT_SIGNED_IN.includes(code)) return [{ message: "The token is invalid or has expired. Sign in, and run the subscription again." }];
  const why = code ? `${code} ${reason}`.trim() : "the connection was lost";
  return [{ message: `The subscription has ended: ${why}. Run it again, with \`after\` to resume.` }];
}

const send = createGraphiQLFetcher({ url: graphql, fetch: signed, wsClient: { subscribe } });

// Shortly after a change of the tab, GraphiQL still passes the operation name and the document of the previous tab.
export function fetcher(params, options) {
  const documentAST = parsed(params.query);
  const operations = documentAST?.definitions.filter(({ kind }) => kind === "OperationDefinition") ?? [];
  const names = operations.map(({ name }) => name?.value);
  const only = names.length === 1 ? names[0] : undefined;
  const operationName = names.includes(params.operationName) ? params.operationName : only;
  return send({ ...params, operationName }, { ...options, documentAST });
}

// Returns undefined if the document cannot be parsed. The server reports the error.
function parsed(query) {
  try {
    return parse(query);
  } catch {
    return undefined;
  }
}

// Returns the newest message group of the current user: its UUID, the cursor of its newest message, and the other user's handle.
export async function newestMessageGroup() {
  const response = await signed(graphql, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "{ messageGroups(first: 1) { edges { node { uuid otherUser { handle } messages(last: 1) { edges { cursor } } } } } }" }),
  });
  const { data } = await response.json();
  const group = data?.messageGroups.edges[0]?.node;
  return group && { uuid: group.uuid, cursor: group.messages.edges[0]?.cursor, other: group.otherUser.handle };
}
