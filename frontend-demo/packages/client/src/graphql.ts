/** GraphQL operations as strings. Their types are inferred from `schema.graphql`, without any cost at run time. */
import type { initGraphQLTada } from "gql.tada";
import type { introspection } from "./schema";

export type { ResultOf, VariablesOf } from "gql.tada";

type Schema = {
  introspection: introspection;
  disableMasking: true;
  scalars: { DateTime: string; Duration: string; Cursor: string; JSON: unknown };
};

/** Return the operation's text with the fragments that it uses. `@_unmask` affects only types and is removed. */
export const graphql = ((text: string, fragments: string[] = []) =>
  [text, ...fragments].join("\n").replaceAll("@_unmask", "")) as unknown as initGraphQLTada<Schema>;
