"""The sample of due jobs that all workers report.

One worker at a time counts the due jobs in MongoDB and stores the sample in Redis, where the other workers read it. So
the load does not grow with the number of workers, and all workers report the same values. If Redis is unavailable,
each worker counts for itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from hub.enrichment import jobs
from hub.events import event_store
from hub.model import Channel
from hub.outbox.due_counts import DueCounts
from hub.outbox.lanes import LaneDepth, Lanes
from hub.platform.connections import Database
from hub.platform.redis_errors import REDIS_ERRORS
from hub.settings import Settings
from hub.status import deliveries
from hub.utc_time import Clock
from hub.webhooks import webhook_calls

SAMPLE_EVERY_S = 10.0
SAMPLE_TTL_S = 60.0
QUEUES: Mapping[str, Sequence[str]] = {
    deliveries.COLLECTION: [channel for channel in Channel if channel is not Channel.IN_APP],
    webhook_calls.COLLECTION: [webhook_calls.LANE],
    event_store.COLLECTION: [event_store.LANE],
    jobs.COLLECTION: [jobs.LANE, jobs.CRITICAL_LANE],
}
"""The channels of each collection of jobs."""
CHANNELS = tuple(channel for channels in QUEUES.values() for channel in channels)


class DueGroup(Struct, frozen=True):
    """The jobs of a channel and priority: the number of due jobs that are not on a lane, and the time since which the
    first of all is due."""

    channel: str
    priority: str
    waiting: int
    since: datetime


DECODER = msgspec.json.Decoder(list[DueGroup])


class DueSampler:
    def __init__(self, database: Database, redis: Redis, settings: Settings, lanes: Lanes) -> None:
        self._counts = {name: DueCounts(database, name, settings.requeue_after_s) for name in QUEUES}
        self._redis = redis
        self._key = f"{settings.redis_prefix}due_sample"
        self._lanes = lanes
        self._last: list[DueGroup] = []

    async def get(self, depths: Sequence[LaneDepth], clock: Clock) -> list[DueGroup]:
        """Return the current sample. `depths` are the lanes, or empty while Redis is unavailable. Raise
        PyMongoError."""
        try:
            if not await self._lanes.acquire_tick_lock("due_sample", int(SAMPLE_EVERY_S * 1000)):
                self._last = await self._load() or self._last
                return self._last
        except REDIS_ERRORS:
            depths = ()
        self._last = await self.count(depths, clock)
        await self._store(self._last)
        return self._last

    async def count(self, depths: Sequence[LaneDepth], clock: Clock) -> list[DueGroup]:
        """Count the due jobs. Raise PyMongoError."""
        heads = {(depth.channel, depth.priority): depth.heads for depth in depths}
        found: list[DueGroup] = []
        for collection, counts in self._counts.items():
            due = await counts.read(clock())
            on_lanes = {group: ids for group, ids in heads.items() if group[0] in QUEUES[collection]}
            queued = await counts.queued_since([id for ids in on_lanes.values() for id in ids]) if on_lanes else {}
            for group in {**due, **on_lanes}:
                times = [queued[id] for id in on_lanes.get(group, ()) if id in queued]
                if group in due:
                    times.append(due[group].since)
                if times:
                    found.append(DueGroup(*group, due[group].waiting if group in due else 0, min(times)))
        return found

    async def _load(self) -> list[DueGroup] | None:
        """Return the sample in Redis, or None if there is none or another version wrote it. Raise one of
        REDIS_ERRORS."""
        try:
            stored = await self._redis.get(self._key)
            return DECODER.decode(stored) if stored else None
        except (msgspec.DecodeError, ResponseError):
            return None

    async def _store(self, sample: list[DueGroup]) -> None:
        try:
            await self._redis.set(self._key, msgspec.json.encode(sample), px=int(SAMPLE_TTL_S * 1000))
        except REDIS_ERRORS:
            return
