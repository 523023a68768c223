"""Quiet hours, do-not-disturb, the daily limit, and the times of daily digests, compared with a slow second implementation, minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.decide.digest_choices import chosen_ends, next_time
from hub.decide.quiet_windows import NEVER, has_free_minute, minutes_of, quiet_until
from hub.decide.timing import (
    NOW,
    SPREAD_MS,
    Answer,
    Availability,
    Question,
    count_interruption,
    is_counted,
    when,
)
from hub.model import (
    EVERY_DAY,
    Category,
    CategoryPreference,
    Channel,
    DeliveryStatus,
    DigestChoice,
    Interruptions,
    Mailbox,
    Preferences,
    Priority,
    QuietHours,
    Reason,
    Tenant,
    User,
)
from tests.conftest import scaled

CHANGES = {  # the days on which the clock is changed in 2026, in spring and in autumn
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),  # by half an hour
    "Africa/Cairo": (date(2026, 4, 24), date(2026, 10, 29)),  # at midnight
    "America/Santiago": (date(2026, 9, 6), date(2026, 4, 4)),  # at midnight
    "America/St_Johns": (date(2026, 3, 8), date(2026, 11, 1)),  # half an hour from the full hours
}
NEARBY = [(zone, day) for zone, days in CHANGES.items() for day in days]
DAYS = 5  # around the change
CHECKED = scaled(7, 1)  # every minute, or every seventh
MINUTE = timedelta(minutes=1)
properties = settings(max_examples=scaled(80, 2000), deadline=None)

night_minutes = st.integers(0, 20).map(lambda quarter: quarter * 15)  # from 00:00 to 05:00
clock_times = (night_minutes | night_minutes | st.integers(0, 1439)).map(
    lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}"
)
weekdays = st.just(EVERY_DAY) | st.lists(st.integers(1, 7), min_size=1, max_size=7, unique=True).map(tuple)
windows = st.builds(
    QuietHours,
    start=clock_times,
    end=clock_times,
    days=weekdays,
    timezone=st.none() | st.none() | st.sampled_from(sorted(CHANGES)),
    allow=st.sampled_from(Priority),
)
schedules = st.lists(windows, min_size=1, max_size=3).map(tuple)
nearby = st.sampled_from(NEARBY)
minutes_from_change = st.integers(-12 * 60, 16 * 60) | st.integers(-2 * 1440, 2 * 1440)
priorities = st.sampled_from(Priority)


class Calendar:
    """Every minute of some days, with its local time."""

    def __init__(self, zone: str, middle: date) -> None:
        begin = datetime(middle.year, middle.month, middle.day, tzinfo=UTC) - timedelta(days=DAYS)
        self.minutes = [begin + number * MINUTE for number in range(2 * DAYS * 1440)]
        self.local = [minute.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for minute in self.minutes]
        self._numbers: dict[datetime, list[int]] = {}
        for number, local in enumerate(self.local):
            self._numbers.setdefault(local, []).append(number)

    def first(self, local: datetime) -> int:
        """Return the number of the first minute with this local time, or of the next that exists."""
        return self._numbers[local][0] if local in self._numbers else self._next(local)

    def last(self, local: datetime) -> int:
        """Return the number of the last minute with this local time, or of the next that exists."""
        return self._numbers[local][-1] if local in self._numbers else self._next(local)

    def _next(self, local: datetime) -> int:
        return next((number for number, found in enumerate(self.local) if found > local), len(self.local))


@cache
def calendar(zone: str, middle: date) -> Calendar:
    return Calendar(zone, middle)


@cache
def window_minutes(start: str, end: str, zone: str, middle: date, day: date) -> range:
    """Return the numbers of the minutes of one window."""
    begins, ends = datetime.combine(day, time.fromisoformat(start)), datetime.combine(day, time.fromisoformat(end))
    if ends <= begins:
        ends += timedelta(days=1)
    minutes = calendar(zone, middle)
    return range(minutes.first(begins), minutes.last(ends))


def quiet_minutes(schedule: tuple[QuietHours, ...], zone: str, middle: date) -> set[int]:
    """Return the numbers of all quiet minutes, except on the first and the last day."""
    quiet: set[int] = set()
    for window in schedule:
        for offset in range(1 - DAYS, DAYS - 1):
            day = middle + timedelta(days=offset)
            if day.isoweekday() in window.days:
                quiet.update(window_minutes(window.start, window.end, window.timezone or zone, middle, day))
    return quiet


@settings(properties, max_examples=scaled(80, 300))
@given(schedules, nearby, st.integers(0, CHECKED - 1))
def test_quiet_time_ends_at_the_first_free_minute(
    schedule: tuple[QuietHours, ...], change: tuple[str, date], offset: int
) -> None:
    """The minutes of two days around the change are checked."""
    zone, middle = change
    quiet, every_minute = quiet_minutes(schedule, zone, middle), calendar(zone, middle).minutes
    free = known_until = (2 * DAYS - 2) * 1440
    for asked in reversed(range((DAYS - 1) * 1440 + offset, known_until)):
        free = free if asked in quiet else asked
        if asked > (DAYS + 1) * 1440 or asked % CHECKED != offset:
            continue
        found = quiet_until(schedule, zone, every_minute[asked])
        if free == known_until:
            assert found
            assert found >= every_minute[known_until]
        else:
            assert found == (None if free == asked else every_minute[free])


@properties
@given(schedules, nearby, minutes_from_change, st.none() | st.integers(-60, 3000), priorities, st.booleans(), st.integers(0, 59_999), st.text(max_size=5))  # fmt: skip
def test_delivery_waits_until_a_free_time_and_then_leaves(
    schedule: tuple[QuietHours, ...],
    change: tuple[str, date],
    minutes: int,
    disturbed_minutes: int | None,
    priority: Priority,
    required: bool,
    ms: int,
    mailbox: str,
) -> None:
    """A delivery is held never earlier than asked and never in a quiet window, and held once only."""
    zone, middle = change
    assume(has_free_minute(schedule, zone, datetime(2026, 1, 1, tzinfo=UTC)))
    now = calendar(zone, middle).minutes[DAYS * 1440 + minutes] + timedelta(milliseconds=ms)
    disturbed = None if disturbed_minutes is None else now + timedelta(minutes=disturbed_minutes, seconds=7)
    availability = Availability(schedule, disturbed, None, zone)
    question = Question(mailbox, priority, required)
    answer = when(availability, question, now)
    applying = tuple(
        window for window in schedule if list(Priority).index(priority) > list(Priority).index(window.allow)
    )
    if priority is Priority.CRITICAL or (required and priority is not Priority.LOW):
        applying = ()
    if priority is Priority.CRITICAL:
        disturbed = None
    if answer is NOW:
        assert quiet_until(applying, zone, now) is None
        assert disturbed is None or disturbed <= now
        return
    assert answer.status is DeliveryStatus.HELD
    assert answer.due_at
    assert answer.due_at > now
    assert quiet_until(applying, zone, answer.due_at) is None
    assert disturbed is None or disturbed <= answer.due_at
    free_at = max(now, disturbed) if disturbed else now
    free_at = quiet_until(applying, zone, free_at) or free_at
    assert timedelta() <= answer.due_at - free_at <= timedelta(milliseconds=SPREAD_MS)
    assert answer.reason is (Reason.DO_NOT_DISTURB if disturbed is not None and disturbed > now else Reason.QUIET_HOURS)
    assert when(availability, question, answer.due_at) is NOW
    for expires_at, expected in (
        (answer.due_at, Answer(DeliveryStatus.SKIPPED, answer.reason)),
        (answer.due_at + timedelta(milliseconds=1), answer),
    ):
        assert when(availability, Question(mailbox, priority, required, expires_at), now) == expected


@properties
@given(clock_times, weekdays, nearby, minutes_from_change, st.integers(0, 59_999))
def test_daily_digest_leaves_at_the_next_local_time(
    at: str, days: tuple[int, ...], change: tuple[str, date], minutes: int, ms: int
) -> None:
    zone, middle = change
    every_minute = calendar(zone, middle).minutes
    asked = every_minute[DAYS * 1440 + minutes] + timedelta(milliseconds=ms)
    around = [middle + timedelta(days=offset) for offset in range(1 - DAYS, DAYS - 1)]
    leaves = [
        every_minute[calendar(zone, middle).first(datetime.combine(day, time.fromisoformat(at)))]
        for day in around
        if day.isoweekday() in days
    ]
    found = next_time(at, days, zone, asked)
    later = [instant for instant in leaves if instant > asked]
    if later:
        assert found == later[0]
    else:
        assert found > every_minute[(2 * DAYS - 3) * 1440]


@properties
@given(clock_times, weekdays, nearby, minutes_from_change, st.integers(0, 59_999), st.text(max_size=5))
def test_deliveries_of_a_day_have_one_end(
    at: str, days: tuple[int, ...], change: tuple[str, date], minutes: int, ms: int, mailbox: str
) -> None:
    """The end is in the two minutes after a local time. Until it, every delivery gets the same end."""
    zone, middle = change
    choice = CategoryPreference(category="c", digests={Channel.EMAIL: DigestChoice(at=at, days=days)})
    user = replace(user_of(mailbox), timezone=zone, preferences=Preferences(categories=(choice,)))
    now = calendar(zone, middle).minutes[DAYS * 1440 + minutes] + timedelta(milliseconds=ms)

    def end_at(now: datetime) -> datetime:
        end = chosen_ends(user, Tenant(id="t"), Category(key="c", name="c"), Priority.HIGH, now)[Channel.EMAIL]
        assert end
        return end

    end = end_at(now)
    assert end > now
    spread = end - next_time(at, days, zone, end - timedelta(milliseconds=SPREAD_MS + 1))
    assert timedelta() <= spread <= timedelta(milliseconds=SPREAD_MS)
    for passed in (0.01, 0.5, 0.99):
        assert end_at(now + (end - now) * passed) == end
    assert end_at(end) > end


@pytest.mark.parametrize(
    ("at", "days", "after", "expected"),
    [
        ("02:30", EVERY_DAY, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),  # does not exist: 03:00 summer time
        ("02:30", EVERY_DAY, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),  # the first of two
        ("02:30", EVERY_DAY, "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),  # not the second
        ("08:00", (1,), "2026-06-01T05:59:59Z", "2026-06-01T06:00:00Z"),
        ("08:00", (1,), "2026-06-01T06:00:00Z", "2026-06-08T06:00:00Z"),  # the same weekday, a week later
        ("08:00", (6, 7), "2026-06-01T06:00:00Z", "2026-06-06T06:00:00Z"),
    ],
)
def test_daily_digest_in_berlin(at: str, days: tuple[int, ...], after: str, expected: str) -> None:
    found = next_time(at, days, "Europe/Berlin", datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(expected)


@properties
@given(schedules, st.sampled_from(sorted(CHANGES)))
def test_week_is_free_if_one_of_its_minutes_is(schedule: tuple[QuietHours, ...], zone: str) -> None:
    schedule = tuple(replace(window, timezone=None) for window in schedule)
    quiet = {
        ((day - 1) * 1440 + minutes_of(window.start) + minute) % (7 * 1440)
        for window in schedule
        for day in window.days
        for minute in range((minutes_of(window.end) - minutes_of(window.start)) % 1440 or 1440)
    }
    assert has_free_minute(schedule, zone, datetime(2026, 6, 1, tzinfo=UTC)) is (len(quiet) < 7 * 1440)


def test_windows_of_different_zones_that_leave_no_minute_in_winter_have_no_free_minute() -> None:
    """In winter, Berlin is 6 hours ahead of New York throughout, and 5 hours for some weeks in spring."""
    berlin = QuietHours(start="00:00", end="12:00", timezone="Europe/Berlin")
    new_york = QuietHours(start="06:00", end="18:00", timezone="America/New_York")
    now = datetime(2026, 1, 10, tzinfo=UTC)
    assert not has_free_minute((berlin, new_york), "UTC", now)
    assert has_free_minute((berlin, replace(new_york, end="17:00")), "UTC", now)


def test_schedule_without_a_free_minute_skips_instead_of_waiting_forever() -> None:
    """Such a schedule is refused, but the time zone of a user can change afterwards."""
    always = (QuietHours(start="00:00", end="00:00"),)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert quiet_until(always, "UTC", now) is NEVER
    answer = when(Availability(always, None, None, "UTC"), Question("t/a", Priority.HIGH, False), now)
    assert answer == Answer(DeliveryStatus.SKIPPED, Reason.QUIET_HOURS)


@pytest.mark.parametrize(
    ("window", "at", "until"),
    [
        # 02:30 does not exist: the window starts at 03:00 summer time, or ends then
        (("02:30", "04:00"), "2026-03-29T00:59:00Z", None),
        (("02:30", "04:00"), "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        (("01:00", "02:30"), "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"),
        # 02:30 occurs twice: the window starts at the first and ends at the second
        (("02:30", "04:00"), "2026-10-25T00:29:00Z", None),
        (("02:30", "04:00"), "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z"),
        (("01:00", "02:30"), "2026-10-25T01:29:00Z", "2026-10-25T01:30:00Z"),
        # over midnight
        (("22:00", "07:00"), "2026-06-01T04:59:59Z", "2026-06-01T05:00:00Z"),
        (("22:00", "07:00"), "2026-06-01T05:00:00Z", None),
    ],
)
def test_window_in_berlin(window: tuple[str, str], at: str, until: str | None) -> None:
    found = quiet_until((QuietHours(start=window[0], end=window[1]),), "Europe/Berlin", datetime.fromisoformat(at))
    assert found == (datetime.fromisoformat(until) if until else None)


def test_window_over_midnight_belongs_to_the_day_of_its_start() -> None:
    friday = (QuietHours(start="22:00", end="07:00", days=(5,)),)
    assert quiet_until(friday, "UTC", datetime(2026, 6, 6, 6, 59, tzinfo=UTC)) == datetime(2026, 6, 6, 7, tzinfo=UTC)
    assert quiet_until(friday, "UTC", datetime(2026, 6, 5, 6, 59, tzinfo=UTC)) is None


def test_delivery_leaves_in_the_only_free_minute_of_the_night() -> None:
    night = (QuietHours(start="22:00", end="23:00"), QuietHours(start="23:01", end="07:00"))
    free_at = datetime(2026, 6, 1, 23, tzinfo=UTC)
    for number in range(500):
        question = Question(f"t/{number}", Priority.HIGH, False)
        answer = when(Availability(night, None, None, "UTC"), question, free_at - timedelta(minutes=30))
        assert answer.due_at
        assert free_at <= answer.due_at < free_at + MINUTE
        assert when(Availability(night, None, None, "UTC"), question, answer.due_at) is NOW


def test_windows_that_touch_or_overlap_are_one() -> None:
    touching = (
        QuietHours(start="22:00", end="00:00"),
        QuietHours(start="00:00", end="05:00"),
        QuietHours(start="03:20", end="08:00"),
    )
    assert quiet_until(touching, "UTC", datetime(2026, 6, 5, 22, tzinfo=UTC)) == datetime(2026, 6, 6, 8, tzinfo=UTC)


QUIET, DISTURBED, LIMITED = "quiet hours", "do-not-disturb", "daily limit"


@pytest.mark.parametrize(
    ("priority", "required", "allow", "passes"),
    [
        ("CRITICAL", False, "CRITICAL", {QUIET, DISTURBED, LIMITED}),
        ("HIGH", False, "CRITICAL", set()),
        ("HIGH", False, "HIGH", {QUIET}),
        ("MEDIUM", False, "HIGH", set()),
        ("LOW", False, "LOW", {QUIET}),
        ("HIGH", True, "CRITICAL", {QUIET, LIMITED}),
        ("MEDIUM", True, "CRITICAL", {QUIET, LIMITED}),
        ("LOW", True, "CRITICAL", set()),
        ("CRITICAL", True, "CRITICAL", {QUIET, DISTURBED, LIMITED}),
    ],
)
def test_priority_and_required_category_pass(priority: str, required: bool, allow: str, passes: set[str]) -> None:
    now = datetime(2026, 6, 1, 23, tzinfo=UTC)
    question = Question("t/a", Priority(priority), required)
    night = (QuietHours(start="22:00", end="07:00", allow=Priority(allow)),)
    assert (when(Availability(night, None, None, "UTC"), question, now) is NOW) is (QUIET in passes)
    disturbed = Availability((), now + timedelta(hours=1), None, "UTC")
    assert (when(disturbed, question, now) is NOW) is (DISTURBED in passes)
    assert is_counted(Availability((), None, 5, "UTC"), question) is (LIMITED not in passes)


def user_of(mailbox: str) -> User:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return User(id=f"t/{mailbox}", created_at=now, updated_at=now)


def mailbox_with(interruptions: Interruptions | None) -> Mailbox:
    assert interruptions
    return Mailbox(id="t/a", epoch="e", interruptions=interruptions)


def test_daily_limit_counts_by_the_local_day() -> None:
    berlin, tokyo = (Availability((), None, 2, zone) for zone in ("Europe/Berlin", "Asia/Tokyo"))
    at = datetime(2026, 6, 1, 21, 30, tzinfo=UTC)
    first = count_interruption(berlin, None, at)
    assert first == Interruptions(day="2026-06-01", count=1)
    second = count_interruption(berlin, mailbox_with(first), at)
    assert second == Interruptions(day="2026-06-01", count=2)
    assert count_interruption(berlin, mailbox_with(second), at) is None
    later = count_interruption(berlin, mailbox_with(second), at + timedelta(hours=1))
    assert later == Interruptions(day="2026-06-02", count=1)
    east = count_interruption(tokyo, mailbox_with(second), at)
    assert east == Interruptions(day="2026-06-02", count=1)
    assert count_interruption(berlin, mailbox_with(east), at) == Interruptions(day="2026-06-02", count=2), (
        "a flight west"
    )
    assert count_interruption(replace(berlin, daily_limit=0), None, at) is None
