// Checks that the code in docs/clients.md equals the code of the suites in this folder: a line
// `<!-- <file>#<part> -->` precedes the code between `docs: <part>` and `docs: end` of that file.
//
// Usage: node docs.mjs [--write]
import { readFileSync, writeFileSync } from "node:fs";

const page = new URL("../../docs/clients.md", import.meta.url);
const languages = { ts: "ts", tsx: "tsx", py: "python", json: "json" };

function part(file, name) {
  const lines = readFileSync(new URL(file, import.meta.url), "utf8").split("\n");
  const begin = lines.findIndex((line) => /^\s*(\/\/|#) docs: /.test(line) && line.endsWith(`docs: ${name}`));
  const end = lines.findIndex((line, number) => number > begin && /docs: end$/.test(line));
  if (begin < 0 || end < 0) throw new Error(`${file} has no part ${name}`);
  const inside = lines.slice(begin + 1, end);
  const indent = Math.min(...inside.filter(Boolean).map((line) => line.search(/\S/)));
  return inside.map((line) => line.slice(indent)).join("\n").trim();
}

const written = readFileSync(page, "utf8");
const right = written.replaceAll(
  /<!-- (\S+\.(\w+))#([\w-]+) -->\n```\w+\n[\s\S]*?\n```/g,
  (_, file, extension, name) =>
    `<!-- ${file}#${name} -->\n\`\`\`${languages[extension]}\n${part(file, name)}\n\`\`\``,
);
if (process.argv[2] === "--write") {
  writeFileSync(page, right);
} else if (right !== written) {
  console.error("docs/clients.md does not show what is tested: run `npm run docs` in web/tests");
  process.exitCode = 1;
} else {
  console.log("the code in docs/clients.md equals the tested code");
}
