"""Parses filters: JSON values become nodes. Everything else is BadUserInput with the path of the wrong value.

The limits of the language are here. A filter within them is small enough to be evaluated for each user of a tenant.
"""

from math import isfinite

from hub import utc_time
from hub.audience.filters.nodes import (
    And,
    Compare,
    Comparison,
    Exists,
    Field,
    FieldName,
    In,
    Node,
    Or,
    Scalar,
    StartsWith,
    negated,
    type_of,
)
from hub.errors import BadUserInput
from hub.unicode_text import single_line

FILTER_MAX_BYTES = 64 << 10
FILTER_MAX_LEVELS = 10
FILTER_MAX_CONDITIONS = 100
FILTER_MAX_VALUES = 1000  # in all `in` lists of a filter
VALUE_MAX_CHARS = 1024
PATH_MAX_CHARS = 256
PATH_MAX_KEYS = 10
INT64_MAX = 2**63 - 1
SHOWN_MAX_CHARS = 64  # of a key in an error

ATTRIBUTE_PREFIX = f"{FieldName.ATTRIBUTES}."
PLAIN_FIELDS = frozenset(FieldName) - {FieldName.ATTRIBUTES}
FIELDS = ", ".join(name for name in FieldName if name in PLAIN_FIELDS)
COMPARISONS = frozenset(Comparison)
ORDER = ", ".join(Comparison)
OPERATORS = f"in, not, exists, {ORDER}, and startsWith"


def parse(where: object, path: str) -> Node:
    """Return the nodes of a filter. Raise BadUserInput. `path` is the path of the filter, such as `to.where`."""
    return _Parser().where(where, path, 1)


