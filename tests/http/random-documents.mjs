// Compares the results of random requests with graphql-js.
//
// Usage: node random-documents.mjs <cruddur program>
//
// CRUDDUR_TEST_SEED sets the seed, and CRUDDUR_TEST_CASES the number of requests.
// Both validate each request against schema.graphql, and execute it on the data
// of the demo users. They must accept the same requests, and return the same data.
import { execute, print, visit } from "graphql";
import { ANY_CURSOR, readData } from "./data.mjs";
import { signedIn, startDev, startServe } from "./dev.mjs";
import { randomRequest } from "./generator.mjs";
import { changedDocument, changedText, changedVariables, respaced } from "./mutations.mjs";
import { Random } from "./random.mjs";
import { schema, validateRequest } from "./validation.mjs";

const seed = Number(process.env.CRUDDUR_TEST_SEED || 20261127);
const cases = Number(process.env.CRUDDUR_TEST_CASES || 2000);
const PARALLEL = 8;
const MAX_REPORTED = 20;

const counts = {};
const count = (name) => (counts[name] = (counts[name] ?? 0) + 1);
let failed = 0;

function fail(number, request, reason) {
  failed += 1;
  if (failed > MAX_REPORTED) return;
  console.error(`request ${number}: ${reason}\n${JSON.stringify(request)}\n`);
}

function draw(random, data) {
  const { document, variables, operationName } = randomRequest(random, data);
  const change = random.weighted({ none: 42, document: 32, text: 14, variables: 12 });
  let query = change === "document" ? changedDocument(random, document) : print(document);
  if (random.chance(0.4)) query = respaced(random, query);
  if (change === "text") query = changedText(random, query);
  return { query, operationName, variables: change === "variables" ? changedVariables(random, variables) : variables };
}

async function compare(number, data, send) {
  const request = draw(new Random(seed, number), data);
  const theirs = validateRequest(request);
  const context = { writes: false };
  const isStream = theirs.operation?.operation === "subscription";
  let result;
  if (theirs.step === "accepted" && !isStream) {
    result = execute({ schema, document: theirs.document, rootValue: data.root(context), variableValues: request.variables, operationName: request.operationName });
    if (context.writes) return count("not sent: it would create a message");
  }
  const ours = await send(request);
  const wrong = (reason) => fail(number, request, `${reason}: ${ours.text.slice(0, 1500)}`);
  const code = ours.body?.errors?.[0]?.extensions?.code;
  if (code === "QUERY_TOO_COMPLEX" && theirs.step === "accepted") return count("not compared: it exceeds a limit");
  const accepted = ours.isStream || "data" in ours.body;
  if (accepted !== (ours.status === 200)) return wrong(`status ${ours.status}`);
  if (theirs.step !== "accepted") {
    if (accepted) return wrong(`accepted, but rejected by graphql-js (${theirs.errors[0].message})`);
    compareLocations(request.query, theirs, ours.body.errors, wrong);
    return count(`rejected: ${theirs.step}`);
  }
  // The server rejects a condition that is null before it executes anything.
  if (!accepted && NULL_CONDITION.test(ours.body.errors[0].message) && hasNullBoolean(theirs)) return count("rejected: a null condition");
  if (!accepted && isConflictOfTypename(theirs.document, ours.body.errors[0])) return count("rejected: a conflict with __typename");
  if (isStream) return ours.isStream ? count("accepted: subscription") : wrong("rejected, but accepted by graphql-js");
  if (!accepted) return wrong("rejected, but accepted by graphql-js");
  compareResults(theirs.document, result, ours, wrong);
  return count(result.errors ? "executed with errors" : "executed");
}

/**
 * Compares the location of the first error: it must be in the same field, argument, directive,
 * fragment or definition as by graphql-js. A validation error is compared if graphql-js has one
 * with the same words.
 */
function compareLocations(query, { step, document, errors }, [first], wrong) {
  const isOwn = OWN_LOCATIONS.some((words) => words.test(first.message) || words.test(errors[0].message));
  // graphql-js parses the definitions of types, and rejects them afterwards.
  const isOfTypes = first.message.includes("expected an operation or a fragment") && /\b(schema|scalar|type|interface|union|enum|input|directive|extend)\b/.test(query);
  if (isOwn || isOfTypes || !["syntax", "validation"].includes(step)) return count("location not compared");
  const words = ({ message }) => message.replace(/ Did you mean .*/s, "");
  const same = step === "syntax" ? errors : errors.filter((error) => words(error) === words(first));
  if (!same.length) return count("location not compared: only one has this error");
  const part = (location) => (step === "syntax" ? `${location.line}:${location.column}` : enclosing(document, location));
  const possible = same.flatMap(({ locations }) => locations.map(part));
  if (first.locations.length && first.locations.every((location) => possible.includes(part(location)))) return count("location compared");
  return wrong(`another location than by graphql-js: ${JSON.stringify(same.map(({ message, locations }) => [message, locations]))}`);
}

