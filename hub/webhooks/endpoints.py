"""Tenants' webhook endpoints.

Endpoints are stored in the tenant's document. The `version` of the document increases with every change, so stale
copies can be detected. The secrets are encrypted.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.tenants import COLLECTION, ENDPOINT_CREDENTIALS
from hub.errors import NotFound, TooLarge
from hub.ids import new_id, new_secret
from hub.model import DeliveryStatus, WebhookEndpoint, document
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import set_up_changes
from hub.platform.connections import Database, Document
from hub.platform.encryption import CredentialUnavailable, Encryption
from hub.platform.tolerant_decoding import decode
from hub.settings import Settings
from hub.utc_time import Clock, elapsed, rfc3339

log = structlog.get_logger(__name__)


class Endpoints:
    def __init__(self, database: Database, settings: Settings, clock: Clock, encryption: Encryption) -> None:
        self._database = database
        self._tenants = database[COLLECTION]
        self._updates = SerializedUpdates(settings.commit_deadline_s)
        self._per_tenant_max = settings.tenant_max_webhooks
        self._failing_days = settings.webhook_failing_days
        self._clock = clock
        self._encryption = encryption

    def decrypted(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """Return an endpoint with its secrets. Raise CredentialUnavailable."""
        return self._encryption.decrypted(ENDPOINT_CREDENTIALS, endpoint)

    async def list_all(self, tenant: str) -> list[WebhookEndpoint]:
        """Return the endpoints in the order of creation."""
        doc = await self._tenants.find_one({"_id": tenant}, {"endpoints": 1})
        return _endpoints(doc)

    async def create(
        self, tenant: str, url: str, events: Sequence[str], audit: AuditedAction | None
    ) -> WebhookEndpoint:
        """Create an endpoint and return it with its first secret. Raise TooLarge if the tenant has reached the
        limit."""
        now = self._clock()
        endpoint = WebhookEndpoint(
            id=new_id(now), url=url, events=tuple(events), secrets=(new_secret(),), created_at=now
        )
        stored = self._encryption.encrypted(ENDPOINT_CREDENTIALS, endpoint)
        change = {"$push": {"endpoints": document(stored)}, "$inc": {"version": 1}}

        async def apply(session: AsyncClientSession) -> WebhookEndpoint:
            doc = await self._tenants.find_one({"_id": tenant}, {"endpoints": 1}, session=session)
            if len((doc or {}).get("endpoints", [])) >= self._per_tenant_max:
                raise TooLarge(f"A tenant has at most {self._per_tenant_max} webhooks (HUB_TENANT_MAX_WEBHOOKS).")
            await self._tenants.update_one({"_id": tenant}, change, upsert=True, session=session)
            if audit:
                await audit.record_each({endpoint.id: set_up_changes(None, stored)}, session)
            return endpoint

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply, audit))

    async def update(
        self,
        tenant: str,
        id: str,
        *,
        url: str | UnsetType = UNSET,
        events: Sequence[str] | UnsetType = UNSET,
        enabled: bool | UnsetType = UNSET,
        audit: AuditedAction | None,
    ) -> WebhookEndpoint:
        """Change the fields that are not UNSET. A new URL or enabling the endpoint clears its failures. Raise
        NotFound."""
        values: Document = {}
        cleared: list[str] = []
        if url is not UNSET:
            values["url"] = url
            cleared = ["failing_since"]
        if events is not UNSET:
            values["events"] = list(events)
        if enabled is not UNSET:
            values["enabled"] = enabled
            cleared = ["failing_since", "disabled_reason"]
        return await self._change(tenant, id, lambda _: _endpoint_update(values, cleared), audit)

    async def rotate(self, tenant: str, id: str, audit: AuditedAction | None) -> WebhookEndpoint:
        """Add a secret, and return the endpoint with its secrets. For a day, the previous secret is also used to sign;
        older ones are not, nor is one whose encryption key is missing. Raise NotFound."""
        secrets: tuple[str, ...] = (new_secret(),)

        def rotated(endpoint: WebhookEndpoint) -> Document:
            nonlocal secrets
            secrets = (secrets[0], *self._newest_secret(endpoint))
            stored = self._encryption.encrypted(ENDPOINT_CREDENTIALS, replace(endpoint, secrets=secrets))
            values: Document = {"rotated_at": self._clock(), "secrets": list(stored.secrets)}
            if stored.encrypted_with:
                values["encrypted_with"] = stored.encrypted_with
            return _endpoint_update(values, [] if stored.encrypted_with else ["encrypted_with"])

        return replace(await self._change(tenant, id, rotated, audit), secrets=secrets)

    async def delete(self, tenant: str, id: str, audit: AuditedAction | None) -> bool:
        """Delete an endpoint, whose waiting calls are then not made. Return True if the endpoint existed."""
        match = {"_id": tenant, "endpoints.id": id}
        change: Document = {"$pull": {"endpoints": {"id": id}}, "$inc": {"version": 1}}

        async def apply(session: AsyncClientSession) -> bool:
            before = await self._tenants.find_one_and_update(match, change, {"endpoints": 1}, session=session)
            if audit:
                await audit.record(set_up_changes(_find(before, id), None), session)
            return before is not None

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply, audit))

    async def record_result(self, tenant: str, endpoint: WebhookEndpoint, status: DeliveryStatus) -> None:
        """Record the result of a call, DELIVERED or FAILED. Disable an endpoint after days of failures without a
        success. `endpoint` may be a stale copy, which the update detects."""
        now = self._clock()
        if status is DeliveryStatus.DELIVERED:
            if endpoint.failing_since:
                await self._update_if(tenant, endpoint, {"failing_since": {"$exists": True}}, {}, ["failing_since"])
            return
        if endpoint.failing_since is None:
            await self._update_if(tenant, endpoint, {"failing_since": {"$exists": False}}, {"failing_since": now}, [])
            return
        since = endpoint.failing_since
        if elapsed(since, now) < timedelta(days=self._failing_days):
            return
        disabled = {"enabled": False, "disabled_reason": f"All calls have failed since {rfc3339(since)}."}
        if await self._update_if(tenant, endpoint, {"enabled": {"$ne": False}, "failing_since": since}, disabled, []):
            log.warning("endpoint_disabled", tenant=tenant, endpoint=endpoint.id, failing_since=rfc3339(since))

    async def _update_if(
        self, tenant: str, endpoint: WebhookEndpoint, conditions: Document, values: Document, cleared: list[str]
    ) -> bool:
        """Change the endpoint if it matches `conditions`. Return True if it did."""
        match = {"_id": tenant, "endpoints": {"$elemMatch": {"id": endpoint.id, **conditions}}}
        return (await self._tenants.update_one(match, _endpoint_update(values, cleared))).modified_count == 1

    async def _change(
        self, tenant: str, id: str, update_of: Callable[[WebhookEndpoint], Document], audit: AuditedAction | None
    ) -> WebhookEndpoint:
        """Change an endpoint with the update that `update_of` returns for it. Raise NotFound."""
        match = {"_id": tenant, "endpoints.id": id}

        async def apply(session: AsyncClientSession) -> WebhookEndpoint:
            before = _find(await self._tenants.find_one(match, {"endpoints": 1}, session=session), id)
            if before is None:
                raise NotFound("This webhook does not exist.")
            doc = await self._tenants.find_one_and_update(
                match, update_of(before), {"endpoints": 1}, return_document=ReturnDocument.AFTER, session=session
            )
            after = _find(doc, id)
            assert after
            if audit:
                await audit.record(set_up_changes(before, after), session)
            return after

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply, audit))

    def _newest_secret(self, endpoint: WebhookEndpoint) -> tuple[str, ...]:
        try:
            return self.decrypted(endpoint).secrets[:1]
        except CredentialUnavailable:
            return ()


def _find(doc: Document | None, id: str) -> WebhookEndpoint | None:
    return next((endpoint for endpoint in _endpoints(doc) if endpoint.id == id), None)


def _endpoint_update(values: Document, cleared: Sequence[str]) -> Document:
    """Return an update of the matched endpoint."""
    update: dict[str, Any] = {"$inc": {"version": 1}}
    if values:
        update["$set"] = {f"endpoints.$.{name}": value for name, value in values.items()}
    if cleared:
        update["$unset"] = {f"endpoints.$.{name}": "" for name in cleared}
    return update


def _endpoints(doc: Document | None) -> list[WebhookEndpoint]:
    stored = (doc or {}).get("endpoints", [])
    return [endpoint for item in stored if (endpoint := decode(item, WebhookEndpoint))]
