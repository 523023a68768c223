"""Opaque cursors for positions in the change feed and in the pages of an inbox."""

from hub import base64url
from hub.errors import BadUserInput
from hub.model import BulkUndo, Position


def encode_position(position: Position) -> str:
    return _encode(f"{position.epoch}.{position.modseq}.{position.time}.{position.up_to_id}")


def decode_position(cursor: str, field: str) -> Position:
    """Return the position of a cursor. Raise BadUserInput for `field` if the hub did not create the cursor."""
    epoch, modseq, time, up_to_id = _parts(cursor, 4, field)
    return Position(epoch, _number(modseq, field), _number(time, field), up_to_id)


def encode_page_cursor(modseq: int) -> str:
    """Return the cursor of a notification with this added modseq."""
    return _encode(f"m.{modseq}")


def decode_page_cursor(cursor: str, field: str) -> int:
    """Return the added modseq of a page cursor. Raise BadUserInput for `field` if it is invalid."""
    mark, modseq = _parts(cursor, 2, field)
    if mark != "m":
        raise _invalid(field)
    return _number(modseq, field)


def encode_undo(undo: BulkUndo) -> str:
    return _encode(f"u.{undo.first}.{undo.last}.{undo.id}")


def decode_undo(token: str, field: str) -> BulkUndo:
    """Return the "mark all" of a token. Raise BadUserInput for `field` if the hub did not create the token."""
    mark, first, last, id = _parts(token, 4, field)
    if mark != "u":
        raise _invalid(field)
    return BulkUndo(_number(first, field), _number(last, field), id)


def _encode(text: str) -> str:
    return base64url.encode(text.encode())


def _parts(cursor: str, count: int, field: str) -> list[str]:
    try:
        text = base64url.decode(cursor).decode("ascii")
    except ValueError:
        raise _invalid(field) from None
    parts = text.split(".")
    if len(parts) != count or _encode(text) != cursor:  # the decoder accepts several encodings of the same text
        raise _invalid(field)
    return parts


def _number(text: str, field: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise _invalid(field)
    return int(text)


def _invalid(field: str) -> BadUserInput:
    return BadUserInput(f"{field} is not a cursor of this hub: pass one that the hub returned, unchanged.", field)
