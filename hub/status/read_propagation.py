"""The background task that skips deliveries on other channels after a notification was read.

The task runs after the commit. It is only an optimization, because the check before each call is authoritative.
"""

from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.platform.batch_queue import BatchQueue
from hub.status.deliveries import Deliveries

BATCH_SIZE = 200  # notifications per batch
QUEUE_MAX = 50_000

log = structlog.get_logger(__name__)


class ReadPropagation:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._queue: BatchQueue[str] = BatchQueue(self._skip, BATCH_SIZE, QUEUE_MAX)

    def put(self, notifications: Sequence[str]) -> None:
        """Queue notifications that were read and have deliveries on other channels. If the queue is full, log that and
        discard them."""
        if not self._queue.put(notifications):
            log.warning("read_propagation_queue_full", notifications=len(notifications), throttled=True)

    async def run(self) -> None:
        """Skip deliveries until cancelled."""
        await self._queue.run()

    async def flush(self) -> None:
        """Skip the deliveries that are still queued after `run` has ended."""
        await self._queue.flush()

    async def _skip(self, notifications: Sequence[str]) -> None:
        try:
            await self._deliveries.skip_read(notifications)
        except PyMongoError as error:
            log.warning("read_propagation_failed", error=repr(error), notifications=len(notifications))
