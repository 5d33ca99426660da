// Plain graphql-ws, and the subscriptions of `@cruddur/client`, which resume without a gap.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";
// docs: ws-client
import { createClient, type Client } from "graphql-ws";

export const socketOf = (url: string, token: string) =>
  createClient({ url: url.replace(/^http/, "ws"), connectionParams: { Authorization: `Bearer ${token}` }, retryAttempts: 0 });
// docs: end
import { WebSocketServer } from "ws";
import type { MessageCreatedSubscriptionVariables } from "./generated/graphql";
import { endingIn, newKey, step, tokenOf, until, type Places } from "./harness";
import { connectApi, Outbox, SignedOut, type Api, type ConnectionState, type Retry, type Token } from "@cruddur/client";
import { networkTo } from "./network";
import {
  CreateMessage,
  MarkMessageGroupRead,
  MessageCreated,
  MessageGroup,
  MessageGroupUpdated,
  Receiver,
  Start,
  UnreadMessageGroupCount,
} from "./operations";

type Document<Data, Variables> = TypedDocumentNode<Data, Variables>;

function payloadOf<Data, Variables>(document: Document<Data, Variables>, variables: Variables) {
  const [definition] = document.definitions;
  assert.ok(definition?.kind === "OperationDefinition");
  return { operationName: definition.name?.value, query: print(document), variables: variables as Record<string, unknown> };
}

// A query or a mutation over a socket.
function ask<Data, Variables>(client: Client, document: Document<Data, Variables>, variables: Variables): Promise<Data> {
  return new Promise((resolve, reject) => {
    client.subscribe<Data>(payloadOf(document, variables), {
      next: ({ data, errors }) => (data && !errors ? resolve(data) : reject(errors)),
      error: reject,
      complete: () => {},
    });
  });
}

// The events of a subscription.
function heard<Data, Variables, Received>(client: Client, document: Document<Data, Variables>, variables: Variables, of: (data: Data) => Received) {
  const received: Received[] = [];
  const ends: unknown[] = [];
  const leave = client.subscribe<Data>(payloadOf(document, variables), {
    next: ({ data, errors }) => (data && !errors ? received.push(of(data)) : ends.push(errors)),
    error: (cause) => ends.push(cause),
    complete: () => ends.push("complete"),
  });
  return { received, ends, leave };
}
const messages = (client: Client, variables: MessageCreatedSubscriptionVariables = {}) =>
  heard(client, MessageCreated, variables, ({ messageCreated }) => messageCreated.messageEdge.node.body);
// The bodies from a message on: a subscription from `eventCursor` begins with the messages of the minute before the query.
const from = (received: string[], first: string | undefined) => received.filter((_, index) => index >= received.findIndex((body) => body === first));
// The code of the error that ended a subscription.
const codeOf = ([errors]: unknown[]) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

// A client whose token is rejected, and how its subscription ends.
function signOut(rejected: Token): { api: Api; ended: Promise<unknown> } {
  let signedOut = 0;
  const api = connectApi({ url: places.graphql, token: rejected, onSignedOut: () => (signedOut += 1) });
  const { ends } = messages(api.live);
  const ended = until(() => ends.length === 1).then(() => {
    assert.equal(signedOut, 1);
    return ends[0];
  });
  return { api, ended };
}

// A server that can be started again with the same data and the same addresses.
interface Dev {
  places: Places & { issuer: string };
  stop: () => Promise<void>;
}
const { startDev, startServe } = await import(new URL("../../../../tests/http/dev.mjs", import.meta.url).href);
const { freePort } = await import(new URL("../../../../tests/browser/fixtures.mjs", import.meta.url).href);
const folder = mkdtempSync(join(tmpdir(), "cruddur-clients-"));
// As root, PostgreSQL runs as another user.
chmodSync(folder, 0o711);
const [api, issuer]: number[] = [await freePort(), await freePort()];
const start = (): Promise<Dev> =>
  startDev(process.env.CRUDDUR_PROGRAM, ["--data-dir", join(folder, "data"), "--listen", `127.0.0.1:${api}`, "--issuer-port", String(issuer)]);

