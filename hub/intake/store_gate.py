"""The gate in front of the queues: messages are received only while the store takes writes.

Each receipt of a message counts toward `maxReceiveCount` of its queue. If messages were received while MongoDB is
unavailable, a few minutes would move every healthy message to the dead-letter queue.
"""

import asyncio
import time

import structlog
from pymongo.errors import PyMongoError

from hub.ids import new_id
from hub.platform import metrics
from hub.platform.connections import Database

COLLECTION = "intake_probes"
PROBE_ID = "probe"
CONFIRMED_S = 5.0  # how long the last write shows that the store takes writes
PROBE_PAUSE_S = 1.0  # after a probe that failed

log = structlog.get_logger(__name__)


class StoreGate:
    """All queues of a process share one gate."""

    def __init__(self, database: Database) -> None:
        self._probes = database[COLLECTION]
        self._confirmed_at = float("-inf")
        self.is_open = False

    def confirm(self) -> None:
        """Record that the store has taken a write."""
        self._confirmed_at = time.monotonic()

    def close(self, error: BaseException) -> None:
        """Record that the store does not take writes."""
        self._confirmed_at = float("-inf")
        if self.is_open:
            log.warning("intake_paused", error=error)
        self.is_open = False
        metrics.intake_paused.set(1)

    async def check(self) -> bool:
        """Return True if messages may be received. If the last write was long ago, write a probe."""
        if not self.is_open:
            return False
        if time.monotonic() - self._confirmed_at > CONFIRMED_S:
            await self._probe()
        return self.is_open

    async def wait_until_open(self, stopping: asyncio.Event) -> None:
        """Write probes until one succeeds, or until `stopping` is set."""
        while not self.is_open and not stopping.is_set():
            if await self._probe():
                self.is_open = True
                metrics.intake_paused.set(0)
                log.info("intake_resumed")
            else:
                await asyncio.sleep(PROBE_PAUSE_S)

    async def _probe(self) -> bool:
        try:
            await self._probes.update_one({"_id": PROBE_ID}, {"$set": {"value": new_id()}}, upsert=True)
        except PyMongoError as error:
            self.close(error)
            return False
        self.confirm()
        return True
