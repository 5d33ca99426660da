// Tests the web app with two users.
//
// Usage: node app.mjs <cruddur program> [folder for pictures]
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import axe from "axe-core";
import { serveEnvironment, startDev } from "../http/dev.mjs";
import { addGroups, addMessages, api, endingIn, freePort } from "./fixtures.mjs";
import { launchBrowser, TIMEOUT, until } from "./harness.mjs";

const [program, pictures] = process.argv.slice(2);
// Timeout of waits that can take long on a busy machine.
const LONG = 600_000;
const MOST_JAVASCRIPT = 160_000;

const began = performance.now();
const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
async function step(name, body) {
  try {
    await body();
  } catch (error) {
    error.message = `${name}: ${error.message}`;
    throw error;
  }
  console.log(`  ${name} (${seconds()} s)`);
}

/** A browser window of one user, in which requests to other origins and errors of the console are faults. */
class Window {
  static async open(browser, places, handle, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
    context.setDefaultTimeout(TIMEOUT);
    const window = new Window();
    Object.assign(window, { browser, context, places, handle, faults: [], expected: [], pending: new Set() });
    const allowed = [new URL(places.app).origin, new URL(places.issuer).origin];
    // Playwright's routes are not used, because they disable the browser's cache.
    context.on("request", (request) => {
      if (!allowed.includes(new URL(request.url()).origin)) window.faults.push(`requested ${request.url()}`);
      window.pending.add(request);
    });
    for (const end of ["requestfinished", "requestfailed"]) context.on(end, (request) => window.pending.delete(request));
    context.on("weberror", (error) => window.faults.push(String(error.error())));
    window.page = await context.newPage();
    window.page.on("console", (message) => {
      if (message.type() !== "error") return;
      const text = message.text();
      if (!window.expected.some((pattern) => pattern.test(text))) window.faults.push(text);
    });
    window.page.on("websocket", (socket) => {
      if (new URL(socket.url()).host !== new URL(places.app).host) window.faults.push(`connected to ${socket.url()}`);
    });
    return window;
  }

  // Signs in at the issuer's page, which redirects back to the opened address.
  async signIn(path = "/messages") {
    // The page leads to the issuer before it is loaded, or later.
    await this.page.goto(new URL(path, this.places.app).href, { waitUntil: "commit" });
    await this.page.getByRole("button", { name: `@${this.handle}` }).or(this.page.getByRole("link", { name: `@${this.handle}` })).click();
    await this.page.waitForURL(new URL(path, this.places.app).href);
    await this.page.getByRole("button", { name: `Signed in as` }).waitFor();
  }

