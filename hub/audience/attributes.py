"""The attributes of users. They are stored as a MongoDB document, so filters can read them.

Version 3 of the stored data had them as JSON text. `User.attributes` is text until the user is converted, and remains
text if the hub no longer accepts such attributes.
"""

from typing import Any

from hub.errors import BadUserInput

MAX_DEPTH = 20
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def valid_attributes(value: object, field: str) -> dict[str, Any]:
    """Return attributes that MongoDB stores unchanged. Raise BadUserInput with the path of what it cannot store.

    `value` is a JSON value without integers that no 64-bit type represents."""
    if not isinstance(value, dict):
        raise BadUserInput('Attributes must be a JSON object, such as {"plan": "pro"}.', field)
    _check(value, field, 1)
    return value


def is_valid_name(name: str) -> bool:
    """Return True if an attribute may have this name."""
    return not name.startswith("$") and "." not in name and "\0" not in name


def _check(value: object, path: str, depth: int) -> None:
    if isinstance(value, dict):
        for name in value:
            if not is_valid_name(name):
                raise BadUserInput(
                    "The name of an attribute must not begin with $, and must contain neither a dot nor a null "
                    "character. Rename it.",
                    f"{path}.{name}",
                )
    elif isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise BadUserInput("An integer must be from -2^63 to 2^63-1. Send other numbers as strings.", path)
        return
    elif not isinstance(value, list):
        return
    if depth > MAX_DEPTH:
        raise BadUserInput(f"Attributes may be nested up to {MAX_DEPTH} levels deep.", path)
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        _check(inner, f"{path}.{name}", depth + 1)
