// Generates random requests of the schema, most of which are valid.
import { Kind, doTypesOverlap, getNamedType, isAbstractType, isCompositeType, isInputObjectType, isIntrospectionType, isLeafType, isListType, isNonNullType, isRequiredArgument, parseType, print } from "graphql";
import { absentGroup, sentMessage } from "./data.mjs";
import { schema } from "./validation.mjs";

/** Below the limits of the server. */
const MAX_DEPTH = 6;
const INTROSPECTED = [...Object.keys(schema.getTypeMap()).filter((name) => !isIntrospectionType(schema.getType(name)) && name !== "Float"), "Nothing", ""];
/** Contain the introspection types and directives, whose descriptions differ. */
const NOT_COMPARED = ["__Schema.types", "__Schema.directives"];
const COMPOSITE_TYPES = Object.values(schema.getTypeMap()).filter((type) => isCompositeType(type));

const named = (value) => ({ kind: Kind.NAME, value });
const variableNode = (name) => ({ kind: Kind.VARIABLE, name: named(name) });

/** Returns a request: its document as an AST, its variables and the name of its operation. */
export function randomRequest(random, data) {
  const operations = random.chance(0.06) ? 2 : 1;
  const fragments = [];
  const parts = Array.from({ length: operations }, (_, number) => {
    const generator = new Generator(random, data, fragments, number);
    return { generator, definition: generator.operation(operations > 1) };
  });
  const definitions = [...parts.map(({ definition }) => definition), ...fragments];
  const selected = random.pick(parts);
  return {
    document: { kind: Kind.DOCUMENT, definitions: random.chance(0.3) ? definitions.toReversed() : definitions },
    variables: selected.generator.values,
    operationName: operations > 1 || random.chance(0.1) ? selected.definition.name?.value : undefined,
  };
}

class Generator {
  constructor(random, data, fragments, number) {
    Object.assign(this, { random, data, fragments, number });
    this.definitions = [];
    this.values = {};
    /** The arguments of a response key, so that most fields with the same key can be merged. */
    this.known = new Map();
    this.fieldsLeft = 4 + random.below(36);
  }

  operation(isNamed) {
    const { random } = this;
    const operation = random.weighted({ query: 72, mutation: 18, subscription: 10 });
    const type = schema.getRootType(operation);
    const selectionSet = operation === "subscription" ? this.subscription(type) : this.selectionSet(type, MAX_DEPTH);
    return {
      kind: Kind.OPERATION_DEFINITION,
      operation,
      name: isNamed || random.chance(0.4) ? named(random.pick(["A", "query", "on", "Messages"]) + this.number) : undefined,
      variableDefinitions: this.definitions,
      directives: [],
      selectionSet,
    };
  }

  subscription(type) {
    const { random } = this;
    const field = this.field(type, random.pick(Object.values(type.getFields())), MAX_DEPTH);
    field.directives = random.chance(0.03) ? this.directives(1) : [];
    const selections = random.chance(0.1) ? [field, field] : [field];
    return { kind: Kind.SELECTION_SET, selections };
  }

  selectionSet(type, depth) {
    const { random } = this;
    const count = 1 + random.below(this.fieldsLeft > 0 ? 4 : 1);
    return { kind: Kind.SELECTION_SET, selections: Array.from({ length: count }, () => this.selection(type, depth)) };
  }

  selection(type, depth) {
    const { random } = this;
    const kind = depth > 0 ? random.weighted({ field: 70, inline: 11, spread: 9, typename: 6, schema: 4 }) : "field";
    if (kind === "inline") return this.inlineFragment(type, depth);
    if (kind === "spread") return this.spread(type, depth);
    if (kind === "schema" && type === schema.getQueryType()) return this.introspection();
    const fields = kind === "typename" || !type.getFields ? [] : Object.values(type.getFields());
    const compared = fields.filter((field) => !NOT_COMPARED.includes(`${type.name}.${field.name}`));
    const possible = compared.filter((field) => isLeafType(getNamedType(field.type)) || (depth > 0 && this.fieldsLeft > 0));
    if (!possible.length) return this.typename();
    return this.field(type, random.pick(possible), depth);
  }

  typename() {
    const alias = this.random.chance(0.2) ? named("type") : undefined;
    return { kind: Kind.FIELD, alias, name: named("__typename"), arguments: [], directives: this.directives(0.05) };
  }

  introspection() {
    const { random } = this;
    const isType = random.chance(0.7);
    const type = schema.getType(isType ? "__Type" : "__Schema");
    const literal = { kind: Kind.STRING, value: random.pick(INTROSPECTED) };
    return {
      kind: Kind.FIELD,
      alias: random.chance(0.3) ? named(`schema_${random.below(3)}`) : undefined,
      name: named(isType ? "__type" : "__schema"),
      arguments: isType ? [{ kind: Kind.ARGUMENT, name: named("name"), value: literal }] : [],
      directives: this.directives(0.05),
      selectionSet: this.selectionSet(type, 4),
    };
  }

