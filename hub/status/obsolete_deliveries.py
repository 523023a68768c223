"""The background task that ends waiting deliveries after a notification was read, snoozed, or replaced.

The task runs after the commit. It is only an optimization, because the check before each call is authoritative.
"""

from collections import defaultdict
from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.model import Reason, StepStop
from hub.platform.batch_queue import BatchQueue
from hub.status.deliveries import Deliveries

BATCH_SIZE = 200  # notifications per batch
QUEUE_MAX = 50_000
ObsoleteGroup = tuple[str, Reason, StepStop | None]
"""The id of a notification, the reason, and what stopped the deliveries. None: all deliveries of the notification."""

log = structlog.get_logger(__name__)


class ObsoleteDeliveries:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._queue: BatchQueue[ObsoleteGroup] = BatchQueue(self._end, BATCH_SIZE, QUEUE_MAX)

    def put(self, groups: Sequence[ObsoleteGroup]) -> None:
        """Queue deliveries that end. If the queue is full, log that and discard them."""
        if not self._queue.put(groups):
            log.warning("obsolete_deliveries_queue_full", notifications=len(groups), throttled=True)

    async def run(self) -> None:
        """End deliveries until cancelled."""
        await self._queue.run()

    async def flush(self) -> None:
        """End the deliveries that are still queued after `run` has ended."""
        await self._queue.flush()

    async def _end(self, batch: Sequence[ObsoleteGroup]) -> None:
        by_reason: dict[tuple[Reason, StepStop | None], list[str]] = defaultdict(list)
        for notification, reason, unless in batch:
            by_reason[reason, unless].append(notification)
        for (reason, unless), notifications in by_reason.items():
            try:
                await self._deliveries.end(notifications, reason, unless)
            except PyMongoError as error:
                log.warning("ending_deliveries_failed", error=repr(error), notifications=len(notifications))
