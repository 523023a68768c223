"""The decision when a delivery leaves: now, later, or not at all. Performs no I/O.

Quiet hours, do-not-disturb, and the daily limit concern only the INTERRUPTING channels. Some notifications pass:

| notification | quiet hours | do-not-disturb | daily limit |
|---|---|---|---|
| CRITICAL | passes | passes | passes |
| of at least the priority that a window allows | passes | waits | counts |
| of a required category, except LOW | passes | waits | passes |
"""

from datetime import datetime, timedelta
from zlib import crc32

from msgspec import UNSET, Struct

from hub.decide.effective_preferences import EffectivePreferences
from hub.decide.quiet_windows import NEVER, quiet_until, zone_of
from hub.model import (
    Channel,
    DeliveryStatus,
    Interruptions,
    Mailbox,
    Priority,
    QuietHours,
    Reason,
    Tenant,
    User,
)

INTERRUPTING = frozenset(
    {
        *(Channel.WEB_PUSH, Channel.MOBILE_PUSH, Channel.SMS, Channel.WHATSAPP),
        *(Channel.SLACK, Channel.DISCORD, Channel.TEAMS),
    }
)
SPREAD_MS = 120_000
"""Deliveries that wait for the same time leave within this time after it. Otherwise, all would be due at once."""
MINUTE_MS = 60_000
RANKS = {priority: rank for rank, priority in enumerate(Priority)}  # CRITICAL is the first


class Availability(Struct, frozen=True):
    """When a user may be interrupted, and how often per day."""

    quiet_schedule: tuple[QuietHours, ...]
    do_not_disturb_until: datetime | None
    daily_limit: int | None
    timezone: str


class Question(Struct, frozen=True):
    """A delivery of a user on an interrupting channel. `required`: its category is required."""

    mailbox: str
    priority: Priority
    required: bool
    expires_at: datetime | None = None

    @property
    def is_important(self) -> bool:
        """True if neither quiet hours nor the daily limit concern the delivery."""
        return self.priority is Priority.CRITICAL or (self.required and self.priority is not Priority.LOW)


class Answer(Struct, frozen=True):
    """ACCEPTED: the delivery leaves now. HELD: the question is asked again at `due_at`. Or SKIPPED."""

    status: DeliveryStatus
    reason: Reason | None = None
    due_at: datetime | None = None


NOW = Answer(DeliveryStatus.ACCEPTED)


def availability_of(user: User, tenant: Tenant) -> Availability | None:
    """Return the availability of a user, or None if the user may be interrupted at any time."""
    if not (user.preferences.limits_interruptions or tenant.preferences.limits_interruptions):
        return None
    effective = EffectivePreferences(user.preferences, tenant.preferences)
    return Availability(
        effective.quiet_schedule,
        effective.do_not_disturb_until,
        effective.daily_limit,
        user.effective_timezone(tenant),
    )


def when(availability: Availability | None, question: Question, now: datetime) -> Answer:
    """Return when a delivery leaves. A delivery that would expire before the end of a quiet time is SKIPPED."""
    if availability is None:
        return NOW
    windows = _windows(availability, question)
    disturbed_at = availability.do_not_disturb_until if question.priority is not Priority.CRITICAL else None
    free_at = _free_at(windows, availability.timezone, disturbed_at, now)
    if free_at == now:
        return NOW
    reason = Reason.DO_NOT_DISTURB if disturbed_at and disturbed_at > now else Reason.QUIET_HOURS
    if free_at is NEVER:
        return Answer(DeliveryStatus.SKIPPED, reason)
    due_at = free_at + spread_of(question.mailbox)
    if quiet_until(windows, availability.timezone, due_at):
        due_at = free_at + spread_of(question.mailbox, _ms_left(free_at) - 1)
    if question.expires_at and question.expires_at <= due_at:
        return Answer(DeliveryStatus.SKIPPED, reason)
    return Answer(DeliveryStatus.HELD, reason, due_at)


def is_counted(availability: Availability | None, question: Question) -> bool:
    """Return True if the delivery counts against a daily limit."""
    return availability is not None and availability.daily_limit is not None and not question.is_important


def interruption_of(notification: str, step: int) -> str:
    """Return what identifies an interruption: the deliveries of a step of a notification that leave together."""
    return f"{notification}/{step}"


def count_interruption(
    availability: Availability, mailbox: Mailbox | None, now: datetime, interruption: str | None = None
) -> Interruptions | None:
    """Return the count of the mailbox with one more interruption, or None if the daily limit is reached. If
    `interruption` was the last one, it does not count again.

    A later local day starts at zero. An earlier one, after a flight west, keeps the count."""
    day = now.astimezone(zone_of(availability.timezone)).date().isoformat()
    counted = mailbox.interruptions if mailbox else UNSET
    if counted is not UNSET and interruption and counted.last == interruption:
        return counted
    if counted is UNSET or day > counted.day:
        counted = Interruptions(day=day, count=0)
    if availability.daily_limit is not None and counted.count >= availability.daily_limit:
        return None
    return Interruptions(day=counted.day, count=counted.count + 1, last=interruption)


def spread_of(mailbox: str, most_ms: int = SPREAD_MS) -> timedelta:
    """Return a delay of up to `most_ms` milliseconds that is always the same for a mailbox."""
    return timedelta(milliseconds=crc32(mailbox.encode()) % (most_ms + 1))


def _windows(availability: Availability, question: Question) -> tuple[QuietHours, ...]:
    """Return the windows in which the delivery waits."""
    if question.is_important:
        return ()
    return tuple(window for window in availability.quiet_schedule if RANKS[question.priority] > RANKS[window.allow])


def _free_at(windows: tuple[QuietHours, ...], timezone: str, disturbed_at: datetime | None, now: datetime) -> datetime:
    """Return the first time from `now` on that is in no window and not before `disturbed_at`."""
    free_at = max(now, disturbed_at) if disturbed_at else now
    return (quiet_until(windows, timezone, free_at) if windows else None) or free_at


def _ms_left(at: datetime) -> int:
    """Return the milliseconds to the end of the minute. If `at` is free, so are they: windows begin with a minute."""
    return MINUTE_MS - at.second * 1000 - at.microsecond // 1000
