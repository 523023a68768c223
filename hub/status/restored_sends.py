"""Sends that were not complete in a database that was restored. They are paused, because they may have been published
or continued after the backup."""

from collections.abc import AsyncIterator
from datetime import datetime

from pymongo import DESCENDING

from hub.model import SendStatus
from hub.platform.connections import Database, Document
from hub.status.expansion_parts import COLLECTION as PARTS
from hub.status.sends import COLLECTION, RESTORED_INDEX, RESTORED_PAUSE


async def list_incomplete(database: Database, now: datetime) -> AsyncIterator[tuple[str, str]]:
    """Yield the tenant and id of each send whose time has come, that is being prepared, or that is being expanded."""
    sends = database[COLLECTION]
    due = {"due_at": {"$lte": now}, "status": SendStatus.SCHEDULED}
    for match, index in ((due, "due"), ({"status": SendStatus.PREPARING}, "late")):
        async for doc in sends.find(match, {"tenant": 1}, hint=index):
            yield doc["tenant"], doc["_id"]
    stages: list[Document] = [
        {"$match": {"begin": {"$exists": True}}},
        {"$group": {"_id": "$send", "tenant": {"$first": "$tenant"}}},
    ]
    async for doc in await database[PARTS].aggregate(stages, hint="incomplete"):
        yield doc["tenant"], doc["_id"]


async def count_paused(database: Database, tenants_max: int) -> dict[str, int]:
    """Return the number of sends that are paused since a restore, of the tenants with most of them first."""
    stages: list[Document] = [
        {"$match": {"paused_reason": RESTORED_PAUSE, "status": SendStatus.PAUSED}},
        {"$group": {"_id": "$tenant", "count": {"$sum": 1}}},
        {"$sort": {"count": DESCENDING}},
        {"$limit": tenants_max},
    ]
    return {doc["_id"]: doc["count"] async for doc in await database[COLLECTION].aggregate(stages, hint=RESTORED_INDEX)}
