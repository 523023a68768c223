"""Combines concurrent reads into few queries."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import Context
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

BATCH_MAX_KEYS = 1000


class _Batch(Generic[K, V]):
    def __init__(self) -> None:
        self.keys: set[K] = set()
        self.result: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()
        self.result.add_done_callback(asyncio.Future.exception)  # not logged if every caller was cancelled


class BatchedReads(Generic[K, V]):
    """Reads values by key. One query runs at a time, and the keys of later calls wait for the next query.

    A query never starts before a call that it answers, so a caller reads its own earlier writes."""

    def __init__(self, load: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._load = load
        self._waiting: deque[_Batch[K, V]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def get_many(self, keys: Collection[K]) -> Mapping[K, V]:
        """Return the values of `keys`, and perhaps of other keys."""
        if not self._waiting or len(self._waiting[-1].keys) + len(keys) > BATCH_MAX_KEYS:
            self._waiting.append(_Batch())
        batch = self._waiting[-1]
        batch.keys.update(keys)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), context=Context())
        return await asyncio.shield(batch.result)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # calls of the same turn of the event loop join
                batch = self._waiting.popleft()
                try:
                    batch.result.set_result(await self._load(batch.keys))
                except Exception as error:  # noqa: BLE001 - each caller raises it
                    batch.result.set_exception(error)
        finally:
            self._task = None
