/**
 * The names of channels and statuses. The sentences that explain a status and its reason are in the API, as
 * `explanation`. A test compares the keys with `docs/reference/statuses-and-reasons.md`.
 */

export const DELIVERY_STATUSES: Record<string, string> = {
  ACCEPTED: "Waiting",
  PROCESSING: "Sending",
  RETRYING: "Retrying",
  HELD: "Held",
  SENT: "Sent",
  DELIVERED: "Delivered",
  READ: "Read",
  SKIPPED: "Not sent",
  FAILED: "Failed",
  CANCELLED: "Canceled",
  EXPIRED: "Expired",
};

/** The statuses of sends: a short label, and a sentence. */
export const SEND_STATUSES: Record<string, readonly [label: string, sentence: string]> = {
  SCHEDULED: ["Scheduled", "The hub publishes it at the scheduled time."],
  PREPARING: ["Preparing", "It waits for the data of its category's enrichment."],
  EXPANDING: ["Expanding", "Workers are listing the recipients."],
  ACCEPTED: ["Accepted", "It is stored, and its deliveries are due or complete."],
  PAUSED: ["Paused", "Nothing leaves until somebody resumes it."],
  CANCELLED: ["Canceled", "Its remaining deliveries were canceled."],
  RECALLED: ["Recalled", "Its remaining deliveries were canceled, and its notifications were removed from all inboxes."],
  EXPIRED: ["Expired", "It expired before it was published."],
  FAILED: ["Failed", "It could not be published."],
};

/** The reasons that deliveries to external providers can have, in alphabetical order. */
export const REASON_KEYS = [
  "ADDRESS_GONE", "ALREADY_ACKNOWLEDGED", "ALREADY_READ", "ALREADY_SEEN", "ATTEMPTS_USED_UP", "CANCELLED",
  "DAILY_LIMIT", "DIGEST", "DO_NOT_DISTURB", "EMPTY", "MUTED", "NOT_CONFIGURED", "NO_ADDRESS", "OPTED_OUT",
  "PAUSED", "POISON", "PREFERENCE", "PROVIDER_DOWN", "QUIET_HOURS", "RATE_LIMITED", "RECALLED", "REFUSED",
  "REPLACED", "RESOLVED", "RESTORED", "SNOOZED", "STEP", "SUPPRESSED", "TEMPLATE_ERROR", "THROTTLED", "UNREADABLE",
];

const CHANNELS: Record<string, string> = {
  IN_APP: "Inbox",
  EMAIL: "Email",
  WEB_PUSH: "Web push",
  MOBILE_PUSH: "Mobile push",
  SMS: "SMS",
  WHATSAPP: "WhatsApp",
  WEBHOOK: "Webhook",
  SLACK: "Slack",
  DISCORD: "Discord",
  TEAMS: "Teams",
};

export const CHANNEL_KEYS = Object.keys(CHANNELS);

/** Return the display name of a channel. */
export const channelName = (channel: string): string => CHANNELS[channel] ?? channel;

/** Return the display name of a delivery status, such as "Not sent". */
export const statusName = (status: string): string => DELIVERY_STATUSES[status] ?? status;

/** Return the display name of a send status. */
export const sendStatusName = (status: string): string => SEND_STATUSES[status]?.[0] ?? status;

export type Tone = "good" | "wait" | "bad" | "quiet";

/** Return the tone in which a status is shown. */
export function toneOf(status: string): Tone {
  if (["SENT", "DELIVERED", "READ"].includes(status)) return "good";
  if (status === "FAILED") return "bad";
  return ["SKIPPED", "CANCELLED", "EXPIRED", "RECALLED"].includes(status) ? "quiet" : "wait";
}
