// Relay.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  createOperationDescriptor,
  fetchQuery,
  getRequest,
  getSelector,
  type Environment,
  type GraphQLTaggedNode,
  type Variables,
} from "relay-runtime";
import { environmentOf } from "./environment";
import { groupQuery, groupsFragment, groupsQuery, messagesFragment, receiverQuery, unreadQuery } from "./operations";
import { expiredSession, places, signedIn, step, trusted, until } from "../src/harness";
import { networkTo } from "../src/network";
import { listen } from "./live";
import { markRead } from "./mark";
import { readAgain } from "./reread";
import { send } from "./send";
import groupsPagination from "./__generated__/operationsGroupsPaginationQuery.graphql";
import messagesPagination from "./__generated__/operationsMessagesPaginationQuery.graphql";
import type { operations_groups$data } from "./__generated__/operations_groups.graphql";
import type { operations_messages$data } from "./__generated__/operations_messages.graphql";
import type { operationsReceiverQuery } from "./__generated__/operationsReceiverQuery.graphql";

let luu: Environment;

// Fetches a query and keeps what it brings.
async function load(query: GraphQLTaggedNode, variables: Variables, environment = luu) {
  const operation = createOperationDescriptor(getRequest(query), variables);
  environment.retain(operation);
  await fetchQuery(environment, query, variables).toPromise();
  return environment.lookup(operation.fragment).data as Record<string, unknown>;
}

// What a component with this fragment shows now.
function shown<Data>(fragment: GraphQLTaggedNode, reference: unknown, environment = luu): Data {
  const selector = getSelector(fragment as never, reference);
  assert.ok(selector && selector.kind === "SingularReaderSelector");
  return environment.lookup(selector).data as Data;
}

// What the server has, by a store that knows nothing.
async function served(uuid: string) {
  const fresh = environmentOf({ url: places.graphql, token: signedIn("luu"), trusted });
  const { messageGroup } = await load(groupQuery, { uuid, last: 100 }, fresh);
  const { messages } = shown<operations_messages$data>(messagesFragment, messageGroup, fresh);
  const root = await load(groupsQuery, { first: 100 }, fresh);
  const { messageGroups } = shown<operations_groups$data>(groupsFragment, root, fresh);
  return {
    bodies: messages.edges.map(({ node }) => node.body),
    handles: messageGroups.edges.map(({ node }) => node.otherUser.handle),
  };
}

// docs: relay-page-info
// relay-compiler selects `pageInfo` for the hooks, but omits it from the generated types.
const pageInfoOf = (connection: unknown) =>
  (connection as { pageInfo: { startCursor: string; endCursor: string; hasPreviousPage: boolean; hasNextPage: boolean } }).pageInfo;
// docs: end

