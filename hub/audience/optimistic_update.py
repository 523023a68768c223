"""Changes of one document by reading it and writing what becomes of it, tried again until nobody else was faster."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

import pymongo

MAX_RETRY_DELAY_S = 0.01  # before the next try, when another process changed the same document

T = TypeVar("T")


class SerializedUpdates:
    """Within this process, changes of one document take turns."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, id: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """What `attempt` answers once it is not None. Raises PyMongoError at the deadline."""
        lock = self._locks.setdefault(id, asyncio.Lock())
        async with lock:
            with pymongo.timeout(self._deadline_s):
                while (after := await attempt()) is None:
                    await asyncio.sleep(random.uniform(0, MAX_RETRY_DELAY_S))  # noqa: S311 - jitter
                return after
