"""Notifications and their content."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import convert

from hub.model.channels import Channel, Priority
from hub.model.mailboxes import InboxState, tenant_of, user_of
from hub.model.record import Record
from hub.model.statuses import DeliveryStatus, Reason


class BecauseKind(StrEnum):
    """Why a user received a notification."""

    NAMED = "NAMED"
    TOPIC = "TOPIC"
    EVERYONE = "EVERYONE"
    FILTER = "FILTER"
    RULE = "RULE"


BECAUSE_KINDS = frozenset(BecauseKind)
AUDIENCE_KINDS = frozenset({BecauseKind.TOPIC, BecauseKind.EVERYONE, BecauseKind.FILTER})


class Action(Record, frozen=True):
    """A button of a notification."""

    key: str
    label: str
    url: str | None = None
    primary: bool = False


class Actor(Record, frozen=True):
    """The person or system that caused a notification."""

    name: str
    avatar_url: str | None = None


class Content(Record, frozen=True):
    """The content of a notification."""

    title: str
    body: str
    image_url: str | None = None
    action_url: str | None = None
    actions: tuple[Action, ...] = ()
    markdown: bool = False
    actor: Actor | None = None


class BulkMark(Record, frozen=True):
    """The "mark all" that changed a notification last.

    - `id`: the id of the call, the same for all notifications that it changed.
    - `archived`: True if it archived the notification, and False if it marked it as read.
    - `snoozed_until`: the snooze that it ended.
    """

    id: str
    archived: bool = False
    snoozed_until: datetime | None = None


class Notification(Record, frozen=True, rename={"id": "_id"}):
    """A notification in the inbox of one user.

    - `modseq`: the number of the last change within the mailbox (RFC 7162). The inbox is sorted by `added_modseq`.
    - `category_name`: the name of the category when the notification was sent. None if the name was the key.
    - `data`: JSON text.
    - `state`: None if the notification is hidden or removed. A removed notification is kept as a tombstone.
      `removed_as` is the status of its IN_APP delivery, and `removed_reason` is the reason.
    - `collapsed_count`: the number of notifications that it represents: itself and the unread ones that it replaced.
    - `live_key`: set until the notification is removed, if it has a collapse key. It is unique within the mailbox.
    - `markdown`: True if `body` is in the Markdown subset (`hub/markdown.py`).
    - `retained_until`: the end of the category's retention period, when the notification is removed.
    - `wake_at`: the time when the scheduler must change the notification: the end of a snooze or of the retention
      period, or expiry.
    - `pinned`: True if clients show it above the others while it is in the inbox. The send sets it, and the user may
      change it.
    - `because`: a BecauseKind, for some kinds followed by `:` and a key.
    - `acted_key`: the key of the action that the recipient took, at `acted_at`.
    - `bulk_mark`: the "mark all" that can be undone. None after any other change.
    - `read_on`: the channel of the click that marked it as read. None if it was read in the inbox.
    - `hidden`: True if no inbox shows the notification: IN_APP is not used, or its step is not due.
    - `in_app_step`: the number of the step that showed the notification, or 0.
    - `has_deliveries`: True if deliveries are stored, because the notification also uses other channels or has steps.
    - `has_steps`: True if something other than reading stops a delivery.
    - `skipped`: the reason for each requested channel on which the notification is not sent.
    - `failed`: the error for each channel whose text could not be rendered when the notification was created.
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
    markdown: bool = False
    actor: Actor | None = None
    tags: tuple[str, ...] = ()
    require_ack: bool = False
    pinned: bool = False
    thread_key: str | None = None
    collapse_key: str | None = None
    collapsed_count: int = 1
    expires_at: datetime | None = None
    retained_until: datetime | None = None
    seen_at: datetime | None = None
    read_at: datetime | None = None
    read_on: Channel | None = None
    archived_at: datetime | None = None
    snoozed_until: datetime | None = None
    acknowledged_at: datetime | None = None
    acted_key: str | None = None
    acted_at: datetime | None = None
    bulk_mark: BulkMark | None = None
    removed_at: datetime | None = None
    removed_as: DeliveryStatus | None = None
    removed_reason: Reason | None = None
    hidden: bool = False
    in_app_step: int = 0
    has_deliveries: bool = False
    has_steps: bool = False
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    state: InboxState | None = None
    wake_at: datetime | None = None
    live_key: str | None = None
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
        """The kind of reason. NAMED if a newer version stored an unknown kind."""
        kind = self.because.partition(":")[0]
        return BecauseKind(kind) if kind in BECAUSE_KINDS else BecauseKind.NAMED

    @property
    def expanded(self) -> bool:
        """True if the send named no users, so workers listed its recipients."""
        return self.because_kind in AUDIENCE_KINDS

    @property
    def because_of(self) -> str | None:
        """The key of the topic or rule, or None if there is none."""
        kind, _, key = self.because.partition(":")
        return key or None if kind in BECAUSE_KINDS else None


MUTABLE_FIELDS = (
    *("seen_at", "read_at", "read_on", "archived_at", "snoozed_until", "acknowledged_at"),
    *("acted_key", "acted_at", "bulk_mark", "pinned"),
    *("removed_at", "removed_as", "removed_reason", "hidden", "in_app_step"),
    *("state", "wake_at", "live_key", "modseq", "added_modseq", "updated_at"),
)
"""The fields that may change after a notification was sent."""

CONTENT_FIELDS = ("title", "body", "data", "image_url", "action_url", "actions", "actor")
"""The fields that a recall deletes."""


def live_keys(collapse_key: str) -> tuple[str, str]:
    """Return the values of `live_key` for a collapse key: without and with `require_ack`. A user has at most one live
    notification for each value."""
    return f"plain/{collapse_key}", f"ack/{collapse_key}"


def notification_from(doc: dict[str, Any]) -> Notification:
    """Return the notification in a document. Raise ValidationError if the document is not a notification."""
    return convert(doc, Notification)
