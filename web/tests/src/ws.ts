// graphql-ws by itself, and the subscriptions of `live.ts` that go on without a gap.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
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
import { liveClient, type Token } from "@cruddur/client";
import { networkTo } from "./network";
import {
  CreateMessage,
  MarkMessageGroupRead,
  MessageCreated,
  MessageGroup,
  MessageGroupUpdated,
  Receiver,
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

// What a subscription tells.
function heard<Data, Variables, Told>(client: Client, document: Document<Data, Variables>, variables: Variables, of: (data: Data) => Told) {
  const told: Told[] = [];
  const ends: unknown[] = [];
  const leave = client.subscribe<Data>(payloadOf(document, variables), {
    next: ({ data, errors }) => (data && !errors ? told.push(of(data)) : ends.push(errors)),
    error: (cause) => ends.push(cause),
    complete: () => ends.push("complete"),
  });
  return { told, ends, leave };
}
const messages = (client: Client, variables: MessageCreatedSubscriptionVariables = {}) =>
  heard(client, MessageCreated, variables, ({ messageCreated }) => messageCreated.messageEdge.node.body);
// The code of the error that ended a subscription.
const codeOf = ([errors]: unknown[]) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

// A server that comes back with the same data, to the same addresses.
interface Dev {
  places: Places & { issuer: string };
  stop: () => Promise<void>;
}
const { startDev } = await import(new URL("../../../../tests/http/dev.mjs", import.meta.url).href);
const folder = mkdtempSync(join(tmpdir(), "cruddur-clients-"));
// As root, PostgreSQL runs as somebody else.
chmodSync(folder, 0o711);
const [api, issuer] = [await freePort(), await freePort()];
const start = (): Promise<Dev> =>
  startDev(process.env.CRUDDUR_PROGRAM, ["--data-dir", join(folder, "data"), "--listen", `127.0.0.1:${api}`, "--issuer-port", issuer]);

const shortened = (token: string, seconds: number) => endingIn(seconds, token, join(folder, "data/issuer-key.pem"));

let dev = await start();
const { places } = dev;
const token = (handle: string) => tokenOf(handle, places);
const luu = socketOf(places.graphql, token("luu"));
const unamused = socketOf(places.graphql, token("unamused"));

const { user } = await ask(luu, Receiver, { handle: "unamused" });
const uuid = user?.messageGroup?.uuid;
assert.ok(uuid);
const group = { messageGroupUuid: uuid };
let sent = 0;
// A message with a number, from either of the two.
async function send(client: Client, to: { messageGroupUuid: string } | { receiverHandle: string } = group): Promise<string> {
  const body = `message ${(sent += 1)}`;
  const { createMessage } = await ask(client, CreateMessage, { input: { to, body, idempotencyKey: newKey() } });
  assert.equal(createMessage.__typename, "CreateMessageSuccess");
  return body;
}
// When a subscription without a cursor has begun is not told.
const begun = () => new Promise((resolve) => setTimeout(resolve, 1000));

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
    const [ours, theirs, strangers] = [messages(luu), messages(unamused), messages(socketOf(places.graphql, token("tove")))];
    const ofOthers = messages(luu, { messageGroupUuid: "00000000-0000-0000-0000-000000000000" });
    await begun();
    const expected = [await send(unamused), await send(luu), await send(unamused)];
    await until(() => ours.told.length === 3 && theirs.told.length === 3);
    assert.deepEqual([ours.told, theirs.told], [expected, expected]);
    assert.deepEqual(strangers.told, []);
    assert.deepEqual(ofOthers.told, []);
    assert.equal(codeOf(ofOthers.ends), "BAD_USER_INPUT");
    for (const { leave } of [ours, theirs, strangers]) leave();
  });

  await step("goes on behind the newest message that is shown", async () => {
    const { messageGroup } = await ask(luu, MessageGroup, { uuid });
    const after = messageGroup?.messages.edges.at(-1)?.cursor;
    const expected = [await send(unamused), await send(luu)];
    const { told, leave } = messages(luu, { ...group, after });
    await until(() => told.length === 2);
    expected.push(await send(unamused));
    await until(() => told.length === 3);
    assert.deepEqual(told, expected);
    leave();
  });

  await step("is told what others of one's devices have read, and the newest state alone", async () => {
    const live = liveClient({ url: places.graphql, token: async () => token("luu"), reread: () => {} });
    const { told, leave } = heard(live, MessageGroupUpdated, {}, ({ messageGroupUpdated }) => messageGroupUpdated);
    await begun();
    await send(unamused);
    await until(() => (told.at(-1)?.messageGroup.unreadCount ?? 0) > 0);
    const { messageGroup } = await ask(luu, MessageGroup, { uuid });
    const upTo = messageGroup?.messages.edges.at(-1)?.cursor ?? "";
    await ask(luu, MarkMessageGroupRead, { input: { ...group, upTo } });
    await until(() => told.at(-1)?.messageGroup.unreadCount === 0);
    const versions = told.map(({ version }) => version);
    assert.deepEqual(versions, versions.toSorted((a, b) => a - b));
    leave();
  });

  const network = await networkTo(places.graphql);
  const rereads: string[] = [];
  let given = 0;
  const tokens = [token("luu")];
  const live = liveClient({
    url: network.url,
    token: async () => tokens[Math.min(given++, tokens.length - 1)] ?? "",
    reread: (name) => rereads.push(name),
    pingEvery: 200,
  });
  const { told, ends, leave } = messages(live);
  const expected: string[] = [];
  const all = async () => {
    await until(() => told.length >= expected.length);
    assert.deepEqual(told, expected);
  };

  await step("reads again once it has begun, since it knows nothing of before", async () => {
    await until(() => rereads.length === 1);
    expected.push(await send(unamused));
    await all();
  });

  await step("comes back when the network is cut, and has missed nothing", async () => {
    network.cut();
    expected.push(await send(unamused), await send(luu), await send(unamused, { receiverHandle: "luu" }));
    network.mend();
    expected.push(await send(unamused));
    await all();
  });

  await step("comes back when the network falls silent, and has missed nothing", async () => {
    network.silence();
    expected.push(await send(unamused), await send(luu));
    await all();
  });

  await step("comes back by itself when the server stops and starts again, and has missed nothing", async () => {
    const closed = new Promise<unknown>((resolve) => luu.on("closed", resolve));
    const { leave: held } = messages(luu);
    await begun();
    expected.push(await send(unamused));
    await dev.stop();
    assert.equal(((await closed) as CloseEvent).code, 1001);
    held();
    dev = await start();
    expected.push(await send(unamused), await send(luu));
    await all();
  });

  await step("comes back with a new token at the end of one, and has missed nothing", async () => {
    let code: number | undefined;
    live.on("closed", (event) => (code = (event as CloseEvent).code));
    tokens.splice(0, tokens.length, shortened(token("luu"), 3), token("luu"));
    given = 0;
    network.cut();
    network.mend();
    await until(() => given === 1);
    expected.push(await send(unamused));
    await all();
    await until(() => code === 4401);
    expected.push(await send(unamused), await send(luu));
    await all();
    assert.equal(given, 2);
  });
  assert.deepEqual([rereads, ends], [["MessageCreated"], []]);
  leave();
  network.close();

  await step("is refused with a bad token, for good", async () => {
    const asked: unknown[] = [];
    const bad: Token = async (options) => {
      asked.push(options?.forceRefresh);
      return "bad";
    };
    const refused = messages(liveClient({ url: places.graphql, token: bad, reread: () => {} }));
    await until(() => refused.ends.length === 1);
    assert.equal((refused.ends[0] as CloseEvent).code, 4403);
    assert.deepEqual(asked, [false, true], "a new token is tried once");
  });

  await step("comes back with a new token when the one that it has is refused", async () => {
    const expired = shortened(token("luu"), -3600);
    const renewing: Token = async (options) => (options?.forceRefresh ? token("luu") : expired);
    const { told, ends, leave } = messages(liveClient({ url: places.graphql, token: renewing, reread: () => {} }));
    await begun();
    const body = await send(unamused);
    await until(() => told.length === 1);
    assert.deepEqual([told, ends], [[body], []]);
    leave();
  });

  await step("fails with a code, for good", async () => {
    const wrong = messages(liveClient({ url: places.graphql, token: async () => token("luu"), reread: () => {} }), { after: "not a cursor" });
    await until(() => wrong.ends.length > 0);
    assert.equal(codeOf(wrong.ends), "BAD_USER_INPUT");
  });
} finally {
  await dev.stop();
  rmSync(folder, { recursive: true, force: true });
}

