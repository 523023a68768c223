"""The numbers of due jobs that are not on a lane, and how long jobs have waited, by channel and priority.

The index `due` serves all queries. A query reads one key per lane and at most DUE_COUNTED_MAX keys per channel and
priority.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import Struct

from hub.outbox.claims import DOUBLINGS_MAX
from hub.outbox.lanes import SCHEDULER_LANES, group_of
from hub.outbox.retry_delay import DUE
from hub.platform.connections import Database, Document

DUE_COUNTED_MAX = 100_000  # due jobs of one channel and priority


class Due(Struct, frozen=True):
    """The due jobs of a channel and priority: their number, at most DUE_COUNTED_MAX, and the time since which the first
    is due."""

    waiting: int
    since: datetime


class DueCounts:
    """The due jobs of one collection."""

    def __init__(self, database: Database, collection: str, requeue_after_s: float) -> None:
        self._jobs = database[collection]
        self._requeue_after_s = requeue_after_s

    async def read(self, now: datetime) -> dict[tuple[str, str], Due]:
        """Return the due jobs by channel and priority. Raise PyMongoError."""
        since: dict[tuple[str, str], datetime] = {}
        async for doc in await self._jobs.aggregate(first_due_by_lane(now), hint="due"):
            if doc["_id"].startswith(SCHEDULER_LANES[0]):  # the scheduler releases them itself
                continue
            group = group_of(doc["_id"])
            since[group] = min(doc["since"], since.get(group, doc["since"]))
        return {group: Due(await self._count(group, now), first) for group, first in since.items()}

    async def _count(self, group: tuple[str, str], now: datetime) -> int:
        """Count the due jobs of a channel and priority. `0` follows the slash at the end of both."""
        channel, priority = group
        match = {"lane": {"$gt": f"{channel}/{priority}/", "$lt": f"{channel}/{priority}0"}, "due_at": {"$lte": now}}
        return await self._jobs.count_documents(match, hint="due", limit=DUE_COUNTED_MAX)

    async def queued_since(self, ids: Collection[str]) -> dict[str, datetime]:
        """Return the time at which each of these jobs was put on its lane. Omit jobs that left their lane."""
        match = {"_id": {"$in": list(ids)}, "enqueue_count": {"$gte": 1}, "due_at": {"$exists": True}}
        docs = self._jobs.find(match, {"enqueue_count": 1, "due_at": 1})
        return {
            doc["_id"]: doc["due_at"] - queued_for(doc["enqueue_count"], self._requeue_after_s) async for doc in docs
        }


def first_due_by_lane(now: datetime) -> list[Document]:
    """Return the stages that find the job of each lane that is due for the longest time. MongoDB reads only the first
    keys of each lane."""
    return [
        {"$match": {"lane": {"$gt": ""}, "due_at": {"$lte": now}}},
        {"$sort": dict(DUE)},
        {"$group": {"_id": "$lane", "since": {"$first": "$due_at"}}},
    ]


def queued_for(times: int, requeue_after_s: float) -> timedelta:
    """Return the time that a job has been on its lane at its `due_at` if it was enqueued `times` times."""
    return timedelta(seconds=sum(requeue_after_s * 2 ** min(turn, DOUBLINGS_MAX) for turn in range(times)))