const shortened = (token: string, seconds: number) => endingIn(seconds, token, join(folder, "data/issuer-key.pem"));

let dev = await start();
const { places } = dev;
const token = (handle: string) => tokenOf(handle, places);
const luu = socketOf(places.graphql, token("luu"));
const unamused = socketOf(places.graphql, token("unamused"));
const mirabel = socketOf(places.graphql, token("mirabel"));

const { user } = await ask(luu, Receiver, { handle: "unamused" });
const uuid = user?.messageGroup?.uuid;
assert.ok(uuid);
const group = { messageGroupUuid: uuid };
let sent = 0;
// Sends a numbered message. Returns its body.
async function send(client: Client, to: { messageGroupUuid: string } | { receiverHandle: string } = group): Promise<string> {
  const body = `message ${(sent += 1)}`;
  const { createMessage } = await ask(client, CreateMessage, { input: { to, body, idempotencyKey: newKey() } });
  assert.equal(createMessage.__typename, "CreateMessageSuccess");
  return body;
}
// A cursor from which a subscription delivers every later message.
const now = async (client: Client) => (await ask(client, Start, {})).eventCursor;

try {
  await step("asks and changes over the socket, and counts what is unread", async () => {
    const body = await send(unamused);
    const { messageGroup } = await ask(luu, MessageGroup, { uuid });
    const last = messageGroup?.messages.edges.at(-1);
    assert.equal(last?.node.body, body);
    assert.ok(messageGroup && messageGroup.unreadCount > 0);
    const { unreadMessageGroupCount: before } = await ask(luu, UnreadMessageGroupCount, {});
    const { markMessageGroupRead: read } = await ask(luu, MarkMessageGroupRead, { input: { ...group, upTo: last.cursor } });
    assert.equal(read.__typename, "MarkMessageGroupReadSuccess");
    assert.equal(read.messageGroup.unreadCount, 0);
    assert.equal(read.unreadMessageGroupCount, before - 1);
  });

  await step("hears every message of one's groups, one's own as well, and nothing of others'", async () => {
    const clients = [luu, unamused, socketOf(places.graphql, token("tove"))];
    const subscriptions = await Promise.all(clients.map(async (client) => messages(client, { after: await now(client) })));
    const [ours, theirs, tove] = subscriptions;
    const ofOthers = messages(luu, { messageGroupUuid: "00000000-0000-0000-0000-000000000000" });
    const expected = [await send(unamused), await send(luu), await send(unamused)];
    const toTove = await send(mirabel, { receiverHandle: "tove" });
    await until(() => ours?.received.at(-1) === expected[2] && theirs?.received.at(-1) === expected[2] && tove?.received.at(-1) === toTove);
    assert.deepEqual([ours, theirs].map((one) => from(one?.received ?? [], expected[0])), [expected, expected]);
    assert.deepEqual(tove?.received.filter((body) => expected.includes(body)), []);
    await until(() => ofOthers.ends.length > 0);
    assert.deepEqual(ofOthers.received, []);
    assert.equal(codeOf(ofOthers.ends), "BAD_USER_INPUT");
    for (const { leave } of subscriptions) leave();
  });

  await step("goes on behind the newest message that is shown", async () => {
    const { messageGroup } = await ask(luu, MessageGroup, { uuid });
    const after = messageGroup?.messages.edges.at(-1)?.cursor;
    const expected = [await send(unamused), await send(luu)];
    const { received, leave } = messages(luu, { ...group, after });
    await until(() => received.length === 2);
    expected.push(await send(unamused));
    await until(() => received.length === 3);
    assert.deepEqual(received, expected);
    leave();
  });

  await step("reports what other devices have read, and only the newest state", async () => {
    const { live } = connectApi({ url: places.graphql, token: async () => token("luu") });
    const { received, leave } = heard(live, MessageGroupUpdated, {}, ({ messageGroupUpdated }) => messageGroupUpdated);
    await until(() => live.getState().status === "connected");
    // Only an event shows that this subscription has started.
    while (received.length === 0) await send(unamused);
    await until(() => (received.at(-1)?.messageGroup.unreadCount ?? 0) > 0);
    const { messageGroup } = await ask(luu, MessageGroup, { uuid });
    const upTo = messageGroup?.messages.edges.at(-1)?.cursor ?? "";
    await ask(luu, MarkMessageGroupRead, { input: { ...group, upTo } });
    await until(() => received.at(-1)?.messageGroup.unreadCount === 0);
    const versions = received.map(({ version }) => version);
    assert.deepEqual(versions, versions.toSorted((a, b) => a - b));
    leave();
  });

  const network = await networkTo(places.graphql);
  const stale: string[] = [];
  let given = 0;
  const tokens = [() => token("luu")];
  const { live } = connectApi({ url: network.url, token: async () => tokens[Math.min(given++, tokens.length - 1)]?.() });
  live.onStale((name) => stale.push(name));
  const eventCursor = await now(luu);
  const expected: string[] = [await send(unamused)];
  const { received, ends, leave } = messages(live, { after: eventCursor });
  const all = async () => {
    await until(() => received.at(-1) === expected.at(-1));
    assert.deepEqual(from(received, expected[0]), expected);
  };

  await step("delivers what was sent after `eventCursor`, before the subscription started", all);

  await step("comes back when the network is cut, and has missed nothing", async () => {
    network.cut();
    expected.push(await send(unamused), await send(luu), await send(unamused, { receiverHandle: "luu" }));
    network.restore();
    expected.push(await send(unamused));
    await all();
  });

  await step("comes back when the network falls silent, and has missed nothing", async () => {
    const network = await networkTo(places.graphql);
    // On a busy machine, a pong can be too late, so that this client connects once more.
    const { live } = connectApi({ url: network.url, token: async () => token("luu"), pingEvery: 200 });
    const first = await send(unamused);
    const { received, leave } = messages(live, { after: await now(luu) });
    await until(() => received.at(-1) === first);
    network.silence();
    const later = [await send(unamused), await send(luu)];
    await until(() => received.at(-1) === later.at(-1));
    assert.deepEqual(from(received, first), [first, ...later]);
    expected.push(first, ...later);
    leave();
    network.close();
  });

  await step("comes back by itself when the server stops and starts again, and has missed nothing", async () => {
    const held = messages(luu, { after: await now(luu) });
    const body = await send(unamused);
    expected.push(body);
    await until(() => held.received.at(-1) === body);
    // The connection of the earlier query has been closed, so this event is of the subscription's connection.
    const closed = new Promise<unknown>((resolve) => luu.on("closed", resolve));
    await dev.stop();
    assert.equal(((await closed) as CloseEvent).code, 1001);
    held.leave();
    dev = await start();
    expected.push(await send(unamused), await send(luu));
    await all();
  });

  await step("comes back with a new token at the end of one, and has missed nothing", async () => {
    let code: number | undefined;
    live.on("closed", (event) => (code = (event as CloseEvent).code));
    tokens.splice(0, tokens.length, () => shortened(token("luu"), 3), () => token("luu"));
    given = 0;
    network.cut();
    network.restore();
    await until(() => given >= 1);
    expected.push(await send(unamused));
    await all();
    await until(() => code === 4401);
    expected.push(await send(unamused), await send(luu));
    await all();
    assert.equal(given, 2);
  });
  assert.deepEqual([stale, ends], [[], []]);
  leave();
  network.close();

  await step("signs out after a second rejected token", async () => {
    const asked: boolean[] = [];
    const { ended } = signOut(async ({ forceRefresh }) => {
      asked.push(forceRefresh);
      return "bad";
    });
    assert.ok((await ended) instanceof SignedOut);
    assert.deepEqual(asked, [false, true], "a new token is tried once");
  });

  await step("signs out when the token function has no token", async () => {
    const { ended, api } = signOut(async ({ forceRefresh }) => (forceRefresh ? null : "bad"));
    assert.ok((await ended) instanceof SignedOut);
    assert.equal(api.live.getState().status, "signedOut");
  });

  await step("signs out when the token function fails at renewal, time after time", async () => {
    let renewals = 0;
    const { ended } = signOut(async ({ forceRefresh }) => {
      if (!forceRefresh) return "bad";
      renewals += 1;
      throw new Error("invalid_grant");
    });
    assert.ok((await ended) instanceof SignedOut);
    assert.equal(renewals, 3);
  });

  await step("tries again when the token function fails for now", async () => {
    let failures = 0;
    const failing: Token = async () => {
      failures += 1;
      if (failures <= 2) throw new TypeError("Failed to fetch");
      return token("luu");
    };
    const { live } = connectApi({ url: places.graphql, token: failing });
    const { received, ends, leave } = messages(live, { after: await now(luu) });
    const body = await send(unamused);
    await until(() => received.at(-1) === body);
    assert.deepEqual([from(received, body), ends], [[body], []]);
    leave();
  });

  await step("comes back with a new token when the one that it has is refused", async () => {
    const expired = shortened(token("luu"), -3600);
    const { live } = connectApi({
      url: places.graphql,
      token: async ({ forceRefresh }) => (forceRefresh ? token("luu") : expired),
    });
    const { received, ends, leave } = messages(live, { after: await now(luu) });
    const body = await send(unamused);
    await until(() => received.at(-1) === body);
    assert.deepEqual([from(received, body), ends], [[body], []]);
    leave();
  });

  await step("reports the connection's state, counts each socket once, and reconnects when the browser is online", async () => {
    // Dispatches the browser's events.
    const browser = new EventTarget();
    Object.assign(globalThis, {
      addEventListener: browser.addEventListener.bind(browser),
      removeEventListener: browser.removeEventListener.bind(browser),
    });
    const network = await networkTo(places.graphql);
    const { live } = connectApi({ url: network.url, token: async () => token("luu") });
    const states: (ConnectionState & { at: number })[] = [];
    live.onState(() => states.push({ ...live.getState(), at: Date.now() }));
    const statuses = () => states.map(({ status }) => status);
    assert.equal(live.getState().status, "idle");
    const after = await now(luu);
    const subscriptions = [messages(live, { after }), messages(live, { after })];
    await until(() => live.getState().status === "connected");
    network.cut();
    // Both subscriptions share each attempt to connect.
    await until(() => states.filter(({ status }) => status === "waiting").length === 4);
    assert.deepEqual(statuses(), ["connecting", "connected", ...Array(3).fill(["waiting", "connecting"]).flat(), "waiting"]);
    const lost = states.slice(2);
    assert.equal(new Set(lost.map(({ since }) => since)).size, 1, "since when the connection is lost");
    const delays = lost.filter(({ retryAt }) => retryAt).map(({ retryAt = 0, at }) => retryAt - at);
    for (const [failures, delay] of delays.entries()) assert.ok(delay > 100 * 2 ** failures, `delay ${failures} is ${delay} ms`);
    network.restore();
    browser.dispatchEvent(new Event("online"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(live.getState().status, "connecting", "it does not wait");
    await until(() => live.getState().status === "connected");
    const body = await send(unamused);
    await until(() => subscriptions.every(({ received }) => received.at(-1) === body));
    browser.dispatchEvent(new Event("offline"));
    assert.equal(live.getState().status, "waiting");
    for (const { leave } of subscriptions) leave();
    live.dispose();
    network.close();
  });

  await step("an address can be relative to the page", async () => {
    Object.assign(globalThis, { location: { href: new URL("/messages/1", places.graphql).href } });
    const { live, url, fetch } = connectApi({ url: "/graphql", token: async () => token("luu") });
    assert.equal(url, places.graphql);
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: '{"query":"{ viewer { handle } }"}' });
    assert.deepEqual(await response.json(), { data: { viewer: { handle: "luu" } } });
    const { leave } = messages(live);
    await until(() => live.getState().status === "connected");
    leave();
  });

  await step("waits when messages are sent faster than the rate limit, and sends each once", async () => {
    const retries: Retry[] = [];
    const limited = await startServe(process.env.CRUDDUR_PROGRAM, dev.places, ["--send-rate", "1", "--send-burst", "2"]);
    const api = connectApi({ url: limited.graphql, token: async () => token("quill"), onRetry: (retry) => retries.push(retry) });
    const bodies = await Promise.all(
      Array.from({ length: 5 }, async (_, index) => {
        const input = { to: { receiverHandle: "tove" }, body: `fast ${index}`, idempotencyKey: newKey() };
        const headers = { "content-type": "application/json" };
        const response = await api.fetch(api.url, { method: "POST", headers, body: JSON.stringify(payloadOf(CreateMessage, { input })) });
        const { data } = await response.json();
        return data.createMessage.messageEdge.node.body;
      }),
    );
    assert.equal(new Set(bodies).size, 5);
    await limited.stop();
    assert.ok(retries.length > 0);
    const [retry] = retries;
    assert.deepEqual([retry?.code, retry?.operationName], ["RATE_LIMITED", "CreateMessage"]);
  });

  await step("an outbox sends a message again after a reload, with the same key, and the server stores it once", async () => {
    const stored = new Map<string, string>();
    const storage = { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, value: string) => stored.set(key, value) };
    Object.assign(globalThis, { sessionStorage: storage });
    const keys: string[] = [];
    const sent: string[] = [];
    const outbox = (isReloaded: boolean) =>
      new Outbox({
        viewerUuid: "luu",
        async send({ to, body, idempotencyKey }) {
          keys.push(idempotencyKey);
          const { createMessage } = await ask(luu, CreateMessage, { input: { to, body, idempotencyKey } });
          assert.equal(createMessage.__typename, "CreateMessageSuccess");
          const { messageEdge, messageGroupEdge } = createMessage;
          sent.push(messageEdge.node.uuid);
          // The page is reloaded before the response arrives.
          if (!isReloaded) await new Promise(() => {});
          return { kind: "sent", messageGroupUuid: messageGroupEdge.node.uuid };
        },
        onRejected: () => assert.fail("the message is accepted"),
        onSent: () => {},
      });
    outbox(false).add(group, "before a reload");
    await until(() => sent.length === 1);
    const reloaded = outbox(true);
    await until(() => reloaded.messages().length === 0);
    assert.deepEqual(keys, [keys[0], keys[0]]);
    assert.deepEqual(sent, [sent[0], sent[0]]);
  });

  await step("fails with a code, for good", async () => {
    const { live } = connectApi({ url: places.graphql, token: async () => token("luu") });
    const wrong = messages(live, { after: "not a cursor" });
    await until(() => wrong.ends.length > 0);
    assert.equal(codeOf(wrong.ends), "BAD_USER_INPUT");
  });
} finally {
  await dev.stop();
  rmSync(folder, { recursive: true, force: true });
}

