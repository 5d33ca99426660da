// Generates, compiles and runs the suites of all clients, each against its own `cruddur dev`.
//
// Usage: node run.mjs <cruddur program> [suite ...]
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { startDev } from "../../tests/http/dev.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const [program, ...only] = process.argv.slice(2);
const bin = (name) => join(here, "../node_modules/.bin", name);
const relayManifest = join(here, "relay/__generated__/persisted-documents.json");
const codegenManifest = join(here, "src/generated/persisted-documents.json");

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, { cwd: here, stdio: "inherit", env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
}

function compile() {
  run(bin("graphql-codegen"), ["--silent"]);
  // relay-compiler adds to this file, which has to exist.
  mkdirSync(dirname(relayManifest), { recursive: true });
  writeFileSync(relayManifest, "{}");
  run(bin("relay-compiler"), ["--repersist", "--output", "quiet-with-errors"]);
  for (const folder of [".", "../client"]) run(bin("tsc"), ["--project", folder]);
  run("node", ["build.mjs", ...["request", "ws", "apollo", "urql"].map((name) => `src/${name}.ts`), "relay/suite.ts"]);
}

// The name and the command of each suite, and the manifest of trusted documents if it sends only IDs.
const suites = [
  ["graphql-request", ["node", "dist/src/request.js"]],
  ["graphql-ws", ["node", "dist/src/ws.js"]],
  ["Apollo Client", ["node", "dist/src/apollo.js"]],
  ["urql", ["node", "dist/src/urql.js"]],
  ["Relay", ["node", "dist/relay/suite.js"]],
  ["Relay by ids", ["node", "dist/relay/suite.js"], relayManifest],
  ["gql", ["python3", "gql/check.py"]],
  ["Vite", ["node", "vite.mjs"]],
  ["Apollo Client by ids", ["node", "dist/src/apollo.js"], codegenManifest],
];

compile();
run("node", ["docs.mjs"]);
for (const [name, [command, ...args], manifest] of suites) {
  if (only.length > 0 && !only.includes(name)) continue;
  console.log(name);
  // This folder contains the issuer's key, with which the suites create expired tokens.
  const folder = mkdtempSync(join(tmpdir(), "cruddur-clients-"));
  // As root, PostgreSQL runs as another user.
  chmodSync(folder, 0o711);
  const data = join(folder, "data");
  const trusted = manifest ? ["--trusted-documents", manifest] : [];
  const { places, stop } = await startDev(program, ["--data-dir", data, ...trusted]);
  try {
    run(command, args, {
      CRUDDUR_PLACES: JSON.stringify(places),
      CRUDDUR_PROGRAM: program,
      CRUDDUR_ISSUER_KEY: join(data, "issuer-key.pem"),
      CRUDDUR_TRUSTED: manifest ? "1" : "",
    });
  } finally {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
