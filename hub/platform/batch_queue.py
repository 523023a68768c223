"""A bounded in-memory queue that one background task processes in batches."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from hub.platform.connections import is_cancelling

T = TypeVar("T")


class BatchQueue(Generic[T]):
    """A queue of items. `process` handles a batch of up to `batch_size` items and must handle its own errors."""

    def __init__(self, process: Callable[[list[T]], Awaitable[None]], batch_size: int, queue_max: int) -> None:
        self._process = process
        self._batch_size = batch_size
        self._queue_max = queue_max
        self._items: deque[T] = deque()
        self._not_empty = asyncio.Event()

    def put(self, items: Sequence[T]) -> bool:
        """Queue all items. If they do not fit, queue no item and return False."""
        if len(self._items) + len(items) > self._queue_max:
            return False
        self._items.extend(items)
        self._not_empty.set()
        return True

    async def run(self) -> None:
        """Process batches until cancelled."""
        while not is_cancelling():
            if not self._items:
                self._not_empty.clear()
                await self._not_empty.wait()
            await self._process_batch()

    async def flush(self) -> None:
        """Process the remaining items after `run` has ended."""
        while self._items:
            await self._process_batch()

    async def _process_batch(self) -> None:
        await self._process([self._items.popleft() for _ in range(min(len(self._items), self._batch_size))])
