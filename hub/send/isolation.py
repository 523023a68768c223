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


class Company:
    def __init__(self) -> None:
        self._present = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._open = asyncio.Event()
        self._open.set()
        self._turn = asyncio.Lock()  # first come, first served

    @asynccontextmanager
    async def among(self) -> AsyncIterator[None]:
        """Beside others."""
        while not self._open.is_set():
            await self._open.wait()
        self.join()
        try:
            yield
        finally:
            self.leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Without others."""
        async with self._turn:
            await asyncio.sleep(0)  # newcomers whom the one before has just let in are present by then
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()

    def join(self) -> None:
        """One more, whom somebody brings along who is present himself. He stays until `leave`."""
        self._present += 1
        self._empty.clear()

    def leave(self) -> None:
        self._present -= 1
        if not self._present:
            self._empty.set()
