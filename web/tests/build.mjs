// Compiles the suites for Node.js, with `@cruddur/client` from its sources.
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { transformAsync } from "@babel/core";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

// relay-runtime is CommonJS without names that Node.js finds, so esbuild bundles it.
const packages = {
  name: "packages of npm stay outside",
  setup({ onResolve }) {
    onResolve({ filter: /^[@a-z]/ }, ({ path, kind }) =>
      kind === "entry-point" || /^(@cruddur|relay-runtime|react-relay)/.test(path) ? undefined : { path, external: true },
    );
  },
};

// Replaces each `graphql` literal by the artifact that relay-compiler has written for it.
const relay = {
  name: "babel-plugin-relay",
  setup({ onLoad }) {
    onLoad({ filter: /\/relay\/\w+\.tsx?$/ }, async ({ path }) => {
      const options = { filename: path, cwd: here, babelrc: false, configFile: false };
      const source = await readFile(path, "utf8");
      const { code } = await transformAsync(source, {
        ...options,
        presets: ["@babel/preset-typescript"],
        plugins: ["relay"],
      });
      return { contents: code, loader: "js" };
    });
  },
};

await build({
  absWorkingDir: here,
  entryPoints: process.argv.slice(2),
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  outdir: "dist",
  outbase: ".",
  logLevel: "warning",
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  plugins: [packages, relay],
});
