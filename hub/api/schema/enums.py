"""The enums of `hub.model` as GraphQL types, with descriptions. Importing this module registers them."""

from enum import Enum

import strawberry

from hub import model


def _register(enum_type: type[Enum], description: str, **values: str) -> None:
    """Make an enum a GraphQL type. `values`: a description for each value."""
    strawberry.enum(enum_type, description=description)
    for value in enum_type.__strawberry_definition__.values:  # type: ignore[attr-defined]
        value.description = values.get(value.name)


_register(
    model.Channel,
    "A way to reach a user. Each channel of a notification is a delivery of its own.",
    IN_APP="The inbox.",
    EMAIL="Email to the user's address.",
    WEB_PUSH="Web push to each browser that the user registered.",
    MOBILE_PUSH="Push to each app that the user registered.",
    SMS="Not implemented yet.",
    WHATSAPP="Not implemented yet.",
    WEBHOOK="Each personal webhook that the user connected.",
    SLACK="Not implemented yet.",
    DISCORD="Not implemented yet.",
    TEAMS="Not implemented yet.",
)
_register(
    model.Priority,
    "Deliveries with a higher priority are sent first. Lower ones are not starved.",
    CRITICAL="Sent before everything else.",
    HIGH="Sent before MEDIUM and LOW.",
    MEDIUM="The default of a category.",
    LOW="Sent when nothing more urgent waits.",
)
_register(
    model.DeliveryStatus,
    "The state of a delivery. SENT, DELIVERED and READ follow each other; a delivery may stay at any of them.",
    ACCEPTED="Stored and due.",
    HELD="Waits for a rate limit or for a provider that is down: see `reason` and `dueAt`.",
    PROCESSING="A worker is calling the provider.",
    RETRYING="An attempt failed. The next one is at `dueAt`.",
    SENT="The provider accepted it.",
    DELIVERED="The provider, the device or the inbox confirmed it.",
    READ="Its own channel proved that the recipient read it: the inbox, or a click in an email or push. "
    "`Notification.readAt` shows whether it was read on any channel.",
    SKIPPED="The channel was not used. `reason` says why.",
    FAILED="A dead letter: a permanent error, or all attempts failed. `replay` sends it again.",
    CANCELLED="The send was canceled or recalled before this delivery was sent.",
    EXPIRED="The notification expired before this delivery was sent.",
)
_register(
    model.SendStatus,
    "The state of a send. More values may be added: clients must accept unknown ones.",
    SCHEDULED="Not used yet.",
    EXPANDING="Not used yet.",
    ACCEPTED="Stored. Its deliveries are due or done.",
    PAUSED="Not used yet.",
    CANCELLED="Canceled with `cancelSend`. Deliveries that were not sent yet are CANCELLED.",
    RECALLED="Recalled with `recallSend`. Its notifications are also removed from the inboxes.",
)
_register(
    model.ReceiptKind,
    "What happened to a notification or one of its deliveries.",
    DELIVERY="A delivery reached a new status: see `channel`, `status` and `reason`.",
    SEEN="The user saw it.",
    READ="The user read it.",
    UNREAD="The user marked it unread.",
    ARCHIVED="The user archived it.",
    ACKNOWLEDGED="The user acknowledged it.",
    CLICKED="The user clicked a link in an email or push, for the first time.",
)
_register(
    model.DeviceKind,
    "The kind of a device.",
    WEB_PUSH="A browser that receives web pushes.",
    MOBILE_PUSH="An app that receives pushes through FCM or APNs.",
    SLACK="Not implemented yet.",
    DISCORD="Not implemented yet.",
    TEAMS="Not implemented yet.",
    WEBHOOK="A personal webhook of the user.",
)
_register(
    model.BecauseKind,
    "Why a user received a notification.",
    NAMED="The sender named the user.",
    TOPIC="The user follows a topic. Not used yet.",
    EVERYONE="The send went to all users. Not used yet.",
    FILTER="The user matched a filter. Not used yet.",
    RULE="A rule created the send. Not used yet.",
)
_register(
    model.InboxEventKind,
    "The kind of a change of an inbox.",
    ADDED="A notification is new in the inbox, or came back to its top after a snooze.",
    UPDATED="A notification changed, for example because it was read.",
    REMOVED="A notification left the inbox: it was recalled, has expired or was erased. After a recall its title and "
    "body are empty.",
    ALL_READ="All notifications of the view ACTIVE were marked read.",
    ALL_SEEN="All notifications of the view ACTIVE were marked seen.",
    ALL_ARCHIVED="All notifications of the view ACTIVE were archived.",
    RESYNC="The changes since `after` cannot be replayed, or the client was too slow. The subscription completes. Load "
    "the inbox again and subscribe from its `position`.",
)
_register(
    model.InboxView,
    "A part of an inbox.",
    ACTIVE="Neither archived nor snoozed.",
    UNREAD="Not read, not archived and not snoozed.",
    SNOOZED="Snoozed until an instant.",
    ARCHIVED="Archived.",
    ALL="All of these.",
)
