// docs: codegen
import type { CodegenConfig } from "@graphql-codegen/cli";
import { addTypenameSelectionDocumentTransform } from "@graphql-codegen/client-preset";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: ["src/operations.ts"],
  generates: {
    "src/generated/": {
      preset: "client",
      // Apollo Client and urql add `__typename` before they send a document, so the generated documents contain it too.
      documentTransforms: [addTypenameSelectionDocumentTransform],
      presetConfig: {
        fragmentMasking: false,
        persistedDocuments: { hashAlgorithm: "sha256" },
      },
      config: {
        scalars: { DateTime: "string", UUID: "string" },
        strictScalars: true,
        useTypeImports: true,
      },
    },
    // For Apollo Client.
    "src/generated/possible-types.ts": {
      plugins: ["fragment-matcher"],
      config: { apolloClientVersion: 3, useExplicitTyping: true },
    },
    // For urql.
    "src/generated/introspection.json": {
      plugins: ["introspection"],
      config: { minify: true },
    },
  },
};

export default config;
// docs: end
