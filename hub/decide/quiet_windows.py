"""The times at which windows of quiet hours begin and end. Performs no I/O.

- A local time that does not exist, in spring, moves forward to the next one that does.
- Of a local time that occurs twice, in autumn, a window begins at the first and ends at the second.
- Windows that touch or overlap are one.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.model import QuietHours

CACHED_ANSWERS = 65_536
CACHED_SPANS = 65_536
CACHED_ZONES = 1024
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
MINUTE = timedelta(minutes=1)
NEARBY_DAYS = (-2, -1, 0, 1)  # days on which a window can start that contains an instant, also if the clock is changed
SEARCHED = timedelta(days=31)
SAMPLED_WEEKS = 53
NEVER = datetime.max.replace(tzinfo=UTC)


def quiet_until(windows: tuple[QuietHours, ...], timezone: str, at: datetime) -> datetime | None:
    """Return the end of the quiet time that contains `at`, or None if there is none. Return NEVER if no time within
    SEARCHED is free.

    `timezone` applies to windows without their own."""
    return _quiet_until(windows, timezone, at.replace(second=0, microsecond=0)) if windows else None


@lru_cache(CACHED_ANSWERS)
def _quiet_until(windows: tuple[QuietHours, ...], timezone: str, minute: datetime) -> datetime | None:
    """Return the same for a whole minute. The users with the same windows share the result."""
    end = minute
    while later := max(_ends(windows, timezone, end), default=None):
        end = later
        if end - minute > SEARCHED:
            return NEVER
    return None if end == minute else end


def has_free_minute(windows: Sequence[QuietHours], timezone: str, now: datetime) -> bool:
    """Return True if the windows leave at least one minute of each week free.

    Windows of different time zones move against each other during a year, so the weeks of a year are compared."""
    zones = [zone_of(window.timezone or timezone) for window in windows]
    weeks = [now + timedelta(weeks=week) for week in range(SAMPLED_WEEKS)]
    return all(
        _is_week_free(windows, offsets) for offsets in {tuple(_offset(zone, week) for zone in zones) for week in weeks}
    )


def minutes_of(time: str) -> int:
    """Return the minutes from midnight to a time of the form HH:MM."""
    hours, _, minutes = time.partition(":")
    return int(hours) * 60 + int(minutes)


@lru_cache(CACHED_ZONES)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone, or UTC if this machine does not have it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _ends(windows: Iterable[QuietHours], timezone: str, at: datetime) -> Iterable[datetime]:
    """Return the ends of the windows that contain `at`."""
    for window in windows:
        name = window.timezone or timezone
        today = at.astimezone(zone_of(name)).toordinal()
        for day in NEARBY_DAYS:
            if (today + day - 1) % 7 + 1 in window.days:  # the ordinal 1 is a Monday
                begin, end = _span(window.start, window.end, name, today + day)
                if begin <= at < end:
                    yield end


@lru_cache(CACHED_SPANS)
def _span(start: str, end: str, timezone: str, day: int) -> tuple[datetime, datetime]:
    """Return the instants between which a window is active that starts on a day, given as an ordinal."""
    zone, midnight = zone_of(timezone), datetime.combine(date.fromordinal(day), datetime.min.time())
    ends_at = midnight + minutes_of(end) * MINUTE
    if end <= start:
        ends_at += timedelta(days=1)
    return instant_of(midnight + minutes_of(start) * MINUTE, zone, 0), instant_of(ends_at, zone, 1)


def instant_of(local: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """Return the instant of a local time: of one that occurs twice, the first or second (`fold` 0 or 1)."""
    first, second = (local.replace(tzinfo=zone, fold=which).astimezone(UTC) for which in (0, 1))
    if first <= second:
        return second if fold else first
    return _clock_change(second, first, zone)  # the local time does not exist


def _clock_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant between two others at which the clock is moved forward."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


def _offset(zone: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset() or timedelta()
    return round(offset / MINUTE)


def _is_week_free(windows: Sequence[QuietHours], offsets: Sequence[int]) -> bool:
    """Return True if a minute of the week is free. `offsets` are the minutes from UTC for each window."""
    quiet = 0
    for window, offset in zip(windows, offsets, strict=True):
        start = minutes_of(window.start)
        minutes = (minutes_of(window.end) - start) % DAY_MINUTES or DAY_MINUTES
        for day in window.days:
            quiet |= ((1 << minutes) - 1) << ((day - 1) * DAY_MINUTES + start - offset) % WEEK_MINUTES
    week = (1 << WEEK_MINUTES) - 1
    return (quiet | quiet >> WEEK_MINUTES) & week != week