async function main() {
  const network = await networkTo(places.graphql);
  const rereads: string[] = [];
  let uuid = "";
  const reread = (subscription: string) => {
    rereads.push(subscription);
    readAgain(luu, subscription, uuid);
  };
  luu = environmentOf({ url: network.url, token: signedIn("luu"), trusted, reread });
  const root = await load(groupsQuery, { first: 1 });
  const groups = () => shown<operations_groups$data>(groupsFragment, root).messageGroups;
  const handles = () => groups().edges.map(({ node }) => node.otherUser.handle);
  const moreGroups = () => fetchQuery(luu, groupsPagination, { first: 1, after: pageInfoOf(groups()).endCursor }).toPromise();

  await step("lists the message groups a page at a time, most recently active first", async () => {
    assert.deepEqual(handles(), ["unamused"]);
    await moreGroups();
    assert.deepEqual(handles(), ["unamused", "mirabel"]);
  });

  const receiver = await fetchQuery<operationsReceiverQuery>(luu, receiverQuery, { handle: "mirabel" }).toPromise();
  uuid = receiver?.user?.messageGroup?.uuid ?? "";
  assert.ok(uuid);
  const { messageGroup } = await load(groupQuery, { uuid, last: 2 });
  const messages = () => shown<operations_messages$data>(messagesFragment, messageGroup).messages;
  const bodies = () => messages().edges.map(({ node }) => node.body);
  const olderMessages = () => {
    const { __id: id } = messageGroup as { __id: string };
    return fetchQuery(luu, messagesPagination, { id, last: 2, before: pageInfoOf(messages()).startCursor }).toPromise();
  };

  await step("shows a group and scrolls back to its first message, by the group's id", async () => {
    const newest = bodies();
    assert.equal(newest.length, 2);
    await olderMessages();
    assert.equal(bodies().length, 3);
    assert.deepEqual(bodies().slice(1), newest, "older messages come before the newer");
  });

  await step("sends to a group: it moves to the top, and the message is at its end once", async () => {
    const input = { to: { messageGroupUuid: uuid }, body: "by Relay", idempotencyKey: randomUUID() };
    await send(luu, input, [messages().__id]);
    // As when no answer came, and the client tries again with the same key.
    const { createMessage } = await send(luu, input, [messages().__id]);
    assert.equal(createMessage.__typename, "CreateMessageSuccess");
    assert.equal(bodies().length, 4);
    assert.equal(bodies().at(-1), "by Relay");
    assert.deepEqual(handles(), ["mirabel", "unamused"]);
  });

  await step("sends to somebody new by handle, whose group is then at the top", async () => {
    const input = { to: { receiverHandle: "tove" }, body: "by Relay", idempotencyKey: randomUUID() };
    await send(luu, input, []);
    assert.deepEqual(handles(), ["tove", "mirabel", "unamused"]);
  });

  await step("is refused with a type, which changes nothing that is shown", async () => {
    const input = { to: { messageGroupUuid: uuid }, body: "x".repeat(1025), idempotencyKey: randomUUID() };
    const { createMessage } = await send(luu, input, [messages().__id]);
    assert.equal(createMessage.__typename, "InvalidMessageBody");
    assert.equal(createMessage.length, 1025);
    assert.ok(createMessage.message, "`... on Problem` matches");
    assert.equal(bodies().length, 4);
  });

  const mirabel = environmentOf({ url: places.graphql, token: signedIn("mirabel"), trusted });
  let said = 0;
  const say = async (environment: Environment) => {
    const body = `said ${(said += 1)}`;
    const input = { to: { messageGroupUuid: uuid }, body, idempotencyKey: randomUUID() };
    await send(environment, input, environment === luu ? [messages().__id] : []);
    return body;
  };
  const ofMirabel = () => groups().edges.find(({ node }) => node.uuid === uuid)?.node;
  const unread = await load(unreadQuery, {});
  const unreadGroups = () => {
    const operation = createOperationDescriptor(getRequest(unreadQuery), {});
    return (luu.lookup(operation.fragment).data as typeof unread).unreadMessageGroupCount;
  };
  const ends: Error[] = [];
  const hush = listen(luu, (error) => ends.push(error));

  await step("is told when it has begun to listen, to read again what is shown", async () => {
    await until(() => rereads.length === 2);
    // All pages but the newest are gone.
    await until(() => handles().length === 1 && bodies().length === 2);
  });

  await step("hears of a message: it is at the end of its group, which is at the top and unread", async () => {
    const heard = await say(mirabel);
    await until(() => bodies().at(-1) === heard && ofMirabel()?.unreadCount === 1);
    assert.equal(handles()[0], "mirabel");
  });

  await step("shows its own messages once, between those that it hears of", async () => {
    const expected = [...bodies(), await say(luu), await say(mirabel), await say(luu)];
    await until(() => bodies().at(-1) === expected.at(-1));
    expected.push(await say(mirabel));
    await until(() => bodies().at(-1) === expected.at(-1));
    assert.deepEqual(bodies(), expected);
  });

  await step("marks as read, here and on another device", async () => {
    await until(() => ofMirabel()?.unreadCount === 1 && unreadGroups() === 1);
    const newest = () => messages().edges.at(-1)?.cursor ?? "";
    await markRead(luu, uuid, newest());
    assert.equal(ofMirabel()?.unreadCount, 0);
    assert.equal(unreadGroups(), 0);

    const heard = await say(mirabel);
    await until(() => bodies().at(-1) === heard && unreadGroups() === 1);
    await markRead(environmentOf({ url: places.graphql, token: signedIn("luu"), trusted }), uuid, newest());
    await until(() => ofMirabel()?.unreadCount === 0 && unreadGroups() === 0);
  });

  await step("misses nothing while it is cut off", async () => {
    const expected = [...bodies()];
    network.cut();
    expected.push(await say(mirabel), await say(mirabel));
    network.mend();
    expected.push(await say(mirabel));
    await until(() => bodies().at(-1) === expected.at(-1));
    assert.deepEqual(bodies(), expected);
    assert.deepEqual(ends, []);
  });
  hush();

  await step("reads again after messages that it has not heard of, and scrolls back through all of them", async () => {
    await olderMessages();
    for (let unheard = 0; unheard < 6; unheard += 1) await say(mirabel);
    for (const handle of ["tove", "unamused"]) {
      const input = { to: { receiverHandle: "luu" }, body: "unheard", idempotencyKey: randomUUID() };
      await send(environmentOf({ url: places.graphql, token: signedIn(handle), trusted }), input, []);
    }
    const expected = await served(uuid);
    const hushAgain = listen(luu, (error) => ends.push(error));
    await until(() => bodies().at(-1) === expected.bodies.at(-1) && handles()[0] === expected.handles[0]);
    assert.deepEqual(bodies(), expected.bodies.slice(-2));
    assert.deepEqual(handles(), expected.handles.slice(0, 1));
    while (pageInfoOf(messages()).hasPreviousPage) await olderMessages();
    assert.deepEqual(bodies(), expected.bodies);
    while (pageInfoOf(groups()).hasNextPage) await moreGroups();
    assert.deepEqual(handles(), expected.handles);
    assert.deepEqual(ends, []);
    hushAgain();
  });
  network.close();

  await step("renews a token that has expired, and asks again", async () => {
    const { token, renewals } = expiredSession("luu");
    const environment = environmentOf({ url: places.graphql, token, trusted });
    const answer = await fetchQuery<operationsReceiverQuery>(environment, receiverQuery, { handle: "mirabel" }).toPromise();
    assert.ok(answer?.user?.messageGroup);
    assert.equal(renewals(), 1);
  });

  await step("fails with a code", async () => {
    const signedOut = environmentOf({ url: places.graphql, token: async () => "bad", trusted });
    // docs: relay-error
    await assert.rejects(fetchQuery(signedOut, groupsQuery, { first: 1 }).toPromise(), (error: Error) => {
      const { source } = error as Error & { source?: { errors?: { extensions?: { code?: string } }[] } };
      return source?.errors?.[0]?.extensions?.code === "UNAUTHENTICATED";
    });
    // docs: end
  });
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
