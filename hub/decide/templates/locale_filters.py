"""Filters whose result depends on the recipient's locale or time zone.

Both are read from the context's globals under names that neither data nor `assign` can set.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers
from liquid import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context

from hub.decide.templates.value_limits import checked_number, text

LOCALE = "_hub_locale"
TIMEZONE = "_hub_timezone"
NOW = "_hub_now"
TIMEZONE_FILTERS = frozenset({"date", "datetime"})
LOCALE_FILTERS = frozenset({"date", "datetime", "currency", "money", "decimal"})

FORMAT_MAX_LENGTH = 100
INPUT_MAX_LENGTH = 100
NAMED_FORMATS = frozenset({"short", "medium", "long", "full"})
DEFAULT_LOCALE = "en"


def context_values(locale: str, timezone: str, now: datetime) -> dict[str, object]:
    """Return the globals that the filters of this module read."""
    return {LOCALE: locale, TIMEZONE: timezone, NOW: now}


@with_context
def format_date(value: object, pattern: object = "medium", *, context: RenderContext) -> str:
    """Format a date: short, medium, long or full in the recipient's locale, or a pattern of strftime.

    The value is ISO 8601, seconds since 1970, or "now". A time without an offset is UTC; a date without a time is
    not converted.
    """
    moment = _moment(value, context.globals)
    if moment is None:
        return ""
    pattern = _pattern(pattern)
    if pattern in NAMED_FORMATS:
        return dates.format_date(moment, format=pattern, locale=_locale(context.globals))
    return moment.strftime(pattern)


@with_context
def format_datetime(value: object, pattern: object = "medium", *, context: RenderContext) -> str:
    """Format a date and time in the recipient's locale and time zone.

    The pattern is short, medium, long or full, or one of Unicode's (`d MMMM, HH:mm`). Values are those of `date`.
    """
    moment = _moment(value, context.globals)
    if moment is None:
        return ""
    locale = _locale(context.globals)
    if not isinstance(moment, datetime):
        return dates.format_date(moment, format=_pattern(pattern), locale=locale)
    return dates.format_datetime(moment, format=_pattern(pattern), tzinfo=moment.tzinfo, locale=locale)


@with_context
def format_currency(value: object, code: object, *, context: RenderContext) -> str:
    """Format an amount of a currency, named by its ISO 4217 code, in the recipient's locale.

    An empty text stays empty.
    """
    if not (isinstance(code, str) and len(code) == 3 and code.isascii() and code.isupper()):
        raise FilterArgumentError("`currency` requires an ISO 4217 code, for example 'EUR'", token=None)
    if value == "":
        return ""
    return numbers.format_currency(_decimal(value), code, locale=_locale(context.globals))


@with_context
def format_decimal(value: object, pattern: object = None, *, context: RenderContext) -> str:
    """Format a number in the recipient's locale, with a pattern of Unicode's (`#,##0.00`) if one is given.

    An empty text stays empty.
    """
    if value == "":
        return ""
    chosen = None if pattern is None else _pattern(pattern)
    return numbers.format_decimal(_decimal(value), format=chosen, locale=_locale(context.globals))


def _moment(value: object, context: Mapping[str, object]) -> datetime | date | None:
    zone = _zone(str(context[TIMEZONE]))
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.astimezone(zone)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(checked_number(value), UTC).astimezone(zone)
    written = text(value).strip()
    if written in {"now", "today"}:
        now = context[NOW]
        assert isinstance(now, datetime)
        return now.astimezone(zone)
    if len(written) <= INPUT_MAX_LENGTH:
        try:
            if written.isascii() and written.isdigit():
                return datetime.fromtimestamp(int(written), UTC).astimezone(zone)
            if len(written) == len("2026-12-31"):
                return date.fromisoformat(written)
            moment = datetime.fromisoformat(written)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone)
        except (ValueError, OverflowError, OSError):
            pass
    raise FilterArgumentError(f"`{written[:INPUT_MAX_LENGTH]}` is not a date in ISO 8601", token=None)


def _pattern(pattern: object) -> str:
    pattern = text(pattern)
    if len(pattern) > FORMAT_MAX_LENGTH:
        raise FilterArgumentError(f"a format has more than {FORMAT_MAX_LENGTH} characters", token=None)
    return pattern


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or value is None:
        raise FilterArgumentError("a number is required", token=None)
    if isinstance(value, int | float):
        return Decimal(str(checked_number(value)))
    written = text(value)
    try:
        number = Decimal(written) if len(written) <= INPUT_MAX_LENGTH else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > INPUT_MAX_LENGTH:
        raise FilterArgumentError(f"`{written[:INPUT_MAX_LENGTH]}` is not a number", token=None)
    return number


def _locale(context: Mapping[str, object]) -> Locale:
    return _parsed_locale(str(context[LOCALE]))


@lru_cache(maxsize=256)
def _parsed_locale(tag: str) -> Locale:
    for candidate in (tag, tag.split("-", 1)[0]):
        try:
            return Locale.parse(candidate, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale.parse(DEFAULT_LOCALE)


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
