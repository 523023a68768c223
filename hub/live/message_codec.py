"""What travels over Redis: MessagePack of the nouns.

A user's channel carries `Changed`. The common channel carries `Broadcast`, one send to many users as its content once
and a row a user, and `Look`, which asks every process to compare its open mailboxes with the store.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct, msgpack
from msgspec.structs import replace

from hub.model import InboxEvent, InboxEventKind, MailboxChange, Notification

BROADCAST_MIN_MAILBOXES = 8  # users; fewer are told one by one
MAX_ROWS = 1000  # rows of one message


class BroadcastRow(Struct, array_like=True, frozen=True):
    mailbox: str
    epoch: str
    id: str
    modseq: int
    unread: int
    unseen: int


class Broadcast(Struct, array_like=True, tag=True, frozen=True):
    notification: Notification
    rows: list[BroadcastRow]
    trace: str | None = None

    def change_of(self, row: BroadcastRow) -> MailboxChange:
        """The change of one of the mailboxes."""
        n = replace(self.notification, id=row.id, mailbox=row.mailbox, modseq=row.modseq, added_modseq=row.modseq)
        event = InboxEvent(
            kind=InboxEventKind.ADDED,
            modseq=row.modseq,
            unread=row.unread,
            unseen=row.unseen,
            notification=n,
            trace=self.trace,
        )
        return MailboxChange(mailbox=row.mailbox, epoch=row.epoch, first=row.modseq, last=row.modseq, events=(event,))


class Reconcile(Struct, array_like=True, tag=True, frozen=True):
    """Something was not told: look for yourself."""


encode = msgpack.Encoder().encode
decode_changed = msgpack.Decoder(MailboxChange).decode
decode_common = msgpack.Decoder(Broadcast | Reconcile).decode


def encode_changes(changed: Iterable[MailboxChange]) -> Iterator[tuple[str | None, bytes]]:
    """The messages that tell what one commit changed: a mailbox (None: the common channel) and the bytes. Their order
    means nothing, because each mailbox is in one of them."""
    by_send: dict[str, list[MailboxChange]] = defaultdict(list)
    for change in changed:
        event = change.events[0]
        n = event.notification
        if len(change.events) == 1 and event.kind is InboxEventKind.ADDED and n:
            same = by_send[n.send]
            if not same or _same_content(n, same[0].events[0].notification):
                same.append(change)
                continue
        yield change.mailbox, encode(change)
    for changes in by_send.values():
        if len(changes) < BROADCAST_MIN_MAILBOXES:
            yield from ((change.mailbox, encode(change)) for change in changes)
            continue
        for start in range(0, len(changes), MAX_ROWS):
            chunk = changes[start : start + MAX_ROWS]
            first = chunk[0].events[0]
            if first.notification:
                yield None, encode(Broadcast(first.notification, [_row(change) for change in chunk], first.trace))


def _same_content(n: Notification, other: Notification | None) -> bool:
    """Whether they differ in what a row says only. What comes back from a snooze is ADDED too, with marks of its
    own."""
    return other is not None and n == replace(
        other, id=n.id, mailbox=n.mailbox, modseq=n.modseq, added_modseq=n.added_modseq
    )


def _row(change: MailboxChange) -> BroadcastRow:
    event = change.events[0]
    id = event.notification.id if event.notification else ""
    return BroadcastRow(change.mailbox, change.epoch, id, change.last, event.unread, event.unseen)
