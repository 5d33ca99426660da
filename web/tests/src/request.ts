// graphql-request.
import assert from "node:assert/strict";
// docs: request
import { ClientError, GraphQLClient } from "graphql-request";

export const clientOf = (url: string, token: string) =>
  new GraphQLClient(url, { headers: { authorization: `Bearer ${token}` } });
// docs: end
import { newKey, places, step, tokenOf } from "./harness";
import { CreateMessage, MessageGroup, MessageGroups, Receiver } from "./operations";

const luu = clientOf(places.graphql, tokenOf("luu"));

await step("lists the message groups, most recently active first", async () => {
  const { messageGroups } = await luu.request(MessageGroups, {});
  const handles = messageGroups.edges.map(({ node }) => node.otherUser.handle);
  assert.ok(handles.includes("unamused"));
  const times = messageGroups.edges.map(({ node }) => node.lastMessageAt);
  assert.deepEqual(times, times.toSorted().toReversed());
});

const group = await luu.request(Receiver, { handle: "unamused" });
const uuid = group.user?.messageGroup?.uuid;
assert.ok(uuid);

await step("reads a group from its newest message back to its first", async () => {
  const bodies: string[] = [];
  let before: string | null | undefined;
  do {
    const { messageGroup } = await luu.request(MessageGroup, { uuid, last: 30, before });
    assert.ok(messageGroup);
    bodies.unshift(...messageGroup.messages.edges.map(({ node }) => node.body));
    const { hasPreviousPage, startCursor } = messageGroup.messages.pageInfo;
    before = hasPreviousPage ? startCursor : null;
  } while (before);
  assert.ok(bodies.length > 100);
});

await step("sends to a group, once for a key", async () => {
  const input = { to: { messageGroupUuid: uuid }, body: "by graphql-request", idempotencyKey: newKey() };
  const first = await luu.request(CreateMessage, { input });
  const again = await luu.request(CreateMessage, { input });
  assert.deepEqual(again, first);
  assert.equal(first.createMessage.__typename, "CreateMessageSuccess");
});

await step("sends to a new receiver by handle", async () => {
  const mirabel = clientOf(places.graphql, tokenOf("mirabel"));
  const before = await mirabel.request(Receiver, { handle: "quill" });
  assert.equal(before.user?.messageGroup, null);
  const input = { to: { receiverHandle: "quill" }, body: "by graphql-request", idempotencyKey: newKey() };
  const { createMessage } = await mirabel.request(CreateMessage, { input });
  assert.equal(createMessage.__typename, "CreateMessageSuccess");
  const after = await mirabel.request(Receiver, { handle: "quill" });
  assert.equal(after.user?.messageGroup?.uuid, createMessage.messageGroupEdge.node.uuid);
});

await step("is refused with a type, and fails with a code", async () => {
  const tooLong = { to: { messageGroupUuid: uuid }, body: "x".repeat(1025) };
  // docs: problem
  const { createMessage } = await luu.request(CreateMessage, { input: tooLong });
  switch (createMessage.__typename) {
    case "CreateMessageSuccess":
      assert.fail("it is too long");
    case "InvalidMessageBody":
      assert.equal(createMessage.length - createMessage.maxLength, 1);
      break;
    default:
      // Every other rejection type, including types that are added later, implements Problem.
      assert.fail(createMessage.message);
  }
  // docs: end
  for (const [to, typename] of [
    [{ receiverHandle: "nobody-at-all" }, "ReceiverNotFound"],
    [{ receiverHandle: "luu" }, "CannotMessageYourself"],
    [{ messageGroupUuid: "00000000-0000-0000-0000-000000000000" }, "MessageGroupNotFound"],
  ] as const) {
    const refused = await luu.request(CreateMessage, { input: { to, body: "x" } });
    assert.equal(refused.createMessage.__typename, typename);
  }
  // docs: error
  const expired = clientOf(places.graphql, "expired");
  await assert.rejects(expired.request(MessageGroups, {}), (error) => {
    assert.ok(error instanceof ClientError);
    return error.response.errors?.[0]?.extensions?.code === "UNAUTHENTICATED";
  });
  // docs: end
});
