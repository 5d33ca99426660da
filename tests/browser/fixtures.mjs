// Data for the tests of the web app: by the API, and by the original's items in the table.
import { createSign, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** A port that stays free while its server is stopped: below those that the system assigns to clients. */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** The token with another time of expiry, in this number of seconds. */
export function endingIn(seconds, token, keyFile) {
  const [header, payload] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  claims.exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(readFileSync(keyFile), "base64url")}`;
}

/** Another client of a user, without a browser. */
export function api(places, handle) {
  async function request(query, variables) {
    // Tokens can be short-lived: a new one for each request.
    const issued = await fetch(new URL("/token", places.issuer), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ handle }),
    });
    const { access_token: token } = await issued.json();
    const response = await fetch(places.graphql, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  }
  return {
    request,
    viewer: async () => (await request("{ viewer { uuid handle displayName } }")).viewer,
    async send(to, body) {
      const document = `mutation ($input: CreateMessageInput!) {
        createMessage(input: $input) { ... on CreateMessageSuccess { messageGroupEdge { node { uuid } } } }
      }`;
      const { createMessage } = await request(document, { input: { to, body } });
      return { groupUuid: createMessage.messageGroupEdge.node.uuid };
    },
  };
}

async function writeItems(places, items) {
  const target = "DynamoDB_20120810.BatchWriteItem";
  const authorization = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
  const headers = { "content-type": "application/x-amz-json-1.0", "x-amz-target": target, "x-amz-date": "20260101T000000Z", authorization };
  for (let start = 0; start < items.length; start += 25) {
    const puts = items.slice(start, start + 25).map((item) => ({
      PutRequest: { Item: Object.fromEntries(Object.entries(item).map(([name, value]) => [name, { S: value }])) },
    }));
    const body = JSON.stringify({ RequestItems: { [places.table]: puts } });
    const response = await fetch(places.dynamodb, { method: "POST", headers, body });
    if (!response.ok) throw new Error(await response.text());
  }
}

const time = (milliseconds) => new Date(milliseconds).toISOString().replace("Z", "000+00:00");

/**
 * Writes `count` groups of the viewer, each with another user, as the original did. Their messages are at least `age` ms
 * old. The last group is the oldest.
 */
export async function addGroups(places, viewer, count, age = 3 * 86_400_000) {
  const newest = Date.now() - age;
  const items = Array.from({ length: count }, (_, index) => {
    const [group, other, at] = [randomUUID(), randomUUID(), time(newest - index * 1000)];
    const names = { user_uuid: other, user_handle: `correspondent-${index + 1}`, user_display_name: `Correspondent ${index + 1}` };
    const message = `a message of correspondent ${index + 1}`;
    return [
      { pk: `MSG#${group}`, sk: at, message_uuid: randomUUID(), message, ...names },
      { pk: `GRP#${viewer.uuid}`, sk: at, message_group_uuid: group, message, ...names },
    ];
  });
  await writeItems(places, items.flat());
}

/** Messages of a group before those that it has, as the original wrote them. */
export async function addMessages(places, group, users, count) {
  const first = Date.parse("2025-01-01T00:00:00Z");
  const items = Array.from({ length: count }, (_, index) => {
    const { uuid, handle, displayName } = users[Math.floor(index / 3) % 2];
    return {
      pk: `MSG#${group}`,
      sk: time(first + index * 600_000),
      message_uuid: randomUUID(),
      message: `message number ${index + 1}${index % 7 ? "" : `: ${"a longer text, of several lines, ".repeat(index % 11)}`}`,
      user_uuid: uuid,
      user_handle: handle,
      user_display_name: displayName,
    };
  });
  await writeItems(places, items);
}
