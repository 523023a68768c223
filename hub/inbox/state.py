"""The state machine of a notification in an inbox: its states, and the effect of each mark. Performs no I/O."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from hub.errors import BadUserInput, Conflict
from hub.ids import id_time
from hub.model import (
    BulkMark,
    Channel,
    DeliveryStatus,
    InboxState,
    InboxView,
    Notification,
    Reason,
    ReceiptKind,
    live_keys,
)

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
"""Returns the changed notification, or None if nothing changes and nothing is to be published."""


def with_state(n: Notification) -> Notification:
    """Return `n` with `state`, `wake_at`, and `live_key` set according to its other fields. A hidden notification that
    expires must be removed only if it has a collapse key, which a newer one would count it under."""
    if n.removed_at:
        return replace(n, state=None, wake_at=None, live_key=None)
    live_key = live_keys(n.collapse_key)[n.require_ack] if n.collapse_key else None
    if n.hidden:
        times = [at for at in (live_key and n.expires_at, n.retained_until) if at]
        return replace(n, state=None, wake_at=min(times, default=None), live_key=live_key)
    if n.archived_at:
        inbox_state = InboxState.ARCHIVED
    elif n.snoozed_until:
        inbox_state = InboxState.SNOOZED
    elif n.read_at:
        inbox_state = InboxState.READ
    elif n.seen_at:
        inbox_state = InboxState.UNREAD
    else:
        inbox_state = InboxState.NEW
    times = [at for at in (n.expires_at, n.snoozed_until, n.retained_until) if at]
    return replace(n, state=inbox_state, wake_at=min(times, default=None), live_key=live_key)


def seen(n: Notification, now: datetime) -> Notification | None:
    return None if n.seen_at else replace(n, seen_at=now)


def read(n: Notification, now: datetime) -> Notification | None:
    """Mark as read, which also marks as seen."""
    return None if n.read_at else replace(n, read_at=now, read_on=None, seen_at=n.seen_at or now)


def clicked(channel: Channel) -> Mark:
    """Return the mark for a notification that was read by a click in another channel."""

    def mark(n: Notification, now: datetime) -> Notification | None:
        after = read(n, now)
        return after and replace(after, read_on=channel)

    return mark


def unread(n: Notification, _: datetime) -> Notification | None:
    return replace(n, read_at=None, read_on=None) if n.read_at else None


def archived(n: Notification, now: datetime) -> Notification | None:
    """Archive, which also ends a snooze but does not mark as read."""
    return None if n.archived_at else replace(n, archived_at=now, snoozed_until=None)


def unarchived(n: Notification, _: datetime) -> Notification | None:
    return replace(n, archived_at=None) if n.archived_at else None


def snoozed(until: datetime) -> Mark:
    """Return the mark that hides a notification until `until`. Then even an archived one returns to the inbox."""

    def mark(n: Notification, _: datetime) -> Notification | None:
        return None if n.snoozed_until == until else replace(n, snoozed_until=until, archived_at=None)

    return mark


def unsnoozed(n: Notification, _: datetime) -> Notification | None:
    """Move back to its place in the inbox. A snooze that ends by itself moves to the top."""
    return replace(n, snoozed_until=None) if n.snoozed_until else None


def pinned(n: Notification, _: datetime) -> Notification | None:
    """Pin, which changes no other mark: an archived or snoozed notification is pinned when it returns."""
    return None if n.pinned else replace(n, pinned=True)


def unpinned(n: Notification, _: datetime) -> Notification | None:
    return replace(n, pinned=False) if n.pinned else None


def acknowledged(n: Notification, now: datetime) -> Notification | None:
    """Acknowledge, if the notification requires it. This also marks the notification as read."""
    if n.acknowledged_at or not n.require_ack:
        return None
    return replace(n, acknowledged_at=now, read_at=n.read_at or now, seen_at=n.seen_at or now)


def in_bulk(mark: Mark, id: str) -> Mark:
    """Return `mark` as part of the "mark all" with this id, which `undone` reverts."""

    def apply(n: Notification, now: datetime) -> Notification | None:
        after = mark(n, now)
        if after is None:
            return None
        archived = bool(after.archived_at and not n.archived_at)
        return replace(after, bulk_mark=BulkMark(id=id, archived=archived, snoozed_until=n.snoozed_until))

    return apply


def undone(id: str) -> Mark:
    """Return the mark that reverts the "mark all" with this id. A notification that was changed since is not changed.
    One that was marked as read remains seen."""

    def mark(n: Notification, _: datetime) -> Notification | None:
        bulk = n.bulk_mark
        if bulk is None or bulk.id != id:
            return None
        if bulk.archived:
            return replace(n, archived_at=None, snoozed_until=bulk.snoozed_until, bulk_mark=None)
        return replace(n, read_at=None, read_on=None, bulk_mark=None)

    return mark


def acted(key: str, where: Channel = Channel.IN_APP) -> Mark:
    """Return the mark for a notification whose action `key` the recipient took on a channel. The first action counts.
    This also marks the notification as read. The mark raises BadUserInput if the notification has no such action, and
    Conflict if the recipient took another one."""

    def mark(n: Notification, now: datetime) -> Notification | None:
        if n.acted_key == key:
            return None
        if n.acted_key is not None:
            raise Conflict(f"The action {n.acted_key!r} of this notification was already taken. It cannot be changed.")
        if key not in (keys := [action.key for action in n.actions]):
            has = f"Its actions are: {', '.join(map(repr, keys))}." if keys else "It has no actions."
            raise BadUserInput(f"This notification has no action {key!r}. {has}", "key")
        as_read = read(n, now) if where is Channel.IN_APP else clicked(where)(n, now)
        return replace(as_read or n, acted_key=key, acted_at=now)

    return mark


def apply_clock(n: Notification, now: datetime) -> Notification | None:
    """Remove a notification that is expired or whose retention period has ended. If its snooze has ended, move it to
    the top as new, because it is a reminder."""
    if any(at and at <= now for at in (n.expires_at, n.retained_until)):
        return removed(DeliveryStatus.EXPIRED)(n, now)
    if n.snoozed_until and n.snoozed_until <= now:
        return replace(n, snoozed_until=None, seen_at=None, read_at=None, read_on=None, added_modseq=0)
    return None


def shown(n: Notification, step: int) -> Notification:
    """Show a hidden notification because its step is due. One that the inbox shows returns to the top as new."""
    marks = dict.fromkeys(("seen_at", "read_at", "read_on", "archived_at", "snoozed_until"))
    if n.hidden:  # a click on another channel may have marked it
        return replace(n, **marks, hidden=False, in_app_step=step)
    return replace(n, **marks, in_app_step=step, added_modseq=0)


def is_pending(n: Notification, now: datetime) -> bool:
    """Return True if the recipient may still have to do something with a notification, or if the retention period of
    its category has not ended."""
    if (n.require_ack and not n.acknowledged_at) or (n.retained_until and n.retained_until > now):
        return True
    return n.state in {*UNREAD, InboxState.SNOOZED} or (n.pinned and n.state is not InboxState.ARCHIVED)


def outdated(done_before: datetime, pending_before: datetime) -> Mark:
    """Return the mark that removes a notification because of its age: one that was created before `pending_before`, or
    before `done_before` if it is not pending. Its IN_APP delivery keeps its status."""

    def mark(n: Notification, now: datetime) -> Notification | None:
        before = pending_before if is_pending(n, now) else done_before
        return None if n.removed_at or id_time(n.id) >= before else replace(n, removed_at=now)

    return mark


def removed(why: DeliveryStatus, reason: Reason | None = None) -> Mark:
    """Return the mark that removes a notification from the inbox and keeps a tombstone for the change feed."""

    def mark(n: Notification, now: datetime) -> Notification | None:
        return None if n.removed_at else replace(n, removed_at=now, removed_as=why, removed_reason=reason)

    return mark


def recalled(n: Notification, now: datetime) -> Notification | None:
    """Remove a notification and delete its content, also if it was removed earlier for another reason."""
    after = removed(DeliveryStatus.CANCELLED, Reason.RECALLED)(n, now) or n
    cleared = replace(after, title="", body="", data=None, image_url=None, action_url=None, actions=(), actor=None)
    return None if cleared == n else cleared


def replaced_by(n: Notification, live: Sequence[Notification]) -> list[Notification]:
    """Return the notifications in `live` that the new notification `n` with the same collapse key replaces.

    A notification whose acknowledgment is open is replaced only by one that also requires an acknowledgment."""
    return [older for older in live if n.require_ack or not older.require_ack or older.acknowledged_at]


def is_newer(n: Notification, accepted_at: datetime | None) -> bool:
    """Return True if the send of `n` was created after another send was accepted."""
    return accepted_at is not None and id_time(n.send) > accepted_at


def collapsed_count(older: Iterable[Notification]) -> int:
    """Return how many notifications a new one represents that replaces `older`: itself and the unread ones."""
    return 1 + sum(n.collapsed_count for n in older if (not n.read_at if n.hidden else n.state in UNREAD))


def receipt_kinds(before: Notification, after: Notification) -> list[ReceiptKind]:
    """Return the kinds of receipts for a change that the recipient made."""
    kinds = [
        kind
        for kind, was, now in (
            (ReceiptKind.SEEN, before.seen_at, after.seen_at),
            (ReceiptKind.READ, before.read_at, after.read_at),
            (ReceiptKind.ARCHIVED, before.archived_at, after.archived_at),
            (ReceiptKind.ACKNOWLEDGED, before.acknowledged_at, after.acknowledged_at),
            (ReceiptKind.ACTED, before.acted_at, after.acted_at),
        )
        if now and not was
    ]
    if before.read_at and not after.read_at:
        kinds.append(ReceiptKind.UNREAD)
    return kinds
