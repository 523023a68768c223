/** The GraphQL operations of the pages about rules and events. */
import { graphql, type ResultOf, type VariablesOf } from "../../../packages/client/src/graphql";

export const Rules = graphql(`
  query Rules { rules { key name enabled type source category template updatedAt } }
`);

export const Rule = graphql(`
  query Rule($key: String!) {
    rule(key: $key) {
      key
      name
      enabled
      type
      source
      condition
      to { users topic everyone where }
      category
      template
      content { title body actionUrl imageUrl markdown actions { key label url primary } }
      data
      priority
      collapseKey
      channels
      steps { channels after unless }
      digest { key window }
      tags
      requireAck
      after
      expiresIn
      except
      updatedAt
    }
  }
`);

/** The names that the fields of a rule suggest. */
export const RuleNames = graphql(`
  query RuleNames { categories { key name } templates(key: null) { key } }
`);

export const UpsertRule = graphql(`
  mutation UpsertRule($input: RuleInput!) { upsertRule(input: $input) { key } }
`);

export const DeleteRule = graphql(`
  mutation DeleteRule($key: String!) { deleteRule(key: $key) }
`);

export const TestRule = graphql(`
  query TestRule($input: RuleInput!, $event: JSON!) {
    testRule(input: $input, event: $event) {
      matched
      reason
      data
      simulation { userId decisions { channel outcome explanation } }
    }
  }
`);

const EventRow = graphql(`
  fragment EventRow on Event {
    id
    eventId
    source
    type
    subject
    time
    receivedAt
    status
    reason
    results { rule matched reason send { id title } }
  }
`);

export const Events = graphql(
  `
    query Events($filter: EventFilter!, $first: Int!, $after: String) {
      events(filter: $filter, first: $first, after: $after) {
        nodes { ...EventRow @_unmask }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [EventRow],
);

export const Event = graphql(`query Event($id: ID!) { event(id: $id) { ...EventRow @_unmask data } }`, [EventRow]);

/** The newest events, with which a rule can be tested. */
export const RecentEvents = graphql(`
  query RecentEvents($first: Int!) { events(first: $first) { nodes { id type eventId receivedAt } } }
`);

export const ReplayEvents = graphql(`
  mutation ReplayEvents($ids: [ID!]!) { replayEvents(ids: $ids) }
`);

export type RuleRow = ResultOf<typeof Rules>["rules"][number];
export type Rule = NonNullable<ResultOf<typeof Rule>["rule"]>;
export type RuleInput = VariablesOf<typeof UpsertRule>["input"];
export type RuleTest = ResultOf<typeof TestRule>["testRule"];
export type RuleNames = ResultOf<typeof RuleNames>;
export type EventRow = ResultOf<typeof EventRow>;
export type StoredEvent = NonNullable<ResultOf<typeof Event>["event"]>;
export type RecentEvent = ResultOf<typeof RecentEvents>["events"]["nodes"][number];
export type EventStatus = EventRow["status"];
