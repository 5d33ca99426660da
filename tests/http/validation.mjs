// Validates requests with graphql-js, and with the rules in which the server
// differs from it on purpose.
import { readFileSync } from "node:fs";
import { GraphQLError, buildSchema, getNullableType, isInputObjectType, isNonNullType, parse, specifiedRules, typeFromAST, validate, visit } from "graphql";
import { getVariableValues } from "graphql/execution/values.js";
import { MaxIntrospectionDepthRule } from "graphql/validation/rules/MaxIntrospectionDepthRule.js";

export const schema = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));

const uuid = schema.getType("UUID");
uuid.parseValue = (value) => {
  if (typeof value !== "string" || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) {
    throw new GraphQLError("not a UUID");
  }
  return value.toLowerCase();
};
uuid.parseLiteral = ({ kind, value }) => uuid.parseValue(kind === "StringValue" ? value : undefined);

/** Rules that reject documents which graphql-js accepts, each with its reason. */
export const stricterRules = {
  NonNullOneOfVariables: {
    since: "graphql-js asks for a non-null variable in a @oneOf input only where that input itself may be null",
    rule: (context) => ({
      OperationDefinition(operation) {
        const definitions = new Map(operation.variableDefinitions?.map((definition) => [definition.variable.name.value, definition]));
        for (const { node, parentType } of context.getRecursiveVariableUsages(operation)) {
          const definition = definitions.get(node.name.value);
          const input = parentType && getNullableType(parentType);
          const type = definition && typeFromAST(schema, definition.type);
          if (isInputObjectType(input) && input.isOneOf && type && !isNonNullType(type)) {
            reject(context, "NonNullOneOfVariables", node);
          }
        }
      },
    }),
  },
  UnconditionalSubscriptions: {
    since: "the newest specification rejects @skip and @include on the root fields of a subscription",
    rule: (context) => ({
      OperationDefinition(operation) {
        if (operation.operation !== "subscription") return;
        const seen = new Set();
        const visit = ({ selections }) => {
          for (const selection of selections) {
            const conditional = selection.directives?.find(({ name }) => ["skip", "include"].includes(name.value));
            if (conditional) reject(context, "UnconditionalSubscriptions", conditional);
            if (selection.kind === "InlineFragment") visit(selection.selectionSet);
            const fragment = selection.kind === "FragmentSpread" && context.getFragment(selection.name.value);
            if (!fragment || seen.has(fragment)) continue;
            seen.add(fragment);
            visit(fragment.selectionSet);
          }
        };
        visit(operation.selectionSet);
      },
    }),
  },
};

function reject(context, stricter, node) {
  context.reportError(new GraphQLError(`rejected by ${stricter}`, { nodes: node, extensions: { stricter } }));
}

const rules = [...specifiedRules, MaxIntrospectionDepthRule, ...Object.values(stricterRules).map(({ rule }) => rule)];

function validationErrors(document) {
  try {
    return validate(schema, document, rules, { maxErrors: 1000 });
  } catch (error) {
    // A rule fails if the condition of a subscription's root field is invalid.
    return [error];
  }
}

/**
 * Validates a request. Returns its `operation` and the coerced `variables`, or
 * the `errors` with which it is rejected. `stricter` are the names of the
 * stricter rules that alone reject it.
 */
export function validateRequest({ query, variables = {}, operationName }) {
  let document;
  try {
    // graphql-js merges fields only if the same string has the same notation in both.
    document = visit(parse(query), { StringValue: (node) => ({ ...node, block: false }) });
  } catch (error) {
    return { step: "syntax", errors: [error] };
  }
  const errors = validationErrors(document);
  if (errors.length) {
    const own = new Set(errors.map(({ extensions }) => extensions.stricter));
    return { step: "validation", document, errors, stricter: own.has(undefined) ? undefined : [...own] };
  }
  const operations = document.definitions.filter((definition) => definition.kind === "OperationDefinition");
  const selected = operationName ? operations.filter(({ name }) => name?.value === operationName) : operations;
  if (selected.length !== 1) return { step: "operation", errors: [new GraphQLError("not one operation")] };
  const [operation] = selected;
  const coerced = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
  if (coerced.errors) return { step: "variables", errors: coerced.errors };
  return { step: "accepted", document, operation, variables: coerced.coerced };
}
