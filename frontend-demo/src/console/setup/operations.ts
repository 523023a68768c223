/** The GraphQL operations of the pages about topics, categories, suppressions, service keys, and the tenant. */
import { graphql, type ResultOf, type VariablesOf } from "../../../packages/client/src/graphql";

const TopicFields = graphql(`fragment TopicFields on Topic { key name description visible subscribers createdAt }`);

export const Topics = graphql(
  `
    query Topics($search: String, $first: Int!, $after: String) {
      topics(search: $search, first: $first, after: $after) {
        nodes { ...TopicFields @_unmask }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [TopicFields],
);

export const Subscribers = graphql(`
  query Subscribers($topic: String!, $first: Int!, $after: String) {
    users(topic: $topic, first: $first, after: $after) {
      nodes { id name }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const UpsertTopic = graphql(`mutation UpsertTopic($input: TopicInput!) { upsertTopic(input: $input) { key } }`);

export const Subscribe = graphql(`
  mutation Subscribe($topic: String!, $users: [ID!]!) { subscribeToTopic(topic: $topic, users: $users) }
`);

export const Unsubscribe = graphql(`
  mutation Unsubscribe($topic: String!, $users: [ID!]!) { unsubscribeFromTopic(topic: $topic, users: $users) }
`);

export const Tenant = graphql(`query Tenant { tenant { id name logoUrl color locale timezone } }`);

export const UpdateTenant = graphql(`mutation UpdateTenant($input: TenantInput!) { updateTenant(input: $input) { id } }`);

export const AllCategories = graphql(`
  query AllCategories {
    categories {
      key
      name
      description
      required
      defaultChannels
      priority
      steps { channels after unless }
      digest
      retention
      enrichment { url ttl timeout onFailure }
    }
  }
`);

export const UpsertCategory = graphql(`
  mutation UpsertCategory($input: CategoryInput!, $applyRetention: Boolean) {
    upsertCategory(input: $input, applyRetention: $applyRetention) { key }
  }
`);

export const DeleteCategory = graphql(`mutation DeleteCategory($key: String!) { deleteCategory(key: $key) }`);

export const AllSuppressions = graphql(`
  query AllSuppressions($first: Int!, $after: String) {
    suppressions(first: $first, after: $after) {
      nodes { userId address reason }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const UserSuppressions = graphql(`
  query UserSuppressions($user: ID!) { user(id: $user) { suppressions { userId address reason } } }
`);

export const LiftSuppression = graphql(`
  mutation LiftSuppression($userId: ID!, $address: String!) { liftSuppression(userId: $userId, address: $address) }
`);

export const ServiceKeys = graphql(`
  query ServiceKeys {
    serviceKeys { id name role scopes preview createdAt createdBy lastUsedAt expiresAt revokedAt }
  }
`);

export const CreateServiceKey = graphql(`
  mutation CreateServiceKey($input: ServiceKeyInput!) { createServiceKey(input: $input) { secret key { name } } }
`);

export const RevokeServiceKey = graphql(`mutation RevokeServiceKey($id: ID!) { revokeServiceKey(id: $id) { id } }`);

export type Topic = ResultOf<typeof TopicFields>;
export type Subscriber = ResultOf<typeof Subscribers>["users"]["nodes"][number];
export type Category = ResultOf<typeof AllCategories>["categories"][number];
export type CategoryInput = VariablesOf<typeof UpsertCategory>["input"];
export type Suppressed = ResultOf<typeof AllSuppressions>["suppressions"]["nodes"][number];
export type ServiceKey = ResultOf<typeof ServiceKeys>["serviceKeys"][number];
export type ServiceKeyInput = VariablesOf<typeof CreateServiceKey>["input"];
