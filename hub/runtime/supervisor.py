"""The processes of `hub serve --workers` and `hub work --workers`, which share their sockets.

- The first process starts alone. The others start when it is ready. If it ends before, the command ends with its exit
  code, because the cause is a setting or a store.
- A process that ends later is started again after FIRST_PAUSE_S. The pause doubles, up to MAX_PAUSE_S, until a process
  has run for STABLE_S. A process that answers nothing for HUNG_S is killed first.
- SIGTERM and SIGINT are sent to all processes. They stop as they do alone, and the command ends after the last one.
- If the command itself is killed, its processes stop as after SIGTERM.
- The processes ask each other for metrics and readiness, so any of them can respond for all.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess

import structlog

from hub.platform import metrics
from hub.platform.process_group import GroupSockets, ProcessGroup, ask
from hub.settings import Settings

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
STABLE_S = 60.0
CHECK_EVERY_S = 10.0
HUNG_S = 60.0
EXIT_SIGNAL = 128  # is added to the number of the signal that ended a process, as shells do
STOPPED_AT_START = {EXIT_SIGNAL + signal.SIGTERM, EXIT_SIGNAL + signal.SIGINT}  # before a process handled signals

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """What one of the processes gets from the command. `restarts`: how often it was started again."""

    index: int
    restarts: int
    settings: Settings
    listeners: Sequence[socket.socket]
    sockets: GroupSockets

    @contextmanager
    def join(self) -> Iterator[ProcessGroup]:
        """Yield the group of this process. End this process as after SIGTERM when the command has ended."""
        os.setpgid(0, 0)  # Ctrl-C reaches only the command, which sends it to all
        metrics.process_restarts.inc(self.restarts)
        command = multiprocessing.parent_process()
        assert command
        asyncio.get_running_loop().add_reader(command.sentinel, _stop_this_process, command.sentinel)
        try:
            yield ProcessGroup(self.index, self.sockets.questions, self.sockets.inboxes[self.index])
        finally:
            asyncio.get_running_loop().remove_reader(command.sentinel)
            self.sockets.close()


def _stop_this_process(sentinel: int) -> None:
    asyncio.get_running_loop().remove_reader(sentinel)
    os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """`target` runs a process and returns when it has stopped. `listeners` are bound."""

    def __init__(
        self, settings: Settings, listeners: Sequence[socket.socket], target: Callable[[Member], None]
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._target = target
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._sockets = GroupSockets.create(settings.workers)
        self._running: dict[int, SpawnProcess] = {}
        self._first_is_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Run the processes until SIGTERM or SIGINT, and return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(self._settings.workers):
                    group.create_task(self._keep_running(index))
        finally:
            self._sockets.close()
        return self._exit_code

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._first_is_ready.set()
        for process in self._running.values():
            if process.is_alive() and process.pid:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    async def _keep_running(self, index: int) -> None:
        if index > 0:
            await self._first_is_ready.wait()
        pause_s, restarts = 0.0, 0
        while not self._stopping.is_set():
            started_at = time.monotonic()
            exit_code = await self._run_once(index, restarts)
            if self._stopping.is_set() or not self._first_is_ready.is_set():
                self._exit_code = self._exit_code or (0 if exit_code in STOPPED_AT_START else exit_code)
                self._stop(signal.SIGTERM)
                return
            was_stable = time.monotonic() - started_at >= STABLE_S
            pause_s = FIRST_PAUSE_S if was_stable or not pause_s else min(2 * pause_s, MAX_PAUSE_S)
            log.warning("process_ended", process=index, exit_code=exit_code, restart_in_s=pause_s)
            restarts += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _run_once(self, index: int, restarts: int) -> int:
        """Start a process and return its exit code when it has ended."""
        member = Member(index, restarts, self._settings, self._listeners, self._sockets)
        self._sockets.discard_questions(index)  # to the process that has ended
        process = self._context.Process(target=self._target, args=(member,))
        process.start()
        self._running[index] = process
        log.info("process_started", process=index, pid=process.pid)
        watching = asyncio.create_task(self._watch(index, process))
        try:
            await _readable(process.sentinel)
        finally:
            watching.cancel()
        process.join()
        exit_code = process.exitcode or 0
        process.close()
        del self._running[index]
        return exit_code if exit_code >= 0 else EXIT_SIGNAL - exit_code

    async def _watch(self, index: int, process: SpawnProcess) -> None:
        """Note when the process is ready, and kill it if it hangs later."""
        if await ask(self._sockets.questions[index], b"alive", None):
            self._first_is_ready.set()
        while not self._stopping.is_set():
            await asyncio.sleep(CHECK_EVERY_S)
            if not await ask(self._sockets.questions[index], b"alive", HUNG_S) and not self._stopping.is_set():
                log.error("process_hung", process=index, pid=process.pid, silent_s=HUNG_S)
                process.kill()
                return


async def _readable(descriptor: int) -> None:
    """Return when the descriptor is readable."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
