"""Sizes of values in templates, and their conversion to text, checked before anything is allocated."""

import math
from typing import Any

from liquid.exceptions import LiquidTypeError, LiquidValueError, ResourceLimitError
from liquid.undefined import Undefined

TEXT_MAX_LENGTH = 64 * 1024  # characters of one value or filter result
ARRAY_MAX_ITEMS = 1_000  # items of a range, of an array in a filter, and iterations of one loop
INTEGER_MAX = 2**63 - 1


def checked_length(length: int) -> None:
    """Raise ResourceLimitError if a text of this length is too long."""
    if length > TEXT_MAX_LENGTH:
        raise ResourceLimitError(f"a text is longer than {TEXT_MAX_LENGTH} characters", token=None)


def checked_items(value: Any) -> Any:
    """Return the value; raise ResourceLimitError if it is an array or a range with too many items."""
    if isinstance(value, range):
        _check_count(value.stop - value.start)  # len() fails for a range beyond 64 bits
    elif isinstance(value, list | tuple):
        _check_count(len(value))
    return value


def checked_flat(value: Any) -> Any:
    """Return the value; raise ResourceLimitError if it has too many items after nested arrays are flattened.

    Filters of arrays flatten them. The same array may be an item many times, so the size is counted before.
    """
    checked_items(value)
    if isinstance(value, list | tuple):
        items = arrays = 0
        stack = [value]
        while stack:
            for item in stack.pop():
                if isinstance(item, list | tuple):
                    arrays += 1
                    _check_count(arrays)
                    stack.append(item)
                else:
                    items += 1
                    _check_count(items)
    return value


def _check_count(count: int) -> None:
    if count > ARRAY_MAX_ITEMS:
        raise ResourceLimitError(f"an array has more than {ARRAY_MAX_ITEMS} items", token=None)


def checked_number(value: Any) -> Any:
    """Return the value; raise LiquidValueError for an integer beyond 64 bits or a float that is not finite."""
    if isinstance(value, int):
        if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
            raise LiquidValueError("an integer does not fit into 64 bits", token=None)
    elif isinstance(value, float) and not math.isfinite(value):
        raise LiquidValueError("a number is not finite", token=None)
    return value


def text(value: Any) -> str:
    """Return a value as Liquid prints it. A list is the concatenation of its items.

    Raises:
        LiquidTypeError: the value is an object or a nested array.
        ResourceLimitError: the text would be too long.
    """
    if isinstance(value, str):
        checked_length(len(value))
        return value
    if isinstance(value, list | tuple | range):
        return "".join(texts(value))
    return _scalar(value)


def texts(values: list[Any] | tuple[Any, ...] | range, separator_length: int = 0) -> list[str]:
    """Return the items of an array as texts whose sum, with separators, is not too long."""
    length = 0
    result: list[str] = []
    for item in checked_items(values):
        part = item if isinstance(item, str) else _scalar(item)
        length += len(part) + separator_length
        checked_length(length)
        result.append(part)
    return result


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(checked_number(value))
    if isinstance(value, Undefined):
        return str(value)  # raises UndefinedError
    raise LiquidTypeError("an object cannot be printed: print one of its values, or use `json`", token=None)
