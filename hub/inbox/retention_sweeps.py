"""The sweeps that apply a changed retention period to the notifications of earlier sends."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING

from hub.model import Record, document
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode_page

COLLECTION = "retention_sweeps"  # needs no index: a category has at most one sweep, and complete ones are deleted
SLICE = 1000  # notifications per update


class RetentionSweep(Record, frozen=True, rename={"id": "_id"}):
    """The sweep of one category. `retention_s` is None if notifications are kept. The sends up to `after` are done."""

    id: str
    tenant: str
    category: str
    started_at: datetime
    retention_s: int | None = None
    after: str = ""


class RetentionSweeps:
    def __init__(self, database: Database) -> None:
        self._notifications = database.notifications
        self._sweeps = database[COLLECTION]

    async def start(self, sweep: RetentionSweep) -> None:
        """Store a sweep. It replaces an earlier sweep of the category."""
        await self._sweeps.replace_one({"_id": sweep.id}, document(sweep), upsert=True)

    async def advance(self, sweep: RetentionSweep, after: str) -> None:
        """Record that the sends up to `after` are done, unless the sweep was replaced."""
        await self._sweeps.update_one(_same(sweep), {"$set": {"after": after}})

    async def finish(self, sweep: RetentionSweep) -> None:
        """Delete a complete sweep, unless it was replaced."""
        await self._sweeps.delete_one(_same(sweep))

    async def list_unfinished(self, limit: int) -> Sequence[RetentionSweep]:
        return await decode_page(self._sweeps.find({}), RetentionSweep, limit)

    async def apply(self, sends: Collection[str], retention_s: int | None) -> None:
        """Set the end of the retention period of all notifications of sends, in slices."""
        after = ""
        while True:
            match: Document = {"send": {"$in": list(sends)}, "_id": {"$gt": after}}
            docs = self._notifications.find(match, {"_id": 1}, hint="send").sort("_id", ASCENDING).limit(SLICE)
            ids = [doc["_id"] async for doc in docs]
            kept = {"_id": {"$in": ids}, "removed_at": {"$exists": False}}
            if ids:
                await self._notifications.update_many(kept, _update(retention_s))
            if len(ids) < SLICE:
                return
            after = ids[-1]


def _same(sweep: RetentionSweep) -> Document:
    return {"_id": sweep.id, "started_at": sweep.started_at}


def _update(retention_s: int | None) -> list[Document]:
    """Return the update that computes `retained_until` and `wake_at` as `state.with_state` does."""
    ends_at: Any = None if retention_s is None else {"$add": ["$created_at", retention_s * 1000]}
    hidden_until = {"$min": [{"$cond": ["$live_key", "$expires_at", None]}, ends_at]}
    wake_at = {"$cond": ["$hidden", hidden_until, {"$min": ["$expires_at", "$snoozed_until", ends_at]}]}
    return [
        {
            "$set": {
                "retained_until": {"$ifNull": [ends_at, "$$REMOVE"]},
                "wake_at": {"$ifNull": [wake_at, "$$REMOVE"]},
            }
        }
    ]
