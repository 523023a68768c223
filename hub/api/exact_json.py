"""Parses and writes the JSON of requests. A number keeps its original digits or is rejected.

Integers can have any size. A decimal that a 64-bit float represents exactly as written is a float. All other decimals
are an `InexactNumber`. Only the scalar `JSON` accepts an `InexactNumber`, as text, if the digits identify a single
float.
"""

from datetime import datetime
from math import isinf
from typing import Any

import msgspec
import orjson

from hub.errors import BadUserInput
from hub.utc_time import rfc3339

FLOAT_DIGITS = 17  # significant digits that identify every 64-bit float
NUMBERS = (
    f"A number must be an integer from -2^63 to 2^64-1, or a decimal with at most {FLOAT_DIGITS} digits in the range "
    "of a 64-bit float. Send other numbers as strings"
)


class InexactNumber:
    """A number that no 64-bit float represents exactly as written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text if len(self.text) <= 2 * FLOAT_DIGITS else f"{self.text[: 2 * FLOAT_DIGITS]}..."


def decimal(text: str) -> float | InexactNumber:
    """Return the float with exactly the digits of `text`, or an InexactNumber if there is none."""
    number = float(text)
    return number if _normal(repr(number)) == _normal(text) else InexactNumber(text)


def integer(text: str) -> int | InexactNumber:
    """Return the integer, or an InexactNumber if the text has too many digits for Python."""
    try:
        return int(text)
    except ValueError:
        return InexactNumber(text)


def _normal(text: str) -> tuple[str, int]:
    """Return the digits without leading and trailing zeros, and the exponent of the last digit."""
    mantissa, _, exponent = text.lower().lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "", 0
    if len(exponent) > FLOAT_DIGITS:  # far out of range and possibly too long to parse
        return "out of range", 0
    return significant, int(exponent or 0) - len(fraction) + len(digits) - len(significant)


def _finite(text: str) -> float | InexactNumber:
    """Return a decimal. Raise ValueError if it exceeds the range of a float."""
    number = decimal(text)
    if isinstance(number, InexactNumber) and isinf(float(text)):
        raise ValueError(f"the number {number!r} is out of range")
    return number


_decoder = msgspec.json.Decoder(float_hook=_finite)


def loads(text: str | bytes, field: str) -> Any:
    """Return the value of a JSON text. Raise BadUserInput for invalid JSON."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadUserInput(f"This is not valid JSON: {error}.", field) from None
    except RecursionError:
        raise BadUserInput("This JSON is nested too deeply.", field) from None


def dumps(value: object, field: str) -> bytes:
    """Return a value of the scalar `JSON` as text. Raise BadUserInput for values that JSON cannot represent exactly."""
    options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
    try:
        return orjson.dumps(value, _encode, options)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, ValueError) or "64-bit" in str(error):
            raise BadUserInput(f"{NUMBERS}.", field) from None
        raise BadUserInput("This value is nested too deeply, or contains a value that is not JSON.", field) from None


def _encode(value: object) -> object:
    """Convert values that orjson does not encode: numbers as written, and instants from variables in a literal."""
    if isinstance(value, InexactNumber):
        digits, _ = _normal(value.text)
        if len(digits) <= FLOAT_DIGITS and 0 < abs(float(value.text)) < float("inf"):
            return orjson.Fragment(value.text)
        raise ValueError(NUMBERS)
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError
