/** The contract's words, as people say them. */

const CHANNELS: Record<string, string> = {
  IN_APP: "Inbox",
  EMAIL: "E-mail",
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
  NOT_REQUESTED: "Neither the send nor its category asks for it",
  PREFERENCE: "They switched it off",
  MUTED: "They muted this category",
  NOT_CONFIGURED: "This hub has no provider for it",
  NO_ADDRESS: "They have no address or device there",
  SUPPRESSED: "Their address bounced or complained",
  ALREADY_READ: "They had read it already",
  RATE_LIMITED: "A limit is reached: it waits",
  PROVIDER_DOWN: "The provider is down: it waits",
  CANCELLED: "Its send was called off",
  RECALLED: "The sender took it back",
  ATTEMPTS_USED_UP: "Every attempt failed",
  REFUSED: "The provider refused it for good",
  ADDRESS_GONE: "The address is dead",
  POISON: "It broke whoever tried it",
};

export const CHANNEL_ORDER = Object.keys(CHANNELS);

const words = (code: string): string => code.charAt(0) + code.slice(1).toLowerCase().replaceAll("_", " ");

export const channelName = (channel: string): string => CHANNELS[channel] ?? words(channel);
export const reasonText = (reason: string): string => REASONS[reason] ?? words(reason);
export const statusName = words;
