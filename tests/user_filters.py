"""Random users and filters, and a second, slow evaluation of filters that works on the JSON of both."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.client import Json

TEXTS = ["pro", "Pro", "prod", "p", "", "free", "a\0b", "\ud7ff", "\ue000", "\U0001f600", "\U0010ffff", "$where", "1"]
NUMBERS = [0, -0.0, 1, 1.0, 1.5, -1, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 2.0**63, 5e-324, 1e308]
SCALARS = [*TEXTS, *NUMBERS, True, False]
KEYS = ["plan", "address", "0", "__proto__", "größe"]
PATHS = [*KEYS, "address.plan", "address.0", "plan.plan", "plan.0.plan", "missing"]
NAMES = ["Ann", "ann", "Zoë", "Bob", ""]
EMAILS = ["Ann@Example.org", "ann@example.org", "bob@example.com", "ΑΣ@example.org"]
PHONES = ["+4915112345678", "+14155550123"]
LOCALES = ["de", "de-AT", "en"]
TIMEZONES = ["Europe/Berlin", "UTC", "America/New_York"]
TOPICS = ["releases", "churn-risk", "releases-beta", "other"]
TIMES = ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.001Z", "2026-11-20T08:15:30.123Z"]
TENANT_DEFAULTS = {"locale": "de", "timezone": "Europe/Berlin"}

scalars = st.sampled_from(SCALARS)
attribute_values = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2),
    max_leaves=4,
)


def users() -> st.SearchStrategy[Json]:
    """Return a strategy for users as filters read them. `ownLocale` and `ownTimezone` are what is stored of a user."""
    optional = {
        "name": st.sampled_from(NAMES),
        "email": st.sampled_from(EMAILS),
        "phone": st.sampled_from(PHONES),
        "ownLocale": st.sampled_from(LOCALES),
        "ownTimezone": st.sampled_from(TIMEZONES),
        "attributes": st.dictionaries(st.sampled_from(KEYS), attribute_values, max_size=3),
    }
    required = {
        "id": st.sampled_from(["a", "ann", "b/c", "z"]),
        "createdAt": st.sampled_from(TIMES),
        "topics": st.lists(st.sampled_from(TOPICS), unique=True, max_size=3),
    }
    return st.fixed_dictionaries(required, optional=optional).map(with_defaults)


def random_users(count: int) -> list[Json]:
    """Return users with distinct ids, the same in each run."""
    found: list[Json] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate], deadline=None)
    @given(users())
    def collect(user: Json) -> None:
        found.append(user | {"id": f"{user['id']}-{len(found):04}"})

    collect()
    return found


def with_defaults(user: Json) -> Json:
    return user | {
        "locale": user.get("ownLocale", TENANT_DEFAULTS["locale"]),
        "timezone": user.get("ownTimezone", TENANT_DEFAULTS["timezone"]),
    }


def conditions(values: st.SearchStrategy[Any], ordered: st.SearchStrategy[Any], *, prefixes: bool) -> Any:
    """Return a strategy for the condition of one field."""
    operators: Json = {
        "in": st.lists(st.none() | values, min_size=1, max_size=4),
        "exists": st.booleans(),
        **dict.fromkeys(("gt", "gte", "lt", "lte"), ordered),
    }
    if prefixes:
        operators["startsWith"] = st.sampled_from([text for text in TEXTS if text] + ["a", "A", "de", "ANN@", "rel"])
    plain = st.none() | values
    one = st.sampled_from(sorted(operators)).flatmap(lambda name: operators[name].map(lambda value: {name: value}))
    two = st.fixed_dictionaries({"exists": st.booleans(), "gte": ordered}, optional={"lt": ordered})
    return st.recursive(plain | one | two, lambda inner: inner.map(lambda value: {"not": value}), max_leaves=2)


def _leaves() -> st.SearchStrategy[Json]:
    fields: Json = {
        "id": ["a", "ann", "b/c", "z", "a-0000", "ann-0003", "z-0010"],
        "name": NAMES,
        "email": [*EMAILS, "ANN@EXAMPLE.ORG"],
        "phone": PHONES,
        "locale": LOCALES,
        "timezone": TIMEZONES,
        "topics": TOPICS,
    }
    by_field = [
        conditions(st.sampled_from(values), st.sampled_from(values), prefixes=True).map(
            lambda condition, name=name: {name: condition}
        )
        for name, values in fields.items()
    ]
    times = st.sampled_from([*TIMES, "2026-11-20T09:15:30.1239+01:00"])
    created = conditions(times, times, prefixes=False).map(lambda condition: {"createdAt": condition})
    condition = conditions(scalars, st.sampled_from(TEXTS + NUMBERS), prefixes=True)
    attribute = st.tuples(st.sampled_from(PATHS), condition).map(lambda pair: {f"attributes.{pair[0]}": pair[1]})
    nested = st.dictionaries(st.sampled_from(PATHS), condition, min_size=1, max_size=2).map(
        lambda attributes: {"attributes": attributes}
    )
    return st.one_of(*by_field, created, attribute, attribute, attribute, nested)


wheres: st.SearchStrategy[Json] = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=5,
)


def is_match(where: Json, user: Json) -> bool:
    """Return True if a user matches."""
    for key, value in where.items():
        if key == "and":
            result = min(is_match(part, user) for part in value)
        elif key == "or":
            result = max(is_match(part, user) for part in value)
        elif key == "not":
            result = not is_match(value, user)
        elif key == "attributes":
            result = min(_fulfills(condition, _attribute(user, path), str) for path, condition in value.items())
        elif key.startswith("attributes."):
            result = _fulfills(value, _attribute(user, key.removeprefix("attributes.")), str)
        elif key == "topics":
            result = _fulfills(value, user["topics"] or None, str)
        elif key == "email":
            result = _fulfills(value, user.get("email"), str.lower)
        elif key == "createdAt":
            result = _fulfills(value, user["createdAt"], _milliseconds)
        else:
            result = _fulfills(value, user.get(key), str)
        if not result:
            return False
    return True


def _milliseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def _attribute(user: Json, path: str) -> Any:
    found: Any = user.get("attributes", {})
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def _fulfills(condition: Any, value: Any, convert: Callable[[str], Any]) -> bool:
    if not isinstance(condition, dict):
        return _equals(condition, value, convert)
    return all(_operate(name, operand, value, convert) for name, operand in condition.items())


def _operate(name: str, operand: Any, value: Any, convert: Callable[[str], Any]) -> bool:
    if name == "not":
        return not _fulfills(operand, value, convert)
    if name == "in":
        return any(_equals(one, value, convert) for one in operand)
    if name == "exists":
        return (value is not None) == operand
    elements = value if isinstance(value, list) else [value]
    if name == "startsWith":
        return any(isinstance(e, str) and convert(e)[: len(convert(operand))] == convert(operand) for e in elements)
    signs = [_sign(element, operand, convert) for element in elements]
    wanted = {"gt": {1}, "gte": {0, 1}, "lt": {-1}, "lte": {-1, 0}}[name]
    return any(sign in wanted for sign in signs)


def _equals(expected: Any, value: Any, convert: Callable[[str], Any]) -> bool:
    if expected is None:
        return value is None
    elements = value if isinstance(value, list) else [value]
    return any(_sign(element, expected, convert) == 0 for element in elements)


def _sign(left: Any, right: Any, convert: Callable[[str], Any]) -> int | None:
    """Return -1, 0, or 1, or None if the types differ or have no order."""
    if isinstance(left, bool) or isinstance(right, bool):
        return 0 if left is right else None
    if isinstance(left, str) and isinstance(right, str):
        left, right = convert(left), convert(right)
        if isinstance(left, str):
            left, right = [ord(character) for character in left], [ord(character) for character in right]
    elif isinstance(left, int | float) and isinstance(right, int | float):
        left, right = Fraction(left), Fraction(right)
    else:
        return None
    return (left > right) - (left < right)
