"""The counts of waiting and failed deliveries of one tenant. The counts are served by indexes and limited."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from hub.model import DeliveryStatus
from hub.outbox.due_counts import DueCounts
from hub.outbox.states import WITHOUT_ADDRESS
from hub.platform.connections import Database, Document
from hub.status.deliveries import COLLECTION
from hub.utc_time import Clock

COUNTED_MAX = 10_000  # deliveries of one lane, or dead letters
RECENT_S = 24 * 3600


class Overdue(Struct, frozen=True):
    """The due deliveries of one lane that are not in Redis."""

    count: int
    since: datetime


class DeadLetters(Struct, frozen=True):
    """The number of FAILED deliveries, at most `COUNTED_MAX`. `replayable` counts those whose address is neither gone
    nor suppressed, and `recent` those of them that failed in the last day."""

    total: int = 0
    replayable: int = 0
    recent: int = 0


class UndeliveredCounts:
    def __init__(self, database: Database, clock: Clock, requeue_after_s: float) -> None:
        self._deliveries = database[COLLECTION]
        self._clock = clock
        self._due = DueCounts(database, COLLECTION, requeue_after_s)

    async def overdue(self, lanes: Sequence[str]) -> dict[str, Overdue]:
        """Return the due deliveries of each lane that has any. The index `due` serves the query."""
        first, *rest = [self._overdue_on(lane) for lane in lanes]
        unions = [{"$unionWith": {"coll": COLLECTION, "pipeline": stages}} for stages in rest]
        cursor = await self._deliveries.aggregate([*first, *unions])
        return {doc["_id"]: Overdue(doc["count"], doc["since"]) async for doc in cursor}

    def _overdue_on(self, lane: str) -> list[Document]:
        return [
            {"$match": {"lane": lane, "due_at": {"$lte": self._clock()}}},
            {"$sort": {"lane": 1, "due_at": 1}},
            {"$limit": COUNTED_MAX},
            {"$group": {"_id": "$lane", "count": {"$sum": 1}, "since": {"$min": "$due_at"}}},
        ]

    async def queued_since(self, ids: Collection[str]) -> dict[str, datetime]:
        """Return the time at which each of these deliveries was put on its lane. Omit deliveries that left their
        lane."""
        return await self._due.queued_since(ids)

    async def dead_letters(self, tenant: str) -> DeadLetters:
        """Count the dead letters of a tenant, newest first. The index `failed` serves the query."""
        since = self._clock() - timedelta(seconds=RECENT_S)
        replayable = {"$not": [{"$in": ["$reason", list(WITHOUT_ADDRESS)]}]}
        recent = {"$and": [replayable, {"$gte": ["$updated_at", since]}]}
        cursor = await self._deliveries.aggregate(
            [
                {"$match": {"tenant": tenant, "status": DeliveryStatus.FAILED}},
                {"$sort": {"updated_at": -1, "_id": -1}},
                {"$limit": COUNTED_MAX},
                {
                    "$group": {
                        "_id": None,
                        "total": {"$sum": 1},
                        "replayable": {"$sum": {"$cond": [replayable, 1, 0]}},
                        "recent": {"$sum": {"$cond": [recent, 1, 0]}},
                    }
                },
            ],
            hint="failed",
        )
        groups = await cursor.to_list()
        if not groups:
            return DeadLetters()
        return DeadLetters(groups[0]["total"], groups[0]["replayable"], groups[0]["recent"])
