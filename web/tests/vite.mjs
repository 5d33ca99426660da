// Vite's development server in front of `cruddur dev`: with the configuration of docs/clients.md, and with the app's own.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createClient } from "graphql-ws";
import { createServer, loadConfigFromFile } from "vite";
import WebSocket from "ws";

const places = JSON.parse(process.env.CRUDDUR_PLACES ?? "");
const authorization = `Bearer ${places.tokens.luu}`;
const path = (file) => fileURLToPath(new URL(file, import.meta.url));

async function proxied(configFile, check) {
  process.env.CRUDDUR_DEV = new URL(places.app).origin;
  const { config } = await loadConfigFromFile({ command: "serve", mode: "development" }, path(configFile));
  // The documentation has the address at which `dev` listens by default.
  for (const proxy of Object.values(config.server.proxy)) proxy.target = process.env.CRUDDUR_DEV;
  const options = { root: path("../app"), logLevel: "warn", optimizeDeps: { noDiscovery: true } };
  const server = await createServer({ ...config, ...options, configFile: false, server: { ...config.server, port: 0 } });
  await server.listen();
  const { port } = server.httpServer.address();
  try {
    await check(`http://localhost:${port}`);
  } finally {
    await server.close();
  }
}

async function api(origin) {
  const response = await fetch(`${origin}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization, origin },
    body: '{"query":"{ viewer { handle } }"}',
  });
  assert.deepEqual(await response.json(), { data: { viewer: { handle: "luu" } } });

  // A browser sends the origin of the page, which is Vite's.
  class FromPage extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { origin });
    }
  }
  const connectionParams = { Authorization: authorization };
  const client = createClient({ url: `${origin.replace("http", "ws")}/graphql`, webSocketImpl: FromPage, connectionParams, lazy: false, retryAttempts: 0 });
  await new Promise((resolve, reject) => {
    client.on("connected", resolve);
    client.on("closed", reject);
    client.on("error", reject);
  });
  await client.dispose();
}

await proxied("src/vite.ts", api);
await proxied("../app/vite.config.ts", async (origin) => {
  await api(origin);
  const text = async (path) => {
    const response = await fetch(`${origin}${path}`, { headers: { accept: "text/html,*/*" } });
    assert.equal(response.status, 200, path);
    return response.text();
  };
  assert.equal(JSON.parse(await text("/app/config.json")).signIn.authority, places.issuer);
  assert.match(await text("/messages"), /src="\/src\/main\.tsx/);
  assert.match(await text("/src/main.tsx"), /createRoot/);
  assert.match(await text("/graphiql"), /<!doctype html>/i);
});
console.log("  Vite forwards requests and WebSockets, and serves the app");
