"""Statuses of sends and deliveries, and the reasons for them."""

from enum import StrEnum


class DeliveryBatchAction(StrEnum):
    REPLAY = "REPLAY"
    CANCEL = "CANCEL"


class DeliveryStatus(StrEnum):
    ACCEPTED = "ACCEPTED"
    HELD = "HELD"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    READ = "READ"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class SendStatus(StrEnum):
    SCHEDULED = "SCHEDULED"
    PREPARING = "PREPARING"
    EXPANDING = "EXPANDING"
    ACCEPTED = "ACCEPTED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    RECALLED = "RECALLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


class Reason(StrEnum):
    """The reason why a delivery is not sent, or is delayed."""

    NOT_REQUESTED = "NOT_REQUESTED"  # neither the send nor the category names the channel
    PREFERENCE = "PREFERENCE"  # the recipient disabled the channel or category
    MUTED = "MUTED"
    NOT_CONFIGURED = "NOT_CONFIGURED"  # this hub has no provider for the channel
    NO_ADDRESS = "NO_ADDRESS"
    OPTED_OUT = "OPTED_OUT"  # the phone number sent STOP to the sender
    SUPPRESSED = "SUPPRESSED"  # a message bounced, or the recipient reported it as spam
    ALREADY_SEEN = "ALREADY_SEEN"
    ALREADY_READ = "ALREADY_READ"
    ALREADY_ACKNOWLEDGED = "ALREADY_ACKNOWLEDGED"
    SNOOZED = "SNOOZED"  # the recipient will see the notification again later
    SCHEDULED = "SCHEDULED"  # the send is not due
    DIGEST = "DIGEST"  # a digest carries the delivery when its window ends
    EMPTY = "EMPTY"  # a digest whose items ended before it was sent
    STEP = "STEP"  # a later step of the send
    PAUSED = "PAUSED"  # the send or the channel is paused
    RESTORED = "RESTORED"  # a backup was restored, and the delivery may have left after the backup
    THROTTLED = "THROTTLED"  # enough sends with the same throttle key reached the recipient outside the inbox
    QUIET_HOURS = "QUIET_HOURS"  # the delivery waits for the end of the recipient's quiet hours, or expires before it
    DO_NOT_DISTURB = "DO_NOT_DISTURB"  # the same for the recipient's do-not-disturb
    DAILY_LIMIT = "DAILY_LIMIT"  # the recipient was interrupted as often as they allow for one day
    RATE_LIMITED = "RATE_LIMITED"
    PROVIDER_DOWN = "PROVIDER_DOWN"  # the provider's circuit breaker is open
    CANCELLED = "CANCELLED"  # the send was cancelled
    RECALLED = "RECALLED"  # the send was recalled
    REPLACED = "REPLACED"  # a newer notification has the same collapse key
    RESOLVED = "RESOLVED"  # the sender resolved the collapse key
    ATTEMPTS_USED_UP = "ATTEMPTS_USED_UP"
    REFUSED = "REFUSED"  # the provider permanently rejected the message
    ADDRESS_GONE = "ADDRESS_GONE"  # the provider reported that the address no longer exists
    TEMPLATE_ERROR = "TEMPLATE_ERROR"  # the text of the template could not be rendered for the recipient
    POISON = "POISON"  # the workers that processed the delivery crashed
    UNREADABLE = "UNREADABLE"  # the worker's version cannot decode the documents
