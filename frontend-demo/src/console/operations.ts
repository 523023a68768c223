/** The GraphQL operations of the console. */
import { graphql, type ResultOf, type VariablesOf } from "../../packages/client/src/graphql";

const DeliveryRow = graphql(`
  fragment DeliveryRow on Delivery {
    id
    notification { title categoryName }
    sendId
    userId
    channel
    status
    reason
    explanation
    attempts { provider ok at error durationMs }
    dueAt
    itemCount
    createdAt
    updatedAt
  }
`);

export const Deliveries = graphql(
  `
    query Deliveries($filter: DeliveryFilter!, $first: Int!, $after: String) {
      deliveries(filter: $filter, first: $first, after: $after) {
        nodes { ...DeliveryRow @_unmask }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [DeliveryRow],
);

export const DeliveryTotal = graphql(`
  query DeliveryTotal($filter: DeliveryFilter!) { deliveries(filter: $filter, first: 1) { totalCount } }
`);

export const Delivery = graphql(
  `
    query Delivery($id: ID!) {
      delivery(id: $id) {
        ...DeliveryRow @_unmask
        notificationId
        deviceId
        step
        unless
        providerId
        digestId
        items { id title }
        notification { title category categoryName createdAt readAt seenAt becauseKind becauseOf }
      }
    }
  `,
  [DeliveryRow],
);

const FailureGroup = graphql(`
  fragment FailureGroup on DeliveryGroup { channel provider reason explanation error count }
`);

export const ReplayPreview = graphql(`
  query ReplayPreview($filter: DeliveryFilter!) {
    replayPreview(filter: $filter) { count addressGone suppressed alreadyRead }
    deliveryGroups(filter: $filter) { ...FailureGroup @_unmask }
  }
`, [FailureGroup]);

/** The deliveries that failed, by what failed. */
export const FailureGroups = graphql(`
  query FailureGroups($filter: DeliveryFilter!) { deliveryGroups(filter: $filter) { ...FailureGroup @_unmask } }
`, [FailureGroup]);

/** The deliveries over time, for charts. */
export const Activity = graphql(`
  query Activity($since: DateTime!, $until: DateTime, $by: Duration!, $category: String) {
    activity(since: $since, until: $until, by: $by, category: $category) { at channel status count }
  }
`);

export const OverviewTotals = graphql(`
  query OverviewTotals($since: DateTime!) {
    failed: deliveries(filter: { statuses: [FAILED], failedSince: $since }, first: 1) { totalCount }
    retrying: deliveries(filter: { statuses: [RETRYING] }, first: 1) { totalCount }
    held: deliveries(filter: { statuses: [HELD] }, first: 1) { totalCount }
  }
`);

export const ReplayMatching = graphql(`
  mutation ReplayMatching($filter: DeliveryFilter!, $perMinute: Int, $note: String) {
    replay(filter: $filter, perMinute: $perMinute, note: $note)
  }
`);

export const CancelMatching = graphql(`
  mutation CancelMatching($filter: DeliveryFilter!, $note: String) { cancelDeliveries(filter: $filter, note: $note) }
`);

/** The replays and cancellations that continued in the background. */
export const DeliveryBatches = graphql(`
  query DeliveryBatches { deliveryBatches { id action startedAt note perMinute total done endedAt stopped } }
`);

export const StopBatch = graphql(`
  mutation StopBatch($id: ID!) { stopDeliveryBatch(id: $id) }
`);

export const ReplayOne = graphql(`
  mutation ReplayOne($id: ID!) { replay(ids: [$id]) }
`);

/** The values of the filter controls. */
export const FilterValues = graphql(`
  query FilterValues { categories { key name } providers { provider channel } }
`);

const TimelineEntry = graphql(`
  fragment TimelineEntry on Notification {
    id
    title
    category
    categoryName
    becauseKind
    becauseOf
    createdAt
    seenAt
    readAt
    archivedAt
    deliveries { id channel status reason explanation dueAt }
  }
`);

export const Person = graphql(`
  query Person($id: ID!) {
    user(id: $id) {
      id
      name
      email
      phone
      locale
      timezone
      attributes
      topics
      createdAt
      devices { id kind platform label maskedUrl createdAt lastUsedAt }
      preferences {
        channels { channel enabled }
        categories { category { key name required } mutedUntil channels { channel enabled locked digest digestAt reach } }
        quietSchedule { start end timezone days allow }
        doNotDisturbUntil
        dailyLimit
      }
    }
  }
`);

export const Suppressions = graphql(`
  query Suppressions($id: ID!) { user(id: $id) { suppressions { address reason } } }
`);

export const InboxTimeline = graphql(
  `
    query InboxTimeline($id: ID!, $first: Int!, $after: String) {
      user(id: $id) {
        inbox(filter: { view: ALL }, first: $first, after: $after) {
          nodes { ...TimelineEntry @_unmask }
          pageInfo { hasNextPage endCursor }
        }
      }
    }
  `,
  [TimelineEntry],
);

export const HiddenTimeline = graphql(
  `
    query HiddenTimeline($id: ID!, $first: Int!, $after: String) {
      user(id: $id) {
        hiddenNotifications(first: $first, after: $after) {
          nodes { ...TimelineEntry @_unmask }
          pageInfo { hasNextPage endCursor }
        }
      }
    }
  `,
  [TimelineEntry],
);

export const SimulatedCategories = graphql(`
  query SimulatedCategories { categories { key name required } }
`);

export const Simulate = graphql(`
  query Simulate($user: ID!, $category: String!) {
    simulate(
      input: { to: { users: [$user] }, category: $category, content: { title: "Console", body: "" } }
      first: 1
    ) { decisions { channel step outcome reason explanation dueAt } }
  }
`);

export const Find = graphql(`
  query Find($text: String!) {
    find(text: $text) {
      id
      title
      user { name email phone }
      send { status }
      delivery { channel userId status }
      notification { userId }
    }
  }
`);

const SendRow = graphql(`
  fragment SendRow on Send {
    id
    title
    template
    category
    status
    priority
    createdAt
    createdBy
    sendAt
    recipients
    total
    remaining
    pausedReason
    reason
  }
`);

export const Sends = graphql(
  `
    query Sends($category: String, $statuses: [SendStatus!], $since: DateTime, $first: Int!, $after: String) {
      sends(category: $category, statuses: $statuses, since: $since, first: $first, after: $after) {
        nodes { ...SendRow @_unmask }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [SendRow],
);

export const Send = graphql(
  `
    query Send($id: ID!) {
      send(id: $id) {
        ...SendRow @_unmask
        tags
        channels
        expiresAt
        collapseKey
        templateVersion
        content { title actionUrl }
        to { users topic everyone where except }
        steps { channels after unless }
        counts { channel status count reasons { explanation count } }
        countedAt
        reactions { seen read acknowledged acted }
        deletedNotifications
      }
    }
  `,
  [SendRow],
);

/** The recipients of a send, and those whom a channel did not reach. */
export const SendRecipients = graphql(`
  query SendRecipients($id: ID!, $filter: SendNotificationFilter, $first: Int!, $after: String) {
    send(id: $id) {
      notifications(filter: $filter, hidden: true, first: $first, after: $after) {
        nodes {
          userId seenAt readAt acknowledgedAt actedKey
          deliveries { id channel status explanation }
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
`);

export const SendFailures = graphql(`
  query SendFailures($id: ID!, $first: Int!, $after: String) {
    send(id: $id) {
      deliveries(filter: { statuses: [FAILED] }, first: $first, after: $after) {
        nodes { id userId channel explanation provider lastError }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
`);

/** The contents, which the pages read apart: the audit log records them. */
export const DeliveryContent = graphql(`
  query DeliveryContent($id: ID!) { delivery(id: $id) { notification { body } } }
`);

export const SendContent = graphql(`
  query SendContent($id: ID!) { send(id: $id) { content { body } } }
`);

export const PauseSend = graphql(`
  mutation PauseSend($id: ID!) { pauseSend(id: $id) { id } }
`);

export const ResumeSend = graphql(`
  mutation ResumeSend($id: ID!) { resumeSend(id: $id) { id } }
`);

export const CancelSend = graphql(`
  mutation CancelSend($id: ID!) { cancelSend(id: $id) { id } }
`);

export const RecallSend = graphql(`
  mutation RecallSend($id: ID!) { recallSend(id: $id) { id } }
`);

export const Categories = graphql(`
  query Categories { categories { key name } }
`);

export const Queues = graphql(`
  query Queues {
    queues { channel priority waiting oldestSeconds }
    pausedChannels { channel since reason held }
    providers { provider channel open failureRate since }
  }
`);

export const PauseChannel = graphql(`
  mutation PauseChannel($channel: Channel!, $reason: String) { changed: pauseChannel(channel: $channel, reason: $reason) }
`);

export const ResumeChannel = graphql(`
  mutation ResumeChannel($channel: Channel!) { changed: resumeChannel(channel: $channel) }
`);

export const Health = graphql(`
  query Health {
    health {
      ok
      problems
      deadLetters
      failureRate
      workers { id host version startedAt heartbeatAt calls }
    }
  }
`);

export const AuditLog = graphql(`
  query AuditLog($filter: AuditFilter!, $first: Int!, $after: String) {
    auditLog(filter: $filter, first: $first, after: $after) {
      nodes { id at actor action target requestId changes }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export type DeliveryFilter = VariablesOf<typeof Deliveries>["filter"];
export type DeliveryRow = ResultOf<typeof DeliveryRow>;
export type Delivery = NonNullable<ResultOf<typeof Delivery>["delivery"]>;
export type DeliveryBatch = ResultOf<typeof DeliveryBatches>["deliveryBatches"][number];
export type ReplayPreview = ResultOf<typeof ReplayPreview>;
export type ActivityBucket = ResultOf<typeof Activity>["activity"][number];
export type OverviewTotals = ResultOf<typeof OverviewTotals>;
export type FailureGroup = ResultOf<typeof FailureGroup>;
export type FilterValues = ResultOf<typeof FilterValues>;
export type Person = NonNullable<ResultOf<typeof Person>["user"]>;
export type Suppression = NonNullable<ResultOf<typeof Suppressions>["user"]>["suppressions"][number];
export type TimelineEntry = ResultOf<typeof TimelineEntry>;
export type Decision = ResultOf<typeof Simulate>["simulate"][number]["decisions"][number];
export type Found = ResultOf<typeof Find>["find"][number];
export type SendRow = ResultOf<typeof SendRow>;
export type Send = NonNullable<ResultOf<typeof Send>["send"]>;
type SendOf<T extends { send: unknown }> = NonNullable<T["send"]>;
export type SendRecipient = SendOf<ResultOf<typeof SendRecipients>>["notifications"]["nodes"][number];
export type SendFailure = SendOf<ResultOf<typeof SendFailures>>["deliveries"]["nodes"][number];
export type SendStatus = SendRow["status"];
export type Queues = ResultOf<typeof Queues>;
export type Channel = VariablesOf<typeof PauseChannel>["channel"];
export type Health = ResultOf<typeof Health>["health"];
export type AuditEntry = ResultOf<typeof AuditLog>["auditLog"]["nodes"][number];
export type AuditFilter = VariablesOf<typeof AuditLog>["filter"];
