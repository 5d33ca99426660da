// Compares the coercion of variables with graphql-js, for JSON texts.
//
// Usage: node coercion.mjs <cruddur program>
//
// coercion.json contains the texts and the coerced values. A text without a
// value is rejected. The unit tests of `engine::variables` read the same file.
// Both supported versions of graphql-js must agree with it, and the server must
// accept and reject the same texts over HTTP.
import { isDeepStrictEqual } from "node:util";
import { readFileSync } from "node:fs";
import * as graphql16 from "graphql";
import { getVariableValues as values16 } from "graphql/execution/values.js";
import * as graphql17 from "graphql17";
import { signedIn, startDev } from "./dev.mjs";

const { schema: sdl, values } = JSON.parse(readFileSync(new URL("coercion.json", import.meta.url), "utf8"));
let failed = 0;
const fail = (message) => {
  failed += 1;
  console.error(message);
};

function uuid(value) {
  if (typeof value !== "string" || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) {
    throw new TypeError("not a UUID");
  }
  return value;
}

const schema16 = graphql16.buildSchema(sdl);
schema16.getType("UUID").parseValue = uuid;
const schema17 = graphql17.buildSchema(sdl);
schema17.getType("UUID").coerceInputValue = uuid;

function by16(type, variables) {
  const { definitions } = graphql16.parse(`query($v: ${type}) { f }`);
  const { errors, coerced } = values16(schema16, definitions[0].variableDefinitions, variables);
  return errors ? undefined : coerced.v;
}

function by17(type, variables) {
  const { definitions } = graphql17.parse(`query($v: ${type}) { f }`);
  const { errors, variableValues } = graphql17.getVariableValues(schema17, definitions[0].variableDefinitions, variables);
  return errors ? undefined : variableValues.coerced.v;
}

// Removes prototypes, and replaces -0 by 0.
const plain = (value) => (value === undefined ? value : JSON.parse(JSON.stringify(value)));

for (const [type, text, expected] of values) {
  for (const [version, coerce] of [[16, by16], [17, by17]]) {
    const found = plain(coerce(type, JSON.parse(`{"v": ${text}}`)));
    if (!isDeepStrictEqual(found, expected)) {
      fail(`graphql-js ${version}: ${type} ${text}: ${JSON.stringify(found)}, and not ${JSON.stringify(expected)}`);
    }
  }
}

// A field of the server's schema in which a variable of the type can be used,
// and the JSON around the text.
const group = "11111111-2222-3333-4444-555555555555";
const places = {
  Int: ["query($v: Int) { messageGroups(first: $v) { edges { cursor } } }"],
  ID: ["query($v: ID! = \"\") { node(id: $v) { id } }"],
  String: ["query($v: String) { messageGroups(after: $v, first: 0) { edges { cursor } } }"],
  Boolean: ["query($v: Boolean = true) { viewer { handle @include(if: $v) uuid } }"],
  UUID: [`query($v: UUID = "${group}") { messages(messageGroupUuid: $v) { edges { cursor } } }`],
};

// If coercion fails, nothing is executed, and the response has no `data`. If a
// resolver rejects a value, the response has `data` and errors.
async function byServer(fetch, url, document, text) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: `{"query": ${JSON.stringify(document)}, "variables": {"v": ${text}}}`,
  });
  return { status: response.status, answer: await response.json() };
}

const { places: dev, stop } = await startDev(process.argv[2]);
let asked = 0;
try {
  const fetch = signedIn(dev);
  for (const [type, text, expected] of values) {
    if (!places[type] || text === "null") continue;
    asked += 1;
    const { status, answer } = await byServer(fetch, dev.graphql, places[type][0], text);
    const accepted = status === 200 && "data" in answer;
    if (accepted !== (expected !== undefined)) {
      fail(`${type} ${text} is ${accepted ? "accepted" : "rejected"} by the server: ${JSON.stringify(answer)}`);
    }
  }
} finally {
  stop();
}
console.log(`${values.length} texts, compared with graphql-js; ${asked} of them over HTTP`);
console.log(`${failed} failed`);
process.exitCode = failed ? 1 : 0;
