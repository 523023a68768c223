"""Durations in ISO 8601 format, with weeks, days, hours, minutes, and seconds.

Years and months are rejected because their length varies.
"""

import re

DAY_S = 86_400
UNITS_S = (7 * DAY_S, DAY_S, 3600, 60, 1)
MAX_CHARS = 64
DURATION = re.compile(r"P(?!$)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)


def parse(text: str) -> float:
    """Return the seconds of a duration such as P1DT12H or PT1.5S. Raise ValueError if `text` is not a duration."""
    match = DURATION.fullmatch(text) if len(text) <= MAX_CHARS else None
    if match is None:
        raise ValueError("a duration is in ISO 8601 format, such as PT15M or P1D")
    return sum(float(number) * unit for number, unit in zip(match.groups(), UNITS_S, strict=True) if number)


def format(seconds: int) -> str:
    """Return the duration in ISO 8601 format, such as P1DT12H or PT30S."""
    days, rest = divmod(seconds, DAY_S)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number)
    if not days and not time:
        return "PT0S"
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}"
