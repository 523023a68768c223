/** The GraphQL operations of the page that sends. */
import { graphql, type ResultOf, type VariablesOf } from "../../../packages/client/src/graphql";

/** The names that the fields suggest. */
export const ComposeNames = graphql(`
  query ComposeNames {
    categories { key name }
    templates(key: null) { key }
    topics(first: 100) { nodes { key name } }
  }
`);

export const SimulateSend = graphql(`
  query SimulateSend($input: SendInput!, $first: Int!) {
    simulate(input: $input, first: $first) {
      userId
      decisions { channel step outcome explanation note title body }
    }
  }
`);

export const Audience = graphql(`
  query Audience($to: RecipientsInput!) { audience(to: $to) { recipients exact scans } }
`);

export const SendNow = graphql(`
  mutation SendNow($input: SendInput!) { send(input: $input) { send { id } } }
`);

export type ComposeNames = ResultOf<typeof ComposeNames>;
export type SendInput = VariablesOf<typeof SendNow>["input"];
export type Simulation = ResultOf<typeof SimulateSend>["simulate"][number];
export type Audience = ResultOf<typeof Audience>["audience"];
