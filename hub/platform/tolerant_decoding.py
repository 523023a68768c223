"""Decodes documents that other versions of the hub have written.

- Unknown fields are ignored, and preserved when the document is changed (`merged`).
- Unknown enum values are replaced (`ENUM_FALLBACKS`), or the field is set to its default.
- List items and map entries that cannot be decoded are omitted from the result but stay stored.
- Other documents that cannot be decoded are skipped, counted (`hub_unreadable`), and logged.
"""

from collections.abc import AsyncIterable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import structlog
from msgspec import NODEFAULT, Struct, ValidationError, convert, inspect
from pymongo.asynchronous.cursor import AsyncCursor

from hub.model import DeliveryStatus, Priority, SendStatus
from hub.platform import metrics

ENUM_FALLBACKS: Mapping[type, Enum] = {
    Priority: Priority.MEDIUM,
    DeliveryStatus: DeliveryStatus.PROCESSING,
    SendStatus: SendStatus.ACCEPTED,
}
"""Replacements for unknown values of required fields."""
IDENTITIES = ("id", "category", "key")
"""Fields that identify the items of a stored list. The first field that exists is used."""
UNREADABLE = object()
"""Returned for a value that cannot be decoded and has no replacement."""

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=Struct)


def decode(doc: Mapping[str, Any], type_: type[S]) -> S | None:
    """Return the decoded document, or None if this version cannot decode it."""
    try:
        return convert(doc, type_)
    except ValidationError as error:
        try:
            return convert(_readable(doc, _info(type_)), type_)
        except ValidationError:
            report_unreadable(doc, type_, error)
            return None


async def decode_all(docs: AsyncIterable[Mapping[str, Any]], type_: type[S]) -> list[S]:
    """Return the documents that this version can decode, in order."""
    return [decoded async for doc in docs if (decoded := decode(doc, type_)) is not None]


async def decode_page(cursor: AsyncCursor[dict[str, Any]], type_: type[S], size: int) -> list[S]:
    """Return up to `size` documents in order. Documents that cannot be decoded do not make the page shorter."""
    page: list[S] = []
    read = 0
    while True:
        missing = size - len(page)
        docs = await cursor.clone().skip(read).limit(missing).to_list()
        page += [decoded for doc in docs if (decoded := decode(doc, type_)) is not None]
        read += len(docs)
        if len(docs) < missing or len(page) >= size:
            return page


async def decode_by_id(docs: AsyncIterable[Mapping[str, Any]], type_: type[S]) -> dict[str, S]:
    """Return the documents that this version can decode, by id."""
    return {doc["_id"]: decoded async for doc in docs if (decoded := decode(doc, type_)) is not None}


def report_unreadable(doc: Mapping[str, Any], type_: type, error: Exception) -> None:
    """Count and log a document that is skipped."""
    metrics.unreadable.labels(type_.__name__).inc()
    log.warning(
        "document_unreadable", type=type_.__name__, id=str(doc.get("_id", "")), error=str(error), throttled=True
    )


def merged(raw: Any, before: Any, after: Any) -> Any:
    """Return the stored value `raw` with the difference between `before` and `after` applied.

    Parts that this version cannot decode are preserved."""
    if isinstance(raw, dict) and isinstance(before, dict) and isinstance(after, dict):
        result = dict(raw)
        for name in {*before, *after}:
            empty = _empty(before.get(name, after.get(name)))
            value = merged(raw.get(name, empty), before.get(name, empty), after.get(name, empty))
            if name in after or (name in raw and value not in ({}, [], None)):
                result[name] = value
            else:
                result.pop(name, None)
        return result
    if isinstance(raw, list) and isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return _merged_list(raw, list(before), list(after))
    return raw if before == after else after


def _empty(value: Any) -> Any:
    return {} if isinstance(value, dict) else [] if isinstance(value, list | tuple) else None


def _merged_list(raw: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    items = [*after, *before]
    are_named = bool(items) and all(isinstance(item, dict) for item in items)
    name = next((name for name in IDENTITIES if name in items[0]), None) if are_named else None
    if name is None:
        return raw if before == after else after
    stored = {item[name]: item for item in raw if isinstance(item, dict) and name in item}
    readable = {item[name]: item for item in before}
    result = [
        merged(stored[item[name]], readable[item[name]], item) if item[name] in readable else item for item in after
    ]
    kept = {item[name] for item in after}
    for item in raw:
        id = item.get(name) if isinstance(item, dict) else None
        if id in kept:
            continue
        if id not in readable:
            result.append(item)  # this version cannot decode the item
        elif name == "category" and set(item) - {"category", "channels", "muted_until", "digests"}:
            result.append(merged(item, readable[id], {name: id}))  # a preference of another version
    return result


@cache
def _info(type_: type) -> inspect.Type:
    return inspect.type_info(type_)


def _readable(value: Any, type_: inspect.Type) -> Any:
    """Return the value with unknown parts replaced. Return UNREADABLE if a part has no replacement."""
    match type_:
        case inspect.EnumType(cls=cls):
            return value if value in [member.value for member in cls] else ENUM_FALLBACKS.get(cls, UNREADABLE)
        case inspect.UnionType(types=types) if type_.includes_none:
            if value is None:
                return None
            [other, *more] = [member for member in types if not isinstance(member, inspect.NoneType)]
            if isinstance(other, inspect.EnumType) and not more:
                return value if value in [member.value for member in other.cls] else UNREADABLE
            return value if more else _readable(value, other)
        case inspect.StructType():
            return _readable_struct(value, type_)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item) if isinstance(value, list | tuple):
            return [
                read
                for element in value
                if (read := _readable(element, item)) is not UNREADABLE and _is_convertible(read, item)
            ]
        case inspect.DictType(key_type=key_type, value_type=value_type) if isinstance(value, Mapping):
            return {
                key: entry
                for key, entry in value.items()
                if _readable(key, key_type) is not UNREADABLE
                and _readable(entry, value_type) is not UNREADABLE
                and _is_convertible(entry, value_type)
            }
    return value


def _readable_struct(value: Any, type_: inspect.StructType) -> Any:
    if not isinstance(value, Mapping):
        return UNREADABLE
    result = dict(value)
    for field in type_.fields:
        name = field.encode_name
        if name not in value:
            continue
        read = _readable(value[name], field.type)
        if read is not UNREADABLE:
            result[name] = read
        elif field.default is not NODEFAULT or field.default_factory is not NODEFAULT:
            del result[name]
        else:
            return UNREADABLE
    return result


def _is_convertible(value: Any, type_: inspect.Type) -> bool:
    """Return True if an item can be decoded."""
    cls = {inspect.BoolType: bool, inspect.StrType: str}.get(type(type_))
    if cls:
        return isinstance(value, cls)
    if isinstance(type_, inspect.StructType):
        try:
            convert(value, type_.cls)
        except ValidationError:
            return False
    return True
