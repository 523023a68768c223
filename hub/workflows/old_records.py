"""Deletes old deliveries and sends. Ids sort by time, so the index of `_id` finds them.

- A delivery is deleted `deliveries_days` after its last change, but never while it waits or a worker has it. A digest
  is deleted after its items. The record of the send keeps its counts.
- A send is deleted `sends_days` after it was created, but never before it ended, or while one of its notifications or
  deliveries is stored.

A pass reads up to SENDS_PER_PASS sends, and the next one continues behind them, because sends whose notifications are
kept are read again and again.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from hub.ids import first_id_at
from hub.inbox.notification_lookup import Notifications
from hub.model import SendStatus
from hub.outbox.lanes import Lanes
from hub.outbox.states import FINAL
from hub.platform.connections import Database, Document
from hub.settings import Settings
from hub.status import deliveries, sends
from hub.utc_time import RealClock
from hub.workflows.counted_deletion import CountedDeletion
from hub.workflows.hourly_pass import HourlyPass

BATCH_SIZE = 1000
SENDS_PER_PASS = 100_000
COLLECTION = "old_records"  # the positions of the next passes; needs no index
ENDED_SENDS = [
    *(SendStatus.ACCEPTED, SendStatus.CANCELLED, SendStatus.RECALLED, SendStatus.EXPIRED, SendStatus.FAILED),
]


class Positions:
    """The ids up to which passes have processed a collection."""

    def __init__(self, database: Database) -> None:
        self._positions = database[COLLECTION]

    async def load(self, name: str) -> str:
        position = await self._positions.find_one({"_id": name})
        return str(position["after"]) if position else ""

    async def store(self, name: str, after: str) -> None:
        await self._positions.update_one({"_id": name}, {"$set": {"after": after}}, upsert=True)


class OldRecords:
    def __init__(
        self, database: Database, notifications: Notifications, lanes: Lanes, settings: Settings, clock: RealClock
    ) -> None:
        self._deliveries = database[deliveries.COLLECTION]
        self._sends = database[sends.COLLECTION]
        self._positions = Positions(database)
        self._deletion = CountedDeletion(database)
        self._notifications = notifications
        self._deliveries_age = timedelta(days=settings.deliveries_days)
        self._sends_age = timedelta(days=settings.sends_days)
        self._clock = clock
        self.tick = HourlyPass(lanes, lambda: "old_records", self._batches).tick

    async def _batches(self) -> AsyncGenerator[int, None]:
        before = self._clock() - self._deliveries_age
        unchanged: Document = {"status": {"$in": FINAL}, "updated_at": {"$lt": before}}  # not replayed meanwhile
        async for docs in _read_old(self._deliveries, before, unchanged):
            await self._delete_deliveries(docs, unchanged)
            yield len(docs)
        ended = {"status": {"$in": ENDED_SENDS}, "leased_until": {"$exists": False}}  # no change continues
        after, read = await self._positions.load(sends.COLLECTION), 0
        async for docs in _read_old(self._sends, self._clock() - self._sends_age, ended, after):
            await self._delete_sends([doc["_id"] for doc in docs])
            read += len(docs)
            after = docs[-1]["_id"]
            yield len(docs)
            if read >= SENDS_PER_PASS:
                break
        else:
            after = ""
        await self._positions.store(sends.COLLECTION, after)

    async def _delete_deliveries(self, docs: Sequence[Document], unchanged: Document) -> None:
        digests = [doc["_id"] for doc in docs if "digest_key" in doc]
        kept = await self._deliveries.distinct("digest_id", {"digest_id": {"$in": digests}}) if digests else []
        ids = {doc["_id"] for doc in docs}.difference(kept)
        await self._deletion.delete_deliveries({"_id": {"$in": list(ids)}} | unchanged)

    async def _delete_sends(self, ids: Sequence[str]) -> None:
        kept = await self._notifications.find_sends(ids)
        kept |= set(await self._deliveries.distinct("send", {"send": {"$in": list(ids)}}))
        await self._sends.delete_many({"_id": {"$in": list(set(ids) - kept)}})


async def _read_old(
    collection: AsyncCollection[Document], before: datetime, match: Document, after: str = ""
) -> AsyncGenerator[list[Document], None]:
    """Yield batches of documents with ids above `after` that were created before a time, oldest first."""
    while True:
        bounds = {"_id": {"$gt": after, "$lt": first_id_at(before)}}
        found = collection.find(bounds | match, {"digest_key": 1}, hint="_id_").sort("_id", ASCENDING)
        docs = await found.limit(BATCH_SIZE).to_list()
        if docs:
            yield docs
        if len(docs) < BATCH_SIZE:
            return
        after = docs[-1]["_id"]