const OWN_LOCATIONS = [
  // Within a token, each points to another character.
  /Invalid (character|number|Unicode)|Unexpected (single quote|character)|Unterminated string/,
  // The server reports errors within tokens before all others.
  /^Syntax error: (?!expected)/,
  // The server points to the operation, and graphql-js to the second field.
  /must select only one top level field/,
  // Of several fields that conflict, each names another pair.
  / conflict because /,
];

/** The offset of the innermost field, argument, directive, fragment or definition at a location. */
function enclosing(document, { line, column }, kinds = /^(Field|Argument|Directive|FragmentSpread|InlineFragment|.*Definition)$/) {
  let token = document.loc.startToken;
  while (token && (token.line !== line || token.column !== column)) token = token.next;
  if (!token) return "not the start of a token";
  let innermost;
  visit(document, {
    enter({ kind, loc }) {
      if (loc.start > token.start || loc.end < token.end) return false;
      if (kinds.test(kind)) innermost = loc.start;
      return undefined;
    },
  });
  return innermost;
}

/** Compares the data to the byte, and the paths and locations of errors. The lists of introspection have any order. */
function compareResults(document, result, ours, wrong) {
  const isIntrospection = /__schema|__type\b/.test(document.loc.source.body);
  const found = isIntrospection ? sorted(ours.body.data) : ours.text;
  const expected = (isIntrospection ? sorted(result.data) : `{"data":${JSON.stringify(result.data)}`).split(ANY_CURSOR);
  const escaped = expected.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  if (!new RegExp(`^${escaped.join("[\\w-]+")}${isIntrospection ? "$" : "[,}]"}`).test(found)) return wrong(`other data than by graphql-js: ${expected.join(ANY_CURSOR)}`);
  const field = (location) => enclosing(document, location, /^Field$/);
  const places = (errors = []) => errors.flatMap(({ path, locations }) => locations.map((location) => `${JSON.stringify(path)} at ${field(location)}`));
  const errors = places(ours.body.errors);
  // graphql-js stops at the first error of an object that becomes null.
  const missing = (result.errors ?? []).filter((error) => !places([error]).some((place) => errors.includes(place)));
  if (missing.length || (errors.length > 0) !== (result.errors !== undefined)) wrong(`other errors than by graphql-js: ${missing}`);
}

/** Returns a value as JSON, with sorted lists. */
function sorted(value) {
  return JSON.stringify(value, (_, part) => (Array.isArray(part) ? part.map(sorted).sort() : part));
}

const NULL_CONDITION = /^Argument "if" of @(skip|include) must not be null\.$/;

const hasNullBoolean = ({ operation, variables }) => operation.variableDefinitions.some(({ variable, type }) => print(type) === "Boolean" && variables[variable.name.value] === null);

/** graphql-js does not compare the type of `__typename` with those of other fields (GraphQL specification, 5.3.2). */
function isConflictOfTypename(document, { message }) {
  return /conflicting types .*String!/.test(message) && /: __typename/.test(print(document));
}

async function sendTo(fetch, url, request) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream, application/graphql-response+json" },
    body: JSON.stringify(request),
  });
  const isStream = response.headers.get("content-type").startsWith("text/event-stream");
  if (isStream) await response.body.cancel();
  const text = isStream ? "" : await response.text();
  return { status: response.status, isStream, text, body: isStream ? undefined : JSON.parse(text) };
}

const program = process.argv[2];
console.log(`the seed is ${seed}`);
const { places, stop } = await startDev(program);
const server = await startServe(program, places, ["--send-rate", "0", "--max-sockets-per-user", "100000"]);
try {
  const send = (request) => sendTo(signedIn(places), server.graphql, request);
  const dataOf = async (user, query, variables) => {
    const { body } = await sendTo(signedIn(places, user), server.graphql, { query, variables });
    if (body.errors) throw new Error(`${query}: ${JSON.stringify(body.errors)}`);
    return body.data;
  };
  const data = await readData(dataOf.bind(undefined, "luu"), dataOf.bind(undefined, "unamused"));
  let next = 0;
  const worker = async () => {
    while (next < cases) {
      next += 1;
      await compare(next - 1, data, send);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
} finally {
  await server.stop();
  await stop();
}
for (const [name, number] of Object.entries(counts).sort()) console.log(`${String(number).padStart(6)} ${name}`);
console.log(`${cases} random requests, compared with graphql-js; ${failed} failed`);
if (failed) console.error(`This repeats it: CRUDDUR_TEST_SEED=${seed} CRUDDUR_TEST_CASES=${cases} node ${process.argv.slice(1).join(" ")}`);
process.exitCode = failed ? 1 : 0;
