// Whom one is signed in as, and the token, which is kept here and nowhere else.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { parse } from "graphql";
import { createClient } from "graphql-ws";

const session = new URL("graphiql/session/", document.baseURI);
const graphql = new URL("graphql", document.baseURI).href;

let token = "";
let handle = null;
// How many times somebody was chosen.
let choices = 0;

// Who can be signed in as without a password: the demo users of `dev`, nobody elsewhere.
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

// Signs in as somebody; says whether nobody else was chosen in the meantime.
export async function signInAs(someone) {
  const choice = (choices += 1);
  const given = await tokenOf(someone);
  if (choice !== choices) return false;
  if (someone !== handle) hangUp();
  handle = someone;
  token = given;
  return true;
}

// A new token of somebody's, if they are the one who is still signed in.
async function renew(someone) {
  const given = await tokenOf(someone);
  if (someone !== handle) return undefined;
  token = given;
  return given;
}

export function setToken(text) {
  const given = text.trim().replace(/^bearer\s+/i, "");
  if (/[^\x21-\x7e]/.test(given)) throw new Error("A token has no spaces, and nothing but ASCII.");
  hangUp();
  token = given;
}

async function signed(url, options) {
  const send = (given) => {
    const headers = new Headers(options.headers);
    // One that is written in the headers editor comes first.
    if (given && !headers.has("authorization")) headers.set("authorization", `Bearer ${given}`);
    return fetch(url, { ...options, headers });
  };
  const sender = handle;
  const response = await send(token);
  if (response.status !== 401 || !sender) return response;
  // What one has asked is not asked again as another.
  const renewed = await renew(sender);
  return renewed ? send(renewed) : response;
}

// The socket is there while something is subscribed to. What was given away is not taken back: it is told when it ends.
const dial = () =>
  createClient({
    url: graphql.replace(/^http/, "ws"),
    connectionParams: () => (token ? { Authorization: `Bearer ${token}` } : {}),
    retryAttempts: 0,
  });
let socket = dial();

// Somebody else gets a socket of their own, and hears nothing that was meant for the one before.
function hangUp() {
  socket.dispose().catch(() => {});
  socket = dial();
}

const NOT_SIGNED_IN = [4401, 4403];

function subscribe(payload, sink, subscriber = handle) {
  let over = false;
  // As an answer: the page leaves what is thrown uncaught.
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
  if (NOT_SIGNED_IN.includes(code)) return [{ message: "The token is not good, or not any more. Sign in, and run it again." }];
  const why = code ? `${code} ${reason}`.trim() : "there is no connection";
  return [{ message: `The subscription has ended: ${why}. Run it again; with \`after\` it goes on where it was.` }];
}

const send = createGraphiQLFetcher({ url: graphql, fetch: signed, wsClient: { subscribe } });

// A moment after a tab was changed GraphiQL still names the operation, and the document, of the one before.
export function fetcher(params, options) {
  const documentAST = parsed(params.query);
  const operations = documentAST?.definitions.filter(({ kind }) => kind === "OperationDefinition") ?? [];
  const names = operations.map(({ name }) => name?.value);
  const only = names.length === 1 ? names[0] : undefined;
  const operationName = names.includes(params.operationName) ? params.operationName : only;
  return send({ ...params, operationName }, { ...options, documentAST });
}

// Nothing, where it cannot be parsed: the server says why.
function parsed(query) {
  try {
    return parse(query);
  } catch {
    return undefined;
  }
}

// The newest message group of whom one is signed in as: its uuid, the cursor of its newest message, and the other's handle.
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
