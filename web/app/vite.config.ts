import { defineConfig } from "vite";

// Where `cruddur dev` runs: the pages under development use its API, its tokens and its configuration.
const server = process.env.CRUDDUR_DEV ?? "http://127.0.0.1:4000";
const proxy = {
  "/graphql": { target: server, ws: true },
  "/graphiql": { target: server },
  "/app": { target: server },
};

export default defineConfig({
  server: { proxy },
  preview: { proxy },
  esbuild: { jsx: "automatic" },
  build: {
    target: "es2024",
    // 6 kB less than esbuild's minifier.
    minify: "terser",
    terserOptions: { module: true, compress: { passes: 2 } },
    // Data URLs would need an exception in the `Content-Security-Policy`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The licences of the packages in the bundle; the server has the file at `/app/licences.txt`.
    license: { fileName: "licences.txt" },
  },
});
