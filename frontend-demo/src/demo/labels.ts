/** Display names for the codes of the GraphQL API. */

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

const REASONS: Record<string, string> = {
  NOT_REQUESTED: "Neither the send nor its category requests it",
  PREFERENCE: "The user turned it off",
  MUTED: "The user muted this category",
  NOT_CONFIGURED: "This hub has no provider for it",
  NO_ADDRESS: "The user has no address or device for it",
  SUPPRESSED: "The user's address bounced or complained",
  OPTED_OUT: "The user replied STOP to the sender",
  ALREADY_SEEN: "The user had already seen it",
  ALREADY_READ: "The user had already read it",
  THROTTLED: "The limit of the send's throttle is reached",
  ALREADY_ACKNOWLEDGED: "The user had already acknowledged it",
  SNOOZED: "The user snoozed it",
  SCHEDULED: "The send is not due",
  DIGEST: "Waits for its digest",
  EMPTY: "All notifications of the digest ended before it was sent",
  STEP: "A step that is not due",
  PAUSED: "The send or the channel is paused",
  RESTORED: "On hold since a backup was restored",
  QUIET_HOURS: "The user's quiet hours",
  DO_NOT_DISTURB: "The user turned on do not disturb",
  DAILY_LIMIT: "The user's daily limit was reached",
  RATE_LIMITED: "On hold: a delivery limit is reached",
  PROVIDER_DOWN: "On hold: the provider is down",
  CANCELLED: "The send was canceled",
  RECALLED: "The sender recalled it",
  REPLACED: "A newer notification replaced it",
  RESOLVED: "The sender resolved its collapse key",
  ATTEMPTS_USED_UP: "Every attempt failed",
  REFUSED: "The provider rejected it permanently",
  ADDRESS_GONE: "The address no longer exists",
  TEMPLATE_ERROR: "The text of the template could not be rendered",
  POISON: "The workers that tried it crashed",
  UNREADABLE: "This version cannot read the stored delivery",
};

const STOPS: Record<string, string> = {
  SEEN: "unless seen by then",
  READ: "unless read by then",
  ACKNOWLEDGED: "unless acknowledged by then",
  NEVER: "in any case",
};

const BADGE_STATUSES: Record<string, string[]> = {
  good: ["SENT", "DELIVERED", "READ"],
  wait: ["ACCEPTED", "HELD", "PROCESSING", "RETRYING"],
  bad: ["FAILED"],
};

export const CHANNEL_ORDER = Object.keys(CHANNELS);

/** Convert `NOT_REQUESTED` to `Not requested`. This also works for codes that are newer than this page. */
const humanized = (code: string): string => code.charAt(0) + code.slice(1).toLowerCase().replaceAll("_", " ");

export const channelLabel = (channel: string): string => CHANNELS[channel] ?? humanized(channel);
export const reasonLabel = (reason: string): string => REASONS[reason] ?? humanized(reason);
export const stopLabel = (stop: string): string => STOPS[stop] ?? humanized(stop);
export const codeLabel = humanized;

/** Return the kind of a delivery's status: `good`, `wait`, `bad`, or an empty string. */
export const badgeOf = (status = ""): string =>
  Object.keys(BADGE_STATUSES).find((badge) => BADGE_STATUSES[badge]?.includes(status)) ?? "";

/** The languages of the elements by their codes. */
export const LANGUAGES = {
  en: "English",
  ar: "العربية",
  de: "Deutsch",
  es: "Español",
  fr: "Français",
  it: "Italiano",
  ja: "日本語",
  ko: "한국어",
  nl: "Nederlands",
  pl: "Polski",
  pt: "Português (Brasil)",
  sv: "Svenska",
  tr: "Türkçe",
  uk: "Українська",
  zh: "简体中文",
};