await step("goes on where it was after UNAVAILABLE, and reports after RESYNC that events are lost", async () => {
  const event = { messageCreated: { cursor: "c1", messageEdge: { node: { body: "one" } } } };
  const failed = (code: string) => ({ data: null, errors: [{ message: code, extensions: { code, retryAfterMs: 10 } }] });
  // The responses to consecutive subscriptions.
  const answers = [[{ data: event }, failed("UNAVAILABLE")], [failed("RESYNC")], []];
  const afters: unknown[] = [];
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "graphql-transport-ws" });
  server.on("connection", (socket) => {
    socket.on("message", (text) => {
      const { type, id, payload } = JSON.parse(String(text));
      if (type === "connection_init") socket.send('{"type":"connection_ack"}');
      if (type === "ping") socket.send(JSON.stringify({ type: "pong", payload }));
      if (type !== "subscribe") return;
      afters.push(payload.variables.after);
      const answer = answers[afters.length - 1] ?? [];
      for (const payload of answer) socket.send(JSON.stringify({ type: "next", id, payload }));
      if (answer.length) socket.send(JSON.stringify({ type: "complete", id }));
    });
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stale: string[] = [];
  const { live } = connectApi({ url, token: async () => "token" });
  live.onStale((name) => stale.push(name));
  const { received, ends, leave } = messages(live);
  await until(() => stale.length === 1);
  assert.deepEqual(stale, ["MessageCreated"]);
  assert.deepEqual([afters, received, ends], [[undefined, "c1", undefined], ["one"], []]);
  leave();
  server.close();
});
