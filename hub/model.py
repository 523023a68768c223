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


class DeviceKind(StrEnum):
    WEB_PUSH = "WEB_PUSH"
    MOBILE_PUSH = "MOBILE_PUSH"
    SLACK = "SLACK"
    DISCORD = "DISCORD"
    TEAMS = "TEAMS"
    WEBHOOK = "WEBHOOK"


class Reason(StrEnum):
    """Why something did not go out, or not yet."""

    NOT_REQUESTED = "NOT_REQUESTED"  # neither the send names the channel nor the category
    PREFERENCE = "PREFERENCE"  # the recipient switched it off
    MUTED = "MUTED"
    NOT_CONFIGURED = "NOT_CONFIGURED"  # this hub has no provider for it
    NO_ADDRESS = "NO_ADDRESS"
    SUPPRESSED = "SUPPRESSED"  # the address bounced or complained
    ALREADY_READ = "ALREADY_READ"
    RATE_LIMITED = "RATE_LIMITED"
    PROVIDER_DOWN = "PROVIDER_DOWN"  # its circuit breaker is open
    CANCELLED = "CANCELLED"  # its send was
    RECALLED = "RECALLED"  # likewise
    ATTEMPTS_USED_UP = "ATTEMPTS_USED_UP"
    REFUSED = "REFUSED"  # the provider said no for good
    ADDRESS_GONE = "ADDRESS_GONE"  # the provider said the address is dead
    POISON = "POISON"  # the workers that tried it died
    UNREADABLE = "UNREADABLE"  # the worker's version can't read it


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


class InboxState(StrEnum):
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


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Common ground: what has its default value is left out of documents and messages."""


class Principal(Record, frozen=True):
    """Who is asking, read off a verified token. `expires_at`: seconds since the epoch."""

    tenant: str
    user: str
    role: Role
    expires_at: float

    @property
    def mailbox(self) -> str:
        return mailbox_of(self.tenant, self.user)


class Action(Record, frozen=True):
    """A button of a notification."""

    key: str
    label: str
    url: str | None = None
    primary: bool = False


class BecauseKind(StrEnum):
    """Why somebody got a notification."""

    NAMED = "NAMED"
    TOPIC = "TOPIC"
    EVERYONE = "EVERYONE"
    FILTER = "FILTER"
    RULE = "RULE"


BECAUSE_KINDS = frozenset(BecauseKind)


class Content(Record, frozen=True):
    """What a notification says."""

    title: str
    body: str
    image_url: str | None = None
    action_url: str | None = None
    actions: tuple[Action, ...] = ()


class Notification(Record, frozen=True, rename={"id": "_id"}):
    """A notification in the inbox of one user.

    - `modseq`: number of the last change within the mailbox (RFC 7162). The inbox is sorted by `added_modseq`.
    - `category_name`: name of the category when the notification was sent; None if it was the key.
    - `data`: JSON text.
    - `state`: None if the notification is hidden or removed. A removed one stays as a tombstone; `removed_as` is why.
    - `wake_at`: when the scheduler has to change it (end of a snooze, expiry).
    - `because`: a BecauseKind, with `:` and a key for some kinds. Older versions stored an English sentence.
    - `read_on`: the channel of the click that marked it as read; None if it was read in the inbox.
    - `has_deliveries`: it was also sent on other channels than IN_APP.
    - `skipped`: reason for each requested channel on which it is not sent.
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
    category_name: str | None = None
    data: str | None = None
    image_url: str | None = None
    action_url: str | None = None
    actions: tuple[Action, ...] = ()
    tags: tuple[str, ...] = ()
    require_ack: bool = False
    expires_at: datetime | None = None
    seen_at: datetime | None = None
    read_at: datetime | None = None
    read_on: Channel | None = None
    archived_at: datetime | None = None
    snoozed_until: datetime | None = None
    acknowledged_at: datetime | None = None
    removed_at: datetime | None = None
    removed_as: DeliveryStatus | None = None
    hidden: bool = False
    has_deliveries: bool = False
    skipped: dict[str, str] = {}
    state: InboxState | None = None
    wake_at: datetime | None = None
    modseq: int = 0
    added_modseq: int = 0

    @property
    def tenant(self) -> str:
        return tenant_of(self.mailbox)

    @property
    def user_id(self) -> str:
        return user_of(self.mailbox)

    @property
    def because_kind(self) -> BecauseKind:
        """Of notifications that hold a sentence in place of a code, which older versions wrote: NAMED."""
        kind = self.because.partition(":")[0]
        return BecauseKind(kind) if kind in BECAUSE_KINDS else BecauseKind.NAMED

    @property
    def because_of(self) -> str | None:
        kind, _, of = self.because.partition(":")
        return of or None if kind in BECAUSE_KINDS else None


