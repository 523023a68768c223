"""A shared/exclusive lock that isolates a suspected poison job from all other calls of the process.

When a worker process dies, each running job may be the cause. If a job runs in isolation, it is the only possible
cause. All dispatchers of a process share one lock.

Guarantees
- While the lock is held exclusively, no other job is prepared or called.
- No starvation: an exclusive request waits only for the running calls, not for new ones. New shared requests wait for
  the current exclusive holder and acquire the lock before the next exclusive request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class IsolationLock:
    def __init__(self) -> None:
        self._holders = 0
        self._no_holders = asyncio.Event()
        self._no_holders.set()
        self._shared_allowed = asyncio.Event()
        self._shared_allowed.set()
        self._exclusive_lock = asyncio.Lock()  # fair: first come, first served

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the lock in shared mode."""
        while not self._shared_allowed.is_set():
            await self._shared_allowed.wait()
        self.acquire_shared()
        try:
            yield
        finally:
            self.release_shared()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold the lock in exclusive mode."""
        async with self._exclusive_lock:
            await asyncio.sleep(0)  # first admit the shared requests that waited for the previous exclusive holder
            self._shared_allowed.clear()
            try:
                await self._no_holders.wait()
                yield
            finally:
                self._shared_allowed.set()

    def acquire_shared(self) -> None:
        """Add a shared holder. The caller must hold the lock in either mode, and must call `release_shared` later."""
        self._holders += 1
        self._no_holders.clear()

    def release_shared(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._no_holders.set()
