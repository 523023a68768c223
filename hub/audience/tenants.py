"""Tenants: categories, default preferences, and branding, in one document per tenant.

Every change increments `version`. A cached tenant is valid while its version equals the stored version. A decision
therefore requires only one query, which reads versions.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from cachetools import LRUCache
from msgspec.structs import replace
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.errors import TooLarge, Unavailable
from hub.ids import new_id
from hub.model import Category, Channel, Tenant, channel_use, document
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import Changes, set_up_changes
from hub.platform.connections import Database, Document, Indexes
from hub.platform.encryption import StoredCredentials
from hub.platform.tolerant_decoding import decode, decode_all, decode_by_id, merged

COLLECTION = "tenants"
ENDPOINT_CREDENTIALS = StoredCredentials("webhook endpoints", COLLECTION, "endpoints", ("secrets",))
ENRICHMENT_CREDENTIALS = StoredCredentials(
    "enrichment secrets", COLLECTION, "enrichment_secrets", ("secrets",), "enrichment_encrypted_with"
)
CACHE_SIZE = 10_000  # tenants
RESUMED_MAX = 100  # tenants per round
REPLACED_FIELDS = (
    *("name", "logo_url", "color", "timezone", "locale", "preferences", "categories", "used_channels"),
    *("paused_channels", "resumed_channels"),
)


def indexes() -> Indexes:
    # `CredentialEncryption`: the webhook endpoints and enrichment secrets that a key encrypts, and those that are not
    # encrypted
    credentials = [ENDPOINT_CREDENTIALS.index(), ENRICHMENT_CREDENTIALS.index()]
    resumed = IndexModel(
        [("resumed_channels.channel", ASCENDING)],
        name="resumed_channels",
        partialFilterExpression={"resumed_channels.channel": {"$exists": True}},
    )
    return {COLLECTION: [*credentials, resumed]}  # `list_resumed`: the tenants with channels that were resumed


async def list_tenants(database: Database) -> list[str]:
    """Return the ids of all tenants."""
    return [doc["_id"] async for doc in database[COLLECTION].find({}, {"_id": 1}, hint="_id_")]


class Tenants:
    """Reads and changes tenants. `max_categories` is the limit per tenant."""

    def __init__(self, database: Database, max_categories: int, deadline_s: float) -> None:
        self._database = database
        self._tenants = database[COLLECTION]
        self._max_categories = max_categories
        self._cache: LRUCache[str, Tenant] = LRUCache(CACHE_SIZE)
        self._updates = SerializedUpdates(deadline_s)

    async def get_many(self, ids: Collection[str]) -> dict[str, Tenant]:
        """Return each tenant of `ids`. For a tenant that does not exist, return an empty tenant.

        One query reads the versions. A second query reads the tenants whose stored version is not cached."""
        docs = self._tenants.find({"_id": {"$in": list(ids)}}, {"version": 1})
        versions = {doc["_id"]: doc.get("version", 0) async for doc in docs}
        empty = {id: Tenant(id=id) for id in ids}
        tenants = empty | {id: self._cache.get(id, empty[id]) for id in versions}
        if outdated := [id for id, version in versions.items() if tenants[id].version != version]:
            current = await decode_by_id(self._tenants.find({"_id": {"$in": outdated}}), Tenant)
            tenants |= current
            self._cache.update(current)
        return tenants

    async def list_resumed(self) -> list[Tenant]:
        """Return at most RESUMED_MAX tenants with channels that were resumed and whose deliveries are released now."""
        docs = self._tenants.find({"resumed_channels.channel": {"$exists": True}}, hint="resumed_channels")
        return await decode_all(docs.limit(RESUMED_MAX), Tenant)

    def cached(self, id: str) -> Tenant:
        """Return the cached tenant, which may be outdated, or an empty tenant if it is not cached."""
        return self._cache.get(id) or Tenant(id=id)

    async def get(self, id: str) -> Tenant:
        return (await self.get_many([id]))[id]

    async def change(
        self,
        id: str,
        step: Callable[[Tenant], Tenant],
        audit: AuditedAction | None,
        changes: Callable[[Tenant, Tenant], Changes] = set_up_changes,
    ) -> Tenant:
        """Replace a tenant's name, branding, defaults, and categories with those that `step` returns.

        If the tenant changes in the meantime, `step` is called again, so no change is lost. `audit` records what
        `changes` returns for the tenants before and after the change."""

        async def apply(session: AsyncClientSession) -> Tenant:
            before, after = await self._change(id, step, session)
            if audit:
                await audit.record(changes(before, after), session)
            return after

        return await self._updates.run(id, lambda: try_transaction(self._database, apply, audit))

    async def _change(
        self, id: str, step: Callable[[Tenant], Tenant], session: AsyncClientSession
    ) -> tuple[Tenant, Tenant]:
        """Return the tenant before and after the change."""
        doc = await self._tenants.find_one({"_id": id}, session=session)
        before = decode(doc, Tenant) if doc else Tenant(id=id, used_channels=frozenset())  # it has no sends
        if before is None:
            raise Unavailable("A newer version of the hub has written this tenant. Upgrade this hub.")
        after = replace(step(before), version=before.version + 1)
        new = document(after)
        if doc is None:
            await self._tenants.insert_one(new, session=session)
            return before, after
        old = document(before)
        for name in ("preferences", "categories"):
            empty: Any = [] if name == "categories" else {}
            value = merged(doc.get(name, empty), old.get(name, empty), new.get(name, empty))
            new = new | {name: value} if value else {key: kept for key, kept in new.items() if key != name}
        update: Document = {"$set": {name: new[name] for name in (*REPLACED_FIELDS, "version") if name in new}}
        if unset := [name for name in REPLACED_FIELDS if name not in new]:
            update["$unset"] = dict.fromkeys(unset, "")
        await self._tenants.update_one({"_id": id}, update, session=session)
        return before, after

    async def upsert_category(self, id: str, category: Category, audit: AuditedAction | None) -> Category:
        """Create a category, or replace the category with the same key.

        Raise TooLarge if the tenant has too many categories."""

        def step(tenant: Tenant) -> Tenant:
            categories = {existing.key: existing for existing in tenant.categories}
            self._check_limit(tenant, category.key)
            stored = _with_revision(category, categories.get(category.key))
            return replace(tenant, categories=tuple((categories | {category.key: stored}).values()))

        await self.change(id, step, audit, partial(_category_changes, category.key))
        return category

    async def delete_category(self, id: str, key: str, audit: AuditedAction | None) -> bool:
        """Delete a category and its preferences by default. What users chose is kept. Return True if it existed."""
        uses = {channel_use(key, channel) for channel in Channel}
        deleted = False

        def step(tenant: Tenant) -> Tenant:
            nonlocal deleted
            deleted = tenant.category(key) is not None
            defaults = tuple(one for one in tenant.preferences.categories if one.category != key)
            return replace(
                tenant,
                categories=tuple(one for one in tenant.categories if one.key != key),
                preferences=replace(tenant.preferences, categories=defaults),
                used_channels=tenant.used_channels and tenant.used_channels - uses,
            )

        await self.change(id, step, audit, partial(_category_changes, key))
        return deleted

    def create_category_update(self, tenant: Tenant, key: str) -> UpdateOne:
        """Return the update that creates a category when it is first used, for the transaction that uses it.

        The update does not change an existing category. Raise TooLarge if the tenant has too many categories."""
        self._check_limit(tenant, key)
        existing: dict[str, Any] = {"$ifNull": ["$categories", []]}
        is_unchanged = {
            "$or": [
                {"$in": [{"$literal": key}, {"$ifNull": ["$categories.key", []]}]},
                {"$gte": [{"$size": existing}, self._max_categories]},
            ]
        }
        extended = {"$concatArrays": [existing, [{"$literal": document(default_category(key))}]]}
        has_no_sends = {"$eq": [{"$type": "$categories"}, "missing"]}
        values = {
            "used_channels": {"$ifNull": ["$used_channels", {"$cond": [has_no_sends, [], "$$REMOVE"]}]},
            "categories": {"$cond": [is_unchanged, existing, extended]},
            "version": {"$add": [{"$ifNull": ["$version", 0]}, {"$cond": [is_unchanged, 0, 1]}]},
        }
        return UpdateOne({"_id": tenant.id}, [{"$set": values}], upsert=True)

    def lock_update(self, id: str) -> UpdateOne:
        """Return the update with which a transaction conflicts with all others that use it for this tenant."""
        return UpdateOne({"_id": id}, {"$inc": {"locks": 1}, "$setOnInsert": {"version": 0}}, upsert=True)

    def _check_limit(self, tenant: Tenant, key: str) -> None:
        if tenant.category(key) is None and len(tenant.categories) >= self._max_categories:
            raise TooLarge(f"A tenant has at most {self._max_categories} categories (HUB_TENANT_MAX_CATEGORIES).")


def _category_changes(key: str, before: Tenant, after: Tenant) -> Changes:
    return set_up_changes(before.category(key), after.category(key))


def _with_revision(category: Category, before: Category | None) -> Category:
    """Return the category with the revision of its enrichment: a new one if a field has changed."""
    if category.enrichment is None:
        return category
    revision = before.enrichment.revision if before and before.enrichment else ""
    same = replace(category.enrichment, revision=revision)
    unchanged = before is not None and before.enrichment == same
    return replace(category, enrichment=same if unchanged else replace(same, revision=new_id()))


def default_category(key: str) -> Category:
    """Return the category that is created when a key is first used."""
    return Category(key=key, name=key)
