"""Evaluates filters in the process. This evaluation alone decides which users match.

- Values of different types are not equal, and neither is less. Integers and decimals are one type.
- Texts are compared by code point, and emails in lower case.
- An attribute that is a list matches if an element of it matches. Paths do not lead through lists.
- A null value is a missing value. It only matches the negation of `Exists`.
"""

import operator
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from hub.audience.filters.nodes import (
    And,
    Compare,
    Comparison,
    Exists,
    Field,
    FieldName,
    In,
    Node,
    Not,
    Or,
    Scalar,
    StartsWith,
    type_of,
)
from hub.model import Tenant, User

COMPARE: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
}
SCALARS = (str, int, float, bool, datetime)


class Subject(Struct, frozen=True, kw_only=True):
    """The values of one user. `email` is in lower case. `locale` and `timezone` are the effective ones."""

    id: str
    name: str | None
    email: str | None
    phone: str | None
    locale: str
    timezone: str
    created_at: datetime
    topics: Collection[str]
    attributes: Mapping[str, Any]


def subject_of(user: User, tenant: Tenant, topics: Collection[str]) -> Subject:
    """Return what filters read of a user. `topics` are those that the user is subscribed to."""
    attributes = user.attribute_values
    return Subject(
        id=user.user_id,
        name=user.name,
        email=user.email.lower() if user.email else None,
        phone=user.phone,
        locale=user.effective_locale(tenant),
        timezone=user.effective_timezone(tenant),
        created_at=user.created_at,
        topics=topics,
        attributes=attributes if isinstance(attributes, dict) else {},
    )


def matches(node: Node, subject: Subject) -> bool:
    """Return True if a user matches a filter."""
    match node:
        case And(nodes):
            return all(matches(part, subject) for part in nodes)
        case Or(nodes):
            return any(matches(part, subject) for part in nodes)
        case Not(part):
            return not matches(part, subject)
        case Exists(field):
            return _value(field, subject) is not None
        case In() | Compare() | StartsWith():
            return any(fulfills(node, value) for value in _scalars(node.field, subject))


def fulfills(node: In | Compare | StartsWith, value: Scalar) -> bool:
    """Return True if a single value of the node's field fulfills the node."""
    match node:
        case In(_, values):
            return (type_of(value), value) in values
        case Compare(_, comparison, bound):
            return type_of(value) is type_of(bound) and COMPARE[comparison](value, bound)
        case StartsWith(_, prefix):
            return isinstance(value, str) and value.startswith(prefix)


def _scalars(field: Field, subject: Subject) -> list[Scalar]:
    """Return the values that conditions are compared with: of a list, its elements."""
    value = _value(field, subject)
    elements = value if isinstance(value, list) else [value]
    return [element for element in elements if isinstance(element, SCALARS)]


def _value(field: Field, subject: Subject) -> Any:
    """Return the value of a field, or None if it is missing."""
    match field.name:
        case FieldName.ID:
            return subject.id
        case FieldName.NAME:
            return subject.name
        case FieldName.EMAIL:
            return subject.email
        case FieldName.PHONE:
            return subject.phone
        case FieldName.LOCALE:
            return subject.locale
        case FieldName.TIMEZONE:
            return subject.timezone
        case FieldName.CREATED_AT:
            return subject.created_at
        case FieldName.TOPICS:
            return list(subject.topics) or None
        case FieldName.ATTRIBUTES:
            value: Any = subject.attributes
            for key in field.path:
                value = value.get(key) if isinstance(value, Mapping) else None
            return value
