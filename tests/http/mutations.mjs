// Random changes of requests, most of which make them invalid.
import { Kind, Lexer, Source, TokenKind, isIntrospectionType, parse, parseType, parseValue, print, visit } from "graphql";
import { schema } from "./validation.mjs";

const named = (value) => ({ kind: Kind.NAME, value });
const unlocated = { noLocation: true };
const FIELDS = Object.values(schema.getTypeMap()).flatMap((type) => (type.getFields && !isIntrospectionType(type) ? Object.keys(type.getFields()) : []));
const NAMES = ["nothing", "__typename", "__schema", "__type", "id", "handle", "message", "on", "a", ...new Set(FIELDS)];
const TYPES = ["Nothing", "UUID", "Query", "__Type", "String", ...Object.keys(schema.getTypeMap())];
const VARIABLE_TYPES = ["Int", "Int!", "String", "String!", "ID", "ID!", "UUID", "UUID!", "Boolean", "Boolean!", "Float", "[Int]", "[UUID!]!", "User", "Node", "Nothing", "CreateMessageInput!", "MessageDestination", "MessageDestination!", "DateTime", "__TypeKind"];
const VALUES = ["1", "-0", "0", "1.5", "1e3", "2147483648", "\"x\"", "\"\"", "\"\"\"x\"\"\"", "true", "null", "RED", "[]", "[1]", "[\"x\"]", "[null]", "{}", "{a: 1}", "{a: 1, a: 2}", "$v0", "$nothing", "[$v0]", "{receiverHandle: $v0}"];
const CONSTANTS = VALUES.filter((value) => !value.includes("$"));

