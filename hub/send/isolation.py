"""In whose company a provider is called: beside other calls of the process, or alone.

A worker that dies takes every call under way with it, and nobody can say which of them it died of. Of one that was
alone it can be said. All dispatchers of a process share one company.

What it guarantees
- While somebody is alone, nobody else is prepared or called.
- Nobody starves: who wants to be alone waits for those under way and for no newcomer; newcomers wait for one who is
  alone, and go before the next.
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
        self._exclusive_lock = asyncio.Lock()  # first come, first served

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Beside others."""
        while not self._shared_allowed.is_set():
            await self._shared_allowed.wait()
        self.acquire_shared()
        try:
            yield
        finally:
            self.release_shared()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Without others."""
        async with self._exclusive_lock:
            await asyncio.sleep(0)  # newcomers whom the one before has just let in are present by then
            self._shared_allowed.clear()
            try:
                await self._no_holders.wait()
                yield
            finally:
                self._shared_allowed.set()

    def acquire_shared(self) -> None:
        """One more, whom somebody brings along who is present himself. He stays until `leave`."""
        self._holders += 1
        self._no_holders.clear()

    def release_shared(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._no_holders.set()
