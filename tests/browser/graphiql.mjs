// GraphiQL as served by `dev`, and by `serve`.
//
// Usage: node graphiql.mjs <cruddur program> [file for a picture]
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { serveEnvironment, startDev } from "../http/dev.mjs";
import { launchBrowser, TIMEOUT, until } from "./harness.mjs";

const [program, picture] = process.argv.slice(2);

// Opens a page. A request to another origin and any console error is a failure.
async function openPage(browser, url) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(TIMEOUT);
  const page = await context.newPage();
  const faults = [];
  const { origin } = new URL(url);
  const answers = new Map();
  await context.route("**/*", (route) => {
    const asked = new URL(route.request().url());
    if (asked.origin === origin) {
      const answer = answers.get(asked.pathname);
      answers.delete(asked.pathname);
      return answer ? route.fulfill(answer) : route.continue();
    }
    faults.push(`asked for ${asked}`);
    return route.abort();
  });
  page.on("console", (message) => {
    // Some errors are reported only as warnings.
    const isError = message.type() === "error" || /Error|resolve/.test(message.text());
    if (isError) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== new URL(url).host) faults.push(`connected to ${socket.url()}`);
  });
  const tokens = [];
  page.on("response", async (response) => {
    if (!response.url().endsWith("/session/token") || !response.ok()) return;
    // If the page is closed before the body has arrived, the body can't be read. The faults are not checked after that.
    await response.json().then(
      ({ access_token }) => tokens.push(access_token),
      (error) => faults.push(String(error)),
    );
  });
  const began = performance.now();
  await page.goto(url);
  await page.locator(".graphiql-query-editor .view-line").first().waitFor();
  const ready = Math.round(performance.now() - began);
  // Pending requests are discarded.
  const close = async () => {
    await context.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  };
  return { page, faults, ready, answers, tokens, close };
}

// The response to an operation. Others, such as introspection, can be on their way at the same time.
const responseTo = (page, operation) =>
  page.waitForResponse((response) => {
    const body = new URL(response.url()).pathname === "/graphql" && response.request().postDataJSON();
    return body?.operationName === operation;
  });
const execute = async (page, operation) => {
  const answered = responseTo(page, operation);
  await page.locator("button.graphiql-execute-button").click();
  const answer = await (await answered).json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer));
  return answer;
};
const tab = (page, name) => page.locator(".graphiql-tab-button").getByText(name, { exact: true }).click();

// Checks that no token is stored or visible anywhere.
async function assertNoToken(page, tokens) {
  const kept = await page.evaluate(async () =>
    JSON.stringify([
      { ...localStorage },
      { ...sessionStorage },
      document.cookie,
      location.href,
      history.state,
      await indexedDB.databases(),
      await caches.keys(),
    ]),
  );
  assert.ok(tokens.length && tokens.every((token) => token.startsWith("eyJ")), "the tokens are known");
  for (const token of tokens) assert.ok(!kept.includes(token), `a token is kept: ${kept}`);
  assert.ok(!kept.includes("eyJ"), kept);
  assert.ok(kept.endsWith(",[],[]]"), `databases or caches are kept: ${kept}`);
}

