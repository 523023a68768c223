"""Pushes committed jobs to their lanes, in the background.

A job that does not reach its lane becomes due in MongoDB: immediately if this can be stored, otherwise at `due_at`.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from pymongo.errors import PyMongoError

from hub.outbox.claims import Claims
from hub.outbox.lanes import Lanes
from hub.platform import metrics
from hub.platform.batch_queue import BatchQueue
from hub.platform.redis_errors import REDIS_ERRORS

BATCH_SIZE = 500  # ids per round trip
QUEUE_MAX = 50_000
LaneEntry = tuple[str, str]
"""A lane and a job id."""

log = structlog.get_logger(__name__)


class Enqueuer:
    def __init__(self, lanes: Lanes, claims: Claims[Any]) -> None:
        self._lanes = lanes
        self._claims = claims
        self._queue: BatchQueue[LaneEntry] = BatchQueue(self._push, BATCH_SIZE, QUEUE_MAX)

    def put(self, entries: Sequence[LaneEntry]) -> None:
        """Queue committed jobs. If the queue is full, the jobs are enqueued when they become due."""
        if not self._queue.put(entries):
            metrics.enqueue_failures.inc(len(entries))

    async def run(self) -> None:
        """Push queued jobs until cancelled."""
        await self._queue.run()

    async def flush(self) -> None:
        """Push the remaining jobs after `run` has ended."""
        await self._queue.flush()

    async def _push(self, entries: Sequence[LaneEntry]) -> None:
        try:
            not_pushed = await self._lanes.put(entries)
        except REDIS_ERRORS as error:
            log.warning("enqueue_failed", error=repr(error), deliveries=len(entries))
            not_pushed = [id for _, id in entries]
        if not_pushed:
            metrics.enqueue_failures.inc(len(not_pushed))
            try:
                await self._claims.unmark_queued(not_pushed)
            except PyMongoError as error:
                log.warning("unmark_queued_failed", error=repr(error), deliveries=len(not_pushed))
