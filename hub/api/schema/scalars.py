"""The contract's scalars, and how each is written and read."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, NewType

import orjson
import strawberry
from graphql import (
    FloatValueNode,
    GraphQLError,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    value_from_ast_untyped,
)
from strawberry.schema.config import StrawberryConfig

from hub import iso_duration
from hub.api.request_json import decimal, integer
from hub.clock import floor_ms, rfc3339

JSON = NewType("JSON", object)
"""Parsed on its way in. On its way out the nouns hold JSON text, which is put into the answer as it is."""
Cursor = NewType("Cursor", str)
Duration = NewType("Duration", int)
"""In seconds."""

DURATION_MAX_S = 100 * 366 * iso_duration.DAY_S


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
    try:
        return floor_ms(at)
    except OverflowError:
        raise GraphQLError("DateTime is, in UTC, from the year 1 to the year 9999") from None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError("Cursor is a string")
    return value


def parse_duration(value: object) -> int:
    """Return the seconds of an ISO 8601 duration. Raise GraphQLError for other values and for fractions of a second."""
    try:
        if not isinstance(value, str) or "." in value:
            raise ValueError
        seconds = int(iso_duration.parse(value))
    except ValueError:
        raise GraphQLError("Duration is ISO 8601, such as PT30S, PT10M or P1D") from None
    if seconds > DURATION_MAX_S:
        raise GraphQLError("Duration is a hundred years at most")
    return seconds


def _json(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


def _identity(value: object) -> object:
    return value


def parse_id(value: object) -> str:
    """A string, or an integer with exactly its digits. graphql-core also takes 1e3, and floats that lost digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise GraphQLError(f"ID is a string or an integer, not {value!r}")


def parse_json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    """A literal as the same value that a variable would give."""
    if isinstance(node, IntValueNode):
        return integer(node.value)
    if isinstance(node, FloatValueNode):
        return decimal(node.value)
    if isinstance(node, VariableNode):
        return (variables or {}).get(node.name.value, Undefined)
    if isinstance(node, ListValueNode):
        items = [parse_json_literal(item, variables) for item in node.values]
        return [None if item is Undefined else item for item in items]
    if isinstance(node, ObjectValueNode):
        fields = {field.name.value: parse_json_literal(field.value, variables) for field in node.fields}
        return {name: value for name, value in fields.items() if value is not Undefined}
    return value_from_ast_untyped(node)


def _with_input_errors(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Makes whatever a parser raises a refusal of the input: it is the client's value that broke it."""

    @wraps(parse)
    def parsed(*given: Any) -> Any:
        try:
            return parse(*given)
        except GraphQLError:
            raise
        except Exception as error:  # noqa: BLE001 - any error is about the given value
            raise GraphQLError(f"This value can't be read ({type(error).__name__})") from None

    return parsed


GraphQLID.coerce_input_value = parse_id  # Strawberry has no setting for a built-in scalar
for _scalar in (GraphQLInt, GraphQLFloat):  # Python refuses to read thousands of digits
    _scalar.coerce_input_literal = _with_input_errors(_scalar.coerce_input_literal)  # type: ignore[arg-type]


CONFIG = StrawberryConfig(
    scalar_map={
        datetime: strawberry.scalar(
            name="DateTime",
            description="An instant, RFC 3339, always UTC in answers.",
            serialize=rfc3339,
            parse_value=_with_input_errors(parse_instant),
            specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
        ),
        Duration: strawberry.scalar(
            name="Duration",
            description="ISO 8601 duration: PT30S, PT10M, P1D.",
            serialize=iso_duration.format,
            parse_value=_with_input_errors(parse_duration),
        ),
        JSON: strawberry.scalar(
            name="JSON", serialize=_json, parse_value=_identity, parse_literal=_with_input_errors(parse_json_literal)
        ),
        Cursor: strawberry.scalar(
            name="Cursor",
            description="An opaque position in a change feed. Keep it, hand it back as `after`, never look inside.",
            parse_value=_with_input_errors(_string),
        ),
    }
)
