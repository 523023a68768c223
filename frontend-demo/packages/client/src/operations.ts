/** The GraphQL operations of the inbox. */
import type { TadaDocumentNode } from "gql.tada";
import { graphql, type ResultOf } from "./graphql";

const Item = graphql(`
  fragment Item on Notification {
    id sortKey category categoryName threadKey tags title body markdown imageUrl actionUrl
    actions { key label url primary } actor { name avatarUrl } priority createdAt
    seenAt readAt archivedAt snoozedUntil acknowledgedAt requireAck pinned actedKey actedAt collapsedCount
  }
`);
export type Item = ResultOf<typeof Item>;

export const InboxPage = graphql(
  `
    query Inbox($filter: InboxFilter!, $first: Int!, $after: String) {
      inbox(filter: $filter, first: $first, after: $after) {
        unread unseen position nodes { ...Item } pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [Item],
);

export const InboxFeed = graphql(
  `
    subscription InboxFeed($after: Cursor) {
      inbox(after: $after) { kind cursor unread unseen notification { ...Item } }
    }
  `,
  [Item],
);
export type InboxEvent = ResultOf<typeof InboxFeed>["inbox"];

// The feed delivers the changed notifications, so mutations return only their number.
export const Snooze = graphql(
  `mutation Snooze($ids: [ID!]!, $until: DateTime!) { snooze(ids: $ids, until: $until) { changed } }`,
);
export const Act = graphql(`mutation Act($id: ID!, $key: String!) { act(id: $id, key: $key) { changed } }`);
export const AllSeen = graphql(`mutation AllSeen { markAllSeen { changed } }`);
export const AllRead = graphql(
  `mutation AllRead($filter: InboxFilter) { markAllRead(filter: $filter) { changed undoToken } }`,
);
export const ArchiveAll = graphql(
  `mutation ArchiveAll($filter: InboxFilter!) { archiveAll(filter: $filter) { changed undoToken } }`,
);
export const UndoMarkAll = graphql(`mutation UndoMarkAll($token: String!) { undoMarkAll(token: $token) { changed } }`);

/** The mutations whose only argument is `ids`. */
export const byIds = {
  markRead: graphql(`mutation MarkRead($ids: [ID!]!) { markRead(ids: $ids) { changed } }`),
  markUnread: graphql(`mutation MarkUnread($ids: [ID!]!) { markUnread(ids: $ids) { changed } }`),
  archive: graphql(`mutation Archive($ids: [ID!]!) { archive(ids: $ids) { changed } }`),
  unarchive: graphql(`mutation Unarchive($ids: [ID!]!) { unarchive(ids: $ids) { changed } }`),
  unsnooze: graphql(`mutation Unsnooze($ids: [ID!]!) { unsnooze(ids: $ids) { changed } }`),
  pin: graphql(`mutation Pin($ids: [ID!]!) { pin(ids: $ids) { changed } }`),
  unpin: graphql(`mutation Unpin($ids: [ID!]!) { unpin(ids: $ids) { changed } }`),
  acknowledge: graphql(`mutation Acknowledge($ids: [ID!]!) { acknowledge(ids: $ids) { changed } }`),
} satisfies Record<string, TadaDocumentNode<unknown, { ids: string[] }>>;
