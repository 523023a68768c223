"""Sends whose failure guard waits for the calls of their canary, or has let the other parts begin.

The last chunk of the canary sets `guard_due_at`. The guard decides once: a pause or `mark_passed` unsets `guarded`.
After `mark_passed`, `guard_due_at` remains until the other parts have begun. If the process is killed before that,
another one completes it.
"""

from datetime import datetime

from pymongo import ASCENDING

from hub.decide.failure_guard import HELD_BRIEFLY, WAITING
from hub.model import DeliveryStatus, Send, SendStatus
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode_page
from hub.status.deliveries import COLLECTION as DELIVERIES
from hub.status.sends import COLLECTION
from hub.status.status_counts import Counts, counts_by_send

BATCH_SIZE = 10
EXAMINED_MAX = 10_000  # deliveries that wait, per look
UNFINISHED = (*WAITING, DeliveryStatus.HELD)
FAILED_BEFORE = {"$or": [{"tries": {"$gte": 1}}, {"lease_expirations": {"$gte": 1}}]}


class GuardedSends:
    def __init__(self, database: Database) -> None:
        self._sends = database[COLLECTION]
        self._deliveries = database[DELIVERIES]

    async def list_due(self, now: datetime, left_out: list[str]) -> list[Send]:
        """Return a batch of sends at whose canary the guard looks now, first due first, except those in `left_out`."""
        due = {"status": SendStatus.EXPANDING, "guard_due_at": {"$lte": now}, "_id": {"$nin": left_out}}
        docs = self._sends.find(due, hint="guard_due").sort("guard_due_at", ASCENDING)
        return await decode_page(docs, Send, BATCH_SIZE)

    async def claim(self, send: Send, next_at: datetime) -> bool:
        """Postpone the next look. Return False if another process was faster."""
        match = {"_id": send.id, "guard_due_at": send.guard_due_at}
        return bool((await self._sends.update_one(match, {"$set": {"guard_due_at": next_at}})).modified_count)

    async def count_retried(self, id: str) -> Counts:
        """Count the deliveries of a send that leave soon and have failed before: a call, or the preparation of one. Of
        many that wait, the first EXAMINED_MAX are examined."""
        reasons = [None, *HELD_BRIEFLY]
        stages: list[Document] = [
            {"$match": {"send": id, "status": {"$in": UNFINISHED}, "reason": {"$in": reasons}}},
            {"$limit": EXAMINED_MAX},
            {"$match": FAILED_BEFORE},
            {"$group": {"_id": {"send": "$send", "k": "$channel", "v": "$status"}, "count": {"$sum": 1}}},
        ]
        return (await counts_by_send(await self._deliveries.aggregate(stages, hint="send"), [id]))[id]

    async def mark_passed(self, id: str) -> bool:
        """Record that the other users get the send. Return False if the guard has decided before."""
        match = {"_id": id, "status": SendStatus.EXPANDING, "guarded": True}
        return bool((await self._sends.update_one(match, {"$unset": {"guarded": ""}})).modified_count)

    async def finish(self, id: str) -> None:
        """Record that the other parts have begun."""
        match = {"_id": id, "guarded": {"$exists": False}}
        await self._sends.update_one(match, {"$unset": {"guard_due_at": "", "guard_until": ""}})