/** Changes of a document's AST, which they may change in place. */
const changes = {
  renameField: (random, document) => edit(random, document, Kind.FIELD, ({ node }) => (node.name = named(random.pick(NAMES)))),
  aliasField: (random, document) => edit(random, document, Kind.FIELD, ({ node }) => (node.alias = named(random.pick(["a", "id", "__a", ...responseKeys(document)])))),
  removeAlias: (random, document) => edit(random, document, Kind.FIELD, ({ node }) => delete node.alias, ({ alias }) => alias),
  moveSelection: (random, document) => edit(random, document, Kind.SELECTION_SET, ({ node }) => {
    const other = random.pick(find(document, Kind.SELECTION_SET));
    node.selections.push(structuredClone(random.pick(other.node.selections)));
  }),
  removeSelection: (random, document) => edit(random, document, Kind.SELECTION_SET, ({ node }) => node.selections.splice(random.below(node.selections.length), 1), ({ selections }) => selections.length > 1),
  removeSelectionSet: (random, document) => edit(random, document, Kind.FIELD, ({ node }) => delete node.selectionSet, ({ selectionSet }) => selectionSet),
  addSelectionSet: (random, document) => edit(random, document, Kind.FIELD, ({ node }) => (node.selectionSet = structuredClone(random.pick(find(document, Kind.SELECTION_SET)).node)), ({ selectionSet }) => !selectionSet),
  renameArgument: (random, document) => edit(random, document, Kind.ARGUMENT, ({ node }) => (node.name = named(random.pick(NAMES)))),
  removeArgument: (random, document) => edit(random, document, Kind.ARGUMENT, remove),
  repeatArgument: (random, document) => edit(random, document, Kind.ARGUMENT, repeat),
  addArgument: (random, document) => edit(random, document, Kind.FIELD, ({ node }) => {
    const value = parseValue(random.pick(VALUES), unlocated);
    node.arguments = [...(node.arguments ?? []), { kind: Kind.ARGUMENT, name: named(random.pick(["first", "id", "nothing", "uuid"])), value }];
  }),
  changeValue: (random, document) => edit(random, document, Kind.ARGUMENT, ({ node }) => (node.value = parseValue(random.pick(VALUES), unlocated))),
  changeInputField: (random, document) => edit(random, document, Kind.OBJECT_FIELD, ({ node }) => (node.value = parseValue(random.pick(VALUES), unlocated))),
  renameInputField: (random, document) => edit(random, document, Kind.OBJECT_FIELD, ({ node }) => (node.name = named(random.pick(["body", "receiverHandle", "messageGroupUuid", "nothing"])))),
  repeatInputField: (random, document) => edit(random, document, Kind.OBJECT_FIELD, repeat),
  removeInputField: (random, document) => edit(random, document, Kind.OBJECT_FIELD, remove),
  wrapInList: (random, document) => edit(random, document, Kind.ARGUMENT, ({ node }) => (node.value = { kind: Kind.LIST, values: [node.value] })),
  changeCondition: (random, document) => edit(random, document, Kind.NAMED_TYPE, ({ node }) => (node.name = named(random.pick(TYPES)))),
  addDirective: (random, document) => edit(random, document, random.pick([Kind.FIELD, Kind.INLINE_FRAGMENT, Kind.FRAGMENT_SPREAD, Kind.OPERATION_DEFINITION, Kind.VARIABLE_DEFINITION, Kind.FRAGMENT_DEFINITION]), ({ node }) => (node.directives = [...(node.directives ?? []), directive(random)])),
  removeDirectiveArgument: (random, document) => edit(random, document, Kind.DIRECTIVE, ({ node }) => node.arguments.pop()),
  repeatDirective: (random, document) => edit(random, document, Kind.DIRECTIVE, repeat),
  addVariable: (random, document) => edit(random, document, Kind.OPERATION_DEFINITION, ({ node }) => {
    const definition = { kind: Kind.VARIABLE_DEFINITION, variable: { kind: Kind.VARIABLE, name: named("v0") }, type: parseType(random.pick(VARIABLE_TYPES), unlocated) };
    node.variableDefinitions = [...(node.variableDefinitions ?? []), definition];
  }),
  changeVariableType: (random, document) => edit(random, document, Kind.VARIABLE_DEFINITION, ({ node }) => (node.type = parseType(random.pick(VARIABLE_TYPES), unlocated))),
  changeDefault: (random, document) => edit(random, document, Kind.VARIABLE_DEFINITION, ({ node }) => (node.defaultValue = random.chance(0.3) ? undefined : parseValue(random.pick(CONSTANTS), unlocated))),
  removeVariable: (random, document) => edit(random, document, Kind.VARIABLE_DEFINITION, remove),
  repeatVariable: (random, document) => edit(random, document, Kind.VARIABLE_DEFINITION, repeat),
  renameVariable: (random, document) => edit(random, document, Kind.VARIABLE, ({ node }) => (node.name = named(random.pick(["v0", "v1", "nothing"])))),
  renameSpread: (random, document) => edit(random, document, Kind.FRAGMENT_SPREAD, ({ node }) => (node.name = named(random.pick(["F0", "F1", "query0", "nothing"])))),
  addSpread: (random, document) => edit(random, document, Kind.SELECTION_SET, ({ node }) => {
    const fragments = find(document, Kind.FRAGMENT_DEFINITION);
    const name = fragments.length ? random.pick(fragments).node.name : named("nothing");
    node.selections.push({ kind: Kind.FRAGMENT_SPREAD, name });
  }),
  changeDefinitions: (random, document) => {
    const { definitions } = document;
    const from = random.below(definitions.length);
    if (random.chance(0.4) && definitions.length > 1) definitions.splice(from, 1);
    else definitions.push(structuredClone(definitions[from]));
    return true;
  },
  addDefinition: (random, document) => document.definitions.push(...parse(random.pick(["{ __typename }", "query A0 { __typename }", "fragment F0 on Query { __typename }", "fragment F9 on User { ...F9 }", "type Query { a: Int }", "subscription { messageCreated { cursor } messageGroupUpdated { version } }"]), unlocated).definitions),
  renameOperation: (random, document) => edit(random, document, Kind.OPERATION_DEFINITION, ({ node }) => (node.name = random.chance(0.3) ? undefined : named("A0"))),
  changeOperation: (random, document) => edit(random, document, Kind.OPERATION_DEFINITION, ({ node }) => (node.operation = random.pick(["query", "mutation", "subscription"]))),
};

function find(document, kind, accepts = () => true) {
  const found = [];
  visit(document, {
    [kind]: (node, key, parent) => {
      if (accepts(node)) found.push({ node, key, parent });
    },
  });
  return found;
}

/** Changes a random node of a kind. Returns whether there is one. */
function edit(random, document, kind, change, accepts) {
  const found = find(document, kind, accepts);
  if (found.length) change(random.pick(found));
  return found.length > 0;
}

