// Compares the schema with that of the newest tag, or without a tag, with that of the last commit that changed it.
// CHANGELOG.md must name each breaking change. Without a history, the script only prints that it compared nothing.
//
// Usage: node schema.mjs
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";

const root = new URL("../../", import.meta.url);
const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
const read = (file) => readFileSync(new URL(file, root), "utf8");

function attempt(body) {
  try {
    return body();
  } catch {
    return undefined;
  }
}

const tag = attempt(() => git("describe", "--tags", "--abbrev=0"));

// The newest tag, or the last commit with a different schema.
function base(current) {
  if (tag) return tag;
  const commits = git("log", "-n", "2", "--format=%h", "--", "schema.graphql").split("\n").filter(Boolean);
  return commits.find((commit) => git("show", `${commit}:schema.graphql`) !== current.trim());
}

// The reason why an earlier schema may exist that this clone does not contain.
function missing() {
  const shallow = attempt(() => git("rev-parse", "--is-shallow-repository"));
  if (shallow === undefined) return "this is no clone of the repository, or there is no git";
  if (shallow === "true" && !tag) return "the clone is shallow: run `git fetch --unshallow --tags`";
  return undefined;
}

const current = read("schema.graphql");
const unseen = missing();
if (unseen) {
  console.warn(`the schema was NOT compared with an earlier one: ${unseen}`);
  process.exit(0);
}
const since = base(current);
if (!since) {
  console.log("there is no earlier schema to compare with");
  process.exit(0);
}
const before = git("show", `${since}:schema.graphql`);
const changes = await diff(buildSchema(before), buildSchema(current));
const breaking = changes.filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking);
const [newest] = read("CHANGELOG.md").split(/^## /m).slice(1);
const untold = breaking.filter(({ path, message }) => !newest.includes(`\`${path}\``) && !newest.includes(message));
console.log(`schema.graphql since ${since}: ${changes.length} changes, ${breaking.length} of them breaking`);
for (const { path, message } of untold) {
  console.error(`breaking, and the newest part of CHANGELOG.md does not name \`${path}\`: ${message}`);
}
process.exitCode = untold.length ? 1 : 0;
