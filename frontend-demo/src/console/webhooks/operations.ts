/** The GraphQL operations of the pages about webhooks. */
import { graphql, type ResultOf, type VariablesOf } from "../../../packages/client/src/graphql";

const Endpoint = graphql(`
  fragment Endpoint on WebhookEndpoint { id url events enabled disabledReason createdAt }
`);

/** `recent` are the newest calls, of which the success rate is computed. */
export const Webhooks = graphql(
  `
    query Webhooks {
      webhooks {
        ...Endpoint @_unmask
        recent: calls(first: 100) { nodes { status createdAt } }
      }
    }
  `,
  [Endpoint],
);

export const WebhookCalls = graphql(
  `
    query WebhookCalls($statuses: [DeliveryStatus!], $first: Int!, $after: String) {
      webhooks {
        ...Endpoint @_unmask
        calls(statuses: $statuses, first: $first, after: $after) {
          nodes {
            id
            event
            status
            createdAt
            dueAt
            payload
            attempts { at ok error durationMs }
          }
          pageInfo { hasNextPage endCursor }
        }
      }
    }
  `,
  [Endpoint],
);

export const CreateWebhook = graphql(`
  mutation CreateWebhook($input: WebhookInput!) { createWebhook(input: $input) { secret endpoint { id } } }
`);

export const UpdateWebhook = graphql(`
  mutation UpdateWebhook($id: ID!, $url: String, $events: [String!]) { updateWebhook(id: $id, url: $url, events: $events) { id } }
`);

export const EnableWebhook = graphql(`
  mutation EnableWebhook($id: ID!, $enabled: Boolean!) { updateWebhook(id: $id, enabled: $enabled) { id } }
`);

export const RotateWebhookSecret = graphql(`
  mutation RotateWebhookSecret($id: ID!) { rotateWebhookSecret(id: $id) { secret } }
`);

export const DeleteWebhook = graphql(`
  mutation DeleteWebhook($id: ID!) { deleteWebhook(id: $id) }
`);

export const TestWebhook = graphql(`mutation TestWebhook($id: ID!) { testWebhook(id: $id) { id } }`);

export const ReplayWebhookCalls = graphql(`
  mutation ReplayWebhookCalls($ids: [ID!]!) { replayWebhookCalls(ids: $ids) }
`);

export type EndpointRow = ResultOf<typeof Webhooks>["webhooks"][number];
export type Endpoint = ResultOf<typeof Endpoint>;
export type Call = ResultOf<typeof WebhookCalls>["webhooks"][number]["calls"]["nodes"][number];
export type CallStatus = NonNullable<VariablesOf<typeof WebhookCalls>["statuses"]>[number];
