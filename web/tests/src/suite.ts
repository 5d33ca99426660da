// The steps of a chat app, which each client runs in the same way.
import assert from "node:assert/strict";
import { connectApi, type Api } from "@cruddur/client";
import { expiredSession, newKey, places, signedIn, step, until } from "./harness";
import { wireOf } from "./wire";

type Destination = { messageGroupUuid: string } | { receiverHandle: string };

export interface Groups {
  eventCursor: string;
  shown: () => { handle: string; body: string; unreadCount: number }[];
  hasMore: () => boolean;
  more: () => Promise<unknown>;
}

export interface Group {
  shown: () => string[];
  unreadCount: () => number | undefined;
  /** The cursor of the newest message. */
  newest: () => string;
  hasOlder: () => boolean;
  older: () => Promise<unknown>;
  close: () => void;
}

export interface ChatClient {
  /** The names of the operations whose responses a test delays. */
  names: { group: string; older: string; createMessage: string };
  /** Displays this number of groups from the start. */
  start: (first: number) => Promise<Groups>;
  /** Displays a group with this number of its newest messages. */
  open: (uuid: string, last: number) => Promise<Group>;
  groupWith: (handle: string) => Promise<string | undefined>;
  send: (to: Destination, body: string, idempotencyKey: string) => Promise<{ __typename: string; message?: string }>;
  markRead: (messageGroupUuid: string, upTo: string) => Promise<unknown>;
  unreadGroups: () => number | undefined;
  listen: (after: string, onMessage: (body: string, idempotencyKey: string | null | undefined) => void, onError: (error: unknown) => void) => () => void;
}

