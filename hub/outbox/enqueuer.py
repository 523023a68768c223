"""Puts what was committed on its lanes. Nobody waits for it, and nothing depends on it: what does not get there is due
in MongoDB, at once if it can still be said, else when its time on the queue is over."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.outbox.lanes import Lanes
from hub.platform import metrics
from hub.platform.connections import is_cancelling
from hub.platform.redis_keys import REDIS_ERRORS

AT_ONCE = 500  # ids a round trip
WAITING_MAX = 50_000
Entry = tuple[str, str]
"""Lane and id."""

log = structlog.get_logger(__name__)


class Feeder:
    """`unqueue` is called with the ids that did not get on their lanes."""

    def __init__(self, lanes: Lanes, unqueue: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._lanes = lanes
        self._unqueue = unqueue
        self._waiting: deque[Entry] = deque()
        self._filled = asyncio.Event()

    def put(self, entries: Sequence[Entry]) -> None:
        """Queues what was committed, lane and id."""
        if len(self._waiting) + len(entries) > WAITING_MAX:
            metrics.enqueue_failures.inc(len(entries))
            return
        self._waiting.extend(entries)
        self._filled.set()

    async def run(self) -> None:
        """Until cancelled."""
        while not is_cancelling():
            if not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            await self._feed()

    async def flush(self) -> None:
        """What is queued, when `run` has ended."""
        while self._waiting:
            await self._feed()

    async def _feed(self) -> None:
        entries = [self._waiting.popleft() for _ in range(min(len(self._waiting), AT_ONCE))]
        try:
            left = await self._lanes.put(entries)
        except REDIS_ERRORS as error:
            log.warning("not_queued", error=repr(error), deliveries=len(entries))
            left = [id for _, id in entries]
        if left:
            metrics.enqueue_failures.inc(len(left))
            try:
                await self._unqueue(left)
            except PyMongoError as error:
                log.warning("not_unqueued", error=repr(error), deliveries=len(left))
