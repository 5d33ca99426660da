// Compares the validation of documents with graphql-js.
//
// Usage: node reference.mjs <cruddur program>
//
// graphql-js validates each document against schema.graphql, and coerces its
// variables. The server must accept and reject the same documents.
import { buildClientSchema, getIntrospectionQuery } from "graphql";
import { buildClientSchema as buildClientSchema17, getIntrospectionQuery as getIntrospectionQuery17 } from "graphql17";
import { signedIn, startDev } from "./dev.mjs";
import { validateRequest } from "./validation.mjs";

const group = "11111111-2222-3333-4444-555555555555";

// All options of graphql-js 17.
const introspection17 = getIntrospectionQuery17({
  descriptions: true,
  specifiedByUrl: true,
  directiveIsRepeatable: true,
  schemaDescription: true,
  inputValueDeprecation: true,
  experimentalDirectiveDeprecation: true,
  oneOf: true,
  typeDepth: 9,
});

// A document, its variables, and the intended difference: the name of the rule of
// validation.mjs that rejects a document which graphql-js accepts.
const documents = [
  ["{ viewer { handle } }"],
  ["query Named { viewer { handle } }"],
  ["{ viewer { id uuid handle displayName messageGroup { uuid } } }"],
  ["{ viewer }"],
  ["{ viewer { nothing } }"],
  ["{ nothing }"],
  ["{ viewer { handle { length } } }"],
  ["{ messageGroups(first: 1) { edges { node { otherUser { handle } } } } }"],
  ['{ messageGroups(first: "1") { edges { cursor } } }'],
  ["{ messageGroups(first: 1.5) { edges { cursor } } }"],
  ["{ messageGroups(first: 2147483648) { edges { cursor } } }"],
  ["{ messageGroups(first: -0) { edges { cursor } } }"],
  ["{ messageGroups(first: null) { edges { cursor } } }"],
  ["{ messageGroups(first: 1, first: 2) { edges { cursor } } }"],
  ["{ messageGroups(nothing: 1) { edges { cursor } } }"],
  ["{ messages { edges { cursor } } }"],
  ["{ messages(messageGroupUuid: null) { edges { cursor } } }"],
  [`{ messages(messageGroupUuid: "${group}") { edges { cursor } } }`],
  [`query($u: UUID!) { messages(messageGroupUuid: $u) { edges { cursor } } }`, { u: group }],
  [`query($u: UUID) { messages(messageGroupUuid: $u) { edges { cursor } } }`, { u: group }],
  [`query($u: UUID = "${group}") { messages(messageGroupUuid: $u) { edges { cursor } } }`],
  [`query($u: UUID!) { messages(messageGroupUuid: $u) { edges { cursor } } }`],
  [`query($u: UUID!) { messages(messageGroupUuid: $u) { edges { cursor } } }`, { u: null }],
  ["query($n: Int) { messageGroups(first: $n) { edges { cursor } } }", { n: 1 }],
  ["query($n: Int) { messageGroups(first: $n) { edges { cursor } } }", { n: "1" }],
  ["query($n: Int) { messageGroups(first: $n) { edges { cursor } } }", { n: 1.5 }],
  ["query($n: Int) { messageGroups(first: $n) { edges { cursor } } }", { n: 1e10 }],
  ["query($n: Int) { messageGroups(first: $n) { edges { cursor } } }", {}],
  ["query($n: Int!) { messageGroups(first: $n) { edges { cursor } } }", { n: 1 }],
  ["query($n: String) { messageGroups(first: $n) { edges { cursor } } }", { n: "1" }],
  ["query($n: [Int]) { messageGroups(first: $n) { edges { cursor } } }", { n: [1] }],
  ["query($n: Nothing) { messageGroups(first: $n) { edges { cursor } } }"],
  ["query($n: User) { viewer { handle } }"],
  ["query($n: Int) { viewer { handle } }"],
  ["{ messageGroups(first: $n) { edges { cursor } } }"],
  ["query($n: Int, $n: Int) { messageGroups(first: $n) { edges { cursor } } }"],
  ["query($s: Boolean!) { viewer { handle @skip(if: $s) uuid } }", { s: true }],
  ["query($s: Boolean) { viewer { handle @skip(if: $s) uuid } }", { s: true }],
  ["query($s: Boolean = true) { viewer { handle @include(if: $s) uuid } }"],
  ["{ viewer { handle @skip } }"],
  ["{ viewer { handle @skip(if: 1) } }"],
  ["{ viewer { handle @skip(if: true) @skip(if: false) } }"],
  ["{ viewer { handle @nothing } }"],
  ["query @nothing { viewer { handle } }"],
  ["query($n: Int @nothing) { messageGroups(first: $n) { edges { cursor } } }", { n: 1 }],
  ["query($n: Int @skip(if: true)) { messageGroups(first: $n) { edges { cursor } } }", { n: 1 }],
  ["query @skip(if: true) { viewer { handle } }"],
  ["{ viewer { ...f } } fragment f on User { handle }"],
  ["{ viewer { ...f } }"],
  ["{ viewer { handle } } fragment f on User { handle }"],
  ["{ viewer { ...f } } fragment f on User { ...f }"],
  ["{ viewer { ...f } } fragment f on User { ...g } fragment g on User { ...f handle }"],
  ["{ viewer { ...f } } fragment f on Message { body }"],
  ["{ viewer { ...f } } fragment f on Nothing { body }"],
  ["{ viewer { ...f } } fragment f on UUID { body }"],
  ["{ viewer { ...f } } fragment f on User { handle } fragment f on User { uuid }"],
  ["{ viewer { ... on Node { id } ... on User { handle } ... { uuid } } }"],
  ["{ viewer { ... on Message { body } } }"],
  ["query A { viewer { handle } } query A { viewer { uuid } }"],
  ["{ viewer { handle } } query A { viewer { uuid } }"],
  ["{ viewer { a: handle a: uuid } }"],
  ["{ viewer { a: handle a: handle } }"],
  [`{ a: user(handle: "x") { handle } a: user(handle: "y") { handle } }`],
  [`{ a: user(handle: "x") { handle } a: user(handle: "x") { uuid } }`],
  ['{ user(handle: "\\u{1F600}") { handle } }'],
  ['{ user(handle: "\\uD83D\\uDE00") { handle } }'],
  ['{ user(handle: "\\uD83D") { handle } }'],
  ['{ user(handle: "\\q") { handle } }'],
  ['{ user(handle: """a "quoted" \\""" b""") { handle } }'],
  ['{ user(handle: "a\nb") { handle } }'],
  ["{ user(handle: luu) { handle } }"],
  ["{ user(handle: 1) { handle } }"],
  ["{ user(handle: true) { handle } }"],
  ["{ user(handle: [\"luu\"]) { handle } }"],
  ["{ node(id: 5) { id } }"],
  ["{ node(id: 5.5) { id } }"],
  ["{ node(id: \"5\") { id ... on Message { body } } }"],
  ["{ __typename }"],
  ["{ __schema { types { name } } }"],
  [getIntrospectionQuery()],
  [getIntrospectionQuery({ specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true })],
  [introspection17],
  ['{ __type(name: "User") { name } }'],
  ['{ __type(name: "MessageDestination") { isOneOf inputFields { name } } }'],
  ["{ __type { name } }"],
  ["{ viewer { __typename __schema { types { name } } } }"],
  ["{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"],
  ["mutation { createMessage }"],
  ["mutation { createMessage(input: {}) { __typename } }"],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: "x"}) { __typename } }'],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: 1}) { __typename } }'],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: "x", body: "y"}) { __typename } }'],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: "x", nothing: 1}) { __typename } }'],
  ['mutation { createMessage(input: {to: {}, body: "x"}) { __typename } }'],
  [`mutation { createMessage(input: {to: {receiverHandle: "luu", messageGroupUuid: "${group}"}, body: "x"}) { __typename } }`],
  ['mutation { createMessage(input: {to: {receiverHandle: null}, body: "x"}) { __typename } }'],
  ['mutation($h: String) { createMessage(input: {to: {receiverHandle: $h}, body: "x"}) { __typename } }', { h: "luu" }, "NonNullOneOfVariables"],
  ['mutation($h: String!) { createMessage(input: {to: {receiverHandle: $h}, body: "x"}) { __typename } }', { h: "luu" }],
  ['mutation($h: String = "luu") { createMessage(input: {to: {receiverHandle: $h}, body: "x"}) { __typename } }', {}, "NonNullOneOfVariables"],
  ['mutation($h: String!, $g: UUID!) { createMessage(input: {to: {receiverHandle: $h, messageGroupUuid: $g}, body: "x"}) { __typename } }', { h: "luu", g: group }],
  ['mutation($h: String!, $g: UUID) { createMessage(input: {to: {receiverHandle: $h, messageGroupUuid: $g}, body: "x"}) { __typename } }', { h: "luu" }],
  ['mutation($b: String) { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }', { b: "x" }],
  ['mutation($b: String!) { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }', { b: "x" }],
  ['mutation($b: String = "x") { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }'],
  ['mutation($b: String = null) { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }', { b: "x" }],
  ['mutation($b: [String!]!) { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }', { b: ["x"] }],
  ['mutation($b: ID!) { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }', { b: "x" }],
  ['mutation($b: String) { createMessage(input: {to: {receiverHandle: "luu"}, ...f}) { __typename } }', { b: "x" }],
  ['mutation($t: MessageDestination) { createMessage(input: {to: $t, body: "x"}) { __typename } }', { t: { receiverHandle: "luu" } }],
  ['mutation($t: MessageDestination!) { createMessage(input: {to: $t, body: "x"}) { __typename } }', { t: { receiverHandle: "luu" } }],
  ['mutation($t: MessageDestination!) { createMessage(input: {to: $t, body: "x"}) { __typename } }', { t: { receiverHandle: null } }],
  ['mutation($b: String) { ...f } fragment f on Mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: $b}) { __typename } }', { b: "x" }],
  ['mutation($i: CreateMessageInput = {to: {}, body: "x"}) { createMessage(input: $i) { __typename } }', { i: { to: { receiverHandle: "luu" }, body: "x" } }],
  ['mutation($i: CreateMessageInput = {to: {receiverHandle: "luu"}, body: "x", body: "y"}) { createMessage(input: $i) { __typename } }', { i: { to: { receiverHandle: "luu" }, body: "x" } }],
  ['mutation($i: CreateMessageInput = {to: {receiverHandle: "luu"}, body: "x"}) { createMessage(input: $i) { __typename } }'],
  ["query($u: UUID = null) { messages(messageGroupUuid: $u) { edges { cursor } } }", { u: group }],
  ["query($s: Boolean = null) { viewer { handle @skip(if: $s) uuid } }", { s: true }],
  ["mutation($i: CreateMessageInput!) { createMessage(input: $i) { __typename } }", { i: { to: { receiverHandle: "luu" }, body: "x" } }],
  ["mutation($i: CreateMessageInput!) { createMessage(input: $i) { __typename } }", { i: { to: { receiverHandle: "luu" } } }],
  ["mutation($i: CreateMessageInput!) { createMessage(input: $i) { __typename } }", { i: { to: { receiverHandle: "luu" }, body: "x", nothing: 1 } }],
  ["mutation($i: CreateMessageInput!) { createMessage(input: $i) { __typename } }", { i: { to: {}, body: "x" } }],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: "x"}) { ... on Problem { message } ... on CreateMessageSuccess { messageEdge { cursor } } } }'],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: "x"}) { message } }'],
  ["subscription { messageCreated { cursor } }"],
  ["subscription { messageGroupUpdated { version } messageGroupUpdated { version } }"],
  ["subscription { messageCreated { cursor } ...F } fragment F on Subscription { messageCreated { messageEdge { cursor } } }"],
  ["subscription { ...F ...G } fragment F on Subscription { messageGroupUpdated { version } } fragment G on Subscription { messageGroupUpdated { messageGroup { id } } }"],
  ["subscription { messageCreated { cursor } messageGroupUpdated { version } }"],
  ["subscription { a: messageGroupUpdated { version } messageGroupUpdated { version } }"],
  ["subscription { a: messageGroupUpdated { version } a: messageCreated { cursor } }"],
  ["subscription { messageGroupUpdated { version } messageGroupUpdated { nothing } }"],
  ["subscription { __typename }"],
  ["subscription { messageGroupUpdated { version } ...F }"],
  ["subscription($g: UUID) { messageCreated(messageGroupUuid: $g) { cursor } messageCreated { cursor } }"],
  ["subscription { messageGroupUpdated @skip(if: false) { version } }", {}, "UnconditionalSubscriptions"],
  ["type Query { a: Int }"],
  ["{ viewer { handle } } type A { a: Int }"],
  ['"described" query { viewer { handle } }'],
  ['"described" { viewer { handle } }'],
  ['query("described" $n: Int) { messageGroups(first: $n) { edges { cursor } } }'],
  ['query($h: String! = "x" "described" $u: UUID) { user(handle: $h, uuid: $u) { handle } }'],
  ['{ viewer { ...f } } """described""" fragment f on User { handle }'],
  ["query { }"],
  ["{"],
  [""],
  ["# only a comment"],
  ["{ viewer { handle } } }"],
  ["{ viewer { handle }"],
  ["{ viewer { handle"],
  ["query Q { viewer { handle } "],
  ["{ viewer { ...f } } fragment f on User { handle "],
  ["query($n: Int { messageGroups(first: $n) { edges { cursor } } }"],
  ["{ messageGroups(first: 1 { edges { cursor } } }"],
  ["{ messageGroups(first: 1) { edges { cursor } } }{ viewer { handle } }"],
  ['mutation { createMessage(input: {to: {receiverHandle: "luu"}, body: "x") { __typename } }'],
  ["{ ... on { viewer { handle } } }"],
  ["{ ... }"],
  ["{ viewer { ... @include(if: true) { handle } } }"],
  ["query ($v: [Int!) { viewer { handle } }"],
  ["{ viewer: }"],
  ["{ viewer { : handle } }"],
  ["{ viewer {} }"],
  ["query Q() { viewer { handle } }"],
  ["{ viewer() { handle } }"],
  ["{ viewer { handle @skip() } }"],
  ["fragment f User { handle } { viewer { ...f } }"],
  ["{ viewer { ...on } }"],
  ["query on { viewer { handle } }"],
  ["fragment on on User { handle } { viewer { ... on } }"],
  ["{ messageGroups(first: 01) { edges { cursor } } }"],
  ["{ messageGroups(first: 1a) { edges { cursor } } }"],
  ["{ messageGroups(first: .5) { edges { cursor } } }"],
  ['{ user(handle: "unclosed) { handle } }'],
  ['{ user(handle: """unclosed) { handle } }'],
  ["{ viewer { handle } } extend type User { a: Int }"],
  ["{ viewer ! }"],
  ["{ viewer { handle } } %"],
  ["query Q { viewer { handle } } mutation"],
  ["{ viewer(: 1) { handle } }"],
  ["{ viewer { handle, uuid, } }"],
  ["\uFEFF{ viewer { handle } }"],
  // Differed in random-documents.mjs.
  ["{ viewer { a ,: handle } }"],
  ["{ viewer { a\uFEFF: handle } }"],
  ["{ ... , on Query { viewer { handle } } }"],
  ["{ ... , { viewer { handle } } }"],
  ['{ user(handle: "x") { handle } user(handle: """x""") { uuid } }'],
];

