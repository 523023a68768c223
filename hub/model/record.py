"""The base class of all documents and values."""

from datetime import datetime
from typing import Any

from msgspec import Struct, to_builtins


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base class. Fields with their default value are omitted from documents and messages."""


def document(record: Record) -> dict[str, Any]:
    """Return the MongoDB document of a record."""
    doc: dict[str, Any] = to_builtins(record, builtin_types=(datetime,))
    return doc
