// Shared parts of all suites: the address of the server, tokens of users, and a report.
import assert from "node:assert/strict";
import { createSign, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Token } from "@cruddur/client";
import { demoToken } from "./sign-in";

export interface Places {
  graphql: string;
  issuer: string;
  tokens: Record<string, string>;
}

const line = process.env.CRUDDUR_PLACES;
assert.ok(line, "run.mjs runs this");
export const places: Places = JSON.parse(line);

// Whether the server executes only trusted documents, by their IDs.
export const trusted = process.env.CRUDDUR_TRUSTED === "1";

export function tokenOf(handle: string, { tokens } = places): string {
  const token = tokens[handle];
  assert.ok(token, `${handle} can sign in`);
  return token;
}

// A token that expires after this number of seconds, which may be negative.
export function endingIn(seconds: number, token: string, keyFile: string): string {
  const [header = "", payload = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  claims.exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(readFileSync(keyFile), "base64url")}`;
}

// A user who stays signed in.
export const signedIn = (handle: string): Token => async () => tokenOf(handle);

// A user whose token has expired, and the number of renewals.
export function expiredSession(handle: string): { token: Token; renewals: () => number } {
  const expired = endingIn(-3600, tokenOf(handle), process.env.CRUDDUR_ISSUER_KEY ?? "");
  const renewed = demoToken(places.issuer, handle);
  let renewals = 0;
  const token: Token = async (options) => {
    if (!options.forceRefresh) return expired;
    renewals += 1;
    return renewed(options);
  };
  return { token, renewals: () => renewals };
}

export const newKey = (): string => randomUUID();

// Runs a step and prints its name. A failed step ends the suite.
export async function step(name: string, body: () => Promise<void>): Promise<void> {
  await body();
  console.log(`  ${name}`);
}

// Waits until a condition holds, with a timeout.
export async function until(is: () => boolean): Promise<void> {
  for (let tries = 0; !is(); tries += 1) {
    assert.ok(tries < 18_000, "the condition does not hold after three minutes");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
