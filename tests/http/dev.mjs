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

export function signedIn(places) {
  const authorization = `Bearer ${places.tokens.luu}`;
  return (url, options = {}) => fetch(url, { ...options, headers: { ...options.headers, authorization } });
}
