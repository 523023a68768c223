"""Skips deliveries on other channels after a notification was read.

It runs in the background after the commit. It is an optimization: the check before each call is authoritative.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.status.deliveries import Deliveries

BATCH_SIZE = 200  # notifications per batch
QUEUE_MAX = 50_000

log = structlog.get_logger(__name__)


class ReadPropagation:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._queue: deque[str] = deque(maxlen=QUEUE_MAX)
        self._not_empty = asyncio.Event()

    def put(self, notifications: Sequence[str]) -> None:
        """Queue notifications that were read and have deliveries on other channels."""
        self._queue.extend(notifications)
        self._not_empty.set()

    async def run(self) -> None:
        """Skip until cancelled."""
        while True:
            if not self._queue:
                self._not_empty.clear()
                await self._not_empty.wait()
            await self._skip_batch()

    async def flush(self) -> None:
        """Skip what is left after `run` has ended."""
        while self._queue:
            await self._skip_batch()

    async def _skip_batch(self) -> None:
        read = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE))]
        try:
            await self._deliveries.skip_read(read)
        except PyMongoError as error:
            log.warning("read_propagation_failed", error=repr(error), notifications=len(read))
