// What has changed in the schema since the newest tag, or, before there is one, since the last commit that changed it.
// A breaking change needs a line in CHANGELOG.md that names it.
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

// The newest tag, or the last commit whose schema is another.
function base(current) {
  const tag = attempt(() => git("describe", "--tags", "--abbrev=0"));
  if (tag) return tag;
  const commits = (attempt(() => git("log", "-n", "2", "--format=%h", "--", "schema.graphql")) ?? "").split("\n");
  return commits.find((commit) => commit && git("show", `${commit}:schema.graphql`) !== current.trim());
}

const current = read("schema.graphql");
const since = base(current);
if (!since) {
  console.log("there is no other schema to compare with");
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
