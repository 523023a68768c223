"""The contract's scalars, and how each is written and read."""

from datetime import datetime
from typing import NewType

import orjson
import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from hub.clock import floor_ms, rfc3339

JSON = NewType("JSON", object)
"""Parsed on its way in. On its way out the nouns hold JSON text, which is put into the answer as it is."""
Cursor = NewType("Cursor", str)


def parse_instant(value: object) -> datetime:
    """An instant with its offset; GraphQLError for anything else."""
    if not isinstance(value, str):
        raise GraphQLError("DateTime is a string such as 2026-11-20T08:15:30Z")
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise GraphQLError("DateTime is RFC 3339, such as 2026-11-20T08:15:30Z") from None
    if at.tzinfo is None:
        raise GraphQLError("DateTime needs its offset from UTC: 2026-11-20T08:15:30Z")
    return floor_ms(at)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError("Cursor is a string")
    return value


def _json(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


CONFIG = StrawberryConfig(
    scalar_map={
        datetime: strawberry.scalar(
            name="DateTime",
            description="An instant, RFC 3339, always UTC in answers.",
            serialize=rfc3339,
            parse_value=parse_instant,
            specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
        ),
        JSON: strawberry.scalar(name="JSON", serialize=_json),
        Cursor: strawberry.scalar(
            name="Cursor",
            description="An opaque position in a change feed. Keep it, hand it back as `after`, never look inside.",
            parse_value=_string,
        ),
    }
)
