// Watches an inbox as a front end would, and prints a line of JSON for whatever happens.
//   node watch.mjs ws://host:port/graphql token-file [position]
// The token is read anew for every connection, and every subscription begins after the last cursor that was seen.
import { readFileSync } from "node:fs";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, tokenFile, position] = process.argv.slice(2);
let cursor = position ?? null;
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: () => ({ authorization: `Bearer ${readFileSync(tokenFile, "utf8")}` }),
  retryAttempts: Infinity,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 100)),
  shouldRetry: () => true,
  on: {
    connected: () => tell({ connected: cursor }),
    closed: (event) => tell({ closed: event.code }),
  },
});

client.subscribe(
  {
    query: `subscription ($after: Cursor) {
      inbox(after: $after) { kind cursor unread notification { id title } }
    }`,
    variables: {
      get after() {
        return cursor;
      },
    },
  },
  {
    next({ data, errors }) {
      if (errors) tell({ failed: errors });
      else {
        cursor = data.inbox.cursor;
        tell({ event: data.inbox });
      }
    },
    error: (error) => tell({ failed: error instanceof Error ? error.message : error }),
    complete: () => tell({ completed: true }),
  },
);

process.stdin.resume().on("end", () => process.exit(0)); // whoever started this is gone
