// The server audits of graphql-http (GraphQL over HTTP).
//
// Usage: node audit.mjs <cruddur program>
import { auditServer } from "graphql-http";
import { signedIn, startDev } from "./dev.mjs";

const { places, stop } = await startDev(process.argv[2]);
try {
  const results = await auditServer({ url: places.graphql, fetchFn: signedIn(places) });
  const failed = results.filter((result) => result.status !== "ok");
  for (const { id, name, status, reason } of failed) console.error(`${id} ${status}: ${name}: ${reason}`);
  console.log(`graphql-http: ${results.length - failed.length} of ${results.length} audits`);
  console.log(`${results.length - failed.length} passed, ${failed.length} failed`);
  process.exitCode = failed.length ? 1 : 0;
} finally {
  stop();
}
