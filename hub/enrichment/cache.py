"""The answers of enrichment calls, kept for the `ttl` of their category.

The id of an entry is a hash of the tenant, the category, the URL, the revision of the set-up, and the data, so no two
tenants share an answer. An entry does not contain the data.

An entry is reserved before the call, and the answer is stored only if the entry is still there. Therefore, an answer
that arrives after the entries of its tenant or category were deleted is not stored.
"""

import re
from datetime import datetime, timedelta
from hashlib import sha256

import orjson
from cachetools import TTLCache
from pymongo import ASCENDING, IndexModel

from hub.ids import new_id
from hub.model import Category, tenant_of, user_of
from hub.platform.connections import Database, Document, Indexes
from hub.utc_time import Clock

COLLECTION = "enrichment_cache"
ENTRIES_MAX = 10_000  # of a tenant; further answers are not stored
COUNTED_FOR_S = 30.0  # a process counts the entries of a tenant again after this time
RESERVED_FOR = timedelta(minutes=2)  # longer than a call


def indexes() -> Indexes:
    return {
        COLLECTION: [
            # the entries of a tenant, and of one of its categories, to delete them
            IndexModel([("tenant", ASCENDING), ("category", ASCENDING)], name="category"),
            # deletes old entries
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        ]
    }


def match_named(mailbox: str) -> Document:
    """Return the match of the answers that contain the id of a user as a JSON text, or as a number if it is one. It
    reads all entries of the tenant, because the query is rare."""
    user = user_of(mailbox)
    pattern = re.escape(orjson.dumps(user).decode())
    if re.fullmatch("[0-9]+", user):
        pattern += rf"|[:,\[]{user}[,\]}}]"
    return {"tenant": tenant_of(mailbox), "answer": {"$regex": pattern}}


class EnrichmentCache:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._entries = database[COLLECTION]
        self._clock = clock
        self._full: TTLCache[str, bool] = TTLCache(10_000, COUNTED_FOR_S)

    async def find(self, tenant: str, category: Category, data: bytes) -> str | None:
        """Return the answer for this data, or None if it is not cached."""
        entry = await self._entries.find_one({"_id": _id(tenant, category, data), "expires_at": {"$gt": self._clock()}})
        return entry.get("answer") if entry else None

    async def reserve(self, tenant: str, category: Category, data: bytes) -> Document | None:
        """Return the match of an entry for an answer that is fetched now, or None if the tenant has too many."""
        full = self._full.get(tenant)
        if full is None:
            count = await self._entries.count_documents({"tenant": tenant}, hint="category", limit=ENTRIES_MAX)
            full = self._full[tenant] = count >= ENTRIES_MAX
        if full:
            return None
        reserved = {"_id": _id(tenant, category, data), "claim": new_id()}
        entry = reserved | {"tenant": tenant, "category": category.key, "expires_at": self._clock() + RESERVED_FOR}
        await self._entries.replace_one({"_id": reserved["_id"]}, entry, upsert=True)
        return reserved

    async def put(self, reserved: Document, category: Category, answer: str) -> None:
        """Store an answer in its entry for the `ttl` of the category, unless the entry was deleted or reserved again
        since."""
        assert category.enrichment
        expires_at: datetime = self._clock() + timedelta(seconds=category.enrichment.ttl_s)
        await self._entries.update_one(
            reserved, {"$set": {"answer": answer, "expires_at": expires_at}, "$unset": {"claim": ""}}
        )

    async def delete(self, tenant: str, category: str) -> None:
        """Delete the entries of a category."""
        await self._entries.delete_many({"tenant": tenant, "category": category})


def _id(tenant: str, category: Category, data: bytes) -> str:
    assert category.enrichment
    parts = (tenant, category.key, category.enrichment.url, category.enrichment.revision, sha256(data).hexdigest())
    return sha256(orjson.dumps(parts)).hexdigest()
