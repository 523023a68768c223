"""The nouns. Each is at once the value the code works with, the MongoDB document and the live message."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct, UnsetType, convert, to_builtins

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Channel(StrEnum):
    IN_APP = "IN_APP"
    EMAIL = "EMAIL"
    WEB_PUSH = "WEB_PUSH"
    MOBILE_PUSH = "MOBILE_PUSH"
    SMS = "SMS"
    WHATSAPP = "WHATSAPP"
    WEBHOOK = "WEBHOOK"
    SLACK = "SLACK"
    DISCORD = "DISCORD"
    TEAMS = "TEAMS"


class Priority(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


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


class ReceiptKind(StrEnum):
    DELIVERY = "DELIVERY"
    SEEN = "SEEN"
    READ = "READ"
    UNREAD = "UNREAD"
    ARCHIVED = "ARCHIVED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLICKED = "CLICKED"


class InboxEventKind(StrEnum):
    ADDED = "ADDED"
    UPDATED = "UPDATED"
    REMOVED = "REMOVED"
    ALL_READ = "ALL_READ"
    ALL_SEEN = "ALL_SEEN"
    ALL_ARCHIVED = "ALL_ARCHIVED"
    RESYNC = "RESYNC"


class InboxView(StrEnum):
    ACTIVE = "ACTIVE"
    UNREAD = "UNREAD"
    SNOOZED = "SNOOZED"
    ARCHIVED = "ARCHIVED"
    ALL = "ALL"


class Box(StrEnum):
    """Where in the inbox a notification lies. Exactly one, so that one index serves every view and every count."""

    NEW = "new"  # neither seen nor read
    UNREAD = "unread"  # seen
    READ = "read"
    SNOOZED = "snoozed"
    ARCHIVED = "archived"


class Role(StrEnum):
    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"


class Noun(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Common ground: what has its default value is left out of documents and messages."""


class Caller(Noun, frozen=True):
    """Who is asking, read off a verified token. `expires_at`: seconds since the epoch."""

    tenant: str
    user: str
    role: Role
    expires_at: float

    @property
    def mailbox(self) -> str:
        return mailbox_of(self.tenant, self.user)


class Action(Noun, frozen=True):
    """A button of a notification."""

    key: str
    label: str
    url: str | None = None
    primary: bool = False


class Content(Noun, frozen=True):
    """What a notification says."""

    title: str
    body: str
    image_url: str | None = None
    action_url: str | None = None
    actions: tuple[Action, ...] = ()


class Notification(Noun, frozen=True, rename={"id": "_id"}):
    """One notification in one person's inbox.

    `modseq` numbers its last change within the mailbox, `added_modseq` its place in the inbox (RFC 7162 coined the
    word). `data` is JSON text. `box` is where it lies, absent when hidden or removed. `wake_at` is when the ticker has
    to look at it (end of a snooze, expiry). A removed one stays as a tombstone, with `removed_as` telling why.
    """

    id: str
    mailbox: str
    send: str
    category: str
    title: str
    body: str
    priority: Priority
    because: str
    created_at: datetime
    updated_at: datetime
    data: str | None = None
    image_url: str | None = None
    action_url: str | None = None
    actions: tuple[Action, ...] = ()
    tags: tuple[str, ...] = ()
    require_ack: bool = False
    expires_at: datetime | None = None
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None
    snoozed_until: datetime | None = None
    acknowledged_at: datetime | None = None
    removed_at: datetime | None = None
    removed_as: DeliveryStatus | None = None
    hidden: bool = False
    skipped: dict[str, str] = {}
    box: Box | None = None
    wake_at: datetime | None = None
    modseq: int = 0
    added_modseq: int = 0

    @property
    def tenant(self) -> str:
        return tenant_of(self.mailbox)

    @property
    def user_id(self) -> str:
        return user_of(self.mailbox)


MARKED = (
    *("seen_at", "read_at", "archived_at", "snoozed_until", "acknowledged_at", "removed_at", "removed_as"),
    *("box", "wake_at", "modseq", "added_modseq", "updated_at"),
)
"""What changes about a notification after it was sent."""