// Sends a message as a user, without a browser.
async function say(places, handle, receiverHandle, body) {
  const query = `mutation ($input: CreateMessageInput!) {
    createMessage(input: $input) { ... on CreateMessageSuccess { messageEdge { node { uuid } } } }
  }`;
  const response = await fetch(places.graphql, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${places.tokens[handle]}` },
    body: JSON.stringify({ query, variables: { input: { to: { receiverHandle }, body } } }),
  });
  const { data } = await response.json();
  return data.createMessage.messageEdge.node.uuid;
}

// Subscribes in the open tab. Resolves when the browser has sent the subscription.
async function subscribe(page) {
  // Registered immediately, because the message may be sent at once.
  const asked = new Promise((resolve) =>
    page.once("websocket", (socket) =>
      socket.on("framesent", ({ payload }) => {
        if (String(payload).includes('"subscribe"')) resolve(socket);
      }),
    ),
  );
  await page.locator("button.graphiql-execute-button").click();
  const socket = await asked;
  assert.ok(!socket.url().includes("eyJ"), "a token is in the address");
  return socket;
}

// As unamused, receives messages of luu; then as luu, messages of unamused.
async function liveInGraphiql(page, places) {
  // No message states that the server has received the subscription: the first message can be earlier.
  const heard = (sender, receiver, text) =>
    until(async () => {
      await say(places, sender, receiver, text);
      const shown = page.locator(".graphiql-response", { hasText: text }).waitFor({ timeout: 3000 });
      return shown.then(() => true, () => false);
    }, `${text} is shown`);
  const isRunning = page.getByRole("button", { name: "Stop query" });
  await tab(page, "MessageCreated");
  const theirs = await subscribe(page);
  await heard("luu", "unamused", "heard as it is said");
  await heard("unamused", "luu", "and one's own");

  const hungUp = theirs.isClosed() || theirs.waitForEvent("close");
  await page.locator(".cruddur-session select").selectOption("luu");
  await hungUp;
  await isRunning.waitFor({ state: "detached" });
  await switchEnded(page);
  const ours = await subscribe(page);
  await heard("unamused", "luu", "heard by the other");
  const left = ours.isClosed() || ours.waitForEvent("close");
  await isRunning.click();
  await left;

  await tab(page, "MarkMessageGroupRead");
  const { data } = await execute(page, "MarkMessageGroupRead");
  assert.ok(data.markMessageGroupRead.messageGroup.uuid);
  await tab(page, "Messages");
}

// The message that the browser logs for a response.
const reported = (status, text) => `Failed to load resource: the server responded with a status of ${status} (${text})`;

// Waits until a switch of users has ended. By then, the page has started the query again as the new user.
const switchEnded = (page) => page.waitForFunction(() => !document.querySelector(".cruddur-session select").disabled);

// The displayed user is the current user, even if sign-in is slow or fails.
async function switchThatFails(page, faults, answers) {
  const select = page.locator(".cruddur-session select");
  const before = await select.inputValue();
  const answer = { status: 500, contentType: "application/json", body: '{"error": "out of order"}' };
  answers.set("/graphiql/session/token", answer);
  await select.selectOption("tove");
  await page.getByRole("alert").getByText("out of order").waitFor();
  assert.equal(await select.inputValue(), before);
  await until(() => faults.length, "the browser logs the response");
  assert.deepEqual(faults.splice(0), [reported(500, "Internal Server Error")]);

  let goOn;
  const held = new Promise((resolve) => (goOn = resolve));
  await page.route("**/session/token", async (route) => {
    await held;
    await route.continue();
  }, { times: 1 });
  await select.selectOption("tove");
  assert.ok(await select.isDisabled(), "no other user can be selected meanwhile");
  const answered = responseTo(page, "Messages");
  goOn();
  const { data } = await (await answered).json();
  // The example uses a group of tove, in which luu has just sent a message.
  assert.equal(data.messages.edges.at(-1).node.sender.handle, "luu");
  await switchEnded(page);
  assert.equal(await select.inputValue(), "tove");
  await select.selectOption(before);
  await switchEnded(page);
}

async function prettify(page) {
  await page.getByRole("button", { name: "New tab" }).click();
  await page.locator(".graphiql-query-editor .view-lines").click();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.insertText("query   Q{viewer{handle   displayName}}");
  await page.getByRole("button", { name: /Prettify/ }).click();
  await page.locator(".graphiql-query-editor .view-lines .view-line").nth(4).waitFor();
}

async function signedInByDev(browser, places) {
  const { page, faults, ready, answers, tokens, close } = await openPage(browser, places.graphiql);
  assert.equal(await page.locator(".cruddur-session select").inputValue(), "luu");

  await tab(page, "MessageGroups");
  let { data } = await execute(page, "MessageGroups");
  const others = data.messageGroups.edges.map(({ node }) => node.otherUser.handle);
  assert.deepEqual(others, ["unamused", "mirabel"]);

  await tab(page, "Messages");
  ({ data } = await execute(page, "Messages"));
  assert.equal(data.messages.edges.length, 20);
  assert.equal(data.messages.pageInfo.hasPreviousPage, true);

  await tab(page, "CreateMessageInGroup");
  ({ data } = await execute(page, "CreateMessageInGroup"));
  const { uuid } = data.createMessage.messageEdge.node;

  await tab(page, "CreateMessageTo");
  ({ data } = await execute(page, "CreateMessageTo"));
  assert.equal(data.createMessage.messageGroupEdge.node.otherUser.displayName, "Tove Lind");
  await page.locator(".graphiql-response", { hasText: "Tove" }).waitFor();

  // A mutation is not sent again as another user.
  let sent = 0;
  page.on("request", (request) => {
    if (request.postData()?.includes("mutation")) sent += 1;
  });
  const switched = page.waitForResponse((response) => response.url().endsWith("/session/token"));
  await page.locator(".cruddur-session select").selectOption("oddvar");
  await switched;
  // Otherwise, the query of the next tab would also run as oddvar.
  await switchEnded(page);

  // The other participant of the same group, with the new message.
  await tab(page, "Messages");
  const answered = responseTo(page, "Messages");
  await page.locator(".cruddur-session select").selectOption("unamused");
  ({ data } = await (await answered).json());
  assert.equal(sent, 0, "a switch of users sends no mutation");
  const last = data.messages.edges.at(-1).node;
  assert.equal(last.uuid, uuid);
  assert.equal(last.sender.handle, "luu");
  await page.locator(".graphiql-response", { hasText: "messages" }).waitFor();

  await liveInGraphiql(page, places);

  // An expired token is renewed transparently.
  const expired = { status: 401, contentType: "application/json", body: '{"errors": [{"message": "expired"}]}' };
  answers.set("/graphql", expired);
  const renewed = page.waitForResponse((response) => response.url().endsWith("/session/token"));
  const executed = page.waitForResponse((response) => new URL(response.url()).pathname === "/graphql" && response.status() === 200);
  await page.locator("button.graphiql-execute-button").click();
  await Promise.all([renewed, executed]);
  await until(() => faults.length, "the browser logs the response");
  assert.deepEqual(faults.splice(0), [reported(401, "Unauthorized")]);

  await switchThatFails(page, faults, answers);

  // Documentation.
  await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
  const explorer = page.locator(".graphiql-plugin");
  await explorer.getByText("Query", { exact: true }).click();
  await explorer.getByText("messageGroups", { exact: true }).first().click();
  await explorer.getByText("most recently active first").first().waitFor();
  if (picture) await page.screenshot({ path: picture });

  await prettify(page);

  // A field name is completed.
  await page.getByRole("button", { name: "New tab" }).click();
  await page.locator(".graphiql-query-editor .view-lines").click();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("{ viewer { displ", { delay: 30 });
  // The editor has no suggestions until its worker has the schema.
  const suggestion = page.locator(".suggest-widget .monaco-list-row", { hasText: "displayName" }).first();
  await until(async () => {
    await page.keyboard.press("Control+Space");
    return suggestion.waitFor({ timeout: 5000 }).then(() => true, () => false);
  }, "displayName is suggested");
  await suggestion.click();
  await page.locator(".graphiql-query-editor .view-lines", { hasText: /displayName/ }).waitFor();

  await assertNoToken(page, [...tokens, ...Object.values(places.tokens)]);
  assert.deepEqual(faults, []);
  await close();
  return ready;
}

async function serve(places) {
  const environment = serveEnvironment(places);
  const serving = spawn(program, ["serve", "--graphiql", "on", "--listen", "127.0.0.1:0"], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const lines = createInterface({ input: serving.stderr });
  for await (const line of lines) {
    const address = line.match(/serving.*?(127\.0\.0\.1:\d+)/);
    if (address) return { url: `http://${address[1]}/graphiql`, stop: () => serving.kill("SIGTERM") };
  }
  throw new Error("serve does not serve");
}

