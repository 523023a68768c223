// watch.mjs
import { createClient } from "graphql-ws";
import WebSocket from "ws"; // browsers bring their own

const [url, token] = process.argv.slice(2);
const client = createClient({
  url: url.replace("http", "ws"),
  webSocketImpl: WebSocket,
  connectionParams: () => ({ authorization: `Bearer ${token}` }), // called for every connection
  retryAttempts: Infinity,
  shouldRetry: () => true,
  on: {
    closed: ({ code, reason }) => {
      if (code !== 1000) console.error(`closed: ${code} ${reason}`);
      if (code === 4403) process.exit(1); // the token was refused or has expired
    },
  },
});

const INBOX = "{ inbox(first: 20) { unread position nodes { id title readAt } } }";
const FEED = `subscription ($after: Cursor) {
  inbox(after: $after) { kind cursor unread notification { id title readAt } }
}`;

while (true) {
  let variables;
  for await (const { data } of client.iterate({ query: INBOX })) {
    console.log(`${data.inbox.unread} unread`);
    variables = { after: data.inbox.position };
  }
  // The feed completes after RESYNC only; then the inbox is loaded again.
  for await (const { data, errors } of client.iterate({ query: FEED, variables })) {
    if (errors) throw new Error(errors[0].message);
    variables.after = data.inbox.cursor; // where the next connection goes on
    console.log(data.inbox.kind, data.inbox.notification?.title ?? "", `${data.inbox.unread} unread`);
  }
}
