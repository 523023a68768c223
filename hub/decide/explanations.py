"""Sentences that explain the status and reason of a delivery to support staff and developers. Pure.

This is the only place that contains these sentences: `Delivery.explanation`, `Decision.explanation`, and `hub explain`
use them. The texts for recipients are in the front end, in their languages.
"""

from hub.model import Channel, DeliveryStatus, Reason

CHANNEL_NAMES = {
    Channel.IN_APP: "the inbox",
    Channel.EMAIL: "email",
    Channel.WEB_PUSH: "web push",
    Channel.MOBILE_PUSH: "mobile push",
    Channel.SMS: "SMS",
    Channel.WHATSAPP: "WhatsApp",
    Channel.WEBHOOK: "personal webhooks",
    Channel.SLACK: "Slack",
    Channel.DISCORD: "Discord",
    Channel.TEAMS: "Microsoft Teams",
}
REASONS = {
    Reason.NOT_REQUESTED: "Neither the send nor its category includes {channel}.",
    Reason.PREFERENCE: "The user turned off {channel} for this category, or for all categories.",
    Reason.MUTED: "The user muted the category.",
    Reason.NOT_CONFIGURED: "The hub has no provider for {channel}. `hub doctor` shows the required settings.",
    Reason.NO_ADDRESS: "The user has no address or device for {channel}.",
    Reason.OPTED_OUT: "The user's phone number replied STOP to the sender. Only START from this number changes this.",
    Reason.SUPPRESSED: "The address is suppressed: a message bounced or was reported as spam, or the address is gone.",
    Reason.ALREADY_SEEN: "The user had seen the notification before this delivery was sent.",
    Reason.ALREADY_READ: "The user had read or archived the notification before this delivery was sent.",
    Reason.ALREADY_ACKNOWLEDGED: "The user had acknowledged the notification before this delivery was sent.",
    Reason.SNOOZED: "The user had snoozed the notification before this delivery was sent.",
    Reason.SCHEDULED: "The send is scheduled for a later time.",
    Reason.DIGEST: "It waits for its digest, which sends several notifications in one message.",
    Reason.EMPTY: "All notifications of the digest ended before it was sent.",
    Reason.STEP: "It is a later step of the send, which is not due.",
    Reason.PAUSED: "The send or the channel is paused. The delivery continues when it is resumed.",
    Reason.RESTORED: "A backup was restored, and this may have been sent before. `hub replay` releases it.",
    Reason.THROTTLED: "Enough sends with the same throttle key reached the user. The inbox has the notification.",
    Reason.QUIET_HOURS: "It would expire before the user's quiet hours end.",
    Reason.DO_NOT_DISTURB: "It would expire before the user's do-not-disturb ends.",
    Reason.DAILY_LIMIT: "The user was interrupted as often as they allow per day.",
    Reason.RATE_LIMITED: "A delivery limit is reached. The delivery continues later.",
    Reason.PROVIDER_DOWN: "Calls to the provider fail, so none are made for a while. The delivery continues later.",
    Reason.CANCELLED: "The send was canceled before this delivery was sent.",
    Reason.RECALLED: "The send was recalled.",
    Reason.REPLACED: "A newer notification with the same collapse key replaced the notification.",
    Reason.RESOLVED: "The sender resolved the collapse key of the notification.",
    Reason.ATTEMPTS_USED_UP: "All attempts failed. See the error of the last attempt.",
    Reason.REFUSED: "The provider rejected the message permanently. See the error of the last attempt.",
    Reason.ADDRESS_GONE: "The provider reported that the address no longer exists.",
    Reason.TEMPLATE_ERROR: "The text of the template could not be rendered for this user and channel.",
    Reason.POISON: "The workers that attempted the delivery crashed, or the hub could not prepare the message.",
    Reason.UNREADABLE: "The running version of the hub cannot read the stored delivery.",
}
HELD_REASONS = {
    Reason.QUIET_HOURS: "It waits for the end of the user's quiet hours.",
    Reason.DO_NOT_DISTURB: "It waits for the end of the user's do-not-disturb.",
}
STATUSES = {
    DeliveryStatus.ACCEPTED: "It is stored and waits for a worker.",
    DeliveryStatus.HELD: "It waits.",
    DeliveryStatus.PROCESSING: "A worker is calling the provider.",
    DeliveryStatus.RETRYING: "An attempt failed, and another one follows.",
    DeliveryStatus.SENT: "The provider accepted the message, and has not confirmed that it arrived.",
    DeliveryStatus.DELIVERED: "The message arrived.",
    DeliveryStatus.READ: "The user opened a link of the message.",
    DeliveryStatus.SKIPPED: "The channel was not used.",
    DeliveryStatus.FAILED: "No further attempts are made.",
    DeliveryStatus.CANCELLED: "It was canceled before it was sent.",
    DeliveryStatus.EXPIRED: "The notification expired before the delivery was sent.",
}
IN_APP_STATUSES = {
    DeliveryStatus.DELIVERED: "The notification is in the inbox.",
    DeliveryStatus.READ: "The user read the notification in the inbox.",
    DeliveryStatus.EXPIRED: "The notification expired and was removed from the inbox.",
}


def explain_delivery(status: DeliveryStatus, reason: str | None, channel: Channel) -> str:
    """Return a sentence that explains the status of a delivery. An unknown reason, of another version, is quoted."""
    if reason is None:
        return (channel is Channel.IN_APP and IN_APP_STATUSES.get(status)) or STATUSES[status]
    if reason not in Reason.__members__:
        return f"{STATUSES[status]} The reason is {reason}."
    known = Reason(reason)
    text = REASONS[known]
    if status is DeliveryStatus.HELD:
        text = HELD_REASONS.get(known, text)
    return text.format(channel=CHANNEL_NAMES[channel])


def explain_decision(outcome: DeliveryStatus, reason: str | None, channel: Channel) -> str:
    """Return a sentence that explains what would happen to a notification on a channel."""
    if outcome is DeliveryStatus.ACCEPTED:
        return "It would be in the inbox now." if channel is Channel.IN_APP else "It would be sent now."
    return explain_delivery(outcome, reason, channel)
