"""Times as MongoDB stores them: aware, UTC, whole milliseconds."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the current time, truncated to milliseconds as in MongoDB, so live values equal stored values."""
    return floor_ms(datetime.now(UTC))


def floor_ms(at: datetime) -> datetime:
    """Return `at` in UTC, truncated to milliseconds."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def rfc3339(at: datetime) -> str:
    """Format a time as everywhere in the API: `2026-11-20T08:15:30.123Z`."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
