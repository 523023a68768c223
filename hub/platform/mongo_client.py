"""MongoDB's client, with two guarantees that PyMongo does not give.

- A call runs inside the driver to its end, or to its own `timeoutMS`, even if the task that waits for it is cancelled.
  PyMongo 4.20 on Python 3.11 can lose the lock of its connection pool when a task that waits for a connection is
  cancelled twice; every later call then waits for ever. graphql-core, closing sockets and shutdown all cancel tasks.
- At most `max_calls` calls are inside the driver at once, fewer than the pool has connections, so no call waits for a
  connection inside the driver. Further calls wait here, where waiting may be cancelled, until their own deadline.

`PoolWatchdog` ends a process whose pool is stuck anyway.

Every command of PyMongo passes one of the two methods that are overridden here; both are private, so the version of
PyMongo is bounded in `pyproject.toml`.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

import pymongo
import structlog
from pymongo import AsyncMongoClient, _csot
from pymongo.errors import PyMongoError, WaitQueueTimeoutError

T = TypeVar("T")
Document = dict[str, Any]

SPARE_CONNECTIONS = 4  # of each pool: for the driver's own clean-up of cursors, and for the watchdog
PING_EVERY_S = 5.0
PING_TIMEOUT_S = 3.0
BUSY_LOOP_S = 1.0  # an event loop that is this late makes pings fail by itself: that says nothing about the pool
STUCK_AFTER_S = 15.0  # pings through the pool fail for so long while a fresh client gets through
CLOSE_TIMEOUT_S = 1.0  # the server may be frozen
EXIT_STUCK = 70  # EX_SOFTWARE: a supervisor starts the process again

_unqueued: ContextVar[bool] = ContextVar("_unqueued", default=False)

log = structlog.get_logger(__name__)


class Client(AsyncMongoClient[Document]):
    """An `AsyncMongoClient` for at most `max_calls` calls at once. It belongs to the running event loop.

    `options` are those of AsyncMongoClient; `timeoutMS` should be among them, or calls have no deadline.
    """

    def __init__(self, url: str, max_calls: int, **options: Any) -> None:
        self._slots = asyncio.Semaphore(max_calls)
        self._calls: set[asyncio.Task[Any]] = set()
        super().__init__(url, maxPoolSize=max_calls + SPARE_CONNECTIONS, **options)

    async def _retry_internal(self, *arguments: Any, **options: Any) -> Any:
        return await self._run(super()._retry_internal(*arguments, **options))

    async def _kill_cursors(self, *arguments: Any, **options: Any) -> None:
        await self._run(super()._kill_cursors(*arguments, **options))

    async def _run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run one call of the driver in a task of its own, which nobody cancels.

        Raises WaitQueueTimeoutError if the call's deadline passes before it may start.
        """
        if _unqueued.get():
            return await call
        try:
            await self._take_slot()
        except BaseException:
            call.close()
            raise
        task = asyncio.create_task(_without_queue(call))
        self._calls.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    async def _take_slot(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(_csot.remaining()):
                await self._slots.acquire()
        except TimeoutError:
            raise WaitQueueTimeoutError("Too many calls to MongoDB are under way: none ended in time") from None

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._slots.release()
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone

    async def close(self) -> None:
        """Close all connections, after a moment for calls that are under way."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=CLOSE_TIMEOUT_S)
        with pymongo.timeout(CLOSE_TIMEOUT_S):
            await super().close()


async def _without_queue(call: Coroutine[Any, Any, T]) -> T:
    """A call that another one makes has its slot already."""
    _unqueued.set(True)
    return await call


class PoolWatchdog:
    """Ends the process when its connection pool is stuck while MongoDB answers others.

    `end` is called once with the exit code.
    """

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        url: str,
        *,
        ping_every_s: float = PING_EVERY_S,
        stuck_after_s: float = STUCK_AFTER_S,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self._client = client
        self._url = url
        self._ping_every_s = ping_every_s
        self._stuck_after_s = stuck_after_s
        self._end = end
        self._pinging: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Until cancelled, or until the process has been ended."""
        answered_at = time.monotonic()
        while True:
            slept_at = time.monotonic()
            await asyncio.sleep(self._ping_every_s)
            busy = time.monotonic() - slept_at - self._ping_every_s > BUSY_LOOP_S
            if busy or await self._pool_answers():
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at >= self._stuck_after_s and await self._is_stuck():
                log.critical("mongo_pool_stuck", seconds=round(time.monotonic() - answered_at), exit_code=EXIT_STUCK)
                self._end(EXIT_STUCK)
                return

    async def _is_stuck(self) -> bool:
        return await self._fresh_client_answers() and not await self._pool_answers()

    async def _pool_answers(self) -> bool:
        """A ping that hangs is left alone: cancelling it could do harm, and one is enough."""
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.create_task(_without_queue(_answers(self._client)))
        await asyncio.wait({self._pinging}, timeout=PING_TIMEOUT_S)
        return self._pinging.done() and self._pinging.result()

    async def _fresh_client_answers(self) -> bool:
        milliseconds = int(PING_TIMEOUT_S * 1000)
        fresh: AsyncMongoClient[Document] = AsyncMongoClient(
            self._url, maxPoolSize=1, timeoutMS=milliseconds, serverSelectionTimeoutMS=milliseconds
        )
        try:
            return await _answers(fresh)
        finally:
            with pymongo.timeout(CLOSE_TIMEOUT_S), suppress(PyMongoError):
                await fresh.close()


async def _answers(client: AsyncMongoClient[Document]) -> bool:
    try:
        with pymongo.timeout(PING_TIMEOUT_S):
            await client.admin.command("ping")
    except PyMongoError:
        return False
    return True
