"""Optimistic updates: read a document, compute the new document, and write it if the stored one has not changed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

import pymongo

MAX_RETRY_DELAY_S = 0.01  # after a conflict with another process

T = TypeVar("T")


class SerializedUpdates:
    """Runs the updates of one document in sequence within this process."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, id: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """Call `attempt` until it returns a value, and return the value. Raise PyMongoError at the deadline."""
        lock = self._locks.setdefault(id, asyncio.Lock())
        async with lock:
            with pymongo.timeout(self._deadline_s):
                while (after := await attempt()) is None:
                    await asyncio.sleep(random.uniform(0, MAX_RETRY_DELAY_S))  # noqa: S311 - jitter
                return after
