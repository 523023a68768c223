"""Changes to inboxes, as published to live subscriptions and returned in a backlog."""

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
    """One change to one inbox, with the counts after the change.

    - `up_to_id`: set if several notifications have this `modseq` (an ALL_* change that is read from the store). After
      this event, the client has the notifications whose id is not greater.
    - `traceparent`: the W3C trace context of the operation that caused the change, if the operation is traced and the
      change is published live.
    """

    kind: InboxEventKind
    modseq: int
    unread: int
    unseen: int
    notification: Notification | None = None
    up_to_id: str | None = None
    traceparent: str | None = None


class MailboxChange(Record, frozen=True, array_like=True, omit_defaults=False):
    """The changes to one mailbox in one transaction: the modseq numbers `first` to `last`, and the events."""

    mailbox: str
    epoch: str
    first: int
    last: int
    events: tuple[InboxEvent, ...]


class Position(NamedTuple):
    """A point in the feed of one mailbox. The client has every change up to `modseq`; if `up_to_id` is set, only those
    changes numbered `modseq` whose id is not greater. `time`: the Unix time in seconds at which this was true."""

    epoch: str
    modseq: int
    time: int
    up_to_id: str = ""


class BulkUndo(NamedTuple):
    """A "mark all" that can be undone: its id, and the range of the modseq numbers of the notifications that it
    changed."""

    first: int
    last: int
    id: str


class Backlog(Struct, frozen=True):
    """The changes that a client missed, in order, and the mailbox after these changes. `events` is unset if the client
    requires a RESYNC."""

    head: Mailbox
    events: list[InboxEvent] | UnsetType