const remove = ({ node, parent }) => parent.splice(parent.indexOf(node), 1);
const repeat = ({ node, parent }) => parent.push(structuredClone(node));
const responseKeys = (document) => find(document, Kind.FIELD).map(({ node }) => (node.alias ?? node.name).value);

function directive(random) {
  const value = parseValue(random.pick(["true", "false", "1", "null", "$v0", "\"x\""]), unlocated);
  const names = ["skip", "include", "nothing", "oneOf", "deprecated", "specifiedBy"];
  return { kind: Kind.DIRECTIVE, name: named(random.pick(names)), arguments: random.chance(0.8) ? [{ kind: Kind.ARGUMENT, name: named("if"), value }] : [] };
}

/** Returns the text of a document with one to three random changes. */
export function changedDocument(random, document) {
  const changed = parse(print(document), unlocated);
  const count = random.chance(0.7) ? 1 : 1 + random.below(3);
  for (let done = 0, attempt = 0; done < count && attempt < 20; attempt += 1) {
    if (changes[random.pick(Object.keys(changes))](random, changed)) done += 1;
  }
  return print(changed);
}

const TOKENS = ["{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "...", "=", "|", "&", ".", "..", "a", "on", "query", "mutation", "subscription", "fragment", "extend", "type", "true", "null", "1", "01", "-", "-1", "00", "1.", ".5", "1.0", "1e", "1e5", "1.5e+3", "1a", "1_0", "0x1", "{ a }", "#", "# comment\n", "#\r", "%", "?", ";", "é", "\ufeff", "\u0000", "\u0007", "\u00a0", "\u2028", "🐌", "$ a", "@ skip", "\"described\"", "\"\"\"described\"\"\""];
const STRINGS = ["\"", "\"\"", "\"\"\"", "\"\"\"\"\"\"", "\"\"\"\"", "\"a", "\"\\\"", "\"\\q\"", "\"\\\\\"", "\"\\/\\b\\f\\n\\r\\t\"", "\"\\u0041\"", "\"\\u00\"", "\"\\u{41}\"", "\"\\u{1F40C}\"", "\"\\u{}\"", "\"\\u{110000}\"", "\"\\u{D800}\"", "\"\\uD83D\\uDC0C\"", "\"\\uD83D\"", "\"\\uDC0C\\uD83D\"", "\"\\uD83D\\u0041\"", "\"\\u{000041}\"", "\"\\U0041\"", "\"\\x41\"", "\"a\nb\"", "\"a\rb\"", "\"a\tb\"", "\"a\u0000b\"", "\"a\u001fb\"", "\"a\u007fb\"", "\"a\u2028b\"", "\"a\ufeffb\"", "\"🐌\"", "'a'", "\"\"\"a\nb\"\"\"", "\"\"\"\n  a\n    b\n\"\"\"", "\"\"\"\\\"\"\"\"\"\"", "\"\"\"a\\\"\"\"b\"\"\"", "\"\"\"a\\\"\"\"", "\"\"\"a\\\"\"", "\"\"\"a\\n\\u0041\\q\"\"\"", "\"\"\"a\"\"\"\"", "\"\"\"\"a\"\"\"", "\"\"\"a\u0000b\"\"\"", "\"\"\"a\u0007b\"\"\"", "\"\"\"\r\n\r\n a\r b\r\n\"\"\""];
/** Longer strings are cursors and IDs, which are not changed, because a changed one can be valid with another meaning. */
const MAX_CHANGED_STRING = 20;

/** Returns a text with a random change of its tokens or of its characters. */
export function changedText(random, text) {
  const tokens = tokensOf(text);
  const token = random.pick(tokens);
  const { start, end } = token;
  const replace = (by) => text.slice(0, start) + by + text.slice(end);
  const strings = tokens.filter(({ kind }) => isString(kind));
  const change = random.weighted({ string: strings.length && 25, remove: 12, repeat: 10, insert: 15, replace: 12, swap: 8, cut: 6, character: 12, described: 3 });
  switch (change) {
    case "string": {
      const { start, end } = random.pick(strings);
      return text.slice(0, start) + random.pick(STRINGS) + text.slice(end);
    }
    case "remove":
      return replace(" ");
    case "repeat":
      return replace(`${text.slice(start, end)} ${text.slice(start, end)}`);
    case "insert":
      return replace(`${random.pick(TOKENS)} ${text.slice(start, end)}`);
    case "replace":
      return replace(random.pick([...TOKENS, ...STRINGS]));
    case "swap": {
      const other = random.pick(tokens);
      if (other.start === start) return text;
      const [one, two] = other.start < start ? [other, token] : [token, other];
      const part = ({ start, end }) => text.slice(start, end);
      return text.slice(0, one.start) + part(two) + text.slice(one.end, two.start) + part(one) + text.slice(two.end);
    }
    case "cut":
      return text.slice(0, start + random.below(end - start + 1));
    case "described":
      return `${random.pick(["\"described\"", "\"\"\"described\"\"\"", "\"one\" \"two\""])} ${text}`;
    default: {
      if (isString(token.kind) && end - start > MAX_CHANGED_STRING) return text;
      const at = start + random.below(end - start + 1);
      const removed = random.below(2);
      return text.slice(0, at) + random.pick(["", "\"", "\\", "{", "}", "0", "a", "_", "-", ".", "#", "\n", "\u0000", "é"]) + text.slice(at + removed);
    }
  }
}

const isString = (kind) => kind === TokenKind.STRING || kind === TokenKind.BLOCK_STRING;

/** Returns the tokens of a text without errors. */
function tokensOf(text) {
  const lexer = new Lexer(new Source(text));
  const tokens = [];
  while (lexer.advance().kind !== TokenKind.EOF) tokens.push(lexer.token);
  return tokens;
}

/** Returns a text with the same tokens and other characters between and within them. */
export function respaced(random, text) {
  const ignored = [" ", "\n", "\r\n", "\r", ",", "\t", "  ", " ,, ", "# {\"é 🐌\n", "#\r\n", "\ufeff"];
  const parts = tokensOf(text).map((token) => {
    const own = isString(token.kind) && random.chance(0.6) ? encoded(random, token.value) : text.slice(token.start, token.end);
    const needed = [TokenKind.NAME, TokenKind.INT, TokenKind.STRING, TokenKind.BLOCK_STRING, TokenKind.SPREAD].includes(token.kind);
    return own + (needed || random.chance(0.3) ? random.pick(random.chance(0.7) ? [" ", "\n"] : ignored) : "");
  });
  return parts.join("");
}

/** Returns a string literal of a value. */
function encoded(random, value) {
  const escapes = { "\"": "\\\"", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "/": "\\/", "\b": "\\b", "\f": "\\f" };
  const characters = Array.from(value, (character) => {
    if (escapes[character] && (character !== "/" || random.chance(0.5))) return escapes[character];
    if (!random.chance(value.length > 100 ? 0.01 : 0.15)) return character;
    if (random.chance(0.5)) return `\\u{${"0".repeat(random.below(3))}${character.codePointAt(0).toString(16)}}`;
    return Array.from({ length: character.length }, (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`).join("");
  });
  return `"${characters.join("")}"`;
}

const JSON_VALUES = [null, true, false, 0, 1, -1, 1.5, 2147483647, 2147483648, -2147483649, 1e21, "", "1", "true", "x", "11111111-2222-3333-4444-555555555555", "11111111222233334444555555555555", "{11111111-2222-3333-4444-555555555555}", " 11111111-2222-3333-4444-555555555555", [], [1], ["x"], [null], {}, { a: 1 }, { receiverHandle: "luu" }, { receiverHandle: null }, { to: { receiverHandle: "luu" }, body: "x" }];

/** Returns variables with a random change. */
export function changedVariables(random, variables) {
  const changed = structuredClone(variables);
  const places = [];
  const collect = (object) => {
    for (const [key, value] of Object.entries(object)) {
      places.push({ object, key });
      if (value && typeof value === "object") collect(value);
    }
  };
  collect(changed);
  const { object, key } = random.pick([...places, { object: changed, key: random.pick(["v0", "nothing"]) }]);
  switch (random.weighted({ replace: 6, remove: 1, add: 1, wrap: 1 })) {
    case "remove":
      delete object[key];
      break;
    case "add":
      object.nothing = random.pick(JSON_VALUES);
      break;
    case "wrap":
      object[key] = [object[key] ?? null];
      break;
    default:
      object[key] = random.pick(JSON_VALUES);
  }
  return changed;
}
