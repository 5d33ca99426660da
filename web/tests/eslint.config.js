// The recommended rules of graphql-eslint for a schema, and its rules for Relay.
import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/schema.graphql"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema.graphql" } },
    },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,
      // These types have no identity, and therefore no id.
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            types: ["PageInfo", "CannotMessageYourself", "InvalidMessageBody", "MessageGroupNotFound", "ReceiverNotFound"],
            suffixes: ["Connection", "Edge", "Event", "Success"],
          },
        },
      ],
      // `messageGroup` of `Message` is the name of a type, not a prefix.
      "@graphql-eslint/no-typename-prefix": "off",
    },
  },
];
