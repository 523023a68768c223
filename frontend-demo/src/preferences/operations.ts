/** The GraphQL operations of the preferences. */
import { graphql } from "../client/graphql";
import type { ResultOf } from "../client/graphql";

const Matrix = graphql(`
  fragment Matrix on Preferences @_unmask {
    channels { channel enabled }
    categories {
      category { key name description required }
      mutedUntil
      channels { channel enabled locked digest digestAt digestDays }
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

export const LoadPreferences = graphql(
  `
    query Preferences {
      preferences { ...Matrix }
      me { timezone devices { id kind platform label createdAt lastUsedAt } }
    }
  `,
  [Matrix],
);
export type Device = ResultOf<typeof LoadPreferences>["me"]["devices"][number];

export const UpdatePreferences = graphql(
  `
    mutation UpdatePreferences($input: PreferencesInput!) {
      updatePreferences(input: $input) { ...Matrix }
    }
  `,
  [Matrix],
);

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
