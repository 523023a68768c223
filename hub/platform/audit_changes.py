"""What an audit entry says about a change. Secrets are replaced, and the size is limited."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from msgspec import to_builtins

from hub import iso_duration
from hub.model import Record

MAX_BYTES = 16 << 10  # of the JSON text
HIDDEN = "***"
SECRET_FIELDS = frozenset({"secret", "secrets", "token", "password", "hash"})
URL_FIELDS = frozenset({"url"})  # of endpoints: their paths and queries often contain a key
API_NAMES = {"excluded": "except"}  # a keyword of Python
OMITTED_FIELDS = frozenset(
    {
        *("_id", "id", "tenant", "version", "size", "search_text", "compiled_html", "failing_since", "encrypted_with"),
        *("updated_at", "created_by", "updated_by"),  # the entry has the time and the actor, whose id can be erased
    }
)

Changes = dict[str, Any]
"""The changed fields with their names in the API: `{"before": ..., "after": ...}`."""


def set_up_changes(before: Record | None, after: Record | None) -> Changes:
    """Return the fields in which two records of set-up differ. None stands for a record that does not exist."""
    return document_changes(_fields(before), _fields(after))


def document_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Return the fields in which two documents of set-up differ. An empty document stands for one that does not
    exist."""
    sides = {side: values for side, values in (("before", before), ("after", after)) if values}
    return {
        _api_name(name): {side: _shown(values.get(name), name) for side, values in sides.items()}
        for name in sorted({*before, *after} - OMITTED_FIELDS)
        if before.get(name) != after.get(name)
    }


def _fields(record: Record | None) -> dict[str, Any]:
    """Return all fields of a record, also those with their default value."""
    names = record.__struct_fields__ if record else ()
    return {name: to_builtins(getattr(record, name), builtin_types=(datetime,)) for name in names}


def person_changes(fields: list[str]) -> Changes:
    """Return what an entry says about a person: the names of the changed fields, without their values."""
    return {"fields": sorted(_api_name(name) for name in fields)} if fields else {}


def encoded(changes: Changes) -> str:
    """Return the JSON text of changes, of at most MAX_BYTES. The largest values are replaced by their size."""
    sizes = {name: len(orjson.dumps(value, default=str)) for name, value in changes.items()}
    excess = len(orjson.dumps(changes, default=str)) - MAX_BYTES
    kept = dict(changes)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if excess <= 0:
            break
        kept[name] = {"bytes": sizes[name]}
        excess -= sizes[name] - len(orjson.dumps(kept[name]))
    if excess > 0:  # very many fields
        kept = {"fields": len(changes)}
    return orjson.dumps(kept, default=str).decode()


def _api_name(name: str) -> str:
    name = API_NAMES.get(name, name).removesuffix("_s")
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def _shown(value: Any, name: str) -> Any:
    """Return a value with the field names of the API, without secrets."""
    if value is None:
        return None
    if name in SECRET_FIELDS:
        return HIDDEN
    if name in URL_FIELDS and isinstance(value, str):
        return _redacted_url(value)
    if name.endswith("_s") and isinstance(value, int):
        return iso_duration.format(value)
    if isinstance(value, Mapping):
        return {_api_name(key): _shown(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, "") for item in value]
    return value


def _redacted_url(url: str) -> str:
    """Return the scheme and host of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{HIDDEN}"
