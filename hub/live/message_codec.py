"""The pub/sub messages, encoded as MessagePack.

User channels carry `MailboxChange` messages. The common channel carries `Broadcast` messages (one send to many users,
with the content once and one row per user) and `Reconcile` messages (compare the open mailboxes with the store).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct, msgpack
from msgspec.structs import replace

from hub.model import InboxEvent, InboxEventKind, MailboxChange, Notification

BROADCAST_MIN_MAILBOXES = 8  # below this number, each mailbox gets a separate message
MAX_ROWS = 1000  # per message


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
    traceparent: str | None = None

    def change_of(self, row: BroadcastRow) -> MailboxChange:
        """Return the change of one mailbox."""
        n = replace(self.notification, id=row.id, mailbox=row.mailbox, modseq=row.modseq, added_modseq=row.modseq)
        event = InboxEvent(
            kind=InboxEventKind.ADDED,
            modseq=row.modseq,
            unread=row.unread,
            unseen=row.unseen,
            notification=n,
            traceparent=self.traceparent,
        )
        return MailboxChange(mailbox=row.mailbox, epoch=row.epoch, first=row.modseq, last=row.modseq, events=(event,))


class Reconcile(Struct, array_like=True, tag=True, frozen=True):
    """Tells all processes to compare their open mailboxes with the store, because messages were lost."""


encode = msgpack.Encoder().encode
decode_changed = msgpack.Decoder(MailboxChange).decode
decode_common = msgpack.Decoder(Broadcast | Reconcile).decode


def encode_changes(changed: Iterable[MailboxChange]) -> Iterator[tuple[str | None, bytes]]:
    """Yield the messages for the changes of one commit, each as a mailbox and bytes. None: the common channel.

    The order of the messages does not matter, because each mailbox is in exactly one message."""
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
                yield None, encode(Broadcast(first.notification, [_row(change) for change in chunk], first.traceparent))


def _same_content(n: Notification, other: Notification | None) -> bool:
    """Return True if the notifications differ only in the fields of a row.

    Notifications of one send can differ, because the end of a snooze is also an ADDED event, with other marks."""
    return other is not None and n == replace(
        other, id=n.id, mailbox=n.mailbox, modseq=n.modseq, added_modseq=n.added_modseq
    )


def _row(change: MailboxChange) -> BroadcastRow:
    event = change.events[0]
    id = event.notification.id if event.notification else ""
    return BroadcastRow(change.mailbox, change.epoch, id, change.last, event.unread, event.unseen)