  field(type, definition, depth) {
    const { random } = this;
    this.fieldsLeft -= 1;
    const alias = random.chance(0.3) ? (random.chance(0.06) ? random.pick(["a", "id", "uuid"]) : `${definition.name}_${random.below(3)}`) : undefined;
    const key = `${type.name}.${alias ?? definition.name}.${definition.name}`;
    const args = (!random.chance(0.03) && this.known.get(key)) || this.arguments(definition, depth);
    this.known.set(key, args);
    const below = getNamedType(definition.type);
    return {
      kind: Kind.FIELD,
      alias: alias && named(alias),
      name: named(definition.name),
      arguments: args,
      directives: this.directives(0.08),
      selectionSet: isCompositeType(below) ? this.selectionSet(below, depth - 1) : undefined,
    };
  }

  arguments(definition, depth) {
    const { random } = this;
    const given = definition.args.filter((argument) => {
      if (isRequiredArgument(argument)) return true;
      if (argument.name === "first") return random.chance(0.75);
      return random.chance(argument.name === "last" ? 0.12 : 0.2);
    });
    return (random.chance(0.2) ? given.toReversed() : given).map((argument) => ({
      kind: Kind.ARGUMENT,
      name: named(argument.name),
      value: this.value(argument.type, this.valueOf(argument, definition, depth), argument.defaultValue !== undefined),
    }));
  }

  inlineFragment(type, depth) {
    const { random } = this;
    const condition = random.chance(0.15) ? undefined : random.pick(overlapping(type));
    return {
      kind: Kind.INLINE_FRAGMENT,
      typeCondition: condition && { kind: Kind.NAMED_TYPE, name: named(condition.name) },
      directives: this.directives(0.15),
      selectionSet: this.selectionSet(condition ?? type, depth - 1),
    };
  }

  spread(type, depth) {
    const { random, fragments } = this;
    const reusable = fragments.filter((fragment) => fragment.of === this && fragment.depth <= depth && doTypesOverlap(schema, fragment.type, type));
    let fragment = random.chance(0.5) ? random.pick(reusable) : undefined;
    if (!fragment) {
      const condition = random.pick(overlapping(type));
      const selectionSet = this.selectionSet(condition, depth - 1);
      fragment = {
        kind: Kind.FRAGMENT_DEFINITION,
        name: named(`${random.pick(["F", "query", "onUser"])}${fragments.length}`),
        typeCondition: { kind: Kind.NAMED_TYPE, name: named(condition.name) },
        directives: [],
        selectionSet,
        of: this,
        type: condition,
        depth,
      };
      fragments.push(fragment);
    }
    return { kind: Kind.FRAGMENT_SPREAD, name: fragment.name, directives: this.directives(0.12) };
  }

  directives(probability) {
    const { random } = this;
    if (!random.chance(probability)) return [];
    const name = random.pick(["skip", "include"]);
    const condition = schema.getDirective(name).args[0];
    const value = this.value(condition.type, random.chance(name === "skip" ? 0.3 : 0.7));
    return [{ kind: Kind.DIRECTIVE, name: named(name), arguments: [{ kind: Kind.ARGUMENT, name: named("if"), value }] }];
  }

  /** Returns a JSON value for an argument. */
  valueOf({ name, type }, definition, depth) {
    const { random, data } = this;
    const group = () => (random.chance(0.8) ? random.pick(data.groupEdges).node.uuid : random.pick([absentGroup, data.foreign.node.uuid]));
    const handle = () => (random.chance(0.8) ? random.pick([...data.users.keys()]) : random.pick(["", "nobody", "LUU", "zoé", "🐌", "a\nb"]));
    const cursor = () => {
      if (random.chance(0.08)) return random.pick(["", "x", "Zw"]);
      const edges = definition.name === "messageGroups" ? data.groupEdges : random.pick(data.groupEdges).node.messageEdges;
      return random.pick(edges).cursor;
    };
    switch (name) {
      case "first":
      case "last":
        if (random.chance(0.05)) return random.pick([-1, 101, 2147483647, -2147483648]);
        return random.chance(0.1) ? null : random.below(depth < MAX_DEPTH ? 4 : 9);
      case "after":
      case "before":
        return random.chance(0.1) ? null : cursor();
      case "uuid":
      case "messageGroupUuid":
        return random.chance(0.1) ? group().toUpperCase() : group();
      case "handle":
        return handle();
      case "id":
        return random.chance(0.9) ? random.pick([...data.objects.keys()]) : random.pick([5, 0, -7, "", "x", data.foreign.node.id]);
      case "input":
        return definition.name === "createMessage" ? this.createMessage() : this.markMessageGroupRead(group);
      case "includeDeprecated":
        return random.pick([true, false]);
      case "name":
        return random.pick(INTROSPECTED);
      default:
        throw new Error(`no values for ${definition.name}(${name}: ${type})`);
    }
  }

