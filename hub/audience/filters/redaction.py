"""Filters without the values that identify users, to be kept after a user was erased."""

from hub.audience.filters.nodes import FieldName

IDENTIFYING_FIELDS = frozenset({FieldName.ID, FieldName.NAME, FieldName.EMAIL, FieldName.PHONE})
REDACTED = "redacted"


def redacted(where: object) -> object:
    """Return a filter in which the values of IDENTIFYING_FIELDS are replaced. `where` was validated before."""
    match where:
        case list():
            return [redacted(one) for one in where]
        case dict():
            return {key: _redacted_member(key, value) for key, value in where.items()}
    return where


def _redacted_member(key: str, value: object) -> object:
    if key in IDENTIFYING_FIELDS:
        return _without_texts(value)
    return value if key == FieldName.ATTRIBUTES else redacted(value)


def _without_texts(condition: object) -> object:
    match condition:
        case str():
            return REDACTED
        case list():
            return [REDACTED]
        case dict():
            return {operator: _without_texts(operand) for operator, operand in condition.items()}
    return condition
