"""The queries of old notifications: those that were created before a time, and tombstones that no client needs."""

from collections.abc import Collection
from datetime import datetime

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.ids import first_id_at
from hub.inbox.notification_lookup import COUNTED_REACTIONS, COUNTED_STATUSES
from hub.platform.connections import Database, Document

TOMBSTONE_INDEX = "removed"


class StoredNotifications:
    def __init__(self, database: Database) -> None:
        self._notifications = database.notifications

    async def list_created(self, after: str, before: datetime, limit: int) -> list[Document]:
        """Return up to `limit` notifications as stored, oldest first: with ids greater than `after`, and created before
        a time. Tombstones are included."""
        match = {"_id": {"$gt": after, "$lt": first_id_at(before)}}
        docs = self._notifications.find(match, hint="_id_").sort("_id", ASCENDING)
        return await docs.limit(limit).to_list()

    async def list_removed(self, before: datetime, limit: int) -> list[str]:
        """Return the ids of up to `limit` notifications that were removed before a time, those removed first first."""
        docs = self._notifications.find({"removed_at": {"$lt": before}}, {"_id": 1}, hint=TOMBSTONE_INDEX)
        return [doc["_id"] async for doc in docs.sort("removed_at", ASCENDING).limit(limit)]

    async def delete(self, ids: Collection[str], session: AsyncClientSession) -> tuple[list[Document], list[Document]]:
        """Delete notifications that count in no mailbox: hidden ones and tombstones. Return the groups of
        COUNTED_STATUSES and of COUNTED_REACTIONS."""
        match: Document = {"_id": {"$in": list(ids)}, "state": {"$exists": False}}
        found = []
        for stages in (COUNTED_STATUSES, COUNTED_REACTIONS):
            docs = await self._notifications.aggregate([{"$match": match}, *stages], session=session, hint="_id_")
            found.append(await docs.to_list())
        await self._notifications.delete_many(match, session=session)
        return found[0], found[1]