class _Parser:
    """Parses one filter, and counts its conditions and values."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0

    def where(self, where: object, path: str, level: int) -> Node:
        _check_level(level, path)
        if not isinstance(where, dict):
            raise BadUserInput('A filter is an object, such as {"attributes.plan": "pro"}.', path)
        if not where:
            raise BadUserInput("A filter must have at least one condition.", path)
        return _and([self._member(key, value, _join(path, key), level) for key, value in where.items()])

    def _member(self, key: object, value: object, path: str, level: int) -> Node:
        match key:
            case "and":
                return _and(self._each(value, path, level))
            case "or":
                nodes = self._each(value, path, level)
                return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))
            case "not":
                return negated(self.where(value, path, level + 1))
            case FieldName.ATTRIBUTES:
                return self._attributes(value, path, level)
            case str() if key in PLAIN_FIELDS:
                return self._condition(Field(FieldName(key)), value, path, level)
            case str() if key.startswith(ATTRIBUTE_PREFIX):
                return self._condition(_attribute(key.removeprefix(ATTRIBUTE_PREFIX), path), value, path, level)
        raise BadUserInput(
            f"`{_shown(key)}` is not a field. Use {FIELDS}, an attribute such as attributes.plan, and, or, or not.",
            path,
        )

    def _each(self, wheres: object, path: str, level: int) -> list[Node]:
        if not isinstance(wheres, list) or not wheres:
            raise BadUserInput("Pass a list of at least one filter.", path)
        return [self.where(where, f"{path}[{index}]", level + 1) for index, where in enumerate(wheres)]

    def _attributes(self, conditions: object, path: str, level: int) -> Node:
        """Parse `{"attributes": {"plan": "pro"}}`, for GraphQL literals: the keys of these contain no dots."""
        if not isinstance(conditions, dict) or not conditions:
            raise BadUserInput('Pass an object with at least one attribute, such as {"plan": "pro"}.', path)
        paths = [(key, value, _join(path, key)) for key, value in conditions.items()]
        return _and([self._condition(_attribute(key, at), value, at, level) for key, value, at in paths])

    def _condition(self, field: Field, condition: object, path: str, level: int) -> Node:
        """Parse the condition for a field: a value, or an object of operators."""
        _check_level(level, path)
        if not isinstance(condition, dict):
            self._count_condition(path)
            return _equal(field, [_scalar(field, condition, path)])
        if not condition:
            raise BadUserInput(f"Pass a value, or an object with operators: {OPERATORS}.", path)
        return _and(
            [self._operation(field, key, operand, _join(path, key), level) for key, operand in condition.items()]
        )

    def _operation(self, field: Field, operator: object, operand: object, path: str, level: int) -> Node:
        if operator == "not":
            return negated(self._condition(field, operand, path, level + 1))
        self._count_condition(path)
        match operator:
            case "in":
                if not isinstance(operand, list) or not operand:
                    raise BadUserInput("Pass a list of at least one value.", path)
                self._count_values(len(operand), path)
                return _equal(field, [_scalar(field, value, f"{path}[{index}]") for index, value in enumerate(operand)])
            case "exists":
                if not isinstance(operand, bool):
                    raise BadUserInput("Pass true or false.", path)
                return Exists(field) if operand else negated(Exists(field))
            case "startsWith":
                return StartsWith(field, _prefix(field, operand, path))
            case str() if operator in COMPARISONS:
                return Compare(field, Comparison(operator), _ordered(field, operand, path))
        raise BadUserInput(
            f"`{_shown(operator)}` is not an operator. Use {OPERATORS}. For equality, pass the value itself; for "
            'inequality, {"not": value}.',
            path,
        )

    def _count_condition(self, path: str) -> None:
        self._conditions += 1
        if self._conditions > FILTER_MAX_CONDITIONS:
            raise BadUserInput(f"A filter has at most {FILTER_MAX_CONDITIONS} conditions.", path)

    def _count_values(self, count: int, path: str) -> None:
        self._values += count
        if self._values > FILTER_MAX_VALUES:
            raise BadUserInput(f"The lists of `in` have at most {FILTER_MAX_VALUES} values in all.", path)


def _and(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def _equal(field: Field, values: list[Scalar | None]) -> Node:
    """Return the node for a value that equals one of `values`. None stands for a missing value."""
    present = frozenset((type_of(value), value) for value in values if value is not None)
    missing = negated(Exists(field))
    if None not in values:
        return In(field, present)
    return Or((In(field, present), missing)) if present else missing


def _attribute(text: object, path: str) -> Field:
    """Return the attribute with a path such as `address.city`."""
    keys = tuple(text.split(".")) if isinstance(text, str) and len(text) <= PATH_MAX_CHARS else ()
    if not 0 < len(keys) <= PATH_MAX_KEYS or not all(keys):
        raise BadUserInput(
            f"The path of an attribute has 1 to {PATH_MAX_KEYS} keys, joined by dots, and at most {PATH_MAX_CHARS} "
            "characters.",
            path,
        )
    if any(key[0] == "$" or "\0" in key for key in keys):
        raise BadUserInput("The key of an attribute has no leading dollar sign and no character U+0000.", path)
    return Field(FieldName.ATTRIBUTES, keys)


def _scalar(field: Field, value: object, path: str) -> Scalar | None:
    """Return a value as the field is compared with it."""
    if value is None:
        return None
    if isinstance(value, list | dict):
        raise BadUserInput('Compare with a text, a number, true, false, or null. For several values, use "in".', path)
    if isinstance(value, str):
        return _instant(value, path) if field.name is FieldName.CREATED_AT else _text(field, value, path)
    if field.name is not FieldName.ATTRIBUTES:
        raise BadUserInput(f"`{field.name}` is a text. Pass the value in quotation marks.", path)
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -INT64_MAX - 1 <= value <= INT64_MAX:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    raise BadUserInput("A number must be a decimal, or an integer from -2^63 to 2^63-1.", path)


def _ordered(field: Field, value: object, path: str) -> Scalar:
    if value is None or isinstance(value, bool | list | dict):
        raise BadUserInput("Pass a text or a number.", path)
    ordered = _scalar(field, value, path)
    assert ordered is not None
    return ordered


def _prefix(field: Field, value: object, path: str) -> str:
    if field.name is FieldName.CREATED_AT:
        raise BadUserInput(f"Times have no prefix. Use {ORDER}.", path)
    if not isinstance(value, str) or not value:
        raise BadUserInput("Pass a text of at least one character.", path)
    return _text(field, value, path)


def _text(field: Field, value: str, path: str) -> str:
    if len(value) > VALUE_MAX_CHARS:
        raise BadUserInput(f"A text has at most {VALUE_MAX_CHARS} characters.", path)
    return value.lower() if field.name is FieldName.EMAIL else value


def _instant(value: str, path: str) -> Scalar:
    try:
        return utc_time.parse(value)
    except ValueError as error:
        raise BadUserInput(f"A time must {error}.", path) from None


def _check_level(level: int, path: str) -> None:
    if level > FILTER_MAX_LEVELS:
        raise BadUserInput(f"A filter has at most {FILTER_MAX_LEVELS} levels of and, or, and not.", path)


def _join(path: str, key: object) -> str:
    return f"{path}.{_shown(key)}"


def _shown(key: object) -> str:
    """Return a key for an error."""
    text = single_line(str(key)[: SHOWN_MAX_CHARS + 1])
    return text if len(text) <= SHOWN_MAX_CHARS else f"{text[:SHOWN_MAX_CHARS]}..."