  /** An input that creates no message. */
  createMessage() {
    const { random } = this;
    if (random.chance(0.4)) return structuredClone(sentMessage);
    const body = random.pick(["x", "é\u2028🐌", "\"quoted\" \\ /"]);
    const idempotencyKey = random.chance(0.1) ? null : random.pick(["", "k".repeat(256), "key"]);
    const input = random.pick([
      { to: { receiverHandle: "luu" }, body },
      { to: { receiverHandle: "nobody" }, body },
      { to: { messageGroupUuid: absentGroup }, body },
      { to: { receiverHandle: "tove" }, body: random.pick(["", " ", "\n\t\u00a0\u2003", "é🐌".repeat(513)]) },
    ]);
    return random.chance(0.2) ? { idempotencyKey, ...input } : input;
  }

  markMessageGroupRead(group) {
    const { random, data } = this;
    if (random.chance(0.15)) return { messageGroupUuid: data.foreign.node.uuid, upTo: data.foreign.node.messages.edges[0].cursor };
    if (random.chance(0.15)) return { messageGroupUuid: group(), upTo: random.pick(["", "x", data.groupEdges[0].cursor]) };
    const { node } = random.pick(data.groupEdges);
    return { upTo: random.pick(node.messageEdges).cursor, messageGroupUuid: node.uuid };
  }

  /** Returns a value as a literal or as a variable, or with variables inside. */
  value(type, value, hasDefault = false, isOneOf = false) {
    const { random } = this;
    if (random.chance(0.22) && (value !== null || !isOneOf)) return this.variable(type, value, hasDefault, isOneOf);
    if (isNonNullType(type)) return this.value(type.ofType, value);
    if (value === null) return { kind: Kind.NULL };
    if (isListType(type)) return { kind: Kind.LIST, values: [value].flat().map((item) => this.value(type.ofType, item)) };
    if (isInputObjectType(type)) {
      const fields = Object.entries(value).map(([name, field]) => ({
        kind: Kind.OBJECT_FIELD,
        name: named(name),
        value: this.value(type.getFields()[name].type, field, false, type.isOneOf),
      }));
      return { kind: Kind.OBJECT, fields };
    }
    return this.literal(value);
  }

  literal(value) {
    if (typeof value === "boolean") return { kind: Kind.BOOLEAN, value };
    if (typeof value === "number") return { kind: Kind.INT, value: `${value}` };
    return { kind: Kind.STRING, value, block: this.random.chance(0.1) && isBlock(value) };
  }

  variable(type, value, hasDefault, isOneOf) {
    const { random } = this;
    let declared = `${type}`;
    const isRequired = declared.endsWith("!");
    let defaultValue;
    if (isOneOf) declared = `${declared.replace(/!$/, "")}!`;
    else if (isRequired && value !== null && (hasDefault || random.chance(0.2))) {
      declared = declared.slice(0, -1);
      if (!hasDefault || random.chance(0.5)) defaultValue = value;
    } else if (!isRequired && value !== null && random.chance(0.3)) declared += "!";
    else if (random.chance(0.2)) defaultValue = value;
    const reusable = this.definitions.find((definition) => print(definition.type) === declared);
    if (reusable && random.chance(0.4)) return variableNode(reusable.variable.name.value);
    const name = `${random.pick(["v", "on", "fragment"])}${this.definitions.length}`;
    this.definitions.push({
      kind: Kind.VARIABLE_DEFINITION,
      variable: variableNode(name),
      type: parseType(declared, { noLocation: true }),
      defaultValue: defaultValue === undefined ? undefined : this.constant(type, defaultValue),
      directives: [],
    });
    const isOptional = !declared.endsWith("!") || defaultValue !== undefined;
    if (!isOptional || random.chance(0.75)) this.values[name] = isOptional && random.chance(0.1) ? null : value;
    return variableNode(name);
  }

  /** Returns a literal without variables. */
  constant(type, value) {
    const { random } = this;
    this.random = Object.assign(Object.create(random), { chance: () => false });
    try {
      return this.value(type, value);
    } finally {
      this.random = random;
    }
  }
}

/** The types whose objects may also have the given type. */
function overlapping(type) {
  if (!isAbstractType(type) && type.getInterfaces().length === 0) return [type, ...COMPOSITE_TYPES.filter((other) => isAbstractType(other) && doTypesOverlap(schema, type, other))];
  return COMPOSITE_TYPES.filter((other) => doTypesOverlap(schema, type, other));
}

/** Whether a block string can contain the text. */
function isBlock(text) {
  return /^[ -~éü🐌]+$/u.test(text) && !/^\s|\s$|\\|"/.test(text);
}
