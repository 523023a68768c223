"""Service keys of tenants.

A key is created in a transaction that writes the tenant's document first. Concurrent creations of one tenant conflict
there, so the limit is exact. A revoked key is kept for REVOKED_DAYS.
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec.structs import replace
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub import base64url
from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.tenants import COLLECTION as TENANTS
from hub.errors import NotFound, TooLarge
from hub.ids import new_id
from hub.iso_duration import DAY_S
from hub.model import KeyRole, Scope, ServiceKey, document
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import set_up_changes
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_all
from hub.utc_time import RealClock

COLLECTION = "service_keys"
PREFIX = "hub_sk_"
SECRET_BYTES = 32
SECRET_CHARS = len(PREFIX) + 43  # 32 bytes in base64url
PREVIEW_CHARS = len(PREFIX) + 4
TENANT_MAX_KEYS = 100  # that are not revoked
REVOKED_DAYS = 90
REVOKED_SHOWN_MAX = 200
ERASED_AUTHOR = "erased"


def indexes() -> Indexes:
    tenant = [("tenant", ASCENDING), ("revoked_at", DESCENDING)]
    return {
        COLLECTION: [
            # the key of a request
            IndexModel([("hash", ASCENDING)], name="hash", unique=True),
            # the keys of a tenant: those that are not revoked, and the revoked ones, newest first
            IndexModel(tenant, name="tenant"),
            # deletes revoked keys
            IndexModel([("revoked_at", ASCENDING)], name="expiry", expireAfterSeconds=REVOKED_DAYS * DAY_S),
        ]
    }


def hash_of(secret: str) -> str:
    """Return the form in which a secret is stored."""
    return sha256(secret.encode()).hexdigest()


class ServiceKeys:
    """Reads and changes service keys."""

    def __init__(self, database: Database, real_clock: RealClock, deadline_s: float) -> None:
        self._database = database
        self._keys = database[COLLECTION]
        self._now = real_clock
        self._updates = SerializedUpdates(deadline_s)

    async def create(
        self,
        tenant: str,
        name: str,
        role: KeyRole,
        scopes: Collection[Scope],
        expires_at: datetime | None,
        created_by: str,
        audit: AuditedAction | None,
    ) -> tuple[ServiceKey, str]:
        """Create a key. Return it with its secret, which is not stored. Raise TooLarge at the limit."""
        secret = PREFIX + base64url.encode(secrets.token_bytes(SECRET_BYTES))
        now = self._now()
        key = ServiceKey(
            id=new_id(now),
            tenant=tenant,
            hash=hash_of(secret),
            name=name,
            role=role,
            scopes=tuple(scope for scope in Scope if scope in scopes),
            preview=secret[:PREVIEW_CHARS],
            created_at=now,
            created_by=created_by,
            expires_at=expires_at,
        )

        async def insert(session: AsyncClientSession) -> bool:
            lock = {"$inc": {"locks": 1}, "$setOnInsert": {"version": 0}}
            await self._database[TENANTS].update_one({"_id": tenant}, lock, upsert=True, session=session)
            active = {"tenant": tenant, "revoked_at": None}
            if await self._keys.count_documents(active, hint="tenant", session=session) >= TENANT_MAX_KEYS:
                raise TooLarge(f"A tenant has at most {TENANT_MAX_KEYS} service keys. Revoke keys that are not used.")
            await self._keys.insert_one(document(key), session=session)
            if audit:
                await audit.record_each({key.id: set_up_changes(None, key)}, session)
            return True

        await self._updates.run(tenant, lambda: try_transaction(self._database, insert, audit))
        return key, secret

    async def list_all(self, tenant: str) -> list[ServiceKey]:
        """Return the keys that are not revoked, oldest first, then those revoked in the last REVOKED_DAYS, newest
        first, at most REVOKED_SHOWN_MAX."""
        active = self._keys.find({"tenant": tenant, "revoked_at": None}, hint="tenant").limit(TENANT_MAX_KEYS)
        since = self._now() - timedelta(days=REVOKED_DAYS)
        match = {"tenant": tenant, "revoked_at": {"$gte": since}}
        revoked = self._keys.find(match, hint="tenant").sort("revoked_at", DESCENDING).limit(REVOKED_SHOWN_MAX)
        in_order = sorted(await decode_all(active, ServiceKey), key=lambda key: key.id)
        return in_order + await decode_all(revoked, ServiceKey)

    async def revoke(self, tenant: str, id: str, audit: AuditedAction | None) -> ServiceKey:
        """Revoke a key. Return it unchanged if it is revoked already. Raise NotFound."""
        match = {"_id": id, "tenant": tenant}

        async def apply(session: AsyncClientSession) -> ServiceKey:
            doc = await self._keys.find_one(match, session=session)
            key = decode(doc, ServiceKey) if doc else None
            if key is None:
                raise NotFound("This service key does not exist.")
            if key.revoked_at:
                return key
            revoked = replace(key, revoked_at=self._now())
            await self._keys.update_one(match, {"$set": {"revoked_at": revoked.revoked_at}}, session=session)
            if audit:
                await audit.record(set_up_changes(key, revoked), session)
            return revoked

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply, audit))

    async def find(self, hash: str) -> ServiceKey | None:
        """Return the key whose secret has this hash, or None if it does not exist or is revoked."""
        doc = await self._keys.find_one({"hash": hash, "revoked_at": None}, hint="hash")
        return decode(doc, ServiceKey) if doc else None

    async def list_active(self, ids: Collection[str]) -> set[str]:
        """Return the ids of the keys that are not revoked."""
        docs = self._keys.find({"_id": {"$in": list(ids)}, "revoked_at": None}, {"_id": 1})
        return {doc["_id"] async for doc in docs}

    async def record_use(self, used_at: Mapping[str, datetime]) -> None:
        """Record when keys were last used, by id."""
        updates: list[UpdateOne] = [
            UpdateOne({"_id": id}, {"$max": {"last_used_at": at}}) for id, at in used_at.items()
        ]
        await self._keys.bulk_write(updates, ordered=False)

    async def export_of_author(self, tenant: str, user: str, limit: int) -> list[Document]:
        """Return up to `limit` keys that a user created."""
        named = dict.fromkeys(("name", "role", "created_at", "created_by", "revoked_at"), 1)
        return (
            await self._keys.find({"tenant": tenant, "created_by": user}, named, hint="tenant").limit(limit).to_list()
        )

    async def erase_author(self, tenant: str, user: str) -> None:
        """Remove the name of a user who created keys."""
        match: Document = {"tenant": tenant, "created_by": user}
        await self._keys.update_many(match, {"$set": {"created_by": ERASED_AUTHOR}}, hint="tenant")
