/** Sends operations of the GraphQL API over HTTP, with the token of the session. */
import type { TadaDocumentNode } from "gql.tada";
import { HubError, toHubError } from "../../packages/client/src/errors";
import { session } from "./session";

const ENDPOINT = "/graphql";
const UNREACHABLE = "The hub did not respond. Check the connection, then try again.";

interface Response {
  data?: unknown;
  errors?: { message: string; extensions?: unknown }[];
}

/** Return the data of one operation. Rejects with HubError, also if the hub does not respond. */
export async function request<Result, Variables>(
  document: TadaDocumentNode<Result, Variables>,
  variables?: Variables,
  signal?: AbortSignal,
): Promise<Result> {
  const token = await session.token();
  let { data, errors } = await post(document, variables, token, signal);
  if (isUnauthenticated(errors)) {
    const other = await session.token(token).catch(() => "");
    if (other) ({ data, errors } = await post(document, variables, other, signal));
    if (isUnauthenticated(errors)) session.signOut(`You were signed out. ${errors?.[0]?.message ?? ""}`);
  }
  if (errors?.length) throw toHubError(errors);
  return data as Result;
}

/** Return the reason that a token cannot be used, or "" if the hub accepts it. Rejects if the hub does not respond. */
export async function refusal(token: string): Promise<string> {
  const { errors } = await post("{ categories { key } }", undefined, token);
  return errors?.[0]?.message ?? "";
}

async function post(document: unknown, variables: unknown, token: string, signal?: AbortSignal): Promise<Response> {
  let response: globalThis.Response;
  try {
    response = await fetch(ENDPOINT, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ query: document, variables }),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new HubError(UNREACHABLE, "UNAVAILABLE");
  }
  const answer = (await response.json().catch(() => ({}))) as Response;
  if (!answer.data && !answer.errors) throw new HubError(`${UNREACHABLE} (${response.status})`, "UNAVAILABLE");
  return answer;
}

function isUnauthenticated(errors: Response["errors"]): boolean {
  return (errors?.[0]?.extensions as { code?: string } | undefined)?.code === "UNAUTHENTICATED";
}
