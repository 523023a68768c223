"""Parses and serializes the scalars of the schema."""

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

from hub import iso_duration, utc_time
from hub.api.exact_json import decimal, integer
from hub.utc_time import rfc3339

JSON = NewType("JSON", object)
"""In inputs, a parsed value. In responses, JSON text that is embedded unchanged."""
Cursor = NewType("Cursor", str)
Duration = NewType("Duration", int)
"""A duration in seconds."""

DURATION_MAX_S = 100 * 366 * iso_duration.DAY_S


def parse_instant(value: object) -> datetime:
    """Return an instant. Raise GraphQLError unless the value is a date and time with a UTC offset."""
    if not isinstance(value, str):
        raise GraphQLError("DateTime must be a string such as 2026-11-20T08:15:30Z")
    try:
        return utc_time.parse(value)
    except ValueError as error:
        raise GraphQLError(f"DateTime must {error}") from None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError("Cursor must be a string")
    return value


def parse_duration(value: object) -> int:
    """Return an ISO 8601 duration in seconds. Raise GraphQLError for other values and for fractions of a second."""
    try:
        if not isinstance(value, str) or "." in value:
            raise ValueError
        seconds = int(iso_duration.parse(value))
    except ValueError:
        raise GraphQLError(
            "Duration must have the format of ISO 8601, such as PT30S, PT10M or P1D. Years and months are not allowed"
        ) from None
    if seconds > DURATION_MAX_S:
        raise GraphQLError("Duration must be at most 100 years")
    return seconds


def _json(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


def _identity(value: object) -> object:
    return value


def parse_id(value: object) -> str:
    """Return a string or an integer as text. graphql-core would also accept 1e3, and floats that have lost digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise GraphQLError(f"ID must be a string or an integer, not {value!r}")


def parse_json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    """Return the value of a literal. It equals the value of a variable with the same JSON."""
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
    """Convert every exception of a parser to a GraphQLError, because the client's value caused the exception."""

    @wraps(parse)
    def parse_input(*arguments: Any) -> Any:
        try:
            return parse(*arguments)
        except GraphQLError:
            raise
        except Exception as error:  # noqa: BLE001 - any error is about the value
            raise GraphQLError(f"This value is not valid ({type(error).__name__})") from None

    return parse_input


def _literal_parser(parse: Callable[[object], Any]) -> Callable[..., Any]:
    """Return a parser of literals whose errors have the location of the literal."""

    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return parse(value_from_ast_untyped(node, variables))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return parse_literal


GraphQLID.coerce_input_value = parse_id  # Strawberry has no option for built-in scalars
for _scalar in (GraphQLInt, GraphQLFloat):  # Python does not parse thousands of digits
    _scalar.coerce_input_literal = _with_input_errors(_scalar.coerce_input_literal)  # type: ignore[arg-type]


CONFIG = StrawberryConfig(
    scalar_map={
        datetime: strawberry.scalar(
            name="DateTime",
            description="An instant in RFC 3339 format, such as 2026-11-20T08:15:30Z. Responses always use UTC.",
            serialize=rfc3339,
            parse_value=_with_input_errors(parse_instant),
            parse_literal=_literal_parser(_with_input_errors(parse_instant)),
            specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
        ),
        Duration: strawberry.scalar(
            name="Duration",
            description="A duration in ISO 8601 format, in weeks, days, hours, minutes, and seconds, such as P1D or "
            "PT10M.",
            serialize=iso_duration.format,
            parse_value=_with_input_errors(parse_duration),
            parse_literal=_literal_parser(_with_input_errors(parse_duration)),
        ),
        JSON: strawberry.scalar(
            name="JSON",
            description="Any JSON value. Numbers must be 64-bit integers, or decimals with at most 17 digits.",
            serialize=_json,
            parse_value=_identity,
            parse_literal=_with_input_errors(parse_json_literal),
        ),
        Cursor: strawberry.scalar(
            name="Cursor",
            description="An opaque position in a change feed. Store the cursor and pass it as `after` to resume. The "
            "format may change.",
            parse_value=_with_input_errors(_string),
        ),
    }
)