class Mailbox(Noun, frozen=True, rename={"id": "_id"}, omit_defaults=False):
    """The head of one person's inbox: the last number handed out and the counts, changed together with what they count.

    `epoch` is random at creation: positions of an erased and remade mailbox can't be mistaken for its own.
    """

    id: str
    epoch: str
    modseq: int = 0
    unread: int = 0
    unseen: int = 0


class Event(Noun, frozen=True, array_like=True, omit_defaults=False):
    """One change of one inbox, with the counts after it.

    `within` is set where several notifications share the number `modseq` (after an ALL_* change read back from the
    store): the id up to which, under that number, the client now has everything.
    """

    kind: InboxEventKind
    modseq: int
    unread: int
    unseen: int
    notification: Notification | None = None
    within: str | None = None


class Changed(Noun, frozen=True, array_like=True, omit_defaults=False):
    """What one transaction did to one mailbox: the numbers `first` to `last`, and the events they belong to."""

    mailbox: str
    epoch: str
    first: int
    last: int
    events: tuple[Event, ...]


class Position(NamedTuple):
    """A point in one mailbox's feed: everything up to `modseq` is known to the client; where `within` is set, of what
    carries the number `modseq` only the ids up to that one. `time`: when that was so, in whole seconds since 1970."""

    epoch: str
    modseq: int
    time: int
    within: str = ""


class Backlog(Struct, frozen=True):
    """What a client missed: events in order, and the mailbox after them. `events` unset: it can't be bridged."""

    head: Mailbox
    events: list[Event] | UnsetType


class Send(Noun, frozen=True, rename={"id": "_id"}):
    id: str
    tenant: str
    category: str
    status: SendStatus
    created_at: datetime
    recipients: int


class Receipt(Noun, frozen=True, rename={"id": "_id"}):
    """What a recipient or a channel did with a notification. Written in the transaction that caused it."""

    id: str
    tenant: str
    kind: ReceiptKind
    at: datetime
    send_id: str
    notification_id: str
    user_id: str
    channel: Channel | None = None
    status: DeliveryStatus | None = None
    reason: str | None = None


class Delivery(Noun, frozen=True):
    """What became of a notification on one channel."""

    id: str
    notification_id: str
    send_id: str
    user_id: str
    channel: Channel
    status: DeliveryStatus
    created_at: datetime
    updated_at: datetime
    reason: str | None = None


class User(Noun, frozen=True, rename={"id": "_id"}):
    """A person. `id` is the mailbox key, tenant and user; `attributes` is JSON text."""

    id: str
    created_at: datetime
    updated_at: datetime
    email: str | None = None
    phone: str | None = None
    locale: str = "en"
    timezone: str = "UTC"
    attributes: str | None = None

    @property
    def user_id(self) -> str:
        return user_of(self.id)


def is_plain(text: str) -> bool:
    """Whether it holds no control characters and no line breaks. Joiners and emoji are part of what people write."""
    return not CONTROLS.search(text)


def mailbox_of(tenant: str, user: str) -> str:
    """The key of a person's mailbox, and of all that belongs to it. A tenant's name holds no slash."""
    return f"{tenant}/{user}"


def tenant_of(mailbox: str) -> str:
    return mailbox.partition("/")[0]


def user_of(mailbox: str) -> str:
    return mailbox.partition("/")[2]


def document(noun: Noun) -> dict[str, Any]:
    """The MongoDB document of a noun."""
    doc: dict[str, Any] = to_builtins(noun, builtin_types=(datetime,))
    return doc


def mailbox_from(doc: dict[str, Any]) -> Mailbox:
    """The mailbox a document holds."""
    return Mailbox(id=doc["_id"], epoch=doc["epoch"], modseq=doc["modseq"], unread=doc["unread"], unseen=doc["unseen"])


def notification_from(doc: dict[str, Any]) -> Notification:
    """The notification a document holds; ValidationError if it holds none."""
    return convert(doc, Notification)
