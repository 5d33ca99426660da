// The data of the demo users, read from the server once, as the root value with
// which graphql-js executes operations.
import { GraphQLError, specifiedScalarTypes } from "graphql";

/** Replaces the values that differ in each response. */
export const ANY_CURSOR = "ANY-CURSOR";

export const absentGroup = "11111111-2222-3333-4444-555555555555";

const MESSAGE = "id uuid body createdAt sender { handle } messageGroup { uuid }";
const GROUP = `id uuid unreadCount version otherUser { handle } lastMessage { ${MESSAGE} } lastMessageAt`;
const USERS = ["luu", "unamused", "mirabel", "oddvar", "tove", "quill"];

/** The message that `createMessage` returns again for its idempotency key. */
export const sentMessage = { to: { receiverHandle: "tove" }, body: "Is the kettle on?", idempotencyKey: "random documents" };

/**
 * Prepares the viewer's groups, so that no accepted mutation changes them, and
 * reads everything.
 */
export async function readData(request, requestOfOther) {
  const first = await request("{ messageGroups { edges { node { uuid messages(last: 1) { edges { cursor } } } } } }");
  await request("mutation($input: CreateMessageInput!) { createMessage(input: $input) { __typename } }", { input: sentMessage });
  for (const { node } of first.messageGroups.edges) {
    const input = { messageGroupUuid: node.uuid, upTo: node.messages.edges[0].cursor };
    await request("mutation($input: MarkMessageGroupReadInput!) { markMessageGroupRead(input: $input) { __typename } }", { input });
  }
  const { messageGroups, viewer, unreadMessageGroupCount } = await readGroups(request);
  const groups = await Promise.all(messageGroups.edges.map(({ cursor, node }) => readGroup(request, cursor, node)));
  const users = await Promise.all(USERS.map((handle) => request(`query($h: String!) { user(handle: $h) { id uuid handle displayName messageGroup { uuid } } }`, { h: handle })));
  const problems = await request(`mutation {
    white: createMessage(input: {to: {receiverHandle: "tove"}, body: " "}) { ...Failure }
    long: createMessage(input: {to: {receiverHandle: "tove"}, body: "${"x".repeat(2000)}"}) { ...Failure }
    receiver: createMessage(input: {to: {receiverHandle: "nobody"}, body: "x"}) { ...Failure }
    self: createMessage(input: {to: {receiverHandle: "luu"}, body: "x"}) { ...Failure }
    group: createMessage(input: {to: {messageGroupUuid: "${absentGroup}"}, body: "x"}) { ...Failure }
  } fragment Failure on Problem { __typename message ... on InvalidMessageBody { maxLength } }`);
  const foreign = await requestOfOther("{ messageGroups { edges { cursor node { id uuid otherUser { handle } messages(last: 1) { edges { cursor node { id } } } } } } }");
  for (const type of specifiedScalarTypes) {
    // Each library describes them in its own words.
    const found = await request("query($name: String!) { __type(name: $name) { description } }", { name: type.name });
    type.description = found.__type.description;
  }
  return new Data({
    viewer,
    unreadMessageGroupCount,
    groups,
    users: users.map(({ user }) => user),
    problems,
    foreign: foreign.messageGroups.edges.find(({ node }) => node.otherUser.handle !== "luu"),
  });
}