const { places, stop } = await startDev(process.argv[2]);
let failed = 0;
try {
  const fetch = signedIn(places);
  for (const [query, variables = {}, rule] of documents) {
    // The result of a subscription is a stream of events.
    const accept = `${query.startsWith("subscription") ? "text/event-stream, " : ""}application/graphql-response+json`;
    const response = await fetch(places.graphql, {
      method: "POST",
      headers: { "content-type": "application/json", accept },
      body: JSON.stringify({ query, variables }),
    });
    const isIntrospection = query.includes("query IntrospectionQuery");
    const isStream = response.headers.get("content-type").startsWith("text/event-stream");
    if (isStream) await response.body.cancel();
    const answer = isStream ? { data: "events" } : await response.json();
    const found = "data" in answer ? "taken" : "refused";
    if (isIntrospection && found === "taken") {
      // Both throw if something is missing.
      buildClientSchema(answer.data);
      buildClientSchema17(answer.data);
    }
    const theirs = validateRequest({ query, variables });
    const wanted = theirs.step === "accepted" ? "taken" : "refused";
    if (theirs.stricter?.join() !== rule) {
      failed += 1;
      console.error(`rejected by ${theirs.stricter}, and not by ${rule}: ${query}`);
    }
    if (found !== wanted) {
      failed += 1;
      console.error(`${wanted} by graphql-js, ${found} here: ${query} ${JSON.stringify(variables)}: ${JSON.stringify(answer)}`);
    }
    if ("data" in answer !== (response.status === 200)) {
      failed += 1;
      console.error(`status ${response.status}: ${query}`);
    }
  }
} finally {
  stop();
}
console.log(`${documents.length} documents, compared with graphql-js`);
console.log(`${documents.length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
