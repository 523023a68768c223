"""Options that accept a time: a duration (`2h`), a time of day (`10:00`), or a time in RFC 3339 format."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hub import utc_time
from hub.cli.api_client import read_time, run_or_exit
from hub.cli.target_hub import TargetHub, fail
from hub.cli.token import SHORT_DURATION, parse_duration
from hub.utc_time import rfc3339

INSTANT_OPTIONS = {
    "since": "--since",
    "until": "--until",
    "failedSince": "--failed-since",
    "failedUntil": "--failed-until",
}
"""The options by the field of `DeliveryFilter`."""
TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
DURATION_START = re.compile("[Pp]|[0-9]+([A-Za-z]|$)")  # a time begins with digits and a hyphen
AGE = "a time, a duration ago such as 2h, or a time of day such as 10:00"
FORMATS = "a duration ago such as 2h, a time of day such as 10:00, or a time such as 2026-11-30T08:00:00Z"
LATER = "a time such as 2027-01-15T08:00:00Z, a duration such as 1h or PT1H, or a time of day such as 10:00"


def relative_times(filter: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a filter that are durations or times of day. Exit if one is not valid."""
    found = {name: str(filter[name]) for name in INSTANT_OPTIONS if filter.get(name)}
    for name, text in found.items():
        if _is_duration(text):
            parse_duration(text, INSTANT_OPTIONS[name])
    return {name: text for name, text in found.items() if _is_duration(text) or TIME_OF_DAY.fullmatch(text)}


def times_of(relative: Mapping[str, str], hub: TargetHub, token: str) -> dict[str, str]:
    """Return the times that these durations and times of day are on the hub's clock."""
    if not relative:
        return {}
    now = run_or_exit(read_time(hub.url, token), hub)
    return {name: to_instant(text, INSTANT_OPTIONS[name], now) for name, text in relative.items()}


def later_time(text: str, option: str, hub: TargetHub, token: str) -> str:
    """Return the time that a text in the formats LATER names on the hub's clock. A time of day is the next one in the
    time zone of this machine. Another text is returned unchanged, because the hub checks it."""
    if TIME_OF_DAY.fullmatch(text):
        now = run_or_exit(read_time(hub.url, token), hub)
        at = _at_time_of_day(text, now)
        return (at if at > now else _at_time_of_day(text, now + timedelta(days=1))).isoformat()
    return time_after(text, option, hub, token) if DURATION_START.match(text) else text


def time_after(duration: str, option: str, hub: TargetHub, token: str) -> str:
    """Return the time of the hub plus a duration."""
    seconds = parse_duration(duration, option)
    return (run_or_exit(read_time(hub.url, token), hub) + timedelta(seconds=seconds)).isoformat()


def to_instant(text: str, option: str, now: datetime) -> str:
    """Return a time in RFC 3339 format. A time of day is the last one before `now` in the time zone of this machine.
    Exit if the text is not a time."""
    if TIME_OF_DAY.fullmatch(text):
        at = _at_time_of_day(text, now)
        return rfc3339(utc_time.floor_ms(at if at <= now else _at_time_of_day(text, now - timedelta(days=1))))
    if _is_duration(text):
        return rfc3339(utc_time.floor_ms(now - timedelta(seconds=parse_duration(text, option))))
    try:
        return rfc3339(utc_time.parse(text))
    except ValueError:
        fail(f"{option} {text}: use {FORMATS}.", 2)


def _at_time_of_day(text: str, day: datetime) -> datetime:
    """Return a time of day, such as 10:00, on this day in the time zone of this machine."""
    local = day.astimezone().replace(tzinfo=None)
    return local.replace(hour=int(text[:-3]), minute=int(text[-2:]), second=0, microsecond=0).astimezone()


def _is_duration(text: str) -> bool:
    return text.startswith("P") or SHORT_DURATION.fullmatch(text.upper()) is not None
