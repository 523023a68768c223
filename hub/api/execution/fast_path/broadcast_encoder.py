"""Encodes the events of a broadcast, which is one send to many users.

The response of the operation is projected and encoded once, with placeholders for the values that differ between users.
For each user, only these values are encoded and put in the places of the placeholders.
"""

import re
import secrets
from collections.abc import Callable
from typing import Any

import orjson
from msgspec.structs import replace

from hub.api.execution.fast_path.projection import Getter
from hub.api.schema.inbox_stream import InboxEvent
from hub.inbox.cursors import encode_position
from hub.live.message_codec import BroadcastRow
from hub.model import InboxEventKind, Notification, Position, mailbox_of, user_of

EncodeRow = Callable[[BroadcastRow], bytes]

TOKEN = secrets.token_hex(16)  # random, so no text of a notification contains a placeholder
FORMATS = {
    "cursor": b'"%(cursor)b"',
    "id": b"%(id)b",
    "user": b"%(user)b",
    "modseq": b"%(modseq)d",
    "unread": b"%(unread)d",
    "unseen": b"%(unseen)d",
}
PLACEHOLDERS: dict[str, Any] = {name: f"{TOKEN}:{name}" for name in FORMATS}
PLACEHOLDER = re.compile(rf'"{TOKEN}:(\w+)"'.encode())


def compile_row_encoder(project: Getter, n: Notification, time: int) -> EncodeRow:
    """Return a function from a row to its response as JSON. `n` is the notification of the broadcast, and `time` the
    time of the cursors, in Unix seconds."""
    event = InboxEvent(
        kind=InboxEventKind.ADDED,
        cursor=PLACEHOLDERS["cursor"],
        notification=replace(
            n,
            id=PLACEHOLDERS["id"],
            mailbox=mailbox_of("", PLACEHOLDERS["user"]),
            modseq=PLACEHOLDERS["modseq"],
            added_modseq=PLACEHOLDERS["modseq"],
        ),
        unread=PLACEHOLDERS["unread"],
        unseen=PLACEHOLDERS["unseen"],
    )
    text = orjson.dumps({"data": project(event)}).replace(b"%", b"%%")
    template = PLACEHOLDER.sub(lambda found: FORMATS[found[1].decode()], text)
    has_cursor, has_user = FORMATS["cursor"] in template, FORMATS["user"] in template

    def encode_row(row: BroadcastRow) -> bytes:
        return template % {
            b"cursor": encode_position(Position(row.epoch, row.modseq, time)).encode() if has_cursor else b"",
            b"id": orjson.dumps(row.id),
            b"user": orjson.dumps(user_of(row.mailbox)) if has_user else b"",
            b"modseq": row.modseq,
            b"unread": row.unread,
            b"unseen": row.unseen,
        }

    return encode_row
