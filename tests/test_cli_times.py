"""The times that options of commands accept."""

from datetime import UTC, datetime

import pytest

from hub.cli.time_options import to_instant


def test_times_are_durations_ago_times_of_day_or_instants() -> None:
    now = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)
    local = now.astimezone()
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    assert to_instant("2h", "--since", now) == to_instant("PT2H", "--since", now) == "2026-11-30T10:00:30.000Z"
    assert to_instant("0:00", "--since", now) == f"{midnight:%Y-%m-%dT%H:%M:%S}.000Z"
    assert to_instant(f"{local:%H:%M}", "--since", now) == "2026-11-30T12:00:00.000Z"
    later = datetime(2026, 11, 30, 12, 1, tzinfo=UTC).astimezone()
    assert to_instant(f"{later:%H:%M}", "--since", now) == "2026-11-29T12:01:00.000Z"
    assert to_instant("2026-11-30T08:00:00+01:00", "--since", now) == "2026-11-30T07:00:00.000Z"
    for text in ("soon", "25:00", "2026-11-30", "1x", "10"):
        with pytest.raises(SystemExit):
            to_instant(text, "--since", now)
