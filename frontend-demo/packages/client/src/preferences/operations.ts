/** The GraphQL operations of the preferences. */
import { graphql } from "../graphql";
import type { ResultOf } from "../graphql";

const Matrix = graphql(`
  fragment Matrix on Preferences @_unmask {
    channels { channel enabled }
    categories {
      category { key name description required }
      mutedUntil
      channels { channel enabled locked reach digest digestAt digestDays }
    }
    quietSchedule { start end timezone days allow }
    doNotDisturbUntil
    dailyLimit
  }
`);
export type Matrix = ResultOf<typeof Matrix>;
export type Row = Matrix["categories"][number];
export type Cell = Row["channels"][number];
export type QuietWindow = Matrix["quietSchedule"][number];
export type Channel = Matrix["channels"][number]["channel"];

const DeviceFields = graphql(`
  fragment Device on Device @_unmask {
    id kind platform label maskedUrl createdAt lastUsedAt
  }
`);
export type Device = ResultOf<typeof DeviceFields>;

const Subscriptions = graphql(`
  fragment Subscriptions on TopicSubscriptionConnection @_unmask {
    nodes { topic { key name description visible } leftAt }
    pageInfo { hasNextPage endCursor }
  }
`);
export type Subscription = ResultOf<typeof Subscriptions>["nodes"][number];

export const LoadPreferences = graphql(
  `
    query Preferences {
      preferences { ...Matrix }
      me {
        timezone
        devices { ...Device }
        subscriptions(first: 100) { ...Subscriptions }
      }
    }
  `,
  [Matrix, DeviceFields, Subscriptions],
);
export const LoadSubscriptions = graphql(
  `
    query Subscriptions($after: String) {
      me { subscriptions(first: 100, after: $after) { ...Subscriptions } }
    }
  `,
  [Subscriptions],
);
export const UpdatePreferences = graphql(
  `
    mutation UpdatePreferences($input: PreferencesInput!) {
      updatePreferences(input: $input) { ...Matrix }
    }
  `,
  [Matrix],
);

export const ConnectChat = graphql(
  `
    mutation ConnectChat($kind: DeviceKind!, $url: String!, $label: String) {
      connectChat(kind: $kind, url: $url, label: $label) { ...Device }
    }
  `,
  [DeviceFields],
);

export const RemoveDevice = graphql(`
  mutation RemoveDevice($id: ID!) {
    removeDevice(id: $id)
  }
`);

export const LeaveTopic = graphql(`
  mutation LeaveTopic($topic: String!) {
    own: leaveTopic(topic: $topic) { leftAt }
  }
`);

export const RejoinTopic = graphql(`
  mutation RejoinTopic($topic: String!) {
    own: rejoinTopic(topic: $topic) { leftAt }
  }
`);

export const ExplainNotification = graphql(`
  query Explain($id: ID!) {
    notification(id: $id) {
      title
      because
      category
      createdAt
      deliveries { id channel status reason dueAt }
    }
  }
`);
export type Explanation = NonNullable<ResultOf<typeof ExplainNotification>["notification"]>;
