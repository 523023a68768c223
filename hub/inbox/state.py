"""The rules of one notification in an inbox, pure: where it lies, what counts, what each mark does."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from hub.model import Channel, DeliveryStatus, InboxState, InboxView, Notification, ReceiptKind

VIEWS: dict[InboxView, tuple[InboxState, ...]] = {
    InboxView.ACTIVE: (InboxState.NEW, InboxState.UNREAD, InboxState.READ),
    InboxView.UNREAD: (InboxState.NEW, InboxState.UNREAD),
    InboxView.SNOOZED: (InboxState.SNOOZED,),
    InboxView.ARCHIVED: (InboxState.ARCHIVED,),
    InboxView.ALL: tuple(InboxState),
}
UNREAD = frozenset({InboxState.NEW, InboxState.UNREAD})
UNSEEN = frozenset({InboxState.NEW})

Mark = Callable[[Notification, datetime], Notification | None]
"""What a mark makes of a notification at an instant; None where it changes nothing, which makes no event."""


def with_state(n: Notification) -> Notification:
    """`n` with `box` and `wake_at` as its state implies."""
    if n.removed_at or n.hidden:
        return replace(n, box=None, wake_at=None)
    if n.archived_at:
        box = InboxState.ARCHIVED
    elif n.snoozed_until:
        box = InboxState.SNOOZED
    elif n.read_at:
        box = InboxState.READ
    elif n.seen_at:
        box = InboxState.UNREAD
    else:
        box = InboxState.NEW
    times = [at for at in (n.expires_at, n.snoozed_until) if at]
    return replace(n, box=box, wake_at=min(times) if times else None)


def seen(n: Notification, now: datetime) -> Notification | None:
    return None if n.seen_at else replace(n, seen_at=now)


def read(n: Notification, now: datetime) -> Notification | None:
    """Reading implies seeing."""
    return None if n.read_at else replace(n, read_at=now, read_on=None, seen_at=n.seen_at or now)


def clicked(channel: Channel) -> Mark:
    """Read by a click in what another channel brought."""

    def mark(n: Notification, now: datetime) -> Notification | None:
        after = read(n, now)
        return after and replace(after, read_on=channel)

    return mark


def unread(n: Notification, _: datetime) -> Notification | None:
    return replace(n, read_at=None, read_on=None) if n.read_at else None


def archived(n: Notification, now: datetime) -> Notification | None:
    """Archiving ends a snooze; it does not mark as read."""
    return None if n.archived_at else replace(n, archived_at=now, snoozed_until=None)


def unarchived(n: Notification, _: datetime) -> Notification | None:
    return replace(n, archived_at=None) if n.archived_at else None


def snoozed(until: datetime) -> Mark:
    """Away until `until`; what was archived comes back into the inbox then."""

    def mark(n: Notification, _: datetime) -> Notification | None:
        return None if n.snoozed_until == until else replace(n, snoozed_until=until, archived_at=None)

    return mark


def unsnoozed(n: Notification, _: datetime) -> Notification | None:
    """Back on top of the inbox, as it was."""
    return replace(n, snoozed_until=None, added_modseq=0) if n.snoozed_until else None


def acknowledged(n: Notification, now: datetime) -> Notification | None:
    """Only what asked for it can be confirmed. Confirming implies reading."""
    if n.acknowledged_at or not n.require_ack:
        return None
    return replace(n, acknowledged_at=now, read_at=n.read_at or now, seen_at=n.seen_at or now)


def apply_clock(n: Notification, now: datetime) -> Notification | None:
    """What the clock does: an expired one is removed; a snooze that ended brings it back on top, as new as when it
    first came, because a reminder nobody is shown is none."""
    if n.expires_at and n.expires_at <= now:
        return removed(DeliveryStatus.EXPIRED)(n, now)
    if n.snoozed_until and n.snoozed_until <= now:
        return replace(n, snoozed_until=None, seen_at=None, read_at=None, read_on=None, added_modseq=0)
    return None


def removed(why: DeliveryStatus) -> Mark:
    """Out of the inbox: a tombstone for the feed."""

    def mark(n: Notification, now: datetime) -> Notification | None:
        return None if n.removed_at else replace(n, removed_at=now, removed_as=why)

    return mark


def recalled(n: Notification, now: datetime) -> Notification | None:
    """Out of the inbox, and nothing is left of what it said."""
    removed_n = removed(DeliveryStatus.CANCELLED)(n, now)
    return removed_n and replace(removed_n, title="", body="", data=None, image_url=None, action_url=None, actions=())


def receipt_kinds(before: Notification, after: Notification) -> list[ReceiptKind]:
    """What the sender is told about a change that the recipient made."""
    kinds = [
        kind
        for kind, was, now in (
            (ReceiptKind.SEEN, before.seen_at, after.seen_at),
            (ReceiptKind.READ, before.read_at, after.read_at),
            (ReceiptKind.ARCHIVED, before.archived_at, after.archived_at),
            (ReceiptKind.ACKNOWLEDGED, before.acknowledged_at, after.acknowledged_at),
        )
        if now and not was
    ]
    if before.read_at and not after.read_at:
        kinds.append(ReceiptKind.UNREAD)
    return kinds
