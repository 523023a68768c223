"""Changes of inboxes, as published to live subscriptions and returned as a backlog."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, UnsetType

from hub.model.mailboxes import Mailbox
from hub.model.notifications import Notification
from hub.model.record import Record


class InboxEventKind(StrEnum):
    ADDED = "ADDED"
    UPDATED = "UPDATED"
    REMOVED = "REMOVED"
    ALL_READ = "ALL_READ"
    ALL_SEEN = "ALL_SEEN"
    ALL_ARCHIVED = "ALL_ARCHIVED"
    RESYNC = "RESYNC"


class InboxEvent(Record, frozen=True, array_like=True, omit_defaults=False):
    """One change of one inbox, with the counts after it.

    - `up_to_id`: set if several notifications have the number `modseq` (an ALL_* change that is read from the store).
      The client then has those with an id up to this one.
    - `traceparent`: W3C trace context of the operation that caused it, if that is traced and published live.
    """

    kind: InboxEventKind
    modseq: int
    unread: int
    unseen: int
    notification: Notification | None = None
    up_to_id: str | None = None
    traceparent: str | None = None


class MailboxChange(Record, frozen=True, array_like=True, omit_defaults=False):
    """The changes of one mailbox in one transaction: the numbers `first` to `last` and their events."""

    mailbox: str
    epoch: str
    first: int
    last: int
    events: tuple[InboxEvent, ...]


class Position(NamedTuple):
    """A point in the feed of one mailbox. The client has every change up to `modseq`; if `up_to_id` is set, only those
    changes numbered `modseq` whose id is not greater. `time`: Unix time in seconds at which that was true."""

    epoch: str
    modseq: int
    time: int
    up_to_id: str = ""


class Backlog(Struct, frozen=True):
    """The changes that a client missed, in order, and the mailbox after them. `events` is unset if the client needs a
    RESYNC."""

    head: Mailbox
    events: list[InboxEvent] | UnsetType
