"""The counts of sends: their deliveries, and what their recipients did. The readers of one process share the counts of
a large send for some seconds.

Counting reads every notification and delivery of a send. A send to few recipients is counted for each request. Of the
others, LARGE_COUNTS_AT_ONCE are counted at the same time. A count that takes longer than its readers wait continues, so
one of the next readers gets it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from contextvars import Context
from typing import Generic, TypeVar

import pymongo
from msgspec import Struct

from hub.errors import Unavailable
from hub.model import Channel, DeliveryStatus, Send
from hub.status.deliveries import Deliveries
from hub.status.sends import Sends
from hub.status.status_counts import Reactions
from hub.utc_time import Clock, HubTime

SMALL_SEND_MAX_RECIPIENTS = 1000
LARGE_SEND_MIN_RECIPIENTS = 100_000
MAX_AGE_S = 5.0
LARGE_MAX_AGE_S = 30.0
COUNT_TIMEOUT_S = 30.0
CACHE_SIZE = 1000  # sends
LARGE_COUNTS_AT_ONCE = 4  # per process


class Counted(Struct, frozen=True):
    """The number of deliveries of a send by channel, status, and reason, and when they were counted."""

    counts: Mapping[tuple[Channel, DeliveryStatus, str | None], int]
    at: HubTime


def max_age_s(send: Send) -> float:
    """Return how old the counts of a send may be."""
    if send.expected_recipients <= SMALL_SEND_MAX_RECIPIENTS:
        return 0.0
    return MAX_AGE_S if send.expected_recipients <= LARGE_SEND_MIN_RECIPIENTS else LARGE_MAX_AGE_S


T = TypeVar("T")


class SharedCounts(ABC, Generic[T]):
    """Counts sends for the readers of this process. `wait_s`: how long a reader waits for the count of a large send."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._counting = asyncio.Semaphore(LARGE_COUNTS_AT_ONCE)
        self._cached: OrderedDict[str, tuple[float, asyncio.Task[T]]] = OrderedDict()

    @abstractmethod
    async def _count(self, sends: Collection[str]) -> Mapping[str, T]:
        """Count these sends, in a constant number of queries."""

    async def get_many(self, sends: Collection[Send], since: float = 0.0) -> dict[str, T]:
        """Return the counts of sends by id. Small sends share queries. Raise Unavailable if a large send cannot be
        counted in time. A count that began before `since`, a time of the event loop, is not returned."""
        small = {send.id for send in sends if send.expected_recipients <= SMALL_SEND_MAX_RECIPIENTS}
        tasks = {send.id: self._shared(send, since) for send in sends if send.id not in small}
        counted = dict(await self._count(small)) if small else {}
        try:
            async with asyncio.timeout(self._wait_s):
                for id, task in tasks.items():
                    counted[id] = await asyncio.shield(task)  # it continues for other readers
        except TimeoutError:
            raise Unavailable("The deliveries of this send are still being counted. Retry in some seconds.") from None
        return counted

    def _shared(self, send: Send, since: float) -> asyncio.Task[T]:
        """Return the last count of a send, or a new one if it is too old, began before `since`, or failed."""
        now = asyncio.get_running_loop().time()
        started_at, task = self._cached.get(send.id, (0.0, None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or started_at < since or (task.done() and now - started_at > max_age_s(send)):
            task = asyncio.create_task(self._count_one(send.id), context=Context())
            self._cached[send.id] = now, task
            self._cached.move_to_end(send.id)
            if len(self._cached) > CACHE_SIZE:
                self._cached.popitem(last=False)
        return task

    async def _count_one(self, send: str) -> T:
        async with self._counting:
            with pymongo.timeout(COUNT_TIMEOUT_S):
                return (await self._count([send]))[send]


class SendCounts(SharedCounts[Counted]):
    """Counts the deliveries of sends."""

    def __init__(self, sends: Sends, deliveries: Deliveries, clock: Clock, wait_s: float) -> None:
        super().__init__(wait_s)
        self._sends = sends
        self._deliveries = deliveries
        self._clock = clock

    async def _count(self, sends: Collection[str]) -> dict[str, Counted]:
        at = self._clock()
        virtual, stored = await asyncio.gather(self._sends.counts(sends), self._deliveries.counts(sends))
        return {send: Counted(Counter(virtual[send]) + Counter(stored[send]), at) for send in sends}


class SendReactions(SharedCounts[Reactions]):
    """Counts the recipients of sends who saw, read, acknowledged, or acted."""

    def __init__(self, sends: Sends, wait_s: float) -> None:
        super().__init__(wait_s)
        self._sends = sends

    async def _count(self, sends: Collection[str]) -> dict[str, Reactions]:
        return await self._sends.reactions(sends)