  goto(path) {
    return this.page.goto(new URL(path, this.places.app).href);
  }
  get groups() {
    return this.page.getByRole("navigation", { name: "Message groups" }).getByRole("link");
  }
  group(name) {
    return this.groups.filter({ hasText: name });
  }
  get field() {
    return this.page.getByRole("textbox", { name: /^Message to/ });
  }
  get list() {
    return this.page.getByRole("region", { name: /^Messages with/ });
  }
  message(text) {
    return this.page.locator("[data-message]").filter({ hasText: text });
  }
  get outgoing() {
    return this.page.locator("[data-outgoing]");
  }
  get banner() {
    return this.page.getByText("No connection. New messages appear when it is restored.");
  }
  async openGroup(name) {
    await this.group(name).click();
    // The field of the group that was open before can still be there.
    await this.page.getByRole("heading", { name }).waitFor();
    await this.field.waitFor();
  }
  async write(text) {
    await this.field.fill(text);
    await this.field.press("Enter");
  }
  async send(text) {
    await this.write(text);
    await this.message(text).waitFor();
  }
  // Notes from now on whether a text is in the page, even if it is there for one frame only.
  async watch(text) {
    await this.page.evaluate((text) => {
      const look = () => (globalThis.wasThere ||= document.body.textContent.includes(text));
      globalThis.wasThere = false;
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    }, text);
    return () => this.page.evaluate(() => globalThis.wasThere);
  }
  // The texts of the messages in the document, in order.
  texts() {
    return this.page.locator("[data-message] [dir=auto]").allTextContents();
  }
  // Whether the end of the list is visible.
  isAtEnd() {
    return this.list.evaluate((list) => list.scrollHeight - list.scrollTop - list.clientHeight < 30);
  }
  // Errors of the console that belong to a test.
  async expecting(patterns, body) {
    this.expected = patterns;
    try {
      await body();
    } finally {
      this.expected = [];
    }
  }
  async picture(name) {
    if (pictures) await this.page.screenshot({ path: join(pictures, `${name}.png`) });
  }
  // The page has no accessibility violation in either color scheme, and does not scroll horizontally.
  async check(name) {
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme });
      await this.page.evaluate(axe.source);
      const { violations } = await this.page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
      assert.deepEqual(found, [], `${name} in ${colorScheme} mode`);
      await this.picture(`${name}-${colorScheme}`);
    }
    await this.page.emulateMedia({ colorScheme: "light" });
    const { width } = this.page.viewportSize();
    assert.ok((await this.page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${name} fits into ${width} px`);
  }
  async close() {
    assert.deepEqual(this.faults, [], `${this.handle}: no errors in the console, no requests to other origins`);
    await this.context.unrouteAll({ behavior: "ignoreErrors" });
    await this.context.close();
  }
}

const LOST = [/ERR_(CONNECTION|INTERNET|NETWORK|EMPTY|ABORTED)/, /WebSocket connection to/];
const REJECTED = [/status of 401/];

async function signIn(luu, unamused) {
  await luu.signIn();
  await unamused.signIn();
  await luu.group("@unamused").waitFor();
  await luu.page.getByText("Choose a message group").waitFor();
  const stored = await luu.page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie]));
  assert.equal(stored, '[{},""]', "tokens are in the session storage only");
}

const ASKED = "The boat comes at ten. Shall I bring biscuits?";
const ANSWERED = "Two tins. The fog horn has heard about them.";
async function exchange(luu, unamused) {
  await luu.openGroup("@unamused");
  await until(() => luu.isAtEnd(), "the newest message is visible");
  const unread = async () => Number(/^\((\d+)\)/.exec(await unamused.page.title())?.[1] ?? 0);
  // The demo data have an unread message.
  await unamused.openGroup("@luu");
  await unamused.group("@luu").getByText("unread").waitFor({ state: "detached" });
  await unamused.goto("/messages");
  await unamused.groups.first().waitFor();
  const { unreadMessageGroupCount: before } = await api(luu.places, "unamused").request("{ unreadMessageGroupCount }");
  await until(async () => (await unread()) === before, "the title has the number of unread groups");

  await luu.send(ASKED);
  await unamused.group("@luu").getByText(ASKED).waitFor();
  await unamused.group("@luu").getByText("1 unread").waitFor();
  await until(async () => (await unread()) === before + 1, "the title has the number of unread groups");
  await unamused.openGroup("@luu");
  await unamused.message(ASKED).waitFor();
  await unamused.page.getByText(/^New since/).waitFor();
  await until(async () => (await unread()) === before, "a group is read once its newest message was visible");
  await unamused.group("@luu").getByText("unread").waitFor({ state: "detached" });

  await unamused.send(ANSWERED);
  await luu.message(ANSWERED).waitFor();
  await until(() => luu.isAtEnd(), "a new message is visible at once");
  await luu.page.getByRole("log").getByText(`Unamused: ${ANSWERED}`).waitFor({ state: "attached" });
  if (pictures) await bothWindows(luu, unamused);
}

// The image of the README: a wide and a narrow window side by side.
async function bothWindows(luu, unamused) {
  const images = [];
  for (const [window, width, colorScheme] of [[luu, 860, "light"], [unamused, 380, "dark"]]) {
    const size = window.page.viewportSize();
    await window.page.setViewportSize({ width, height: 640 });
    await window.page.emulateMedia({ colorScheme });
    await window.message(ANSWERED).waitFor();
    await until(() => window.isAtEnd(), "the newest message is visible");
    await window.page.evaluate(() => document.activeElement?.blur());
    images.push((await window.page.screenshot()).toString("base64"));
    await window.page.emulateMedia({ colorScheme: "light" });
    await window.page.setViewportSize(size);
  }
  const page = await luu.browser.newPage({ viewport: { width: 1340, height: 712 } });
  const style = "body{margin:0;display:flex;gap:28px;padding:36px;background:#dfe3ee}img{border-radius:14px;box-shadow:0 10px 30px #1a204038}";
  await page.setContent(`<style>${style}</style>${images.map((image) => `<img src="data:image/png;base64,${image}">`).join("")}`);
  await page.screenshot({ path: join(pictures, "messages.png") });
  await page.close();
}

async function texts(luu, unamused) {
  const sentAs = async (text) => {
    await luu.write(text);
    const shown = unamused.page.locator("[data-message] [dir=auto]").last();
    await until(async () => (await shown.textContent()) === text, `${text.slice(0, 20)} is shown as it was sent`);
    return shown;
  };
  await luu.field.pressSequentially("two");
  await luu.field.press("Shift+Enter");
  await luu.field.pressSequentially("lines");
  await luu.field.press("Enter");
  const lines = unamused.page.locator("[data-message] [dir=auto]").last();
  await until(async () => (await lines.innerText()) === "two\nlines", "a line break is preserved");

  await sentAs('<img src=x onerror="document.title=1"> <b>&amp;</b>');
  assert.equal(await unamused.page.locator("[data-message] img, [data-message] b").count(), 0);

  const hebrew = await sentAs("שלום, מה שלומך?");
  assert.equal(await hebrew.evaluate((element) => getComputedStyle(element).direction), "rtl");

  const link = (await sentAs("see https://example.com/a_(b)?c=d, or not")).getByRole("link");
  assert.equal(await link.getAttribute("href"), "https://example.com/a_(b)?c=d");
  assert.match(await link.getAttribute("rel"), /noopener noreferrer/);
  const script = await sentAs("javascript:alert(1) data:text/html,x");
  assert.equal(await script.getByRole("link").count(), 0);

  // 1024 emoji of seven code points each are too many characters, 146 of them are not.
  const family = "👨‍👩‍👧‍👦";
  await luu.field.fill(family.repeat(1024));
  await luu.page.getByText("6144 characters too many").waitFor();
  await luu.field.press("Enter");
  assert.ok(await luu.page.getByRole("button", { name: "Send" }).isDisabled());
  assert.equal(await luu.outgoing.count(), 0);
  await luu.field.fill(`${family.repeat(146)}ab`);
  await luu.page.getByText("0 characters left").waitFor();
  await sentAs(`${family.repeat(146)}ab`);
  // Emoji of one code point each.
  await sentAs("🪔".repeat(1024));
  await sentAs("x".repeat(1024));
  await luu.field.fill("x".repeat(1025));
  await luu.page.getByText("1 characters too many").waitFor();
  await luu.field.fill("   ");
  await luu.field.press("Enter");
  await luu.field.fill("");
}

async function drafts(luu) {
  await luu.field.fill("a draft to Unamused");
  await luu.openGroup("@mirabel");
  assert.equal(await luu.field.inputValue(), "");
  await luu.field.fill("a draft to Mirabel");
  await luu.openGroup("@unamused");
  assert.equal(await luu.field.inputValue(), "a draft to Unamused");
  await luu.page.reload();
  await luu.field.waitFor();
  assert.equal(await luu.field.inputValue(), "a draft to Unamused");
  await luu.field.fill("");
  await luu.openGroup("@mirabel");
  assert.equal(await luu.field.inputValue(), "a draft to Mirabel");
  await luu.field.fill("");
}

async function newMessages(luu, places) {
  const dialog = luu.page.getByRole("dialog", { name: "New message" });
  const begin = async (handle) => {
    await luu.page.getByRole("button", { name: "New message" }).click();
    await dialog.getByLabel("Handle of the receiver").fill(handle);
    await dialog.getByRole("button", { name: "Continue" }).click();
  };
  await luu.page.getByRole("button", { name: "New message" }).click();
  await luu.check("dialog");
  await luu.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });

  await begin("nobody-at-all");
  await luu.page.getByRole("heading", { name: "No user has the handle @nobody-at-all" }).waitFor();
  await luu.check("unknown-handle");
  await begin("luu");
  await luu.page.getByRole("heading", { name: "This is you" }).waitFor();
  await luu.check("own-handle");

  // A group that exists.
  await begin("@unamused");
  await luu.page.waitForURL(/\/messages\/[0-9a-f-]{36}$/);
  await luu.message("x".repeat(100)).waitFor();

  // No user has sent this user a message yet.
  await begin("tove");
  await luu.page.getByText("This is the beginning of your messages with @tove.").waitFor();
  await luu.check("new-message");
  await luu.write("hello, Tove");
  await luu.page.waitForURL(/\/messages\/[0-9a-f-]{36}$/);
  await luu.message("hello, Tove").waitFor();
  await until(async () => (await luu.groups.first().textContent()).includes("Tove"), "the new group is at the top");
  assert.equal(await luu.message("hello, Tove").count(), 1);

  // The other user writes first while this page is open.
  await begin("quill");
  await luu.page.getByText("This is the beginning of your messages with @quill.").waitFor();
  await api(places, "quill").send({ receiverHandle: "luu" }, "Quill was faster");
  await luu.page.waitForURL(/\/messages\/[0-9a-f-]{36}$/);
  await luu.message("Quill was faster").waitFor();
}

async function absentGroups(luu, places) {
  const foreign = await api(places, "oddvar").send({ receiverHandle: "mirabel" }, "between others");
  for (const uuid of ["00000000-0000-4000-8000-000000000000", foreign.groupUuid, "not-a-uuid"]) {
    await luu.goto(`/messages/${uuid}`);
    await luu.page.getByRole("heading", { name: "There is no such message group" }).waitFor();
  }
  await luu.check("absent-group");
  await luu.goto("/messages/a/b/c");
  await luu.page.waitForURL(/\/messages$/);
}

// Responds to the next request that creates a message, in place of the server.
function answerNextSend(luu, answer) {
  let isAnswered = false;
  return luu.page.route("**/graphql", (route) => {
    if (isAnswered || !route.request().postData()?.includes('"CreateMessage"')) return route.fallback();
    isAnswered = true;
    return answer(route);
  });
}
const errorWith = (extensions, message = "failed") => ({
  status: 200,
  contentType: "application/graphql-response+json",
  body: JSON.stringify({ errors: [{ message, extensions }], data: null }),
});

async function failedMessages(luu, unamused) {
  const keys = [];
  luu.page.on("request", (request) => {
    const key = request.postData()?.includes('"CreateMessage"') && JSON.parse(request.postData()).variables.input.idempotencyKey;
    if (key) keys.push(key);
  });
  await luu.goto("/messages");
  await luu.openGroup("@unamused");

  const fail = (route) => route.fulfill(errorWith({ code: "INTERNAL_SERVER_ERROR" }));
  await answerNextSend(luu, fail);
  await luu.write("does not get through");
  await luu.outgoing.getByText("Not sent. The server could not complete the request.").waitFor();
  await luu.check("failed-message");
  await answerNextSend(luu, fail);
  await luu.outgoing.getByRole("button", { name: "Send again" }).click();
  await until(() => keys.length === 2, "it is sent again");
  await luu.outgoing.getByText("Not sent.").waitFor();
  // After a reload, the unsent message still exists, with its key.
  await luu.page.reload();
  await luu.outgoing.getByText("Not sent. The server could not complete the request.").waitFor();
  await luu.outgoing.getByRole("button", { name: "Send again" }).click();
  await luu.outgoing.waitFor({ state: "detached" });
  await unamused.message("does not get through").waitFor();
  assert.equal(new Set(keys).size, 1, "all attempts have one key");
  assert.equal(keys.length, 3);

  await answerNextSend(luu, fail);
  await luu.write("is deleted");
  await luu.outgoing.getByRole("button", { name: "Delete" }).click();
  await luu.outgoing.waitFor({ state: "detached" });

  // A rejection is shown beside the field, which contains the rejected text.
  const problem = { __typename: "MessageGroupNotFound", message: "There is no such message group." };
  await answerNextSend(luu, (route) =>
    route.fulfill({ ...errorWith({}), body: JSON.stringify({ data: { createMessage: problem } }) }),
  );
  await luu.write("is rejected");
  await luu.page.getByRole("alert").getByText("This message group does not exist any more.").waitFor();
  assert.equal(await luu.field.inputValue(), "is rejected");
  await luu.check("rejected-message");
  await luu.field.fill("");

  // The client waits until the rate limit allows the message.
  keys.length = 0;
  await answerNextSend(luu, (route) => route.fulfill(errorWith({ code: "RATE_LIMITED", retryAfterMs: 700 })));
  await luu.write("sent after the limit");
  await luu.write("sent after that");
  await luu.message("sent after that").waitFor();
  assert.deepEqual((await unamusedTexts(unamused, 2)), ["sent after the limit", "sent after that"]);
  assert.equal(keys.length, 3);
  assert.equal(keys[0], keys[1]);
}

async function unamusedTexts(unamused, count) {
  let shown = [];
  await until(async () => (shown = (await unamused.texts()).slice(-count)).at(-1) === "sent after that", "both have arrived");
  return shown;
}

async function reloadDuringSending(luu, unamused) {
  // The server has stored the message, but the page does not get the response.
  let arrived;
  const stored = new Promise((resolve) => (arrived = resolve));
  await answerNextSend(luu, async (route) => {
    await route.fetch();
    arrived();
  });
  await luu.write("sent during a reload");
  await stored;
  await luu.write("and behind it");
  await luu.page.reload();
  await luu.message("and behind it").waitFor();
  await luu.outgoing.first().waitFor({ state: "detached" });
  for (const window of [luu, unamused]) {
    await until(
      async () => (await window.texts()).slice(-2).join() === "sent during a reload,and behind it",
      `${window.handle} sees both once, in order`,
    );
  }
}

async function offline(luu, unamused, places) {
  await luu.expecting(LOST, async () => {
    await luu.context.setOffline(true);
    await luu.banner.waitFor();
    await luu.check("offline");
    await luu.write("written offline");
    await luu.write("written offline, too");
    await luu.outgoing.getByText("Waiting. No connection.").first().waitFor();
    await unamused.send("while the other is offline");
    await api(places, "mirabel").send({ receiverHandle: "luu" }, "from Mirabel meanwhile");
    await luu.context.setOffline(false);
    await luu.banner.waitFor({ state: "detached" });
    await luu.message("written offline, too").waitFor();
    await luu.outgoing.first().waitFor({ state: "detached" });
  });
  const expected = "while the other is offline,written offline,written offline, too";
  for (const window of [luu, unamused]) {
    await until(async () => (await window.texts()).slice(-3).join() === expected, `${window.handle} has all three, once and in order`);
  }
  await luu.group("@mirabel").getByText("from Mirabel meanwhile").waitFor();
}

async function restart(luu, unamused, server) {
  await luu.expecting(LOST, () =>
    unamused.expecting(LOST, async () => {
      await luu.send("before the stop");
      await server.kill();
      await luu.banner.waitFor();
      await unamused.banner.waitFor();
      for (const number of [1, 2, 3]) await luu.write(`during the stop ${number}`);
      await unamused.write("from the other side");
      await server.start();
      await luu.banner.waitFor({ state: "detached" });
      await unamused.banner.waitFor({ state: "detached" });
      await luu.outgoing.first().waitFor({ state: "detached" });
      await unamused.outgoing.first().waitFor({ state: "detached" });
      await unamused.send("after the start");
    }),
  );
  const since = (list) => list.slice(list.indexOf("before the stop"));
  let [ours, theirs] = [[], []];
  await until(async () => {
    [ours, theirs] = await Promise.all([luu.texts(), unamused.texts()]);
    return ours.at(-1) === "after the start" && since(ours).length >= 6 && since(ours).join() === since(theirs).join();
  }, "both have the same messages in the same order");
  assert.equal(since(ours).length, 6, "nothing is lost, and nothing is there twice");
  const numbers = since(ours).filter((text) => text.startsWith("during"));
  assert.deepEqual(numbers, [1, 2, 3].map((number) => `during the stop ${number}`));
}

async function scrolledUp(luu, unamused) {
  await luu.group("@unamused").getByText("unread").waitFor({ state: "detached" });
  await luu.list.hover();
  luu.pending.clear();
  const newestMessages = luu.page.getByRole("button", { name: "Newest messages" });
  await until(async () => {
    await luu.page.mouse.wheel(0, -600);
    return newestMessages.waitFor({ timeout: 3000 }).then(() => true, () => false);
  }, "the wheel scrolls back");
  // Once the earlier messages that are loaded meanwhile have their heights: the first visible row stays for 60 frames.
  const rest = () =>
    luu.list.evaluate(async (list, timeout) => {
      const visible = () => {
        const { top } = list.getBoundingClientRect();
        const rows = [...list.querySelectorAll("[data-message]")];
        const row = rows.find((row) => row.getBoundingClientRect().top > top + 20);
        return { uuid: row.dataset.message, y: row.getBoundingClientRect().y };
      };
      const end = performance.now() + timeout;
      for (let [frames, before] = [0, visible()]; ; frames += 1) {
        await new Promise(requestAnimationFrame);
        const now = visible();
        if (now.uuid !== before.uuid || now.y !== before.y) [frames, before] = [0, now];
        else if (frames === 60) return before;
        if (performance.now() > end) throw new Error("the list does not come to rest");
      }
    }, TIMEOUT);
  let before;
  await until(async () => {
    const isLoaded = luu.pending.size === 0;
    before = await rest();
    return isLoaded && luu.pending.size === 0;
  }, "no page is being loaded");
  const row = luu.page.locator(`[data-message="${before.uuid}"]`);
  await unamused.send("first while scrolled up");
  await unamused.send("second while scrolled up");
  const pill = luu.page.getByRole("button", { name: "2 new messages" });
  await pill.waitFor();
  await luu.check("scrolled-up");
  const after = await row.boundingBox();
  assert.ok(Math.abs(after.y - before.y) < 2, `the view does not move from ${before.y} to ${after.y}`);
  await luu.group("@unamused").getByText("2 unread").waitFor();
  await pill.click();
  await luu.message("second while scrolled up").waitFor();
  await until(() => luu.isAtEnd(), "the newest message is visible");
  await luu.group("@unamused").getByText("unread").waitFor({ state: "detached" });
  await luu.page.getByText(/^New since/).waitFor();
}

// A second window of the same user shows the same messages, and messages read there are read here.
async function secondWindow(luu, unamused) {
  const other = await Window.open(luu.browser, luu.places, "luu");
  await other.signIn();
  await other.openGroup("@unamused");
  await luu.openGroup("@mirabel");
  await other.send("from the second window");
  await luu.group("@unamused").getByText("from the second window").waitFor();
  await unamused.send("to both windows");
  await other.message("to both windows").waitFor();
  await luu.group("@unamused").getByText("to both windows").waitFor();
  await luu.group("@unamused").getByText("unread").waitFor({ state: "detached" });
  await luu.openGroup("@unamused");
  await luu.message("to both windows").waitFor();

  // A message that failed here is not the one with the same text from the other window.
  await answerNextSend(luu, (route) => route.fulfill(errorWith({ code: "INTERNAL_SERVER_ERROR" })));
  await luu.write("the same text");
  await luu.outgoing.getByText("Not sent.").waitFor();
  await other.send("the same text");
  await luu.message("the same text").waitFor();
  assert.equal(await luu.outgoing.count(), 1);
  await luu.outgoing.getByRole("button", { name: "Send again" }).click();
  for (const window of [luu, other, unamused]) {
    await until(async () => (await window.message("the same text").count()) === 2, `${window.handle} has both`);
  }
  await luu.outgoing.waitFor({ state: "detached" });

  // The event is here before the response to the mutation: the message is there once.
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await answerNextSend(luu, async (route) => {
    const response = await route.fetch();
    await held;
    await route.fulfill({ response });
  });
  await luu.write("the event is faster");
  await luu.message("the event is faster").waitFor();
  await luu.outgoing.waitFor({ state: "detached" });
  await luu.write("behind the slow response");
  answer();
  await other.message("behind the slow response").waitFor();
  await luu.outgoing.waitFor({ state: "detached" });
  assert.deepEqual((await luu.texts()).slice(-2), ["the event is faster", "behind the slow response"]);
  await other.close();
}

async function keyboard(luu, unamused) {
  const { page } = luu;
  await luu.goto("/messages");
  await luu.groups.first().waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent || document.activeElement?.ariaLabel);
  const tabTo = async (is, what) => {
    for (let presses = 0; presses < 30; presses += 1) {
      await page.keyboard.press("Tab");
      if (is((await focused()) ?? "")) return;
    }
    throw new Error(`Tab does not reach ${what}`);
  };
  await tabTo((text) => text === "Skip to the messages", "the skip link");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.id === "content");
  await luu.goto("/messages");
  await luu.groups.first().waitFor();

  await tabTo((text) => text.includes("L"), "the menu");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await luu.check("menu");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Sign out" }).waitFor({ state: "hidden" });

  await tabTo((text) => text === "New message", "the button for a new message");
  await page.keyboard.press("Enter");
  await page.keyboard.type("unamused");
  await page.keyboard.press("Enter");
  await luu.field.waitFor();
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
  await page.keyboard.type("by keyboard alone");
  await page.keyboard.press("Enter");
  await luu.message("by keyboard alone").waitFor();
  // The focus returns to the list of messages and moves through it.
  await page.keyboard.press("Shift+Tab");
  await until(async () => {
    await page.keyboard.press("PageUp");
    return !(await luu.isAtEnd());
  }, "PageUp scrolls");
  await until(async () => {
    await page.keyboard.press("End");
    return luu.isAtEnd();
  }, "End scrolls to the newest message");

  // The arrow keys move the focus from group to group.
  await luu.groups.first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const second = await luu.groups.nth(1).getAttribute("href");
  await page.waitForURL((url) => url.pathname === second);
  await unamused.message("by keyboard alone").waitFor();
}

// With messages in more groups than a cursor can hold, the server answers RESYNC to a subscription that resumes.
async function resync(browser, places) {
  const window = await Window.open(browser, places, "oddvar");
  const { page } = window;
  const [mirabel, quill] = [api(places, "mirabel"), api(places, "quill")];
  const mirabels = (await mirabel.send({ receiverHandle: "oddvar" }, "from Mirabel 0")).groupUuid;
  const quills = (await quill.send({ receiverHandle: "oddvar" }, "from Quill 0")).groupUuid;
  let resyncs = 0;
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => (resyncs += String(payload).includes('"RESYNC"'))));
  // Oddvar has already sent Mirabel a message.
  const fromMirabel = (last) => ["between others", ...Array.from({ length: last + 1 }, (_, number) => `from Mirabel ${number}`)];
  const shows = (texts) => until(async () => (await window.texts()).join() === texts.join(), texts.join());

  await window.signIn(`/messages/${mirabels}`);
  await window.message("from Mirabel 0").waitFor();
  await window.openGroup("@quill");
  assert.equal(resyncs, 0);
  await addGroups(places, await api(places, "oddvar").viewer(), 300, 60_000);
  await window.expecting(LOST, async () => {
    for (const number of [1, 2]) {
      // The cursor of this event is not complete.
      await quill.send({ messageGroupUuid: quills }, `from Quill ${2 * number - 1}`);
      await window.message(`from Quill ${2 * number - 1}`).waitFor();
      await window.context.setOffline(true);
      await window.banner.waitFor();
      // For the list that is open, and for one that is not.
      await quill.send({ messageGroupUuid: quills }, `from Quill ${2 * number}`);
      await mirabel.send({ messageGroupUuid: mirabels }, `from Mirabel ${number}`);
      await window.context.setOffline(false);
      await window.message(`from Quill ${2 * number}`).waitFor();
      await until(() => resyncs >= number, "the server answers RESYNC");
      await window.group("@mirabel").getByText(`from Mirabel ${number}`).waitFor();
    }
  });
  await quill.send({ messageGroupUuid: quills }, "from Quill 5");
  await shows([0, 1, 2, 3, 4, 5].map((number) => `from Quill ${number}`));
  await mirabel.send({ messageGroupUuid: mirabels }, "from Mirabel 3");
  await window.group("@mirabel").getByText("from Mirabel 3").waitFor();
  await window.openGroup("@mirabel");
  await shows(fromMirabel(3));
  // A page that starts with too many groups is up to date as well.
  await page.reload();
  await shows(fromMirabel(3));
  await until(() => resyncs >= 3, "the server answers RESYNC");
  await mirabel.send({ messageGroupUuid: mirabels }, "from Mirabel 4");
  await shows(fromMirabel(4));
  await window.close();
}

// A server that executes only the documents of the app, which the program contains.
async function trustedDocuments(browser, places) {
  const server = new Server(places, await freePort(), ["--trusted-documents", "app"]);
  await server.start();
  try {
    const window = await Window.open(browser, { ...places, app: server.url }, "quill");
    await window.signIn();
    await window.openGroup("@oddvar");
    await window.send("by the ids of documents");
    await window.group("@oddvar").getByText("by the ids of documents").waitFor();
    await assert.rejects(api({ ...places, graphql: `${server.url}graphql` }, "quill").viewer(), /PERSISTED_QUERY_NOT_FOUND/);
    await window.close();
  } finally {
    await server.kill("SIGTERM");
  }
}

async function narrow(browser, places) {
  const window = await Window.open(browser, places, "luu", { viewport: { width: 320, height: 568 }, hasTouch: true });
  await window.signIn();
  await window.check("narrow-groups");
  await window.openGroup("@unamused");
  await window.check("narrow-group");
  await window.page.getByRole("link", { name: "Back to all message groups" }).click();
  await window.groups.first().waitFor();
  await window.goto("/messages/new/nobody-at-all");
  await window.page.getByRole("heading", { name: /^No user/ }).waitFor();
  await window.check("narrow-unknown-handle");
  await window.close();
}

async function slowNetwork(browser, places) {
  const window = await Window.open(browser, places, "unamused");
  await window.signIn();
  const devtools = await window.context.newCDPSession(window.page);
  const slow = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 50_000 };
  await devtools.send("Network.enable");
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  await devtools.send("Network.emulateNetworkConditions", slow);
  const start = performance.now();
  await window.page.addInitScript(() => {
    const look = () => (globalThis.wasLoading ||= document.body?.textContent.includes("Loading…"));
    new MutationObserver(look).observe(document, { subtree: true, childList: true });
  });
  await window.page.reload();
  await window.openGroup("@luu");
  assert.ok(await window.page.evaluate(() => globalThis.wasLoading), "the page says that it is loading");
  await window.message("by keyboard alone").waitFor();
  console.log(`    3G without a cache: first messages after ${Math.round(performance.now() - start)} ms`);
  const wasSending = await window.watch("Sending");
  await window.write("over a slow network");
  await window.message("over a slow network").waitFor();
  await window.outgoing.waitFor({ state: "detached" });
  assert.ok(await wasSending(), "the message is shown as being sent");
  await devtools.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await window.close();
}

async function firstLoad(browser, places, groupUuid) {
  const window = await Window.open(browser, places, "luu");
  const devtools = await window.context.newCDPSession(window.page);
  await devtools.send("Network.enable");
  const scripts = new Map();
  devtools.on("Network.responseReceived", ({ requestId, type }) => type === "Script" && scripts.set(requestId, 0));
  devtools.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (scripts.has(requestId)) scripts.set(requestId, encodedDataLength);
  });
  await window.signIn(`/messages/${groupUuid}`);
  await window.page.locator("[data-message]").first().waitFor();
  const bytes = [...scripts.values()].reduce((sum, size) => sum + size, 0);
  console.log(`    JavaScript of the first visit, sign-in included: ${bytes} bytes compressed, ${scripts.size} files`);
  assert.ok(bytes <= MOST_JAVASCRIPT, `${bytes} bytes are more than ${MOST_JAVASCRIPT}`);

  // Measures the time until messages are on the screen, with a warm cache.
  const times = [];
  for (let run = 0; run < 5; run += 1) {
    await window.page.reload({ waitUntil: "commit" });
    await window.page.locator("[data-message]").first().waitFor();
    times.push(
      await window.page.evaluate(
        () => performance.getEntriesByName("messages-shown")[0]?.startTime ?? Number.NaN,
      ),
    );
  }
  times.sort((a, b) => a - b);
  console.log(`    from navigation to messages on the screen: ${Math.round(times[2])} ms (median of 5)`);
  assert.ok(Number.isFinite(times[2]));
  await window.close();
}

async function manyGroups(luu, places) {
  const viewer = await api(places, "luu").viewer();
  await addGroups(places, viewer, 1000);
  await luu.goto("/messages");
  await luu.groups.first().waitFor();
  const scroller = luu.groups.first().locator("xpath=ancestor::ul/..");
  // Scrolls inside the page, frame by frame.
  const seen = await scroller.evaluate(async (element, timeout) => {
    const numbers = new Set();
    const end = performance.now() + timeout;
    while (numbers.size < 1000 && performance.now() < end) {
      // From the end once more, if a group was not rendered in time.
      const isEnd = numbers.has("1000") && element.scrollTop + element.clientHeight >= element.scrollHeight - 1;
      element.scrollTop = isEnd ? 0 : element.scrollTop + 400;
      await new Promise(requestAnimationFrame);
      for (const link of element.querySelectorAll("a")) {
        const number = /a message of correspondent (\d+)/.exec(link.textContent)?.[1];
        if (number) numbers.add(number);
      }
    }
    return numbers.size;
  }, LONG);
  assert.equal(seen, 1000, "all groups are reached by scrolling");
  assert.ok((await luu.groups.count()) < 100, "only the visible groups are in the document");
  await luu.groups.last().click();
  await luu.message("a message of correspondent").waitFor();
}

async function manyMessages(luu, unamused, places, groupUuid) {
  const [viewer, other] = [await api(places, "luu").viewer(), await api(places, "unamused").viewer()];
  await addMessages(places, groupUuid, [viewer, other], 10_000);
  await luu.goto(`/messages/${groupUuid}`);
  await luu.message(/./).first().waitFor();
  const devtools = await luu.context.newCDPSession(luu.page);
  const heap = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    return (await devtools.send("Runtime.getHeapUsage")).usedSize / 1e6;
  };
  // Scrolls back inside the page, frame by frame, and records the visible messages and the duration of each frame.
  const REPLACED = "all messages were replaced";
  await luu.page.evaluate((replaced) => {
    const list = document.querySelector("[role=region]");
    const seen = new Set();
    const frames = [];
    const jumps = [];
    let last = performance.now();
    let isPaused = false;
    const rows = () => new Map([...document.querySelectorAll("[data-message]")].map((row) => [row.dataset.message, row]));
    let before = new Map();
    const frame = (now) => {
      if (isPaused) return;
      frames.push(now - last);
      last = now;
      const top = list.getBoundingClientRect().top;
      const places = new Map();
      for (const [uuid, row] of rows()) {
        const y = row.getBoundingClientRect();
        if (y.bottom > top && y.top < top + list.clientHeight) places.set(uuid, y.bottom);
        const number = /message number (\d+)/.exec(row.querySelector("[dir=auto]").textContent)?.[1];
        if (number) seen.add(Number(number));
      }
      // Between two frames, all visible messages must move by the same distance.
      const moves = [...places].filter(([uuid]) => before.has(uuid)).map(([uuid, y]) => y - before.get(uuid));
      if (moves.length > 1 && Math.max(...moves) - Math.min(...moves) > 2) jumps.push(moves);
      if (before.size && places.size && moves.length === 0) jumps.push(replaced);
      // 18,000 pixels in a second, but not to the end of the loaded messages.
      const isFirst = list.textContent.includes("This is the beginning");
      if (isFirst || list.scrollTop > 1200) list.scrollTop -= 300;
      before = new Map([...places].map(([uuid, y]) => [uuid, y]));
      requestAnimationFrame(frame);
    };
    globalThis.scrolling = {
      state: () => ({ seen: seen.size, oldest: Math.min(...seen), jumps, count: jumps.length, frames: frames.splice(0) }),
      pause: () => (isPaused = true),
      resume() {
        isPaused = false;
        last = performance.now();
        requestAnimationFrame(frame);
      },
      missing: () => Array.from({ length: 10_000 }, (_, index) => index + 1).filter((number) => !seen.has(number)),
    };
    globalThis.scrolling.resume();
  }, REPLACED);
  const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? 0;
  const figures = [];
  for (const reached of [9_000, 6_000, 3_000, 1]) {
    let frames = [];
    let jumps = [];
    await until(async () => {
      const state = await luu.page.evaluate(() => globalThis.scrolling.state());
      frames = frames.concat(state.frames);
      jumps = state.jumps;
      // A message whose height is measured late moves the others for one frame: at most in one of 200 frames.
      assert.ok(state.count <= 10 && !state.jumps.includes(REPLACED), `messages jump: ${JSON.stringify(state.jumps)}`);
      return state.oldest <= reached;
    }, `message ${reached} is reached`, LONG);
    await luu.page.evaluate(() => globalThis.scrolling.pause());
    figures.push({ reached, heap: await heap(), median: quantile(frames, 0.5), p95: quantile(frames, 0.95) });
    const { reached: at, heap: used, median, p95 } = figures.at(-1);
    console.log(`    back to message ${at}: ${used.toFixed(1)} MB, frames ${median.toFixed(1)} ms (median), ${p95.toFixed(1)} ms (95 %), ${jumps.length} jumps`);
    if (reached > 1) await luu.page.evaluate(() => globalThis.scrolling.resume());
  }
  assert.deepEqual(await luu.page.evaluate(() => globalThis.scrolling.missing()), [], "every message was shown");
  const [first, last] = [figures[0], figures.at(-1)];
  assert.ok(last.heap < first.heap * 1.5 + 5, `memory grows from ${first.heap} to ${last.heap} MB`);

  // A message that arrives meanwhile does not move the view; one click shows the newest messages.
  await unamused.send("while reading old messages");
  await luu.page.getByRole("button", { name: "1 new message" }).click();
  await luu.message("while reading old messages").waitFor();
  await until(() => luu.isAtEnd(), "the newest message is visible");
  await luu.group("@unamused").getByText("unread").waitFor({ state: "detached" });
}

// Tokens are renewed while the pages are open, and at the end of the session the user can sign in again.
async function expiringToken(browser, places) {
  const window = await Window.open(browser, places, "mirabel");
  let renewals = 0;
  await window.page.route("**/oauth2/token", async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    if (route.request().postData().includes("refresh_token")) renewals += 1;
    await route.fulfill({ response, json: { ...json, expires_in: 20, access_token: endingIn(20, json.access_token, signingKey) } });
  });
  await window.expecting([...LOST, ...REJECTED], async () => {
    await window.signIn();
    await window.openGroup("@luu");
    await until(() => renewals >= 2, "the token is renewed");
    await window.send("after two renewals");
    await api(places, "luu").send({ receiverHandle: "mirabel" }, "still live");
    await window.message("still live").waitFor();
    await window.banner.waitFor({ state: "detached" });

    // From now on, the issuer renews no tokens.
    await window.field.fill("a text that is not lost");
    window.expected.push(/status of 400/);
    await window.page.route("**/oauth2/token", (route) =>
      route.fulfill({ status: 400, contentType: "application/json", headers: { "access-control-allow-origin": "*" }, body: '{"error":"invalid_grant"}' }),
    );
    await window.page.getByText("Your session has ended.").waitFor();
    await window.check("session-ended");
    await window.page.unroute("**/oauth2/token");
    await window.page.getByRole("button", { name: "Sign in" }).click();
    await window.page.getByRole("button", { name: "@mirabel" }).or(window.page.getByRole("link", { name: "@mirabel" })).click();
    await window.field.waitFor();
    assert.equal(await window.field.inputValue(), "a text that is not lost");
  });
  await window.close();
}

// `serve --app on` with the stores and the issuer of `dev`, to be killed and started again on the same port.
class Server {
  constructor(places, port, options = []) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}/`;
    this.options = ["--app", "on", "--listen", `127.0.0.1:${port}`, "--send-rate", "0", ...options];
    this.environment = serveEnvironment(places);
  }
  async start() {
    this.child = spawn(program, ["serve", ...this.options], { env: this.environment, stdio: ["ignore", "ignore", "pipe"] });
    const lines = createInterface({ input: this.child.stderr });
    await new Promise((resolve, reject) => {
      lines.on("line", (line) => line.includes(`127.0.0.1:${this.port}`) && resolve());
      this.child.once("exit", () => reject(new Error("serve does not serve")));
    });
  }
  async kill(signal = "SIGKILL") {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill(signal);
    await ended;
  }
}

