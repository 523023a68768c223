"""The supervisor of `--workers`, with processes that do nothing."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from hub.runtime import supervisor
from hub.runtime.supervisor import Member, Supervisor
from hub.settings import Settings
from tests import supervised
from tests.client import eventually

KILLED = 128 + signal.SIGKILL


def settings(**values: object) -> Settings:
    return Settings.model_validate({"jwt_secret": "s" * 32, "workers": 2, **values})


@asynccontextmanager
async def running(target: Callable[[Member], None]) -> AsyncIterator[tuple[list[EventDict], "asyncio.Task[int]"]]:
    """Yield the log and the task of a supervisor with two processes. It must be stopped."""
    with capture_logs() as log:
        task = asyncio.create_task(Supervisor(settings(), [], target).run())
        try:
            yield log, task
        except BaseException:
            task.cancel()
            raise
        assert await task == 0


def events(log: list[EventDict], name: str, process: int) -> list[EventDict]:
    return [line for line in log if line["event"] == name and line["process"] == process]


async def wait_for(log: list[EventDict], name: str, process: int, count: int) -> EventDict:
    """Return the newest event when there are that many."""

    async def found() -> bool:
        return len(events(log, name, process)) >= count

    await eventually(found)
    return events(log, name, process)[-1]


async def test_pause_before_a_restart_grows_and_the_other_process_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(supervisor, "MAX_PAUSE_S", 0.03)
    async with running(supervised.run) as (log, task):
        for kills in range(1, 5):
            started = await wait_for(log, "process_started", 1, kills)
            os.kill(started["pid"], signal.SIGKILL)
            await wait_for(log, "process_ended", 1, kills)
        assert [line["restart_in_s"] for line in events(log, "process_ended", 1)] == [0.01, 0.02, 0.03, 0.03]
        assert {line["exit_code"] for line in events(log, "process_ended", 1)} == {KILLED}
        assert len(events(log, "process_started", 0)) == 1
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            await asyncio.wait([task])


async def test_process_that_hangs_is_killed_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CHECK_EVERY_S", 0.2)
    monkeypatch.setattr(supervisor, "HUNG_S", 2.0)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    async with running(supervised.run_and_hang) as (log, _):
        for process in (0, 1):
            await wait_for(log, "process_hung", process, 1)
            assert (await wait_for(log, "process_ended", process, 1))["exit_code"] == KILLED
            await wait_for(log, "process_started", process, 2)
        os.kill(os.getpid(), signal.SIGTERM)


async def test_command_ends_with_the_exit_code_of_a_first_process_that_does_not_become_ready() -> None:
    with capture_logs() as log:
        task = Supervisor(settings(mongo_database=supervised.BROKEN), [], supervised.run).run()
        assert await task == supervised.BROKEN_EXIT_CODE
    assert [(line["event"], line["process"]) for line in log] == [("process_started", 0)], "the second was started"
