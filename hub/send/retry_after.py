"""How long a provider asks to be left alone."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
HUGE_S = 1e9  # three decades: no caller needs to tell longer ones apart


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number of them, or a date (RFC 9110 10.2.3). A date that has
    passed is 0; None where there is no header, or rubbish in it. From 0 to HUGE_S: capping is the caller's."""
    value = (value or "").strip()
    if SECONDS.fullmatch(value):
        return min(float(value), HUGE_S)
    try:
        at = parsedate_to_datetime(value)
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever the parser makes of rubbish
        return None
    return min(max(seconds, 0.0), HUGE_S)
