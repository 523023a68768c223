// Apollo's own client with its link for persisted queries: node apollo.mjs URL TOKEN [GET]. One JSON line a request it
// makes, and one an answer it hands on.
import { createHash } from "node:crypto";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

const [url, token, method] = process.argv.slice(2);
const tell = (line) => console.log(JSON.stringify(line));

const http = new HttpLink({
  uri: url,
  headers: { authorization: `Bearer ${token}` },
  fetch: async (to, options) => {
    const response = await fetch(to, options);
    const text = options.method === "GET" ? new URL(to).searchParams.has("query") : "query" in JSON.parse(options.body);
    tell({ method: options.method, text, status: response.status });
    return response;
  },
});
const persisted = new PersistedQueryLink({
  sha256: (text) => createHash("sha256").update(text).digest("hex"),
  useGETForHashedQueries: method === "GET",
});
const ask = async (query) => {
  const client = new ApolloClient({ link: persisted.concat(http), cache: new InMemoryCache() });
  const call = query.definitions[0].operation === "mutation" ? { mutation: query } : { query };
  const { data } = await client[call.mutation ? "mutate" : "query"]({ ...call, fetchPolicy: "no-cache" });
  tell({ data });
};

const own = `of${process.pid}at${Date.now()}`; // a text that no hub was ever taught
for (let time = 0; time < 2; time++) await ask(gql`query ${own} { inbox { unread } }`);
for (let time = 0; time < 2; time++) await ask(gql`mutation M${own} { markAllRead { changed } }`);
