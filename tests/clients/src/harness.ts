// What every suite needs: where the server is, who somebody is, and a report.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

export interface Places {
  graphql: string;
  tokens: Record<string, string>;
}

const line = process.env.CRUDDUR_PLACES;
assert.ok(line, "run.mjs runs this");
export const places: Places = JSON.parse(line);

// Whether the server takes nothing but ids of trusted documents.
export const trusted = process.env.CRUDDUR_TRUSTED === "1";

export function tokenOf(handle: string, { tokens } = places): string {
  const token = tokens[handle];
  assert.ok(token, `${handle} can sign in`);
  return token;
}

export const newKey = (): string => randomUUID();

// Each step is told as it passes; one that does not ends the suite.
export async function step(name: string, body: () => Promise<void>): Promise<void> {
  await body();
  console.log(`  ${name}`);
}

// Waits until something is so, for as long as a person would.
export async function until(is: () => boolean): Promise<void> {
  for (let tries = 0; !is(); tries += 1) {
    assert.ok(tries < 2000, "it never is");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
