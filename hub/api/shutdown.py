"""The end of an API process: `/readyz` returns 503, then its WebSockets and event streams end over HUB_DRAIN_S, then
the rest."""

import asyncio
import random
from contextlib import suppress


class Shutdown:
    """`streams` is the number of open event streams."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._closing = asyncio.Event()
        self._drain_s = 0.0
        self.streams = 0

    @property
    def has_begun(self) -> bool:
        return self._begun.is_set()

    def begin(self, drain_s: float) -> None:
        """Begin to end event streams. All have ended after `drain_s`."""
        self._drain_s = drain_s
        self._begun.set()

    def close(self) -> None:
        """End all event streams now."""
        self._begun.set()
        self._closing.set()

    async def wait_turn(self) -> None:
        """Wait until an event stream must end, at a random time of the drain."""
        self.streams += 1
        try:
            await self._begun.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, self._drain_s)):  # noqa: S311 - jitter
                    await self._closing.wait()
        finally:
            self.streams -= 1
