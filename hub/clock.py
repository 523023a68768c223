"""Times as MongoDB stores them: aware, UTC, whole milliseconds."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the current time, cut to milliseconds as in MongoDB. Live values then equal stored values."""
    return floor_ms(datetime.now(UTC))


def floor_ms(at: datetime) -> datetime:
    """Return `at` in UTC, cut to milliseconds."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def rfc3339(at: datetime) -> str:
    """Return the format of every time in the API: `2026-11-20T08:15:30.123Z`."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
