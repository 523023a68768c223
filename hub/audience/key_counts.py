"""The number of users in a range: counted up to COUNT_MAX, and otherwise estimated from a random sample of the whole
collection, so millions of users take no longer."""

from typing import Any

from msgspec import Struct
from pymongo.asynchronous.collection import AsyncCollection

from hub.platform.connections import Document

COUNT_MAX = 50_000
SAMPLE_SIZE = 2000  # documents of the whole collection


class KeyRange(Struct, frozen=True):
    """The documents of users: their collection, match, the field that contains the key, and the index."""

    collection: AsyncCollection[Any]
    match: Document
    key: str
    index: str


class KeyCount(Struct, frozen=True):
    """The number of keys. If it is an estimate, `sample` contains sorted keys."""

    total: int
    sample: list[str] | None = None


async def count_keys(keys: KeyRange) -> KeyCount:
    total = await keys.collection.count_documents(keys.match, hint=keys.index, limit=COUNT_MAX)
    if total < COUNT_MAX:
        return KeyCount(total)
    sample = await _sample(keys)
    everywhere = await keys.collection.estimated_document_count()
    return KeyCount(max(COUNT_MAX, everywhere * len(sample) // SAMPLE_SIZE), sample)


async def _sample(keys: KeyRange) -> list[str]:
    """Return the sorted keys of the matching documents in a sample of the collection. MongoDB reads the sample with a
    random cursor, because it is a small part of the collection."""
    stages: list[Document] = [
        {"$sample": {"size": SAMPLE_SIZE}},
        {"$match": keys.match},
        {"$project": {keys.key: 1}},
    ]
    return sorted({doc[keys.key] async for doc in await keys.collection.aggregate(stages)})