export async function suite(connect: (api: Api) => ChatClient) {
  const errors: unknown[] = [];
  const wire = await wireOf("luu");
  const luu = connect(wire.api);
  const other = (handle: string) => connect(connectApi({ url: places.graphql, token: signedIn(handle) }));
  const [mirabel, unamused, tove] = [other("mirabel"), other("unamused"), other("tove")];
  const uuid = (await luu.groupWith("mirabel")) ?? "";
  const second = (await luu.groupWith("unamused")) ?? "";

  let count = 0;
  async function say(client: ChatClient, to: Destination = { messageGroupUuid: uuid }) {
    const body = `said ${(count += 1)}`;
    assert.equal((await client.send(to, body, newKey())).__typename, "CreateMessageSuccess");
    return body;
  }
  // Scrolls to the end. A page that no longer joins the list is requested again.
  async function scroll(hasMore: () => boolean, more: () => Promise<unknown>) {
    for (let requests = 0; hasMore(); requests += 1) {
      assert.ok(requests < 200, "the list has no end");
      await more();
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
  // The server's data, fetched with an empty cache.
  async function served(group = uuid) {
    const fresh = other("luu");
    const page = await fresh.open(group, 100);
    await scroll(page.hasOlder, page.older);
    const messages = page.shown();
    const groups = (await fresh.start(100)).shown();
    return { messages, handles: groups.map(({ handle }) => handle) };
  }
  async function showsAll(group: Group, id = uuid) {
    await scroll(group.hasOlder, group.older);
    const expected = (await served(id)).messages;
    await until(() => group.shown().length === expected.length);
    assert.deepEqual(group.shown(), expected);
  }

  const groups = await luu.start(1);
  const handles = () => groups.shown().map(({ handle }) => handle);
  const newestGroup = () => groups.shown()[0];

  await step("lists the message groups a page at a time, most recently active first", async () => {
    await until(() => handles().length === 1);
    await groups.more();
    await until(() => handles().length === 2);
    assert.deepEqual(handles(), ["unamused", "mirabel"]);
    assert.equal(groups.hasMore(), false);
  });

  const group = await luu.open(uuid, 2);
  await step("shows a group and scrolls back to its first message", async () => {
    await until(() => group.shown().length === 2);
    const newest = group.shown();
    await group.older();
    await until(() => group.shown().length === 3);
    assert.deepEqual(group.shown().slice(1), newest, "older messages come before the newer");
  });

  await step("sends to a group: it moves to the top, and the message is at its end once", async () => {
    const key = newKey();
    // The second attempt is that of a client that has received no response.
    for (let attempts = 0; attempts < 2; attempts += 1) await luu.send({ messageGroupUuid: uuid }, "sent", key);
    await until(() => group.shown().length === 4 && handles()[0] === "mirabel");
    assert.deepEqual(handles(), ["mirabel", "unamused"]);
    assert.deepEqual(group.shown(), (await served()).messages);
  });

  await step("sends to a new user by handle, whose group is then at the top", async () => {
    await say(luu, { receiverHandle: "tove" });
    await until(() => handles().length === 3);
    assert.deepEqual(handles(), ["tove", "mirabel", "unamused"]);
  });

  await step("gets a typed error, which changes nothing that is shown", async () => {
    const before = group.shown();
    const result = await luu.send({ messageGroupUuid: uuid }, " ", newKey());
    assert.equal(result.__typename, "InvalidMessageBody");
    assert.ok(result.message, "`... on Problem` matches");
    assert.deepEqual(group.shown(), before);
  });

  const heard: string[] = [];
  const keys = new Map<string, string | null | undefined>();
  // This message is sent between the query and the subscription.
  const missed = await say(mirabel);
  const loaded = wire.requests.length;
  const stop = luu.listen(groups.eventCursor, (body, key) => keys.set(body, key) && heard.push(body), (error) => errors.push(error));

  await step("a message that was sent before the subscription started is delivered by eventCursor", async () => {
    await until(() => group.shown().at(-1) === missed && group.unreadCount() === 1 && newestGroup()?.handle === "mirabel");
  });

  await step("a new message is at the end of its group, which is at the top and unread", async () => {
    const body = await say(mirabel);
    await until(() => group.shown().at(-1) === body && group.unreadCount() === 2 && newestGroup()?.unreadCount === 2);
    assert.deepEqual(newestGroup(), { handle: "mirabel", body, unreadCount: 2 });
    await until(() => luu.unreadGroups() === 1);
  });

  await step("own messages are shown once, and their events have their idempotency keys", async () => {
    const key = newKey();
    await luu.send({ messageGroupUuid: uuid }, "own", key);
    const expected = ["own", await say(mirabel), await say(luu), await say(mirabel)];
    await until(() => group.shown().at(-1) === expected[3]);
    assert.deepEqual(group.shown().slice(-4), expected);
    await until(() => heard.at(-1) === expected[3]);
    assert.deepEqual([keys.get("own"), keys.get(expected[1] ?? "")], [key, null]);
  });

  await step("a page load requests nothing twice", async () => {
    // A client that fetched the lists again after the start of the subscription would do so within this time.
    const start = Date.now();
    await until(() => Date.now() - start > 1500);
    assert.deepEqual(new Set(wire.requests.slice(loaded)), new Set([luu.names.createMessage]));
  });

  await step("marks as read, here and on another device", async () => {
    await until(() => luu.unreadGroups() === 1);
    await luu.markRead(uuid, group.newest());
    await until(() => group.unreadCount() === 0 && luu.unreadGroups() === 0);
    const body = await say(mirabel);
    await until(() => group.shown().at(-1) === body && luu.unreadGroups() === 1);
    await other("luu").markRead(uuid, group.newest());
    await until(() => group.unreadCount() === 0 && luu.unreadGroups() === 0);
  });

  // Waits until a subscription has started again without a cursor, and the displayed data is fetched again.
  async function refetched(subscription: RegExp, body: () => Promise<void>) {
    let requests: number | undefined;
    const forget = wire.api.live.onStale((name) => {
      if (subscription.test(name)) requests = wire.requests.length;
    });
    await body();
    await until(() => requests !== undefined && wire.requests.length > requests && wire.inFlight() === 0);
    forget();
  }

  await step("misses nothing while the network is down", () =>
    refetched(/MessageGroupUpdated/, async () => {
      const expected = group.shown();
      wire.network.cut();
      expected.push(await say(mirabel), await say(mirabel));
      wire.network.restore();
      expected.push(await say(mirabel));
      await until(() => group.shown().at(-1) === expected.at(-1));
      assert.deepEqual(group.shown().slice(-3), expected.slice(-3));
    }),
  );

  await step("a slow response does not restore an older state of its group", async () => {
    const { arrived, release } = wire.hold(luu.names.createMessage);
    const sent = say(luu);
    await arrived;
    const body = await say(mirabel);
    // Each of the two subscriptions can be the first to deliver the message.
    await until(() => newestGroup()?.body === body && group.unreadCount() === 1 && group.shown().at(-1) === body);
    release();
    const own = await sent;
    assert.deepEqual(newestGroup(), { handle: "mirabel", body, unreadCount: 1 });
    assert.deepEqual(group.shown().slice(-2), [own, body]);
  });

  await step("a slow page of a group does not lack a message that arrived before it", async () => {
    const { arrived, release } = wire.hold(luu.names.group);
    const opened = luu.open(second, 2);
    await arrived;
    const body = await say(unamused, { messageGroupUuid: second });
    await until(() => heard.at(-1) === body);
    release();
    const page = await opened;
    await until(() => page.shown().at(-1) === body);
    page.close();
  });

  // Loses the events of `body`, as after RESYNC.
  const loseEvents = (body: () => Promise<void>) =>
    refetched(/MessageCreated/, async () => {
      wire.resync();
      wire.network.cut();
      await body();
      wire.network.restore();
    });

  await step("after lost events, a list that is not displayed is fetched when it is displayed again", async () => {
    group.close();
    const page = await luu.open(second, 2);
    await until(() => page.shown().length >= 2);
    let newest = "";
    await loseEvents(async () => {
      for (let messages = 0; messages < 3; messages += 1) await say(mirabel);
      newest = await say(unamused, { messageGroupUuid: second });
    });
    await until(() => page.shown().at(-1) === newest && handles()[0] === "unamused");
    page.close();
    const again = await luu.open(uuid, 2);
    const expected = (await served()).messages;
    await until(() => again.shown().at(-1) === expected.at(-1));
    const live = await say(mirabel);
    await until(() => again.shown().at(-1) === live);
    await showsAll(again);
    again.close();
  });

  await step("a page that does not meet the list is not joined to it", async () => {
    const page = await luu.open(second, 2);
    await until(() => page.hasOlder());
    const { arrived, release } = wire.hold(luu.names.older);
    const older = page.older();
    await arrived;
    const shown = page.shown().length;
    let newest = "";
    await loseEvents(async () => {
      for (let messages = 0; messages < shown + 4; messages += 1) newest = await say(unamused, { messageGroupUuid: second });
    });
    await until(() => newestGroup()?.body === newest);
    release();
    await older.catch(() => {});
    await showsAll(page, second);
    page.close();
  });

  await step("after lost events, scrolling shows every group", async () => {
    await loseEvents(async () => {
      for (const client of [mirabel, tove]) await say(client, { receiverHandle: "luu" });
    });
    const expected = (await served()).handles;
    await until(() => handles()[0] === expected[0]);
    await scroll(groups.hasMore, groups.more);
    assert.deepEqual(handles(), expected);
  });
  assert.deepEqual(errors, []);
  stop();
  wire.network.close();

  await step("renews a token that has expired, and sends the request again", async () => {
    const { token, renewals } = expiredSession("luu");
    assert.ok(await connect(connectApi({ url: places.graphql, token })).groupWith("mirabel"));
    assert.equal(renewals(), 1);
  });

  await step("fails with a code after a second rejected token, and signs out", async () => {
    let signedOut = 0;
    const api = connectApi({ url: places.graphql, token: async () => "bad", onSignedOut: () => (signedOut += 1) });
    await assert.rejects(connect(api).groupWith("mirabel"), /UNAUTHENTICATED/);
    assert.equal(signedOut, 1);
  });
}
