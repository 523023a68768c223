"""A pass over stored documents, in batches, by one worker at a time.

The next pass begins EVERY_MS after the start of the last one. A worker that dies delays it at most that long. Two
passes at the same time are wasteful but harmless, because each change is checked again. After an error, a worker begins
the pass again.
"""

from collections.abc import AsyncGenerator, Callable

from hub.outbox.lanes import Lanes
from hub.platform.redis_errors import REDIS_ERRORS

EVERY_MS = 3_600_000


class HourlyPass:
    """`batches` yields the number of documents of each batch. `name` returns the name of the pass. A pass with another
    name begins immediately."""

    def __init__(self, lanes: Lanes, name: Callable[[], str], batches: Callable[[], AsyncGenerator[int, None]]) -> None:
        self._lanes = lanes
        self._name = name
        self._batches = batches
        self._running: AsyncGenerator[int, None] | None = None
        self._lock = ""

    async def tick(self) -> int:
        """Process the next batch of a pass. Return the number of documents that were read."""
        if self._running is None:
            name = self._name()
            try:
                if not await self._lanes.acquire_tick_lock(name, EVERY_MS):
                    return 0
            except REDIS_ERRORS:  # in a later round
                return 0
            self._running, self._lock = self._batches(), name
        try:
            size = await anext(self._running, None)
        except Exception:
            self._running = None
            await self._lanes.release_tick_lock(self._lock)
            raise
        if size is None:
            self._running = None
        return size or 0
