/** Operations are texts; their types are inferred from `schema.graphql` and cost nothing at run time. */
import type { initGraphQLTada } from "gql.tada";
import type { introspection } from "../schema";

export type { ResultOf, VariablesOf } from "gql.tada";

type Schema = {
  introspection: introspection;
  disableMasking: true;
  scalars: { DateTime: string; Duration: string; Cursor: string; JSON: unknown };
};

/** The text of an operation, with the fragments that it uses. `@_unmask` is for types only: the hub has not heard of it. */
export const graphql = ((text: string, fragments: string[] = []) =>
  [text, ...fragments].join("\n").replaceAll("@_unmask", "")) as unknown as initGraphQLTada<Schema>;
