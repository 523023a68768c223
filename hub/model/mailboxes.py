"""Mailboxes, their keys, and the views and states of notifications."""

from enum import StrEnum

from msgspec import UNSET, UnsetType

from hub.model.record import Record


class InboxView(StrEnum):
    ACTIVE = "ACTIVE"
    UNREAD = "UNREAD"
    SNOOZED = "SNOOZED"
    ARCHIVED = "ARCHIVED"
    ALL = "ALL"


class InboxState(StrEnum):
    """The state of a visible notification. Each notification has exactly one state, so one index serves every view and
    every count."""

    NEW = "new"  # neither seen nor read
    UNREAD = "unread"  # seen
    READ = "read"
    SNOOZED = "snoozed"
    ARCHIVED = "archived"


class Interruptions(Record, frozen=True):
    """The number of interruptions that count against a user's daily limit on one local day, such as 2026-11-29. `last`
    identifies the last one."""

    day: str
    count: int
    last: str | None = None


class Mailbox(Record, frozen=True, rename={"id": "_id"}, omit_defaults=False):
    """The head of one user's inbox: the last modseq and the counts. They are updated in the same transaction as the
    notifications.

    `epoch` is a random value set at creation. It prevents cursors of an erased mailbox from matching its replacement.
    `interruptions` is set if the user has a daily limit.
    """

    id: str
    epoch: str
    modseq: int = 0
    unread: int = 0
    unseen: int = 0
    interruptions: Interruptions | UnsetType = UNSET


def mailbox_of(tenant: str, user: str) -> str:
    """Return the key of a user's mailbox and user document. Tenant names contain no slash."""
    return f"{tenant}/{user}"


def tenant_of(mailbox: str) -> str:
    return mailbox.partition("/")[0]


def user_of(mailbox: str) -> str:
    return mailbox.partition("/")[2]
