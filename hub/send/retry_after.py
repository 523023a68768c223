"""The parser of `Retry-After` headers."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
HUGE_S = 1e9  # about 30 years


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds in a `Retry-After` header (RFC 9110, 10.2.3), from 0 to HUGE_S. The header contains a number
    or a date; a past date results in 0. Return None if the header is missing or invalid. The caller limits the
    result."""
    value = (value or "").strip()
    if SECONDS.fullmatch(value):
        return min(float(value), HUGE_S)
    try:
        at = parsedate_to_datetime(value)
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # the errors that the date parser raises
        return None
    return min(max(seconds, 0.0), HUGE_S)
