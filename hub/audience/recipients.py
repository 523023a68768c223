"""The recipients of sends that name no users, in the order of their keys.

A key is that of the user's mailbox. The number of recipients is counted up to COUNT_MAX. If there are more, it is
estimated from a random sample, so a tenant with millions of users takes no longer. The sample also divides the
recipients into parts. Errors of the estimate make the parts uneven, but no recipient is in two parts or in none.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from msgspec import Struct
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from hub.audience.users import COLLECTION as USERS
from hub.platform.connections import Database, Document

PART_SIZE = 25_000  # recipients
PARTS_MAX = 16
COUNT_MAX = 2 * PART_SIZE
SAMPLE_SIZE = 2000  # documents of the whole collection
AFTER_PREFIX = "\x01"
"""A boundary is the beginning of a key and this character, which no id contains. It names no user."""


class RecipientParts(Struct, frozen=True):
    """The expected number of recipients, and the boundaries of their parts: one more than there are parts."""

    total: int
    boundaries: list[str]


class Recipients:
    def __init__(self, database: Database) -> None:
        self._users = database[USERS]

    async def list_keys(self, after: str, end: str, limit: int) -> list[str]:
        """Return the first keys of recipients that are greater than `after` and less than `end`."""
        docs = self._users.find({"_id": {"$gt": after, "$lt": end}}, {"_id": 1}, hint="_id_")
        return [doc["_id"] async for doc in docs.sort("_id", ASCENDING).limit(limit)]

    async def divide(self, tenant: str) -> RecipientParts:
        """Return the expected number of recipients of a tenant, and their parts."""
        first, last = bounds(tenant)
        match: Document = {"_id": {"$gt": first, "$lt": last}}
        total = await self._users.count_documents(match, hint="_id_", limit=COUNT_MAX)
        if total < COUNT_MAX:
            at = self._users.find(match, {"_id": 1}, hint="_id_").sort("_id", ASCENDING).skip(PART_SIZE - 1).limit(2)
            sample = [doc["_id"] async for doc in at]
            return RecipientParts(total, [first, *_between(sample), last])
        sample = await _sample(self._users, match, "_id")
        everywhere = await self._users.estimated_document_count()
        total = max(COUNT_MAX, everywhere * len(sample) // SAMPLE_SIZE)
        parts = min(PARTS_MAX, ceil(total / PART_SIZE), len(sample) // 2)
        chosen = [sample[len(sample) * part // parts - 1 :][:2] for part in range(1, parts)]
        return RecipientParts(total, [first, *(boundary for pair in chosen for boundary in _between(pair)), last])


def bounds(tenant: str) -> tuple[str, str]:
    """Return the bounds of the keys of a tenant, which are between them."""
    return f"{tenant}/", f"{tenant}0"  # `0` follows the slash


async def _sample(collection: AsyncCollection[Any], match: Document, key: str) -> list[str]:
    """Return the sorted keys of the matching documents in a sample of the collection. MongoDB reads the sample with a
    random cursor, because it is a small part of the collection."""
    stages: list[Document] = [{"$sample": {"size": SAMPLE_SIZE}}, {"$match": match}, {"$project": {key: 1}}]
    return sorted({doc[key] async for doc in await collection.aggregate(stages)})


def _between(pair: Sequence[str]) -> list[str]:
    """Return a boundary between two successive keys, or nothing if it would contain the second key."""
    if len(pair) < 2:
        return []
    low, high = pair
    length = next((n for n in range(1, len(high)) if high[:n] > low), len(high))
    return [high[:length] + AFTER_PREFIX] if length < len(high) else []
