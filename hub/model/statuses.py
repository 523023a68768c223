"""Statuses of sends and deliveries, and the reasons for them."""

from enum import StrEnum


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
    EXPANDING = "EXPANDING"
    ACCEPTED = "ACCEPTED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    RECALLED = "RECALLED"


class Reason(StrEnum):
    """The reason why a delivery is not sent, or is delayed."""

    NOT_REQUESTED = "NOT_REQUESTED"  # neither the send nor the category names the channel
    PREFERENCE = "PREFERENCE"  # the recipient disabled it
    MUTED = "MUTED"
    NOT_CONFIGURED = "NOT_CONFIGURED"  # this hub has no provider for the channel
    NO_ADDRESS = "NO_ADDRESS"
    SUPPRESSED = "SUPPRESSED"  # the address bounced or complained
    ALREADY_READ = "ALREADY_READ"
    RATE_LIMITED = "RATE_LIMITED"
    PROVIDER_DOWN = "PROVIDER_DOWN"  # its circuit breaker is open
    CANCELLED = "CANCELLED"  # the send was cancelled
    RECALLED = "RECALLED"  # the send was recalled
    ATTEMPTS_USED_UP = "ATTEMPTS_USED_UP"
    REFUSED = "REFUSED"  # the provider rejected it permanently
    ADDRESS_GONE = "ADDRESS_GONE"  # the provider reported that the address no longer exists
    POISON = "POISON"  # the workers that tried it crashed
    UNREADABLE = "UNREADABLE"  # the worker's version cannot decode it