MUTABLE_FIELDS = (
    *("seen_at", "read_at", "read_on", "archived_at", "snoozed_until", "acknowledged_at", "removed_at", "removed_as"),
    *("state", "wake_at", "modseq", "added_modseq", "updated_at"),
)
"""What changes about a notification after it was sent."""

CONTENT_FIELDS = ("title", "body", "data", "image_url", "action_url", "actions")
"""What a recall takes back."""


class Mailbox(Record, frozen=True, rename={"id": "_id"}, omit_defaults=False):
    """The head of one person's inbox: the last number handed out and the counts, changed together with what they count.

    `epoch` is random at creation: positions of an erased and remade mailbox can't be mistaken for its own.
    """

    id: str
    epoch: str
    modseq: int = 0
    unread: int = 0
    unseen: int = 0


class InboxEvent(Record, frozen=True, array_like=True, omit_defaults=False):
    """One change of one inbox, with the counts after it.

    `up_to_id` is set where several notifications share the number `modseq` (after an ALL_* change read back from the
    store): the id up to which, under that number, the client now has everything. `traceparent`: of what
    caused it, where that is traced and told live.
    """

    kind: InboxEventKind
    modseq: int
    unread: int
    unseen: int
    notification: Notification | None = None
    up_to_id: str | None = None
    traceparent: str | None = None


class MailboxChange(Record, frozen=True, array_like=True, omit_defaults=False):
    """What one transaction did to one mailbox: the numbers `first` to `last`, and the events they belong to."""

    mailbox: str
    epoch: str
    first: int
    last: int
    events: tuple[InboxEvent, ...]


class Position(NamedTuple):
    """A point in one mailbox's feed: everything up to `modseq` is known to the client; where `up_to_id` is set, of what
    carries the number `modseq` only the ids up to that one. `time`: when that was so, in whole seconds since 1970."""

    epoch: str
    modseq: int
    time: int
    up_to_id: str = ""


class Backlog(Struct, frozen=True):
    """What a client missed: events in order, and the mailbox after them. `events` unset: it can't be bridged."""

    head: Mailbox
    events: list[InboxEvent] | UnsetType


class Send(Record, frozen=True, rename={"id": "_id"}):
    id: str
    tenant: str
    category: str
    status: SendStatus
    created_at: datetime
    recipients: int


class Receipt(Record, frozen=True, rename={"id": "_id"}):
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


class Attempt(Record, frozen=True):
    """One call of a provider. `ms` is None while it is under way, and for ever if its worker died in it."""

    at: datetime
    provider: str
    ok: bool = False
    error: str | None = None
    ms: int | None = None


class Delivery(Record, frozen=True, rename={"id": "_id"}):
    """A notification on one channel and, if the channel sends to devices, one device.

    Stored only if it may leave the hub. The others are computed from the notification.

    - `lane`: its queue. `enqueue_count`: how often it was enqueued since the last claim.
    - `due_at`: when the scheduler has to enqueue it or expire its lease. None when it is finished.
    - `claim`: token of the worker that has it. `lease_expirations`: number of leases that ended before a result.
    - `tries`: rounds of attempts. A round calls the providers of the channel until one returns no Retry.
    - `traceparent`: W3C trace context of the send, if that is traced.
    - `clicked_at`: time of the first click.
    """

    id: str
    tenant: str
    notification: str
    send: str
    mailbox: str
    channel: Channel
    category: str
    status: DeliveryStatus
    priority: Priority
    created_at: datetime
    updated_at: datetime
    lane: str = ""
    enqueue_count: int = 0
    device: str | None = None
    reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    tries: int = 0
    due_at: datetime | None = None
    expires_at: datetime | None = None
    claim: str | None = None
    lease_expirations: int = 0
    provider_id: str | None = None
    traceparent: str | None = None
    clicked_at: datetime | None = None

    @property
    def user_id(self) -> str:
        return user_of(self.mailbox)


class WebhookCall(Record, frozen=True, rename={"id": "_id"}):
    """One event on its way to one endpoint of a tenant. `payload`: the JSON text that is sent, as it was when the event
    happened. The rest is a delivery's."""

    id: str
    tenant: str
    endpoint: str
    event: str
    payload: str
    status: DeliveryStatus
    priority: Priority
    created_at: datetime
    updated_at: datetime
    lane: str = ""
    enqueue_count: int = 0
    reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    tries: int = 0
    due_at: datetime | None = None
    claim: str | None = None
    lease_expirations: int = 0
    provider_id: str | None = None


