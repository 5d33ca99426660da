// A `cruddur dev` of one's own, ready when this resolves.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export async function startDev(program, options = []) {
  const ports = ["dynamodb", "postgres", "issuer"].flatMap((name) => [`--${name}-port`, "0"]);
  const dev = spawn(program, ["dev", "--json", "--listen", "127.0.0.1:0", ...ports, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: dev.stdout });
  const line = await new Promise((resolve, reject) => {
    lines.once("line", resolve);
    dev.once("exit", (code) => reject(new Error(`cruddur dev ended with ${code}`)));
  });
  return { places: JSON.parse(line), stop: () => dev.kill("SIGTERM") };
}

export function signedIn(places) {
  const authorization = `Bearer ${places.tokens.luu}`;
  return (url, options = {}) => fetch(url, { ...options, headers: { ...options.headers, authorization } });
}
