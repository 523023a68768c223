"""Registers the enums of `hub.model` as GraphQL types, with descriptions. Import this module to register them."""

from enum import Enum

import strawberry

from hub import model


def _register(enum_type: type[Enum], description: str, name: str | None = None, **values: str) -> None:
    """Make an enum a GraphQL type. `values`: a description for each value. `name` defaults to that of the enum."""
    strawberry.enum(enum_type, name=name, description=description)
    for value in enum_type.__strawberry_definition__.values:  # type: ignore[attr-defined]
        value.description = values.get(value.name)


_register(
    model.Channel,
    "A way to reach a user. A notification has a separate delivery for each channel.",
    IN_APP="The user's inbox.",
    EMAIL="Email to the user's email address.",
    WEB_PUSH="A web push message to each browser that the user registered.",
    MOBILE_PUSH="A push message to each app that the user registered.",
    SMS="A text message to the user's phone number.",
    WHATSAPP="A WhatsApp message to the user's phone number.",
    WEBHOOK="A call to each personal webhook that the user connected.",
    SLACK="A message to each Slack channel that the user connected.",
    DISCORD="A message to each Discord channel that the user connected.",
    TEAMS="A message to each Microsoft Teams channel or chat that the user connected.",
)
_register(
    model.Reach,
    "Says if a category can arrive on a channel, and if not, why. If several values apply, the value is the first of "
    "NOT_CONFIGURED, NOT_USED, and NO_ADDRESS.",
    OK="The category can arrive there, or it is not known yet which channels the sends of the tenant name.",
    NO_ADDRESS="The user has no address or device for the channel, or the address is suppressed.",
    NOT_CONFIGURED="The channel is not set up on this hub.",
    NOT_USED="No send of the category has named the channel, and the category does not name it by default.",
)
_register(
    model.Priority,
    "The priority of a notification. Deliveries with a higher priority are sent first, but deliveries with a lower "
    "priority are not starved.",
    CRITICAL="Sent before all other priorities.",
    HIGH="Sent before MEDIUM and LOW.",
    MEDIUM="The default priority of a category.",
    LOW="Sent when no delivery with a higher priority is waiting.",
)
_register(
    model.DeliveryBatchAction,
    "The change that a batch makes to the deliveries of its filter.",
    REPLAY="It sends failed deliveries again.",
    CANCEL="It cancels deliveries that wait.",
)
_register(
    model.DeliveryStatus,
    "The state of a delivery. A delivery passes through SENT, DELIVERED, and READ in this order and may remain in "
    "any of these states.",
    ACCEPTED="The delivery is stored and due.",
    HELD="The delivery waits: for its time, because a delivery limit is reached, because the provider is down, "
    "because the send or the channel is paused, or because a backup was restored. See `reason` and `dueAt`.",
    PROCESSING="A worker is calling the provider.",
    RETRYING="An attempt failed. The next attempt is at `dueAt`.",
    SENT="The provider accepted the message.",
    DELIVERED="The provider, the device, or the inbox confirmed the delivery.",
    READ="The channel of this delivery proved that the recipient read the notification: in the inbox, or by clicking "
    "a link in an email or push. `Notification.readAt` shows whether the notification was read on any channel.",
    SKIPPED="The channel was not used. `reason` contains the cause.",
    FAILED="The delivery is a dead letter: a permanent error occurred, or all attempts failed. `replay` sends the "
    "delivery again.",
    CANCELLED="The send was canceled or recalled, or the notification was replaced or resolved, "
    "before this delivery was sent.",
    EXPIRED="The notification expired before this delivery was sent.",
)
_register(
    model.EventStatus,
    "The state of an event.",
    RECEIVED="The event is stored. Its rules have not run, or run again after a failure.",
    PROCESSED="Every send of the rules that matched is stored.",
    UNMATCHED="No rule matched.",
    FAILED="The rules failed five times, or the event is too large. `replayEvents` runs the rules again. Of an event "
    "that is too large, only the beginning is stored.",
)
_register(
    model.SendStatus,
    "The state of a send. Clients must accept unknown values because more may be added.",
    SCHEDULED="The send is published at `sendAt`.",
    PREPARING="The send waits for the enrichment of its category.",
    EXPANDING="Workers list the recipients. Each recipient gets the send when it is their turn.",
    ACCEPTED="The send is stored, and its deliveries are due or complete.",
    PAUSED="The send was paused with `pauseSend`. It continues with `resumeSend`. See `pausedReason`.",
    CANCELLED="The send was canceled with `cancelSend`. Deliveries that had not been sent are CANCELLED.",
    RECALLED="The send was recalled with `recallSend`. Deliveries that had not been sent are CANCELLED, and the "
    "notifications are removed from all inboxes.",
    EXPIRED="`expiresAt` passed before the send was published.",
    FAILED="The send was not published. See `reason`.",
)
_register(
    model.EnrichmentFailure,
    "What happens to a send if its enrichment fails.",
    SEND="The send goes without the enrichment.",
    RETRY="The call is retried until `expiresAt`, but at most for an hour. Then the send is FAILED. A CRITICAL send is "
    "not retried.",
    FAIL="The send is FAILED with the reason ENRICHMENT.",
)
_register(
    model.DigestMode,
    "The delivery with which the window of a digest starts.",
    FIXED="The window starts with the first delivery.",
    SLIDING="The window starts again with each delivery, until `max` after the first one.",
)
_register(
    model.StepStop,
    "An action of the recipient that stops a delivery. Archiving and snoozing stop what READ and SEEN stop.",
    SEEN="The recipient saw the notification.",
    READ="The recipient read the notification.",
    ACKNOWLEDGED="The recipient acknowledged the notification.",
    NEVER="Nothing that the recipient does stops the delivery.",
)
_register(
    model.ReceiptKind,
    "The kind of event that a receipt reports.",
    DELIVERY="A delivery reached a new status. See `channel`, `status`, and `reason`.",
    SEEN="The user saw the notification.",
    READ="The user read the notification.",
    UNREAD="The user marked the notification as unread.",
    ARCHIVED="The user archived the notification.",
    ACKNOWLEDGED="The user acknowledged the notification.",
    CLICKED="The user clicked a link in an email or push, for the first time.",
    ACTED="The user took an action of the notification. See `actionKey`.",
)
_register(
    model.DeviceKind,
    "The kind of a device.",
    WEB_PUSH="A browser that receives web push messages.",
    MOBILE_PUSH="An app that receives push messages through FCM or APNs.",
    SLACK="An incoming webhook of Slack.",
    DISCORD="A webhook of Discord.",
    TEAMS="A workflow of Microsoft Teams that posts messages.",
    WEBHOOK="A personal webhook of the user.",
)
_register(
    model.BecauseKind,
    "The reason that a user received a notification.",
    NAMED="The sender named the user.",
    TOPIC="The user follows a topic.",
    EVERYONE="The send went to all users.",
    FILTER="The user matched a filter.",
    RULE="A rule created the send. Not used yet.",
)
_register(
    model.RecordKind,
    "The kind of a record that `find` returns.",
    USER="A user.",
    SEND="A send.",
    DELIVERY="A delivery.",
    NOTIFICATION="A notification.",
)
_register(
    model.FoundBy,
    "The value of a record that matched the text of `find`.",
    ID="The id of the record.",
    EMAIL="The email address of the user.",
    PHONE="The phone number of the user.",
    NAME="The name of the user.",
    MESSAGE_ID="The Message-ID of the email.",
    PROVIDER_ID="The id that the provider assigned to the message.",
    IDEMPOTENCY_KEY="The idempotency key of the send.",
    TITLE="The title of the send.",
)
_register(
    model.InboxEventKind,
    "The kind of change to an inbox.",
    ADDED="A notification was added to the inbox, or returned to the top of the inbox after a snooze.",
    UPDATED="A notification changed, for example because it was read.",
    REMOVED="A notification was removed from the inbox because it was recalled, replaced, resolved, "
    "expired, or erased. After a recall, the title and body are empty.",
    ALL_READ="All notifications in the ACTIVE view were marked as read.",
    ALL_SEEN="All notifications in the ACTIVE view were marked as seen.",
    ALL_ARCHIVED="All notifications in the ACTIVE view were archived.",
    RESYNC="The changes since `after` cannot be replayed, or the client was too slow. The subscription completes "
    "after this event. Load the inbox again and subscribe from its `position`.",
)
_register(
    model.InboxView,
    "A view of an inbox: a subset of its notifications.",
    ACTIVE="Notifications that are neither archived nor snoozed.",
    UNREAD="Notifications that are not read, archived, or snoozed.",
    SNOOZED="Snoozed notifications.",
    ARCHIVED="Archived notifications.",
    ALL="All notifications.",
)
_register(
    model.Scope,
    "An operation that a service key may do. See the table of roles and scopes in the documentation.",
    SEND="Send, and cancel, recall, pause, resume, resolve, and replay sends.",
    READ="Queries and subscriptions, except `serviceKeys` and `auditLog`.",
    EVENTS="Post events.",
    PEOPLE="Create, change, and erase users, and change topics and subscriptions.",
)
_register(
    model.KeyRole,
    "The role of a service key.",
    SERVICE="Back ends that send and read.",
    ADMIN="Everything that SERVICE may do, and the configuration of the tenant.",
    VIEWER="Reads with masked personal data, without content.",
    SUPPORT="Reads users and deliveries, replays a delivery, and lifts suppressions.",
    OPERATOR="Everything that SUPPORT may do. Also replays, pauses, and recalls.",
    name="Role",
)