class Device(Record, frozen=True):
    """Where a person is reached beside mail and phone. `url`: the push service's or webhook's address; `p256dh` and
    `auth`: the keys of a browser (RFC 8291), base64url; `token`: of the mobile app, `arn`: the SNS endpoint made for
    it; `secret`: what calls to a webhook are signed with. `key` tells devices apart across people."""

    id: str
    kind: DeviceKind
    key: str
    created_at: datetime
    last_used_at: datetime | None = None
    platform: str | None = None
    label: str | None = None
    url: str | None = None
    p256dh: str | None = None
    auth: str | None = None
    token: str | None = None
    arn: str | None = None
    secret: str | None = None


class CategoryPreference(Record, frozen=True):
    """What somebody wants of one category. A channel that is not named is as it is by default."""

    category: str
    channels: dict[Channel, bool] = {}
    muted_until: datetime | None = None

    def with_defaults(self, base: "CategoryPreference") -> "CategoryPreference":
        """Where this one says nothing, `base` does."""
        return CategoryPreference(
            category=self.category,
            channels=base.channels | self.channels,
            muted_until=base.muted_until if self.muted_until is None else self.muted_until,
        )


class Preferences(Record, frozen=True):
    """What somebody wants, where it differs from the default: everything on."""

    channels: dict[Channel, bool] = {}
    categories: tuple[CategoryPreference, ...] = ()

    def for_category(self, category: str) -> CategoryPreference:
        """What is wanted of that category."""
        return next(
            (wish for wish in self.categories if wish.category == category), CategoryPreference(category=category)
        )


NO_PREFERENCES = Preferences()
"""No wishes at all."""


class User(Record, frozen=True, rename={"id": "_id"}):
    """A person. `id` is the mailbox key, tenant and user; `attributes` is JSON text. `suppressed`: addresses that
    bounced or complained, in lower case, and which of the two."""

    id: str
    created_at: datetime
    updated_at: datetime
    email: str | None = None
    phone: str | None = None
    locale: str = "en"
    timezone: str = "UTC"
    attributes: str | None = None
    devices: tuple[Device, ...] = ()
    preferences: Preferences = Preferences()
    suppressed: dict[str, str] = {}

    @property
    def user_id(self) -> str:
        return user_of(self.id)


class Category(Record, frozen=True):
    """A kind of notification that people can have wishes about. `required`: they can't switch it off. `retention` in
    seconds."""

    key: str
    name: str
    description: str | None = None
    required: bool = False
    default_channels: tuple[Channel, ...] = (Channel.IN_APP,)
    priority: Priority = Priority.MEDIUM
    retention_s: int | None = None


class WebhookEndpoint(Record, frozen=True):
    """Where a tenant wants to be called about events. `events`: all, also those to come, where it is empty. `secrets`:
    the newest signs, and the one before it until `rotated_at` plus a day. `failing_since`: since then calls were given
    up, and none succeeded."""

    id: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[str, ...]
    created_at: datetime
    enabled: bool = True
    disabled_reason: str | None = None
    rotated_at: datetime | None = None
    failing_since: datetime | None = None


class Tenant(Record, frozen=True, rename={"id": "_id"}):
    """A tenant's set-up in one document. `version` goes up with every change of it. `preferences`: what its people
    start from."""

    id: str
    version: int = 0
    name: str = ""
    logo_url: str | None = None
    color: str | None = None
    preferences: Preferences = Preferences()
    categories: tuple[Category, ...] = ()
    endpoints: tuple[WebhookEndpoint, ...] = ()

    def category(self, key: str) -> Category | None:
        return next((category for category in self.categories if category.key == key), None)


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


def document(record: Record) -> dict[str, Any]:
    """The MongoDB document of a noun."""
    doc: dict[str, Any] = to_builtins(record, builtin_types=(datetime,))
    return doc


def mailbox_from(doc: dict[str, Any]) -> Mailbox:
    """The mailbox a document holds."""
    return Mailbox(id=doc["_id"], epoch=doc["epoch"], modseq=doc["modseq"], unread=doc["unread"], unseen=doc["unseen"])


def notification_from(doc: dict[str, Any]) -> Notification:
    """The notification a document holds; ValidationError if it holds none."""
    return convert(doc, Notification)
