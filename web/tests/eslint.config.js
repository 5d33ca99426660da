// What graphql-eslint expects of a schema, and of one for Relay.
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
      // What has no identity of its own has no id.
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            types: ["PageInfo", "CannotMessageYourself", "InvalidMessageBody", "MessageGroupNotFound", "ReceiverNotFound"],
            suffixes: ["Connection", "Edge", "Event", "Success"],
          },
        },
      ],
      // `messageGroup` of `Message` is no prefix.
      "@graphql-eslint/no-typename-prefix": "off",
    },
  },
];
