"""The open subscriptions to sends.

All readers of a send in this process share its reads of the store. A send is read when a reader begins, and again every
1 to 5 s: the interval grows while nothing changes. The delivery counts of a large send are older than the rest
(`send_counts.py`).

Guarantees:

- The first state that a reader gets was read after it began.
- States are in the order in which they were read. A reader gets at most one state per second. A reader that does not
  keep up gets the newest state and none of the states before it.
- The last state has `ended` set, and its counts were read after the last delivery had ended.

The task of a send begins with its first reader and ends with its last one, or when the send has ended. If MongoDB does
not respond, the task reads again later and the readers wait.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator

import pymongo
import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from hub.errors import NotFound, RateLimited, Unavailable
from hub.model import Send, SendStatus
from hub.platform import metrics
from hub.platform.shared_reads import SharedReads
from hub.status.deliveries import Deliveries
from hub.status.expansion_parts import ExpansionParts
from hub.status.send_counts import Counted, SendCounts
from hub.status.sends import STOP_REASONS, Sends

INTERVAL_S = 1.0
IDLE_INTERVAL_MAX_S = 5.0
CONCURRENT_READS = 4  # more would delay other queries, because MongoDB connections are limited
RETRY_AFTER_S = 10.0  # after RateLimited
IN_PROGRESS = frozenset({SendStatus.SCHEDULED, SendStatus.PREPARING, SendStatus.EXPANDING, SendStatus.PAUSED})

log = structlog.get_logger(__name__)


class WatchedSend(Struct, frozen=True):
    """A send with its delivery counts. `recipients`: their number so far. `ended`: True if no delivery of it waits, and
    it makes no further deliveries."""

    send: Send
    recipients: int
    counted: Counted
    ended: bool

    def differs_from(self, other: "WatchedSend | None") -> bool:
        """Return True if something other than the time of the count changed."""
        return other is None or self._visible != other._visible

    @property
    def _visible(self) -> tuple[object, ...]:
        return self.send, self.recipients, self.counted.counts, self.ended


class WatchedSends:
    """The sends with readers in this process, by tenant and id."""

    def __init__(
        self,
        sends: Sends,
        deliveries: Deliveries,
        counts: SendCounts,
        parts: ExpansionParts,
        per_tenant_max: int,
        read_deadline_s: float,
    ) -> None:
        self._sends = sends
        self._parts = parts
        self._counts = counts
        self._deliveries = deliveries
        self._per_tenant_max = per_tenant_max
        self._read_deadline_s = read_deadline_s
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._readers: Counter[str] = Counter()
        self._reads = SharedReads(self._read)
        self._read_slots = asyncio.Semaphore(CONCURRENT_READS)

    async def watch(self, tenant: str, id: str) -> AsyncGenerator[WatchedSend, None]:
        """Yield the state of a send now and after each change, until the send has ended.

        Raise NotFound if the tenant has no send with this id, or RateLimited if the tenant has too many subscriptions
        to sends."""
        if self._readers[tenant] >= self._per_tenant_max:
            raise RateLimited(
                f"A tenant has at most {self._per_tenant_max} subscriptions to sends (HUB_TENANT_MAX_SEND_WATCHERS).",
                RETRY_AFTER_S,
            )
        key = (tenant, id)
        watch = self._watches.setdefault(key, _Watch())
        watch.readers += 1
        self._readers[tenant] += 1
        metrics.send_watchers.inc()
        try:
            await self._reads.get(key)
            if watch.state is None:
                raise NotFound("This send does not exist.")
            if watch.polling is None or watch.polling.done():
                watch.polling = asyncio.create_task(self._poll(key, watch))
            state = None
            while (state := await watch.newer_than(state)) is not None:
                yield state
                if state.ended:
                    return
                await asyncio.sleep(INTERVAL_S)
        finally:
            self._leave(key, watch)

    def _leave(self, key: tuple[str, str], watch: "_Watch") -> None:
        tenant = key[0]
        metrics.send_watchers.dec()
        self._readers[tenant] -= 1
        if not self._readers[tenant]:
            del self._readers[tenant]
        watch.readers -= 1
        if not watch.readers:
            if watch.polling:
                watch.polling.cancel()
            del self._watches[key]

    async def _poll(self, key: tuple[str, str], watch: "_Watch") -> None:
        """Read the send until it has ended."""
        interval_s = INTERVAL_S
        while not watch.closed:
            before = watch.state
            await asyncio.sleep(interval_s)
            try:
                await self._reads.get(key)
            except (PyMongoError, Unavailable) as error:
                log.warning("send_not_read", throttled=True, send=key[1], error=error)
            except Exception:
                log.exception("send_not_read", send=key[1])
            interval_s = INTERVAL_S if watch.state is not before else min(2 * interval_s, IDLE_INTERVAL_MAX_S)

    async def _read(self, key: tuple[str, str]) -> None:
        """Read the send, and pass its state to the readers if it changed."""
        watch = self._watches.get(key)
        if watch is None:
            return  # the last reader has left
        async with self._read_slots:
            with pymongo.timeout(self._read_deadline_s):
                send = await self._sends.get(*key)
                if send is None:
                    watch.close()
                    return
                # a cancellation or recall also changes what has no unfinished delivery, unlike a resumption
                changes = send.status in IN_PROGRESS or (send.claim and send.status in STOP_REASONS)
                # in this order, because an expansion adds deliveries before its status changes
                ended = not (changes or await self._deliveries.has_unfinished(send.id))
                watch.ended_at = (watch.ended_at or asyncio.get_running_loop().time()) if ended else 0.0
                recipients = send.recipients
                if send.parts_left is not None:
                    recipients = (await self._parts.count_recipients([send.id]))[send.id]
                counted = (await self._counts.get_many([send], since=watch.ended_at))[send.id]
        watch.publish(WatchedSend(send, recipients, counted, ended))


class _Watch:
    """A send that has readers."""

    def __init__(self) -> None:
        self.readers = 0
        self.polling: asyncio.Task[None] | None = None
        self.state: WatchedSend | None = None
        self.ended_at = 0.0
        """The time of the event loop at which a read found the end, or 0. The last counts began after it."""
        self.closed = False
        """True if there are no further states."""
        self._changed = asyncio.Event()

    def publish(self, state: WatchedSend) -> None:
        if state.differs_from(self.state):
            self.state = state
            self._notify()
        self.closed = state.ended

    def close(self) -> None:
        """End the subscriptions of a send that does not exist any longer."""
        self.closed = True
        self._notify()

    async def newer_than(self, state: WatchedSend | None) -> WatchedSend | None:
        """Return the newest state as soon as it is not `state`. Return None if there are no further states."""
        while self.state is state:
            if self.closed:
                return None
            await self._changed.wait()
        return self.state

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
