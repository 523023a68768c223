// The audits of GraphQL over HTTP, against a running hub: node audit.mjs URL TOKEN. One JSON line a failed one.
import { auditServer } from "graphql-http";

const [url, token] = process.argv.slice(2);
const results = await auditServer({
  url,
  fetchFn: (to, options = {}) =>
    fetch(to, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } }),
});
for (const { id, name, status, reason } of results)
  if (status !== "ok") console.log(JSON.stringify({ id, name, status, reason: String(reason) }));
console.log(JSON.stringify({ audits: results.length }));
process.exit(0); // connections kept alive would hold it