/** Reads the groups as soon as the list contains every change. */
async function readGroups(request) {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const found = await request(`{ viewer { handle } unreadMessageGroupCount messageGroups(first: 100) { edges { cursor node { ${GROUP} } } } }`);
    const bodies = found.messageGroups.edges.map(({ node }) => node.lastMessage.body);
    const isRead = found.messageGroups.edges.every(({ node }) => node.unreadCount === 0);
    if (bodies[0] === sentMessage.body && isRead && found.unreadMessageGroupCount === 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the list of groups does not contain the new message");
}

async function readGroup(request, cursor, node) {
  const messages = [];
  for (let after = null; ; ) {
    const query = `query($uuid: UUID!, $after: String) {
      messages(messageGroupUuid: $uuid, first: 100, after: $after) { edges { cursor node { ${MESSAGE} } } pageInfo { hasNextPage endCursor } }
    }`;
    const page = (await request(query, { uuid: node.uuid, after })).messages;
    messages.push(...page.edges);
    if (!page.pageInfo.hasNextPage) return { cursor, node, messages };
    after = page.pageInfo.endCursor;
  }
}

const fail = (message) => {
  throw new GraphQLError(message);
};

class Data {
  constructor({ viewer, unreadMessageGroupCount, groups, users, problems, foreign }) {
    Object.assign(this, { problems, unreadMessageGroupCount, foreign });
    this.users = new Map(users.map((user) => [user.handle, { __typename: "User", ...user }]));
    this.groups = new Map(groups.map(({ node, cursor, messages }) => [node.uuid, { __typename: "MessageGroup", ...node, cursor, messageEdges: messages }]));
    this.viewer = this.users.get(viewer.handle);
    this.objects = new Map();
    for (const user of this.users.values()) this.user(user);
    for (const group of this.groups.values()) this.group(group);
    this.groupEdges = [...this.groups.values()].map((group) => ({ cursor: group.cursor, node: group }));
  }

  user(user) {
    user.messageGroup = user.messageGroup && this.groups.get(user.messageGroup.uuid);
    this.objects.set(user.id, user);
  }

  group(group) {
    for (const { node } of group.messageEdges) {
      Object.assign(node, { __typename: "Message", sender: this.users.get(node.sender.handle), messageGroup: group });
      this.objects.set(node.id, node);
    }
    group.otherUser = this.users.get(group.otherUser.handle);
    group.lastMessage = this.objects.get(group.lastMessage.id);
    group.messages = (args) => page(group.messageEdges, args, "last");
    this.objects.set(group.id, group);
  }

  /** The root value of an execution. `context.writes` is set if the server would write. */
  root(context) {
    const group = ({ uuid }) => this.groups.get(uuid) ?? null;
    return {
      viewer: this.viewer,
      user: ({ handle }) => this.users.get(handle) ?? null,
      messageGroups: (args) => page(this.groupEdges, args, "first"),
      messageGroup: group,
      messages: ({ messageGroupUuid, ...args }) => {
        const found = this.groups.get(messageGroupUuid);
        const foreign = messageGroupUuid === this.foreign.node.uuid ? this.foreign.node.messages.edges : [];
        const messages = page(found?.messageEdges ?? foreign, args, "last");
        return found ? messages : null;
      },
      unreadMessageGroupCount: this.unreadMessageGroupCount,
      eventCursor: ANY_CURSOR,
      node: ({ id }) => this.objects.get(id) ?? null,
      createMessage: ({ input }) => this.createMessage(input, context),
      markMessageGroupRead: ({ input }) => this.markMessageGroupRead(input),
    };
  }

  createMessage({ to, body, idempotencyKey }, context) {
    const { white, long, receiver, self, group } = this.problems;
    const length = [...body].length;
    if (/^\p{White_Space}*$/u.test(body)) return { ...white, length };
    if (length > long.maxLength) return { ...long, message: long.message.replace("2000", length), length };
    const bytes = idempotencyKey == null ? 1 : Buffer.byteLength(idempotencyKey);
    if (bytes < 1 || bytes > 255) fail("the length of the key");
    const sent = sentMessage;
    if (idempotencyKey === sent.idempotencyKey && body === sent.body && to.receiverHandle === sent.to.receiverHandle) {
      const created = this.users.get(sent.to.receiverHandle).messageGroup;
      return { __typename: "CreateMessageSuccess", messageEdge: created.messageEdges.at(-1), messageGroupEdge: { cursor: created.cursor, node: created } };
    }
    if (to.receiverHandle === this.viewer.handle) return self;
    if (to.receiverHandle != null && !this.users.has(to.receiverHandle)) return receiver;
    if (to.messageGroupUuid != null && !this.groups.has(to.messageGroupUuid)) return group;
    context.writes = true;
    return fail("the server would write");
  }

  markMessageGroupRead({ messageGroupUuid, upTo }) {
    const marked = this.groups.get(messageGroupUuid);
    if (marked?.messageEdges.some(({ cursor }) => cursor === upTo)) {
      return { __typename: "MarkMessageGroupReadSuccess", messageGroup: marked, unreadMessageGroupCount: this.unreadMessageGroupCount };
    }
    const { node } = this.foreign;
    const isForeign = node.uuid === messageGroupUuid && node.messages.edges[0].cursor === upTo;
    return isForeign ? this.problems.group : fail("not a cursor of this group");
  }
}

/** A page of edges, as defined by the Relay specification. */
function page(edges, { first, after, last, before }, end) {
  const [from, to] = [after, before].map((cursor) => {
    if (cursor == null || cursor === "") return undefined;
    const found = edges.findIndex((edge) => edge.cursor === cursor);
    return found < 0 ? fail("not a cursor of this connection") : found;
  });
  if (first != null && last != null) fail("first and last");
  const isLast = last != null || (first == null && from === undefined && (to !== undefined || end === "last"));
  const limit = (isLast ? last : first) ?? 20;
  if (limit < 0 || limit > 100) fail("the size of the page");
  const range = edges.slice(from === undefined ? 0 : from + 1, to);
  const goesOn = range.length > limit;
  const items = isLast ? range.slice(Math.max(range.length - limit, 0)) : range.slice(0, limit);
  return {
    edges: items,
    pageInfo: {
      hasPreviousPage: isLast ? goesOn : from !== undefined,
      hasNextPage: isLast ? to !== undefined : goesOn,
      startCursor: items[0]?.cursor ?? null,
      endCursor: items.at(-1)?.cursor ?? null,
    },
  };
}
