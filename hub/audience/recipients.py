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

from hub.audience.topics import COLLECTION as TOPICS
from hub.audience.topics import SUBSCRIPTIONS
from hub.audience.users import COLLECTION as USERS
from hub.errors import NotFound
from hub.model import SendAudience, SubscriptionState, tenant_of, topic_id
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
        self._topics = database[TOPICS]
        self._subscriptions = database[SUBSCRIPTIONS]

    async def check(self, tenant: str, audience: SendAudience, field: str) -> None:
        """Raise NotFound if the topic does not exist. `field` is the path of the send's input."""
        topic = audience.topic
        if topic is not None and not await self._topics.find_one({"_id": topic_id(tenant, topic)}, {"_id": 1}):
            raise NotFound(f"The topic {topic!r} does not exist.", field=f"{field}.to.topic")

    async def list_keys(self, audience: SendAudience, after: str, end: str, limit: int) -> list[str]:
        """Return the first keys of recipients that are greater than `after` and less than `end`."""
        source = self._source(audience, after, end)
        docs = source.collection.find(source.match, {source.key: 1}, hint=source.index)
        return [doc[source.key] async for doc in docs.sort(source.key, ASCENDING).limit(limit)]

    async def divide(self, tenant: str, audience: SendAudience) -> RecipientParts:
        """Return the expected number of recipients of a tenant, and their parts."""
        first, last = bounds(tenant)
        source = self._source(audience, first, last)
        collection, match, key = source.collection, source.match, source.key
        total = await collection.count_documents(match, hint=source.index, limit=COUNT_MAX)
        if total < COUNT_MAX:
            at = collection.find(match, {key: 1}, hint=source.index).sort(key, ASCENDING).skip(PART_SIZE - 1).limit(2)
            sample = [doc[key] async for doc in at]
            return RecipientParts(total, [first, *_between(sample), last])
        sample = await _sample(collection, match, key)
        everywhere = await collection.estimated_document_count()
        total = max(COUNT_MAX, everywhere * len(sample) // SAMPLE_SIZE)
        parts = min(PARTS_MAX, ceil(total / PART_SIZE), len(sample) // 2)
        chosen = [sample[len(sample) * part // parts - 1 :][:2] for part in range(1, parts)]
        return RecipientParts(total, [first, *(boundary for pair in chosen for boundary in _between(pair)), last])

    def _source(self, audience: SendAudience, after: str, end: str) -> "_Source":
        """Return where the keys between `after` and `end` are read."""
        between = {"$gt": after, "$lt": end}
        if audience.topic is None:
            return _Source(self._users, {"_id": between}, "_id", "_id_")
        topic = topic_id(tenant_of(after), audience.topic)
        match = {"topic": topic, "state": SubscriptionState.ACTIVE, "mailbox": between}
        return _Source(self._subscriptions, match, "mailbox", "subscribers")


class _Source(Struct, frozen=True):
    """The documents of recipients: their collection, match, the field that contains the key, and the index."""

    collection: AsyncCollection[Any]
    match: Document
    key: str
    index: str


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
