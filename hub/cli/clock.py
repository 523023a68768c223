"""`hub clock`: show the hub's clock, and move it forward in development."""

from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from hub.cli.api_client import call_clock, run_or_exit, wait_for_restart
from hub.cli.data_dir import DataDirectory
from hub.cli.target_hub import DEFAULT_DATA, Data, TargetHub, Token, Url, fail, resolve_hub
from hub.cli.token import parse_duration
from hub.model import Role

MORNING = "08:00"


class ClockAction(StrEnum):
    SHOW = "show"
    ADVANCE = "advance"
    TOMORROW = "tomorrow"
    RESET = "reset"


def clock(
    action: Annotated[
        ClockAction,
        typer.Argument(help="Show the time, advance the clock by a duration, advance it to tomorrow, or reset it."),
    ] = ClockAction.SHOW,
    value: Annotated[
        str,
        typer.Argument(
            help="The duration for `advance`, such as 24h or PT24H. The local time for `tomorrow`, such as 08:00.",
            show_default=f"{MORNING} for `tomorrow`",
        ),
    ] = "",
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete all data of the `hub dev` process, which `reset` requires.")
    ] = False,
    url: Url = "",
    token: Token = "",
    data: Data = DEFAULT_DATA,
) -> None:
    """Show the clock of a hub in development mode, or move it forward.

    After an advance, everything that is scheduled becomes due as if the time had passed: snoozes, expirations, and
    retries. Calls that are under way are not affected. The clock cannot go back, because cursors and ids contain times.

    Example: hub clock advance 24h
    """
    if delete_data != (action is ClockAction.RESET):
        fail(
            "The clock can be reset only together with the data, because cursors and ids contain times. To delete all "
            "data of the hub dev process and start it again, use `hub clock reset --delete-data`."
            if action is ClockAction.RESET
            else "--delete-data is an option of `hub clock reset`.",
            2,
        )
    by = timedelta(seconds=parse_duration(value, "advance")) if action is ClockAction.ADVANCE else None
    at = _parse_time(value or MORNING) if action is ClockAction.TOMORROW else None
    hub = resolve_hub(url, token, data)
    if action is ClockAction.RESET:
        _reset(hub, DataDirectory(data))
        return
    shown = _call(hub, "GET")
    if at is not None:
        now = _time_of(shown)
        by = datetime.combine(now.date() + timedelta(days=1), at).astimezone() - now
    if by is not None:
        shown = _call(hub, "POST", advance=f"PT{by.total_seconds():.3f}S")
    ahead = timedelta(milliseconds=shown["aheadMs"])
    print(f"{_time_of(shown):%Y-%m-%d %H:%M:%S %z}{f', {ahead} ahead of real time' if ahead else ''}")


def _reset(hub: TargetHub, folder: DataDirectory) -> None:
    """Delete the data, and return when the hub has started again. Other commands find it in `folder` then."""
    in_folder = folder.running is not None and folder.running.url == hub.url
    _call(hub, "POST", "/dev/clock/reset")
    print("The hub deletes its data and starts again.", flush=True)
    token = hub.token(user=None, role=Role.SERVICE, tenant="default")
    run_or_exit(wait_for_restart(hub.url, token, lambda: not in_folder or folder.running is not None), hub)


def _call(hub: TargetHub, method: str, path: str = "/dev/clock", **body: Any) -> dict[str, Any]:
    token = hub.token(user=None, role=Role.SERVICE, tenant="default")
    response = run_or_exit(call_clock(hub.url, token, method, path, **body), hub)
    if response is None:
        fail(
            f"The hub at {hub.url} is in production: its clock is real time and cannot be moved. Use `hub clock` with "
            "`hub dev`, or with HUB_MODE=development."
        )
    return response


def _time_of(shown: dict[str, Any]) -> datetime:
    """Return the hub's time in the time zone of this machine."""
    return datetime.fromisoformat(shown["now"]).astimezone()


def _parse_time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        fail(f"tomorrow {text}: use a local time such as {MORNING}.", 2)
