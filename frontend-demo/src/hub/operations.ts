/** What the inbox asks of the hub. */
import { graphql } from "./graphql";
import type { ResultOf } from "./graphql";

const Item = graphql(`
  fragment Item on Notification @_unmask {
    id
    place
    category
    title
    body
    imageUrl
    actionUrl
    actions { key label url primary }
    priority
    createdAt
    seenAt
    readAt
    archivedAt
    snoozedUntil
    acknowledgedAt
    requireAck
  }
`);
export type Item = ResultOf<typeof Item>;

export const Page = graphql(
  `
    query Inbox($view: InboxView!, $first: Int!, $after: String) {
      inbox(filter: { view: $view }, first: $first, after: $after) {
        unread
        unseen
        position
        nodes { ...Item }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [Item],
);

export const Feed = graphql(
  `
    subscription InboxFeed($after: Cursor) {
      inbox(after: $after) { kind cursor unread unseen notification { ...Item } }
    }
  `,
  [Item],
);