await step("goes on where it was after UNAVAILABLE, and reads again after RESYNC", async () => {
  const event = { messageCreated: { cursor: "c1", messageEdge: { node: { body: "one" } } } };
  const failed = (code: string) => ({ data: null, errors: [{ message: code, extensions: { code, retryAfterMs: 10 } }] });
  // What is answered to one subscription after the other.
  const answers = [[{ data: event }, failed("UNAVAILABLE")], [failed("RESYNC")], []];
  const afters: unknown[] = [];
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "graphql-transport-ws" });
  server.on("connection", (socket) => {
    socket.on("message", (text) => {
      const { type, id, payload } = JSON.parse(String(text));
      if (type === "connection_init") socket.send('{"type":"connection_ack"}');
      if (type !== "subscribe") return;
      afters.push(payload.variables.after);
      const answer = answers[afters.length - 1] ?? [];
      for (const payload of answer) socket.send(JSON.stringify({ type: "next", id, payload }));
      if (answer.length) socket.send(JSON.stringify({ type: "complete", id }));
    });
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let rereads = 0;
  const { told, ends, leave } = messages(liveClient({ url, token: async () => "", reread: () => (rereads += 1) }));
  await until(() => rereads === 1);
  assert.deepEqual([afters, told, ends], [[undefined, "c1", undefined], ["one"], []]);
  leave();
  server.close();
});
