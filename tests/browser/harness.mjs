// The browser and the environment of `serve` that the tests of all pages use.
import { chromium } from "playwright-core";

/** Starts Chromium without requests of its own. */
export function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
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
