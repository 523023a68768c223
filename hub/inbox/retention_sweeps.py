"""The sweeps that apply a changed retention period to the notifications of earlier sends."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import pymongo
from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.model import Record, document
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document
from hub.platform.tolerant_decoding import decode_page

COLLECTION = "retention_sweeps"  # needs no index: a category has at most one sweep, and complete ones are deleted
SLICE = 1000  # notifications per transaction
TIMEOUT_S = 10.0  # of one transaction, including its retries


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

    async def list_unfinished(self, limit: int, left_out: Collection[str]) -> Sequence[RetentionSweep]:
        """Return sweeps that are not complete, except those in `left_out`."""
        return await decode_page(self._sweeps.find({"_id": {"$nin": list(left_out)}}), RetentionSweep, limit)

    async def apply(self, sweep: RetentionSweep, sends: Collection[str]) -> bool:
        """Set the end of the retention period of all notifications of sends, in slices. Return False if the sweep was
        replaced or finished in the meantime."""
        after = ""
        while True:
            match: Document = {"send": {"$in": list(sends)}, "_id": {"$gt": after}}
            docs = self._notifications.find(match, {"_id": 1}, hint="send").sort("_id", ASCENDING).limit(SLICE)
            ids = [doc["_id"] async for doc in docs]
            if ids and not await self._apply_slice(sweep, ids):
                return False
            if len(ids) < SLICE:
                return True
            after = ids[-1]

    async def _apply_slice(self, sweep: RetentionSweep, ids: Collection[str]) -> bool:
        """Change notifications in a transaction that writes the sweep, so it conflicts with a newer sweep. Otherwise a
        process that is slow could store an older retention period after the newer one."""

        async def apply(session: AsyncClientSession) -> bool:
            locked = await self._sweeps.update_one(_same(sweep), {"$inc": {"slices": 1}}, session=session)
            if not locked.matched_count:
                return False
            kept = {"_id": {"$in": list(ids)}, "removed_at": {"$exists": False}}
            await self._notifications.update_many(kept, _update(sweep.retention_s), session=session)
            return True

        with pymongo.timeout(TIMEOUT_S):
            async with self._sweeps.database.client.start_session(causal_consistency=False) as session:
                return await session.with_transaction(apply, read_concern=SNAPSHOT, write_concern=DURABLE)


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