async function withAnEnteredToken(browser, places) {
  const { url, stop } = await serve(places);
  try {
    const { page, faults, close } = await openPage(browser, url);
    // Without a token, introspection is rejected, which the browser logs.
    const expected = reported(401, "Unauthorized");
    await page.getByLabel("Access token").fill("no’token");
    await page.getByRole("button", { name: "Use" }).click();
    await page.getByRole("alert").getByText("only ASCII").waitFor();
    await page.getByLabel("Access token").fill("nobodys");
    await page.getByRole("button", { name: "Use" }).click();
    await tab(page, "MessageCreated");
    await page.locator("button.graphiql-execute-button").click();
    await page.locator(".graphiql-response", { hasText: "Sign in, and run the subscription again" }).waitFor();
    await page.getByLabel("Access token").fill(places.tokens.mirabel);
    await page.getByRole("button", { name: "Use" }).click();
    await tab(page, "Messages");
    await page.waitForFunction(() => /messageGroupUuid":\s*"(?!0000)[0-9a-f]/.test(document.body.textContent));
    const shown = await execute(page, "Messages");
    assert.ok(shown.data.messages.edges.length, "the example is of one's own group");
    await tab(page, "MessageGroups");
    const { data } = await execute(page, "MessageGroups");
    assert.deepEqual(
      data.messageGroups.edges.map(({ node }) => node.otherUser.handle),
      ["luu"],
    );
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.locator(".graphiql-plugin").getByText("Query", { exact: true }).waitFor();
    await assertNoToken(page, Object.values(places.tokens));
    assert.deepEqual(faults.filter((fault) => fault !== expected), []);
    const { origin } = new URL(url);
    assert.equal((await fetch(origin)).status, 404, "only in dev does / lead there");
    assert.equal((await fetch(`${origin}/graphiql/session/token`, { method: "POST" })).status, 404);
    await close();
  } finally {
    stop();
  }
}

const { places, stop } = await startDev(program);
const browser = await launchBrowser();
try {
  const ready = await signedInByDev(browser, places);
  console.log(`GraphiQL of dev: ready to type ${ready} ms after the request`);
  await withAnEnteredToken(browser, places);
  console.log("GraphiQL of serve: with a token of one's own");
} finally {
  await browser.close();
  stop();
}
