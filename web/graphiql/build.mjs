// Bundles the page with all of its dependencies into `dist`.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const out = "dist";
const used = new Set();

// GraphiQL's own style sheet already contains the styles that the editor imports.
const withoutStyle = {
  name: "without the editor's style",
  setup: (build) => {
    build.onLoad({ filter: /monaco-editor.*\.css$/ }, () => ({ contents: "" }));
  },
};

async function bundle(options) {
  const built = await build({
    // Prettify imports these modules by older names, under which a bundler finds no exports.
    alias: { "prettier/parser-babel": "prettier/plugins/babel", "prettier/parser-graphql": "prettier/plugins/graphql" },
    bundle: true,
    define: { "process.env.NODE_ENV": '"production"' },
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    jsx: "automatic",
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
    minify: true,
    outdir: "files",
    plugins: [withoutStyle],
    sourcemap: false,
    target: "es2022",
    write: false,
    ...options,
  });
  for (const input of Object.keys(built.metafile.inputs)) used.add(input);
  const files = built.outputFiles.filter((file) => file.contents.length);
  const outputs = Object.entries(built.metafile.outputs);
  const place = (entry) => {
    const [file] = outputs.find(([, output]) => output.entryPoint?.endsWith(entry));
    return basename(file);
  };
  return { files, place, outputs };
}

// The licences of all packages of which the bundle contains code.
function licences() {
  const packages = new Set();
  for (const input of used) {
    const found = input.match(/.*node_modules\/(?:@[^/]+\/)?[^/]+/);
    if (found) packages.add(found[0]);
  }
  const texts = [...packages].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
    const names = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "license", "license.md"];
    const text = names.map((file) => tryRead(join(folder, file))).find(Boolean);
    return `${name} ${version} (${license})\n\n${text ?? "No text of the licence is in the package.\n"}`;
  });
  return texts.join(`\n${"-".repeat(72)}\n\n`);
}

function tryRead(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

const workers = await bundle({
  entryPoints: [
    "monaco-editor/esm/vs/editor/editor.worker.js",
    "monaco-editor/esm/vs/language/json/json.worker.js",
    "monaco-graphql/esm/graphql.worker.js",
  ],
  format: "iife",
});
const page = await bundle({
  define: {
    "process.env.NODE_ENV": '"production"',
    EDITOR_WORKER: JSON.stringify(workers.place("editor.worker.js")),
    JSON_WORKER: JSON.stringify(workers.place("json.worker.js")),
    GRAPHQL_WORKER: JSON.stringify(workers.place("graphql.worker.js")),
  },
  entryPoints: ["src/main.jsx"],
  format: "esm",
  splitting: true,
});

const files = new Map();
for (const file of [...workers.files, ...page.files]) files.set(basename(file.path), file.contents);
const main = page.place("src/main.jsx");
const [, { cssBundle }] = page.outputs.find(([file]) => basename(file) === main);
const html = readFileSync("src/index.html", "utf8");
files.set("index.html", html.replace("MAIN", main).replace("STYLE", basename(cssBundle)));
files.set("favicon.svg", readFileSync("src/favicon.svg"));
files.set("licences.txt", licences());

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const [name, contents] of files) {
  writeFileSync(join(out, name), contents);
}
