"""Pushes committed jobs to their lanes, in the background.

A job that does not reach its lane is due in MongoDB: at once if that can be stored, otherwise at its `due_at`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.outbox.lanes import Lanes
from hub.platform import metrics
from hub.platform.connections import is_cancelling
from hub.platform.redis_keys import REDIS_ERRORS

BATCH_SIZE = 500  # ids a round trip
QUEUE_MAX = 50_000
Entry = tuple[str, str]
"""Lane and id."""

log = structlog.get_logger(__name__)


class Enqueuer:
    """Pushes in batches. Ids that did not reach their lanes are passed to `unmark_queued`."""

    def __init__(self, lanes: Lanes, unmark_queued: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._lanes = lanes
        self._unmark_queued = unmark_queued
        self._queue: deque[Entry] = deque()
        self._not_empty = asyncio.Event()

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue committed jobs, as lane and id."""
        if len(self._queue) + len(entries) > QUEUE_MAX:
            metrics.enqueue_failures.inc(len(entries))
            return
        self._queue.extend(entries)
        self._not_empty.set()

    async def run(self) -> None:
        """Push until cancelled."""
        while not is_cancelling():
            if not self._queue:
                self._not_empty.clear()
                await self._not_empty.wait()
            await self._push_batch()

    async def flush(self) -> None:
        """Push what is left after `run` has ended."""
        while self._queue:
            await self._push_batch()

    async def _push_batch(self) -> None:
        entries = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE))]
        try:
            not_pushed = await self._lanes.put(entries)
        except REDIS_ERRORS as error:
            log.warning("enqueue_failed", error=repr(error), deliveries=len(entries))
            not_pushed = [id for _, id in entries]
        if not_pushed:
            metrics.enqueue_failures.inc(len(not_pushed))
            try:
                await self._unmark_queued(not_pushed)
            except PyMongoError as error:
                log.warning("unmark_queued_failed", error=repr(error), deliveries=len(not_pushed))
