"""Times as MongoDB stores them: aware, UTC, whole milliseconds. There are two clocks, and their types differ.

| Clock | Its times | Used for |
| --- | --- | --- |
| `Clock` | `HubTime` | decisions, `due_at`, snoozes, expirations, cursors, ids, and the times of documents |
| `RealClock` | `RealTime` | leases, tokens, signatures, rate limits, heartbeats, and the times of other systems |

In production both clocks show the same time. In development, `hub clock` moves the hub's clock forward
(`hub/platform/hub_clock.py`). Real time is never moved: a call that is under way must not lose its lease.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType

HubTime = NewType("HubTime", datetime)
"""A time on the hub's clock."""

RealTime = NewType("RealTime", datetime)
"""A real time."""

Clock = Callable[[], HubTime]
"""Returns the time on the hub's clock, by which the hub decides."""

RealClock = Callable[[], RealTime]
"""Returns the real time."""


def now() -> RealTime:
    """Return the time of this machine, truncated to milliseconds as in MongoDB, so live values equal stored values."""
    return RealTime(floor_ms(datetime.now(UTC)))


def elapsed(since: datetime, now: datetime) -> timedelta:
    """Return the time from `since`, such as a stored time, to `now`. Both must be times of the same clock."""
    return now - since


def floor_ms(at: datetime) -> datetime:
    """Return `at` in UTC, truncated to milliseconds."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def parse(text: str) -> datetime:
    """Return the instant of a text in RFC 3339 format, truncated to milliseconds.

    Raise ValueError for other texts. Its message completes a sentence: `A time must ...`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("have the format of RFC 3339, such as 2026-11-20T08:15:30Z") from None
    if at.tzinfo is None:
        raise ValueError("have a UTC offset, such as the Z in 2026-11-20T08:15:30Z")
    try:
        return floor_ms(at)
    except OverflowError:
        raise ValueError("be from the year 1 to the year 9999 in UTC") from None


def rfc3339(at: datetime) -> str:
    """Format a time as everywhere in the API: `2026-11-20T08:15:30.123Z`."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
