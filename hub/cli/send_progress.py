"""A send in the terminal until all its deliveries have ended: `hub send --follow` and `hub watch --send`.

A terminal shows one block, which is updated in place. Other outputs get one line for each change. If the connection is
lost, the command reconnects with exponential backoff and full jitter.
"""

import os
import shlex
import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from hub.cli.hub_socket import Backoff, ConnectionLost, PermanentError, open_connection, run_until_interrupted
from hub.cli.target_hub import DEFAULT_DATA, TargetHub
from hub.model import DeliveryStatus, SendStatus
from hub.outbox.states import WAITING

SUBSCRIPTION = """subscription ($id: ID!) {
  send(id: $id) {
    id status reason pausedReason sendAt recipients total remaining counts { channel status count }
  }
}"""
UNFINISHED = (*WAITING, DeliveryStatus.PROCESSING)
BAR_CHARS = 20
DEFAULT_COLUMNS = 100
INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended

State = dict[str, Any]


def target_options(url: str, tenant: str, data: Path) -> str:
    """Return the options with which another command calls the same hub."""
    given = {"--url": url, "--tenant": tenant if tenant != "default" else "", "--data": data != DEFAULT_DATA and data}
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value)


def follow_send(id: str, hub: TargetHub, fresh_token: Callable[[], str], options: str) -> NoReturn:
    """Print the progress of a send until all its deliveries have ended, and exit: with 0, or with 1 if a delivery
    failed or the send was not published or was taken back. `options`: those of the commands that it recommends."""
    printer = ProgressPrinter(id, options)

    def interrupted() -> NoReturn:
        printer.interrupted()
        sys.exit(INTERRUPTED)

    state = run_until_interrupted(_follow(id, hub, fresh_token, printer), hub, interrupted)
    sys.exit(1 if state and not printer.end(state) else 0)


async def _follow(id: str, hub: TargetHub, fresh_token: Callable[[], str], printer: "ProgressPrinter") -> State | None:
    """Return the last state."""
    backoff = Backoff(printer.lost)
    state: State | None = None
    while True:
        try:
            async with open_connection(hub, fresh_token()) as connection:
                await connection.subscribe(SUBSCRIPTION, id=id)
                while (payload := await connection.next()) is not None:
                    state = payload["send"]
                    printer.state(state)
                    backoff.reset()
                return state
        except ConnectionLost as lost:
            if state is None:
                raise PermanentError(str(lost)) from None
            await backoff.wait(str(lost))


class ProgressPrinter:
    def __init__(self, id: str, options: str) -> None:
        self._options = f"--send {id}{options}"
        self._resume = f"To continue: hub sends resume {id}{options}"
        self._in_place = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._lines = 0  # of the block that the next state replaces
        self._reason: str | None = None  # that was printed

    def state(self, state: State) -> None:
        counts = _by_channel(state)
        resume = [self._resume] if state["status"] == SendStatus.PAUSED else []
        if not self._in_place:
            reason = _reason(state)
            is_new, self._reason = reason != self._reason, reason
            parts = [
                _heading(state, reason if is_new else None),
                *(f"{channel}: {_statuses(counts[channel])}" for channel in counts),
            ]
            self._print(f"{datetime.now().astimezone():%H:%M:%S}  {' · '.join(parts)}")
            if resume and is_new:
                self._print(resume[0])
            return
        columns = shutil.get_terminal_size((DEFAULT_COLUMNS, 0)).columns
        expansion = [f"{'Recipients':<11} {_bar(state['recipients'], state['total'])}"] if _expands(state) else []
        heading = textwrap.wrap(_heading(state, _reason(state)), columns - 1)  # a reason may be long
        rows = [*heading, *expansion, *(f"{channel:<11} {_row(counts[channel])}" for channel in counts), *resume]
        erase = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
        self._print(erase + "\n".join(row[: columns - 1] for row in rows))  # a longer row would take two lines
        self._lines = len(rows)

    def lost(self, cause: str) -> None:
        self._print(f"{cause} Reconnecting.")
        self._lines = 0  # the block stays above the message

    def interrupted(self) -> None:
        self._print("" if self._in_place else "Interrupted.")
        self._print(f"The send continues. To follow it again: hub watch {self._options}")

    def end(self, state: State) -> bool:
        """Print the result. Return True if the send was published and no delivery failed."""
        failed = sum(row["count"] for row in state["counts"] if row["status"] == DeliveryStatus.FAILED)
        if state["status"] != SendStatus.ACCEPTED:
            self._print(f"The send is {state['status']}.")
        elif failed:
            deliveries = "1 delivery" if failed == 1 else f"{failed} deliveries"
            self._print(f"{deliveries} FAILED. To send again: hub replay {self._options}")
        else:
            self._print("All deliveries have ended.")
        return state["status"] == SendStatus.ACCEPTED and not failed

    def _print(self, text: str) -> None:
        print(text, flush=True)


def _by_channel(state: State) -> dict[str, dict[str, int]]:
    """Return the counts by channel and status."""
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in state["counts"]:
        counts[row["channel"]][row["status"]] = row["count"]
    return counts


def _reason(state: State) -> str | None:
    reason: str | None = state["pausedReason"] or state["reason"]
    return reason


def _heading(state: State, reason: str | None) -> str:
    recipients = "1 recipient" if state["recipients"] == 1 else f"{state['recipients']:,} recipients"
    if _expands(state):
        recipients = f"{state['recipients']:,} of {state['total']:,} recipients"
    until = f" for {state['sendAt']}" if state["status"] == SendStatus.SCHEDULED else ""
    if state["status"] == SendStatus.PREPARING:
        until = " (waits for the enrichment of its category)"
    remaining = f", {state['remaining']:,} still to change" if state["remaining"] else ""
    return f"{state['status']}{until}{f' ({reason})' if reason else ''}, {recipients}{remaining}"


def _expands(state: State) -> bool:
    """Return True if the send has not reached all its recipients."""
    total = state["total"]
    return total is not None and (state["status"] == SendStatus.EXPANDING or state["recipients"] < total)


def _row(counts: dict[str, int]) -> str:
    """Return a bar of the deliveries that have ended, and the counts."""
    total = sum(counts.values())
    ended = total - sum(counts.get(status, 0) for status in UNFINISHED)
    return f"{_bar(ended, total)}  {_statuses(counts)}"


def _bar(done: int, total: int) -> str:
    filled = BAR_CHARS * done // max(1, total)
    return f"[{'#' * filled}{'-' * (BAR_CHARS - filled)}] {done:,} of {total:,}"


def _statuses(counts: dict[str, int]) -> str:
    return ", ".join(f"{status} {count:,}" for status, count in counts.items())
