"""Tenants: categories, default preferences and branding, in one document per tenant.

Every change increments `version`. A cached tenant is valid while its version is the stored one, so a decision costs
one query for versions.
"""

from collections.abc import Callable, Collection
from typing import Any

from cachetools import LRUCache
from msgspec.structs import replace
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from hub.audience.optimistic_update import SerializedUpdates
from hub.errors import TooLarge, Unavailable
from hub.model import Category, Tenant, document
from hub.platform.connections import Database, Document, Indexes
from hub.platform.decoding import decode, decode_by_id, merged

COLLECTION = "tenants"
CACHE_SIZE = 10_000  # tenants
REPLACED_FIELDS = ("name", "logo_url", "color", "preferences", "categories")


def indexes() -> Indexes:
    return {COLLECTION: []}  # read by `_id` only


class Tenants:
    """`max_categories` is per tenant."""

    def __init__(self, database: Database, max_categories: int, deadline_s: float) -> None:
        self._tenants = database[COLLECTION]
        self._max_categories = max_categories
        self._cache: LRUCache[str, Tenant] = LRUCache(CACHE_SIZE)
        self._updates = SerializedUpdates(deadline_s)

    async def get_many(self, ids: Collection[str]) -> dict[str, Tenant]:
        """Return each tenant of `ids`; one that does not exist is returned empty.

        One query reads the versions, and a second one the tenants that are not cached in their version."""
        found = self._tenants.find({"_id": {"$in": list(ids)}}, {"version": 1})
        versions = {doc["_id"]: doc.get("version", 0) async for doc in found}
        empty = {id: Tenant(id=id) for id in ids}
        tenants = empty | {id: self._cache.get(id, empty[id]) for id in versions}
        if old := [id for id, version in versions.items() if tenants[id].version != version]:
            read = await decode_by_id(self._tenants.find({"_id": {"$in": old}}), Tenant)
            tenants |= read
            self._cache.update(read)
        return tenants

    def cached(self, id: str) -> Tenant:
        """Return the cached tenant, which may be outdated, or an empty one."""
        return self._cache.get(id) or Tenant(id=id)

    async def get(self, id: str) -> Tenant:
        return (await self.get_many([id]))[id]

    async def change(self, id: str, step: Callable[[Tenant], Tenant]) -> Tenant:
        """Replace a tenant's name, branding, defaults and categories by those that `step` returns.

        `step` is called again if the tenant was changed in between, so that no change is lost."""
        return await self._updates.run(id, lambda: self._try_change(id, step))

    async def _try_change(self, id: str, step: Callable[[Tenant], Tenant]) -> Tenant | None:
        doc = await self._tenants.find_one({"_id": id})
        before = decode(doc, Tenant) if doc else Tenant(id=id)
        if before is None:
            raise Unavailable("Another version of the hub has written this tenant. Upgrade this one.")
        after = replace(step(before), version=before.version + 1)
        new = document(after)
        if doc is None:
            try:
                await self._tenants.insert_one(new)
            except DuplicateKeyError:
                return None
            return after
        known = document(before)
        for name in ("preferences", "categories"):
            empty: Any = [] if name == "categories" else {}
            value = merged(doc.get(name, empty), known.get(name, empty), new.get(name, empty))
            new = new | {name: value} if value else {key: kept for key, kept in new.items() if key != name}
        update: Document = {"$set": {name: new[name] for name in (*REPLACED_FIELDS, "version") if name in new}}
        if gone := [name for name in REPLACED_FIELDS if name not in new]:
            update["$unset"] = dict.fromkeys(gone, "")
        same = await self._tenants.update_one({"_id": id, "version": before.version}, update)
        return after if same.matched_count else None

    async def upsert_category(self, id: str, category: Category) -> Category:
        """Create a category, or replace the one with its key. Raise TooLarge if the tenant has too many."""

        def step(tenant: Tenant) -> Tenant:
            known = {known.key: known for known in tenant.categories}
            self._check_limit(tenant, category.key)
            return replace(tenant, categories=tuple((known | {category.key: category}).values()))

        await self.change(id, step)
        return category

    def create_category_update(self, tenant: Tenant, key: str) -> UpdateOne:
        """Return the update that creates a category on first use, for the transaction that needs it.

        The update does not change an existing category. Raise TooLarge if the tenant has too many."""
        self._check_limit(tenant, key)
        listed: dict[str, Any] = {"$ifNull": ["$categories", []]}
        done = {
            "$or": [
                {"$in": [{"$literal": key}, {"$ifNull": ["$categories.key", []]}]},
                {"$gte": [{"$size": listed}, self._max_categories]},
            ]
        }
        more = {"$concatArrays": [listed, [{"$literal": document(default_category(key))}]]}
        values = {
            "categories": {"$cond": [done, listed, more]},
            "version": {"$add": [{"$ifNull": ["$version", 0]}, {"$cond": [done, 0, 1]}]},
        }
        return UpdateOne({"_id": tenant.id}, [{"$set": values}], upsert=True)

    def _check_limit(self, tenant: Tenant, key: str) -> None:
        if tenant.category(key) is None and len(tenant.categories) >= self._max_categories:
            raise TooLarge(f"A tenant has at most {self._max_categories} categories (HUB_TENANT_MAX_CATEGORIES).")


def default_category(key: str) -> Category:
    """Return a category as it is created on first use."""
    return Category(key=key, name=key)
