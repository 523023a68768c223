"""The time, as MongoDB keeps it: aware, UTC, whole milliseconds."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """The current instant, cut to milliseconds, so that what is told live equals what is read back."""
    return floor_ms(datetime.now(UTC))


def floor_ms(at: datetime) -> datetime:
    """`at` in UTC without its microseconds."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def rfc3339(at: datetime) -> str:
    """`2026-11-20T08:15:30.123Z`, the form of every instant in an answer."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
