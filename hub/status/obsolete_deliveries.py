"""The background task that ends the waiting deliveries of notifications that were read or replaced.

The task runs after the commit. It is only an optimization, because the check before each call is authoritative.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.model import Reason
from hub.platform.batch_queue import BatchQueue
from hub.status.deliveries import Deliveries

BATCH_SIZE = 200  # notifications per batch
QUEUE_MAX = 50_000

log = structlog.get_logger(__name__)


class ObsoleteDeliveries:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._queue: BatchQueue[tuple[str, Reason]] = BatchQueue(self._end, BATCH_SIZE, QUEUE_MAX)

    def put(self, notifications: Mapping[str, Reason]) -> None:
        """Queue notifications whose waiting deliveries end, with the reason. If the queue is full, log that and discard
        them."""
        if not self._queue.put(list(notifications.items())):
            log.warning("obsolete_deliveries_queue_full", notifications=len(notifications), throttled=True)

    async def run(self) -> None:
        """End deliveries until cancelled."""
        await self._queue.run()

    async def flush(self) -> None:
        """End the deliveries that are still queued after `run` has ended."""
        await self._queue.flush()

    async def _end(self, batch: Sequence[tuple[str, Reason]]) -> None:
        by_reason: dict[Reason, list[str]] = defaultdict(list)
        for notification, reason in batch:
            by_reason[reason].append(notification)
        for reason, notifications in by_reason.items():
            try:
                await self._deliveries.end(notifications, reason)
            except PyMongoError as error:
                log.warning("ending_deliveries_failed", error=repr(error), notifications=len(notifications))
