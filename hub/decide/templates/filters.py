"""The filters of templates. Each one computes how large its result can get before it makes it."""

import html
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

import nh3
from liquid.builtin.filters import array, extra, math, misc, string
from liquid.exceptions import LiquidTypeError, ResourceLimitError
from liquid.filter import flatten, num_arg
from liquid.undefined import Undefined

from hub.decide.templates import locale_filters
from hub.decide.templates.value_limits import (
    ARRAY_MAX_ITEMS,
    checked_flat,
    checked_items,
    checked_length,
    checked_number,
    text,
    texts,
)

Filter = Callable[..., Any]
HTML_MAX_TAGS = 1_000  # the time of nh3 grows with their square


def _argument(value: Any) -> Any:
    """Return an argument of a text filter: a text for a text or an array, else the value itself."""
    if isinstance(value, str | list | tuple | dict):
        return text(value)
    return checked_number(value)


def on_text(function: Filter, length: Callable[..., int] | None = None) -> Filter:
    """Make a filter of texts. `length` computes the length of the result from the text and the arguments."""

    @wraps(function)
    def bounded(value: Any, *arguments: Any, **options: Any) -> Any:
        value = text(value)
        arguments = tuple(map(_argument, arguments))
        if length is not None:
            checked_length(length(value, *arguments))
        result = function(value, *arguments, **options)
        if isinstance(result, str):
            checked_length(len(result))
        return result

    return bounded


def on_array(function: Filter) -> Filter:
    """Make a filter of arrays."""

    @wraps(function)
    def bounded(value: Any, *arguments: Any, **options: Any) -> Any:
        result = function(checked_flat(value), *map(checked_flat, arguments), **options)
        return checked_items(result)

    return bounded


def on_number(function: Filter) -> Filter:
    """Make a filter of numbers. A text that is not a number is 0, as in Liquid."""

    @wraps(function)
    def bounded(value: Any, *arguments: Any) -> Any:
        value = _number(value)
        return checked_number(function(value, *map(_number, arguments)))

    return bounded


def _number(value: Any) -> Any:
    if isinstance(value, Undefined):
        return num_arg(text(value))
    return checked_number(num_arg(value, default=0))


def join(value: Any, separator: Any = " ") -> str:
    """Return the items of an array as one text."""
    if not isinstance(value, list | tuple | range):
        return text(value)
    items = checked_flat(value)
    between = text(separator)
    return between.join(texts(items if isinstance(items, range) else flatten(items), len(between)))


def split(value: Any, separator: Any) -> list[str]:
    """Return the parts of a text between separators; its characters if the separator is empty."""
    value = text(value)
    separator = text(separator)
    if separator == " ":
        pieces = value.split(None, ARRAY_MAX_ITEMS)
    elif separator == "":
        pieces = list(value[: ARRAY_MAX_ITEMS + 1])
    elif value in ("", separator):
        pieces = []
    else:
        pieces = value.split(separator, ARRAY_MAX_ITEMS)
    result: list[str] = checked_items(pieces)
    return result


def slice_(value: Any, start: Any, length: Any = 1) -> Any:
    """Return a part of a text or of an array."""
    value = checked_items(value) if isinstance(value, list | tuple | range) else text(value)
    return string.slice_(value, _argument(start), _argument(length))


def strip_html(value: str) -> str:
    """Return a text without HTML tags, and without the content of scripts and styles."""
    if value.count("<") > HTML_MAX_TAGS:
        raise ResourceLimitError(f"`strip_html` accepts at most {HTML_MAX_TAGS} tags", token=None)
    cleaned: str = nh3.clean(value, tags=set())
    return html.unescape(cleaned)


def to_json(value: Any) -> str:
    """Return a value as JSON."""
    if isinstance(value, Undefined):
        text(value)  # raises UndefinedError
    pieces: list[str] = []
    length = 0
    for piece in _ENCODER.iterencode(value):
        length += len(piece)
        checked_length(length)
        pieces.append(piece)
    return "".join(pieces)


def _not_json(value: Any) -> Any:
    raise LiquidTypeError(f"`json` cannot write {type(value).__name__}", token=None)


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_not_json, check_circular=False)


def _replaced_length(value: str, sought: str, replacement: str = "") -> int:
    return len(value) + value.count(sought) * (len(replacement) - len(sought))


def _appended_length(value: str, addition: Any) -> int:
    return len(value) + len(text(addition))


TEXT_FILTERS: dict[str, Filter] = {
    "append": on_text(string.append, _appended_length),
    "base64_decode": on_text(string.base64_decode),
    "base64_encode": on_text(string.base64_encode),
    "base64_url_safe_decode": on_text(string.base64_url_safe_decode),
    "base64_url_safe_encode": on_text(string.base64_url_safe_encode),
    "capitalize": on_text(string.capitalize),
    "downcase": on_text(string.downcase),
    "escape": on_text(string.escape),
    "escape_once": on_text(string.escape_once),
    "escapejs": on_text(extra.escapejs),
    "lstrip": on_text(string.lstrip),
    "newline_to_br": on_text(string.newline_to_br),
    "prepend": on_text(string.prepend, _appended_length),
    "remove": on_text(string.remove),
    "remove_first": on_text(string.remove_first),
    "remove_last": on_text(string.remove_last),
    "replace": on_text(string.replace, _replaced_length),
    "replace_first": on_text(string.replace_first),
    "replace_last": on_text(string.replace_last),
    "rstrip": on_text(string.rstrip),
    "squish": on_text(string.squish),
    "strip": on_text(string.strip),
    "strip_html": on_text(strip_html),
    "strip_newlines": on_text(string.strip_newlines),
    "truncate": on_text(string.truncate),
    "truncatewords": on_text(string.truncatewords),
    "upcase": on_text(string.upcase),
    "url_decode": on_text(string.url_decode),
    "url_encode": on_text(string.url_encode),
}
ARRAY_FILTERS: dict[str, Filter] = {
    "compact": on_array(array.compact),
    "concat": on_array(array.concat),
    "find": on_array(array.find),
    "find_index": on_array(array.find_index),
    "first": on_array(array.first),
    "has": on_array(array.has),
    "last": on_array(array.last),
    "map": on_array(array.map_),
    "reject": on_array(array.reject),
    "reverse": on_array(array.reverse),
    "sort": on_array(array.sort),
    "sort_natural": on_array(array.sort_natural),
    "sum": on_array(array.sum_),
    "uniq": on_array(array.uniq),
    "where": on_array(array.where),
}
NUMBER_FILTERS: dict[str, Filter] = {
    "abs": on_number(math.abs_),
    "at_least": on_number(math.at_least),
    "at_most": on_number(math.at_most),
    "ceil": on_number(math.ceil),
    "divided_by": on_number(math.divided_by),
    "floor": on_number(math.floor),
    "minus": on_number(math.minus),
    "modulo": on_number(math.modulo),
    "plus": on_number(math.plus),
    "round": on_number(math.round_),
    "times": on_number(math.times),
}
FILTERS: dict[str, Filter] = {
    **TEXT_FILTERS,
    **ARRAY_FILTERS,
    **NUMBER_FILTERS,
    "currency": locale_filters.format_currency,
    "date": locale_filters.format_date,
    "datetime": locale_filters.format_datetime,
    "decimal": locale_filters.format_decimal,
    "default": misc.default,
    "join": join,
    "json": to_json,
    "money": locale_filters.format_currency,
    "size": misc.size,
    "slice": slice_,
    "split": split,
}
HTML_FILTERS: dict[str, Filter] = {"safe": on_text(extra.safe)}
