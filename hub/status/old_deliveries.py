"""The queries that delete old deliveries."""

from collections.abc import Collection

from pymongo.asynchronous.client_session import AsyncClientSession

from hub.model import DeliveryStatus
from hub.outbox.states import WAITING
from hub.platform.connections import Database, Document
from hub.status.deliveries import COLLECTION, COUNTED

UNFINISHED = [*WAITING, DeliveryStatus.PROCESSING]


class OldDeliveries:
    def __init__(self, database: Database) -> None:
        self._deliveries = database[COLLECTION]

    async def find_unfinished(self, notifications: Collection[str]) -> set[str]:
        """Return the ids of those notifications that have a delivery that waits or is being sent."""
        ranges = [{"_id": {"$gte": f"{id}-", "$lt": f"{id}."}} for id in notifications]
        if not ranges:
            return set()
        docs = self._deliveries.find({"$or": ranges, "status": {"$in": UNFINISHED}}, {"notification": 1}, hint="_id_")
        return {doc["notification"] async for doc in docs}

    async def delete(self, match: Document, session: AsyncClientSession) -> list[Document]:
        """Delete deliveries. Return the groups of COUNTED."""
        docs = await self._deliveries.aggregate([{"$match": match}, *COUNTED], session=session, hint="_id_")
        found = await docs.to_list()
        await self._deliveries.delete_many(match, session=session)
        return found
