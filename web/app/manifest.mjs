// Writes the IDs and texts of the app's documents to a file for `serve --trusted-documents`.
import { copyFileSync } from "node:fs";

copyFileSync("src/gql/persisted-documents.json", "dist/trusted-documents.json");
