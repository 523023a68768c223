"""The activity of tenants: how many deliveries reached a status, by time, channel, and category.

Guarantees
- Counting fills a dictionary in memory, after the commit that gave the deliveries their status. It makes no call and
  never waits.
- The counts are written every FLUSH_S, as increments of one document per tenant, category, and minute, hour, or day.
  The documents of all categories together have the category ALL_CATEGORIES. So a chart reads one document per point.
- Counts that are not written yet are lost in a crash. Counts whose write fails are lost, too, because MongoDB may have
  applied it. So nothing is counted twice, and a failure sets the counts back by the time since the last write.
- At most COUNTERS_MAX different counts are in memory. A write starts early at half of that, and what does not fit is
  lost.

The documents contain no data of users. MongoDB deletes them after KEPT. They are not deleted with a user.

How it stops: after `run` was cancelled, `flush` writes the remaining counts.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog
from msgspec import Struct
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import PyMongoError

from hub.model import Channel, Delivery, DeliveryStatus, PendingReceipt, ReceiptKind
from hub.platform import metrics
from hub.platform.connections import Database, Document, Indexes, is_cancelling
from hub.utc_time import Clock

COLLECTION = "activity"
FLUSH_S = 5.0
COUNTERS_MAX = 50_000
WRITE_BATCH_SIZE = 1000  # updates per call
INTERVALS_MAX = 1500  # of one query
ALL_CATEGORIES = ""  # no category has this key
MINUTE_S = 60

log = structlog.get_logger(__name__)


class Interval(StrEnum):
    """The length of the intervals of a chart. They begin at full minutes, hours, and days in UTC."""

    MINUTE = "PT1M"
    HOUR = "PT1H"
    DAY = "P1D"

    @property
    def length(self) -> timedelta:
        return LENGTHS[self]

    def start(self, at: datetime) -> datetime:
        """Return the start of the interval that contains `at`."""
        seconds = int(at.timestamp())
        return datetime.fromtimestamp(seconds - seconds % int(self.length.total_seconds()), UTC)


LENGTHS = {Interval.MINUTE: timedelta(minutes=1), Interval.HOUR: timedelta(hours=1), Interval.DAY: timedelta(days=1)}
KEPT = {Interval.MINUTE: timedelta(days=3), Interval.HOUR: timedelta(days=100), Interval.DAY: timedelta(days=5 * 366)}
"""How long documents are kept after the start of their interval."""
COUNTED_STATUSES = frozenset(
    {
        *(DeliveryStatus.RETRYING, DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ),
        *(DeliveryStatus.FAILED, DeliveryStatus.SKIPPED, DeliveryStatus.CANCELLED, DeliveryStatus.EXPIRED),
    }
)
"""The statuses that are counted: the end of a delivery, and of each attempt. In the others, a delivery waits."""

_Count = tuple[int, str, str, Channel, DeliveryStatus]
"""The minute since 1970, the tenant, the category, the channel, and the status of deliveries that are counted."""


class ActivityBucket(Struct, frozen=True):
    """The number of deliveries that reached a status on a channel in the interval that starts `at`."""

    at: datetime
    channel: Channel
    status: DeliveryStatus
    count: int


def indexes() -> Indexes:
    return {
        COLLECTION: [
            # the document of an interval, and those of a query in the order of time
            IndexModel(
                [(name, ASCENDING) for name in ("tenant", "interval", "category", "at")], name="bucket", unique=True
            ),
            # deletes old documents
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        ]
    }


class ActivityCounts:
    """Counts the deliveries of this process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._activity = database[COLLECTION]
        self._clock = clock
        self._counts: Counter[_Count] = Counter()
        self._is_half_full = asyncio.Event()

    def count_receipts(self, receipts: Iterable[PendingReceipt]) -> None:
        """Count the deliveries of committed receipts. A read in the inbox and a click elsewhere count as READ."""
        minute = self._minute()
        for one in receipts:
            status = one.status
            if one.kind is ReceiptKind.CLICKED or (one.kind is ReceiptKind.READ and one.channel is Channel.IN_APP):
                status = DeliveryStatus.READ
            if status and status in COUNTED_STATUSES:
                self._add((minute, one.about.tenant, one.about.category, one.channel, status))

    def count_deliveries(self, deliveries: Iterable[tuple[Delivery, DeliveryStatus]]) -> None:
        """Count deliveries with their new statuses, which were committed. A digest does not count, its items do."""
        minute = self._minute()
        for one, status in deliveries:
            if status in COUNTED_STATUSES and not one.digest_key:
                self._add((minute, one.tenant, one.category, one.channel, status))

    async def run(self) -> None:
        """Write the counts every FLUSH_S until cancelled."""
        while not is_cancelling():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_half_full.wait(), FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write the counts. If MongoDB is unavailable, they are lost."""
        counts, self._counts = self._counts, Counter()
        self._is_half_full.clear()
        updates = _updates(counts)
        try:
            for start in range(0, len(updates), WRITE_BATCH_SIZE):
                await self._activity.bulk_write(updates[start : start + WRITE_BATCH_SIZE], ordered=False)
        except PyMongoError as error:
            metrics.activity_lost.inc(counts.total())
            log.warning("activity_lost", deliveries=counts.total(), error=error)

    def _minute(self) -> int:
        return int(self._clock().timestamp()) // MINUTE_S

    def _add(self, key: _Count) -> None:
        if key not in self._counts and len(self._counts) >= COUNTERS_MAX // 2:
            self._is_half_full.set()
            if len(self._counts) >= COUNTERS_MAX:
                metrics.activity_lost.inc()
                return
        self._counts[key] += 1


def _updates(counts: Counter[_Count]) -> list[UpdateOne]:
    """Return an update for each interval, tenant, and category, and for all categories together."""
    documents: defaultdict[tuple[str, Interval, datetime, str], Counter[str]] = defaultdict(Counter)
    for (minute, tenant, category, channel, status), count in counts.items():
        at = datetime.fromtimestamp(minute * MINUTE_S, UTC)
        for interval in Interval:
            for key in (category, ALL_CATEGORIES) if category else (ALL_CATEGORIES,):
                documents[tenant, interval, interval.start(at), key][f"counts.{channel}.{status}"] += count
    return [
        UpdateOne(
            {"tenant": tenant, "interval": interval, "category": category, "at": at},
            {"$inc": dict(found), "$setOnInsert": {"expires_at": at + KEPT[interval]}},
            upsert=True,
        )
        for (tenant, interval, at, category), found in documents.items()
    ]


class Activity:
    """Reads the counts."""

    def __init__(self, database: Database) -> None:
        self._activity = database[COLLECTION]

    async def read(
        self, tenant: str, interval: Interval, since: datetime, until: datetime, category: str | None
    ) -> list[ActivityBucket]:
        """Return the counts of the intervals from the one that contains `since` to `until`, which is not included, by
        time, channel, and status. There must be at most INTERVALS_MAX intervals."""
        match = {
            "tenant": tenant,
            "interval": interval,
            "category": category or ALL_CATEGORIES,
            "at": {"$gte": interval.start(since), "$lt": until},
        }
        docs = self._activity.find(match, {"at": 1, "counts": 1}, hint="bucket").sort("at", ASCENDING)
        return [bucket async for doc in docs.limit(INTERVALS_MAX) for bucket in _buckets(doc)]


def count_intervals(interval: Interval, since: datetime, until: datetime) -> int:
    """Return the number of intervals from the one that contains `since` to `until`, which is not included."""
    return -(-(until - interval.start(since)) // interval.length)


def _buckets(doc: Document) -> Sequence[ActivityBucket]:
    """Return the counts of a document in the order of the channels and statuses. Those of another version are left
    out."""
    counts: Document = doc["counts"]
    return [
        ActivityBucket(doc["at"], channel, status, by_status[status])
        for channel in Channel
        if (by_status := counts.get(channel))
        for status in DeliveryStatus
        if status in by_status
    ]
