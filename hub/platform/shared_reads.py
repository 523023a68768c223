"""Reads that concurrent callers share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
T = TypeVar("T")


class SharedReads(Generic[K, T]):
    """Calls `read` for a key once at a time. Callers that arrive before a read begins share its result.

    A read never begins before a call that it answers, so a caller sees its own earlier writes."""

    def __init__(self, read: Callable[[K], Awaitable[T]]) -> None:
        self._read = read
        self._waiting: dict[K, asyncio.Task[T]] = {}
        self._locks: WeakValueDictionary[K, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: K) -> T:
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(self._run(key))
        return await asyncio.shield(task)  # a caller that is cancelled does not cancel the others

    async def _run(self, key: K) -> T:
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            del self._waiting[key]
            return await self._read(key)
