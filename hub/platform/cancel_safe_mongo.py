"""A MongoDB client that is safe to use from tasks that are cancelled.

- A call in the driver runs until it finishes or reaches its `timeoutMS`, even if the waiting task is cancelled. PyMongo
  4.20 on Python 3.11 can lose the lock of its connection pool if a task that waits for a connection is cancelled twice.
  Every later call then waits forever. graphql-core, closed sockets, and shutdown cancel tasks.
- At most `max_calls` calls are in the driver at the same time. The pool has more connections, so no call waits for a
  connection in the driver. Further calls wait in this client, where they can be cancelled, until their deadline.

If a pool still gets stuck, `PoolWatchdog` ends the process.

Every PyMongo command calls one of the two methods that are overridden here. Both methods are private, so
`pyproject.toml` limits the version of PyMongo.
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

SPARE_CONNECTIONS = 4  # in each pool, for the driver's cleanup of cursors and for the watchdog
PING_EVERY_S = 5.0
PING_TIMEOUT_S = 3.0
BUSY_LOOP_S = 1.0  # pings also fail if the event loop is late by this much, so they are ignored then
STUCK_AFTER_S = 15.0  # time for which pings through the pool must fail while a new client gets a response
CLOSE_TIMEOUT_S = 1.0  # the server may be suspended
EXIT_STUCK = 70  # EX_SOFTWARE. A supervisor restarts the process.

_unqueued: ContextVar[bool] = ContextVar("_unqueued", default=False)

log = structlog.get_logger(__name__)


class Client(AsyncMongoClient[Document]):
    """An `AsyncMongoClient` with at most `max_calls` concurrent calls. It belongs to the running event loop.

    `options` are the options of AsyncMongoClient. Without `timeoutMS`, calls have no deadline.
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
        """Run a driver call in a separate task, which is never cancelled.

        Raise WaitQueueTimeoutError if no slot is free before the deadline."""
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
            raise WaitQueueTimeoutError("Too many concurrent calls to MongoDB: none ended in time") from None

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._slots.release()
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have been cancelled

    async def close(self) -> None:
        """Wait at most CLOSE_TIMEOUT_S for running calls, cancel the others, and close all connections."""
        if self._calls:
            _, running = await asyncio.wait(self._calls, timeout=CLOSE_TIMEOUT_S)
            for call in running:
                call.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        with pymongo.timeout(CLOSE_TIMEOUT_S):
            await super().close()


async def _without_queue(call: Coroutine[Any, Any, T]) -> T:
    """Run a call whose caller already has a slot or requires none."""
    _unqueued.set(True)
    return await call


class PoolWatchdog:
    """Ends the process if its connection pool is stuck while MongoDB responds to a new client.

    `end` is called once with the exit code."""

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
        """Run until cancelled, or until the pool is stuck."""
        responded_at = time.monotonic()
        while True:
            slept_at = time.monotonic()
            await asyncio.sleep(self._ping_every_s)
            busy = time.monotonic() - slept_at - self._ping_every_s > BUSY_LOOP_S
            if busy or await self._pool_responds():
                responded_at = time.monotonic()
            elif time.monotonic() - responded_at >= self._stuck_after_s and await self._is_stuck():
                log.critical("mongo_pool_stuck", seconds=round(time.monotonic() - responded_at), exit_code=EXIT_STUCK)
                self._end(EXIT_STUCK)
                return

    async def _is_stuck(self) -> bool:
        return await self._new_client_responds() and not await self._pool_responds()

    async def _pool_responds(self) -> bool:
        """Ping through the pool. A ping that hangs is not cancelled, because that could damage the pool. The
        next check waits for the same ping."""
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.create_task(_without_queue(_responds(self._client)))
        await asyncio.wait({self._pinging}, timeout=PING_TIMEOUT_S)
        return self._pinging.done() and self._pinging.result()

    async def _new_client_responds(self) -> bool:
        timeout_ms = int(PING_TIMEOUT_S * 1000)
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            self._url, maxPoolSize=1, timeoutMS=timeout_ms, serverSelectionTimeoutMS=timeout_ms
        )
        try:
            return await _responds(client)
        finally:
            with pymongo.timeout(CLOSE_TIMEOUT_S), suppress(PyMongoError):
                await client.close()


async def _responds(client: AsyncMongoClient[Document]) -> bool:
    try:
        with pymongo.timeout(PING_TIMEOUT_S):
            await client.admin.command("ping")
    except PyMongoError:
        return False
    return True
