"""Tenants' webhook endpoints.

Endpoints are stored in the tenant's document. The `version` of the document increases with every change, so stale
copies can be detected. The secrets are encrypted.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from hub.audience.tenants import COLLECTION, ENDPOINT_CREDENTIALS
from hub.errors import NotFound, TooLarge
from hub.ids import new_id, new_secret
from hub.model import DeliveryStatus, WebhookEndpoint, document
from hub.platform.connections import Database, Document
from hub.platform.encryption import CredentialUnavailable, Encryption
from hub.platform.tolerant_decoding import decode
from hub.settings import Settings
from hub.utc_time import Clock, elapsed, rfc3339

log = structlog.get_logger(__name__)


class Endpoints:
    def __init__(self, database: Database, settings: Settings, clock: Clock, encryption: Encryption) -> None:
        self._tenants = database[COLLECTION]
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

    async def create(self, tenant: str, url: str, events: Sequence[str]) -> WebhookEndpoint:
        """Create an endpoint and return it with its first secret. Raise TooLarge if the tenant has reached the
        limit."""
        now = self._clock()
        endpoint = WebhookEndpoint(
            id=new_id(now), url=url, events=tuple(events), secrets=(new_secret(),), created_at=now
        )
        below_limit = {"_id": tenant, f"endpoints.{self._per_tenant_max - 1}": {"$exists": False}}
        stored = self._encryption.encrypted(ENDPOINT_CREDENTIALS, endpoint)
        change = {"$push": {"endpoints": document(stored)}, "$inc": {"version": 1}}
        try:
            await self._tenants.update_one(below_limit, change, upsert=True)
        except DuplicateKeyError:  # the document exists: the limit is reached, or another call created it
            if not (await self._tenants.update_one(below_limit, change)).matched_count:
                raise TooLarge(
                    f"A tenant has at most {self._per_tenant_max} webhooks (HUB_TENANT_MAX_WEBHOOKS)."
                ) from None
        return endpoint

    async def update(
        self,
        tenant: str,
        id: str,
        *,
        url: str | UnsetType = UNSET,
        events: Sequence[str] | UnsetType = UNSET,
        enabled: bool | UnsetType = UNSET,
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
        if changed := await self._change(tenant, id, {}, _endpoint_update(values, cleared)):
            return changed
        raise _not_found()

    async def rotate(self, tenant: str, id: str) -> WebhookEndpoint:
        """Add a secret, and return the endpoint with its secrets. For a day, the previous secret is also used to sign;
        older ones are not, nor is one whose encryption key is missing. Raise NotFound."""
        secret = new_secret()
        while endpoint := next((one for one in await self.list_all(tenant) if one.id == id), None):
            secrets = (secret, *self._newest_secret(endpoint))
            stored = self._encryption.encrypted(ENDPOINT_CREDENTIALS, replace(endpoint, secrets=secrets))
            values: Document = {"rotated_at": self._clock(), "secrets": list(stored.secrets)}
            if stored.encrypted_with:
                values["encrypted_with"] = stored.encrypted_with
            update = _endpoint_update(values, [] if stored.encrypted_with else ["encrypted_with"])
            unchanged = {"secrets": {"$eq": list(endpoint.secrets)}}
            if changed := await self._change(tenant, id, unchanged, update):
                return replace(changed, secrets=secrets)
        raise _not_found()

    async def delete(self, tenant: str, id: str) -> bool:
        """Delete an endpoint, whose waiting calls are then not made. Return True if the endpoint existed."""
        match = {"_id": tenant, "endpoints.id": id}
        change: Document = {"$pull": {"endpoints": {"id": id}}, "$inc": {"version": 1}}
        return (await self._tenants.update_one(match, change)).modified_count == 1

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

    async def _change(self, tenant: str, id: str, conditions: Document, change: Document) -> WebhookEndpoint | None:
        """Change the endpoint if it matches `conditions`. Return the changed endpoint, or None."""
        match = {"_id": tenant, "endpoints": {"$elemMatch": {"id": id, **conditions}}}
        doc = await self._tenants.find_one_and_update(
            match, change, {"endpoints": 1}, return_document=ReturnDocument.AFTER
        )
        return next((endpoint for endpoint in _endpoints(doc) if endpoint.id == id), None)

    def _newest_secret(self, endpoint: WebhookEndpoint) -> tuple[str, ...]:
        try:
            return self.decrypted(endpoint).secrets[:1]
        except CredentialUnavailable:
            return ()


def _not_found() -> NotFound:
    return NotFound("This webhook does not exist.")


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
