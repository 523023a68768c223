"""Notifications and changes survive the document and the pub/sub message."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert, msgpack
from msgspec.structs import replace

from hub import model
from hub.live import message_codec
from hub.model import (
    InboxEventKind,
    MailboxChange,
    Notification,
    document,
    notification_from,
)
from tests.strategies import NOW, new_notification, notifications


@given(notifications(modseq=st.integers(0, 9)))
def test_notification_survives_document_and_message(n: Notification) -> None:
    assert notification_from(document(n)) == n
    assert convert(msgpack.decode(msgpack.encode(n)), Notification, strict=False) == n


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(InboxEventKind)), max_size=40))
def test_messages_contain_every_change_unchanged(rows: list[tuple[int, bool, InboxEventKind]]) -> None:
    changes = []
    for number, (send, acknowledged, kind) in enumerate(rows):
        mailbox = f"t/{number}"
        n = replace(
            new_notification(f"n{number}", mailbox, hidden=False),
            send=f"s{send}", acknowledged_at=NOW if acknowledged else None, modseq=number, added_modseq=number,
        )  # fmt: skip
        event = model.InboxEvent(kind=kind, modseq=number, unread=number, unseen=1, notification=n)
        changes.append(MailboxChange(mailbox=mailbox, epoch="e", first=number, last=number, events=(event,)))
    received: list[MailboxChange] = []
    for name, data in message_codec.encode_changes(changes):
        if name:
            received.append(message_codec.decode_changed(data))
            assert received[-1].mailbox == name
        else:
            message = message_codec.decode_common(data)
            assert isinstance(message, message_codec.Broadcast)
            assert len(message.rows) >= message_codec.BROADCAST_MIN_MAILBOXES
            received += [message.change_of(row) for row in message.rows]
    assert sorted(received, key=lambda changed: changed.first) == changes
