"""The nodes of a parsed filter."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

Scalar: TypeAlias = str | int | float | bool | datetime


class FieldName(StrEnum):
    """The fields of users that filters read."""

    ID = "id"
    NAME = "name"
    EMAIL = "email"
    PHONE = "phone"
    LOCALE = "locale"
    TIMEZONE = "timezone"
    CREATED_AT = "createdAt"
    TOPICS = "topics"
    ATTRIBUTES = "attributes"


class Comparison(StrEnum):
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


class Field(Struct, frozen=True):
    """A field of a user. `path` contains the keys that lead to an attribute, and is empty for the other fields."""

    name: FieldName
    path: tuple[str, ...] = ()


class And(Struct, frozen=True):
    nodes: "tuple[Node, ...]"


class Or(Struct, frozen=True):
    nodes: "tuple[Node, ...]"


class Not(Struct, frozen=True):
    node: "Node"


class In(Struct, frozen=True):
    """The field equals one of the values. Equality has one value."""

    field: Field
    values: frozenset[tuple[type, Scalar]]
    """The values, each with its `type_of`, because `True == 1` in Python."""


class Compare(Struct, frozen=True):
    field: Field
    comparison: Comparison
    value: Scalar


class StartsWith(Struct, frozen=True):
    field: Field
    prefix: str


class Exists(Struct, frozen=True):
    """The field has a value other than null."""

    field: Field


Node: TypeAlias = And | Or | Not | In | Compare | StartsWith | Exists

EVERYONE = And(())


def type_of(value: Scalar) -> type:
    """Return the type within which values are compared. Integers and decimals are one type."""
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else type(value)


def negated(node: Node) -> Node:
    return node.node if isinstance(node, Not) else Not(node)


def reads(node: Node, name: FieldName) -> bool:
    """Return True if a filter reads a field."""
    match node:
        case And(nodes) | Or(nodes):
            return any(reads(part, name) for part in nodes)
        case Not(part):
            return reads(part, name)
        case In() | Compare() | StartsWith() | Exists():
            return node.field.name is name
