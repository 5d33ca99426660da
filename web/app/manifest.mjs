// Copies the ids and texts of the app's documents to where `serve --trusted-documents` can read them.
import { copyFileSync } from "node:fs";

copyFileSync("src/gql/persisted-documents.json", "dist/trusted-documents.json");
