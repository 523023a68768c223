/** What preferences ask of the hub. */
import { graphql } from "../hub/graphql";
import type { ResultOf } from "../hub/graphql";

const Matrix = graphql(`
  fragment Matrix on Preferences @_unmask {
    channels { channel enabled }
    categories {
      category { key name description required }
      mutedUntil
      channels { channel enabled locked }
    }
  }
`);
export type Matrix = ResultOf<typeof Matrix>;
export type Row = Matrix["categories"][number];
export type Channel = Matrix["channels"][number]["channel"];

export const Load = graphql(
  `
    query Preferences {
      preferences { ...Matrix }
      me { devices { id kind platform label createdAt lastUsedAt } }
    }
  `,
  [Matrix],
);
export type Device = ResultOf<typeof Load>["me"]["devices"][number];

export const Update = graphql(
  `
    mutation UpdatePreferences($input: PreferencesInput!) {
      updatePreferences(input: $input) { ...Matrix }
    }
  `,
  [Matrix],
);

export const Explain = graphql(`
  query Explain($id: ID!) {
    notification(id: $id) {
      title
      because
      category
      createdAt
      deliveries { id channel status reason }
    }
  }
`);
export type Explained = NonNullable<ResultOf<typeof Explain>["notification"]>;