const directory = mkdtempSync(join(tmpdir(), "cruddur-app-"));
// Under root, PostgreSQL runs as another user.
chmodSync(directory, 0o755);
const { places, stop } = await startDev(program, ["--data-dir", directory]);
const signingKey = join(directory, "issuer-key.pem");
const server = new Server(places, await freePort());
await server.start();
const served = { ...places, app: server.url, graphql: `${server.url}graphql` };
const browser = await launchBrowser();
try {
  const luu = await Window.open(browser, served, "luu");
  const unamused = await Window.open(browser, served, "unamused");
  await step("sign-in of two users", () => signIn(luu, unamused));
  await step("messages, unread counts, live updates", () => exchange(luu, unamused));
  const groupUuid = new URL(luu.page.url()).pathname.split("/").at(-1);
  await step("line breaks, HTML, right-to-left, links, emoji, the longest text", () => texts(luu, unamused));
  await step("drafts of each group", () => drafts(luu));
  await step("new messages by handle", () => newMessages(luu, served));
  await step("absent and foreign groups", () => absentGroups(luu, served));
  await step("failed messages, rejections, rate limit", () => failedMessages(luu, unamused));
  await step("a reload during sending", () => reloadDuringSending(luu, unamused));
  await step("offline and back", () => offline(luu, unamused, served));
  await step("the server is killed and started again", () => restart(luu, unamused, server));
  await step("new messages while scrolled up", () => scrolledUp(luu, unamused));
  await step("a second window of the same user", () => secondWindow(luu, unamused));
  await step("keyboard alone", () => keyboard(luu, unamused));
  await step("more active groups than a cursor can hold", () => resync(browser, served));
  await step("trusted documents", () => trustedDocuments(browser, served));
  await step("320 pixels", () => narrow(browser, served));
  await step("a slow network", () => slowNetwork(browser, served));
  await step("a token that expires", () => expiringToken(browser, served));
  await step("first load", () => firstLoad(browser, served, groupUuid));
  await step("1,000 groups", () => manyGroups(luu, served));
  await step("10,000 messages", () => manyMessages(luu, unamused, served, groupUuid));
  await luu.close();
  await unamused.close();
} catch (error) {
  if (pictures) {
    const pages = browser.contexts().flatMap((context) => context.pages());
    await Promise.all(pages.map((page, index) => page.screenshot({ path: join(pictures, `failure-${index + 1}.png`) })));
  }
  throw error;
} finally {
  await browser.close();
  await server.kill().catch(() => {});
  await stop();
  rmSync(directory, { recursive: true, force: true });
}
