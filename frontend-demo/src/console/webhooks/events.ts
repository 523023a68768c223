/** The event types of webhook endpoints. A test compares them with `hub/webhooks/events.py`. */
export const EVENTS = [
  "notification.created", "notification.expired", "notification.recalled", "notification.replaced",
  "notification.resolved", "notification.seen", "notification.read", "notification.unread", "notification.archived",
  "notification.acknowledged", "notification.clicked", "notification.acted", "delivery.sent", "delivery.delivered",
  "delivery.failed", "delivery.skipped", "delivery.cancelled", "delivery.expired", "send.expanded", "send.paused",
];
