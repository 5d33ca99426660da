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
    target: "es2023",
    // Data URLs would need an exception in the `Content-Security-Policy`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
