"""Read once, quiet everywhere: what follows the commit of a read. Nobody waits for it, and nothing depends on it: the
last question before each call decides."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.status.deliveries import Deliveries

BATCH_SIZE = 200  # notifications a round
QUEUE_MAX = 50_000

log = structlog.get_logger(__name__)


class ReadPropagation:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._queue: deque[str] = deque(maxlen=QUEUE_MAX)
        self._not_empty = asyncio.Event()

    def put(self, notifications: Sequence[str]) -> None:
        """Queues notifications that were read and have deliveries elsewhere."""
        self._queue.extend(notifications)
        self._not_empty.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self._queue:
                self._not_empty.clear()
                await self._not_empty.wait()
            await self._skip_batch()

    async def flush(self) -> None:
        """What is queued, when `run` has ended."""
        while self._queue:
            await self._skip_batch()

    async def _skip_batch(self) -> None:
        read = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE))]
        try:
            await self._deliveries.skip_read(read)
        except PyMongoError as error:
            log.warning("not_quietened", error=repr(error), notifications=len(read))
