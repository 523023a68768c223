"""Quiet hours, do-not-disturb, and the daily limit: the types and the validation."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import strawberry

from hub import model
from hub.api.schema.validation import valid_timezone
from hub.decide.quiet_windows import has_free_minute
from hub.errors import BadUserInput
from hub.model import EVERY_DAY
from hub.utc_time import rfc3339

WINDOWS_MAX = 7  # windows of one schedule
DO_NOT_DISTURB_MAX = timedelta(days=31)
DAILY_LIMIT_MAX = 10_000
LOCAL_TIME = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")


@strawberry.type(
    description="A window of local time in which push, SMS, and chat messages wait. A window over midnight belongs to "
    "the day of its start. If `start` equals `end`, the window is a whole day."
)
class QuietHours:
    start: str = strawberry.field(description="The local time at which the window starts, HH:MM.")
    end: str = strawberry.field(description="The local time at which the window ends, HH:MM.")
    timezone: str = strawberry.field(
        description="The IANA time zone of the window. Defaults to the time zone of the user."
    )
    days: list[int] = strawberry.field(
        description="The weekdays on which the window starts, from 1 (Monday) to 7 (Sunday)."
    )
    allow: model.Priority = strawberry.field(description="Notifications of this priority or a higher one do not wait.")


@strawberry.input(
    description="A window of local time in which push, SMS, and chat messages wait. If `start` equals `end`, the "
    "window is a whole day."
)
class QuietHoursInput:
    start: str = strawberry.field(description="The local time at which the window starts, from 00:00 to 23:59.")
    end: str = strawberry.field(description="The local time at which the window ends, from 00:00 to 23:59.")
    timezone: str | None = strawberry.field(
        default=None, description="The IANA time zone of the window. Null for the time zone of the user."
    )
    days: list[int] | None = strawberry.field(
        default_factory=lambda: list(EVERY_DAY),
        description="The weekdays on which the window starts, from 1 (Monday) to 7 (Sunday). A window over midnight "
        "belongs to the day of its start.",
    )
    allow: model.Priority | None = strawberry.field(
        default=model.Priority.CRITICAL,
        description="Notifications of this priority or a higher one do not wait. CRITICAL notifications never wait.",
    )


def valid_quiet_schedule(
    inputs: Sequence[QuietHoursInput], timezone: str, now: datetime, field: str
) -> tuple[model.QuietHours, ...]:
    """Return the windows. `timezone` is the time zone of windows without their own."""
    if len(inputs) > WINDOWS_MAX:
        raise BadUserInput(f"At most {WINDOWS_MAX} windows are allowed.", field)
    windows = tuple(_valid_window(input, f"{field}.{index}") for index, input in enumerate(inputs))
    return _with_free_minute(windows, timezone, now, field)


def valid_quiet_hours(input: QuietHoursInput, timezone: str, now: datetime, field: str) -> tuple[model.QuietHours, ...]:
    """Return the only window of a schedule."""
    return _with_free_minute((_valid_window(input, field),), timezone, now, field)


def valid_do_not_disturb(until: datetime, now: datetime, field: str) -> datetime:
    """Return the end of do-not-disturb."""
    if until <= now:
        raise BadUserInput(
            f"`doNotDisturbUntil` is in the past (the hub's time is {rfc3339(now)}). Pass a later time, or null to end "
            "do-not-disturb.",
            field,
        )
    if until > now + DO_NOT_DISTURB_MAX:
        raise BadUserInput(f"Do-not-disturb must end within {DO_NOT_DISTURB_MAX.days} days.", field)
    return until


def valid_daily_limit(limit: int, field: str) -> int:
    """Return the number of interruptions per day."""
    if not 0 <= limit <= DAILY_LIMIT_MAX:
        raise BadUserInput(f"The daily limit must be from 0 to {DAILY_LIMIT_MAX:,}.", field)
    return limit


def valid_local_time(time: str, field: str) -> str:
    """Return a local time of the form HH:MM."""
    if not LOCAL_TIME.fullmatch(time):
        raise BadUserInput("A local time must have the form HH:MM, from 00:00 to 23:59.", field)
    return time


def valid_weekdays(days: Sequence[int], field: str) -> tuple[int, ...]:
    """Return the distinct ISO weekdays in order."""
    if not days or not set(days) <= set(EVERY_DAY):
        name = field.rpartition(".")[2]
        raise BadUserInput(f"`{name}` must name weekdays, from 1 (Monday) to 7 (Sunday).", field)
    return tuple(sorted(set(days)))


def _with_free_minute(
    windows: tuple[model.QuietHours, ...], timezone: str, now: datetime, field: str
) -> tuple[model.QuietHours, ...]:
    if not has_free_minute(windows, timezone, now):
        raise BadUserInput(
            "These windows leave no minute of the week free. Make one shorter, or switch the channels off instead.",
            field,
        )
    return windows


def _valid_window(input: QuietHoursInput, field: str) -> model.QuietHours:
    return model.QuietHours(
        start=valid_local_time(input.start, f"{field}.start"),
        end=valid_local_time(input.end, f"{field}.end"),
        days=EVERY_DAY if input.days is None else valid_weekdays(input.days, f"{field}.days"),
        timezone=valid_timezone(input.timezone, f"{field}.timezone"),
        allow=input.allow or model.Priority.CRITICAL,
    )
