// Starts a `cruddur dev`. Resolves when it is ready.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export async function startDev(program, options = []) {
  const usual = { "--listen": "127.0.0.1:0", "--dynamodb-port": "0", "--postgres-port": "0", "--issuer-port": "0" };
  const others = Object.entries(usual).filter(([name]) => !options.includes(name));
  const dev = spawn(program, ["dev", "--json", ...others.flat(), ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => dev.once("exit", resolve));
  const lines = createInterface({ input: dev.stdout });
  const line = await new Promise((resolve, reject) => {
    lines.once("line", resolve);
    dev.once("exit", (code) => reject(new Error(`cruddur dev ended with ${code}`)));
  });
  // Resolves when it has stopped.
  const stop = () => {
    dev.kill("SIGTERM");
    return ended;
  };
  return { places: JSON.parse(line), stop };
}

/** The environment of `serve` with the stores and the issuer of `dev`. */
export function serveEnvironment(places) {
  return {
    PATH: process.env.PATH,
    AWS_ENDPOINT_URL_DYNAMODB: places.dynamodb,
    AWS_REGION: places.region,
    AWS_ACCESS_KEY_ID: "local",
    AWS_SECRET_ACCESS_KEY: "local",
    DATABASE_URL: places.database_url,
    COGNITO_ISSUER: places.issuer,
    AWS_COGNITO_USER_POOL_CLIENT_ID: places.client_id,
    DDB_MESSAGE_TABLE: places.table,
  };
}

/** Starts a `cruddur serve` with the stores and the issuer of `dev`. Resolves when it is ready. */
export async function startServe(program, places, options = []) {
  const serve = spawn(program, ["serve", "--listen", "127.0.0.1:0", ...options], {
    env: serveEnvironment(places),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => serve.once("exit", resolve));
  const [address] = await new Promise((resolve, reject) => {
    createInterface({ input: serve.stderr }).on("line", (line) => line.includes("serving") && resolve(line.match(/127\.0\.0\.1:\d+/)));
    serve.once("exit", (code) => reject(new Error(`cruddur serve ended with ${code}`)));
  });
  const stop = () => {
    serve.kill("SIGTERM");
    return ended;
  };
  return { graphql: `http://${address}/graphql`, stop };
}

export function signedIn(places, user = "luu") {
  const authorization = `Bearer ${places.tokens[user]}`;
  return (url, options = {}) => fetch(url, { ...options, headers: { ...options.headers, authorization } });
}
