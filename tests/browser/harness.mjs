// The browser, and the waits that the tests of all pages use.
import { chromium } from "playwright-core";

/** Time for one step on a busy machine, in milliseconds. A step that waits for a state ends as soon as the state is there. */
export const TIMEOUT = 180_000;

/** Starts Chromium without requests of its own. */
export function launchBrowser() {
  return chromium.launch({
    timeout: TIMEOUT,
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Waits until a function returns something that is true. */
export async function until(is, what, timeout = TIMEOUT) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await is();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
