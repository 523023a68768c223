"""The secret with which a tenant's enrichment calls are signed, in the tenant's document.

A tenant has one secret for all its categories. The first category with enrichment creates it. It is encrypted.
"""

from contextlib import suppress

from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from hub.audience.optimistic_update import SerializedUpdates, try_transaction
from hub.audience.tenants import COLLECTION, ENRICHMENT_CREDENTIALS
from hub.ids import new_id, new_secret
from hub.model import EnrichmentSecrets, Tenant, document
from hub.platform.audit import AuditedAction
from hub.platform.audit_changes import set_up_changes
from hub.platform.connections import Database, Document
from hub.platform.encryption import CredentialUnavailable, Encryption
from hub.platform.tolerant_decoding import decode
from hub.platform.webhook_signature import signing_secrets
from hub.settings import Settings
from hub.utc_time import Clock

FIELD = ENRICHMENT_CREDENTIALS.array


class EnrichmentSecretStore:
    def __init__(self, database: Database, settings: Settings, clock: Clock, encryption: Encryption) -> None:
        self._database = database
        self._tenants = database[COLLECTION]
        self._updates = SerializedUpdates(settings.commit_deadline_s)
        self._clock = clock
        self._encryption = encryption

    def signing(self, tenant: Tenant) -> tuple[str, ...]:
        """Return the secrets that are used to sign, newest first: none if the tenant has no secret. Raise
        CredentialUnavailable."""
        if not tenant.enrichment_secrets:
            return ()
        decrypted = self._encryption.decrypted(ENRICHMENT_CREDENTIALS, tenant.enrichment_secrets[0])
        return signing_secrets(decrypted, self._clock())

    async def ensure(self, tenant: Tenant) -> None:
        """Create a secret if the tenant has none. It signs, but nobody knows it: `rotate` returns the next one."""
        if tenant.enrichment_secrets:
            return
        has_none = {"_id": tenant.id, FIELD: {"$exists": False}}
        first = self._encryption.encrypted(ENRICHMENT_CREDENTIALS, _new(new_secret()))
        change: Document = {"$set": {FIELD: [document(first)]}, "$inc": {"version": 1}}
        with suppress(DuplicateKeyError):  # another process has created it
            await self._tenants.update_one(has_none, change, upsert=True)

    async def rotate(self, tenant: str, audit: AuditedAction | None) -> str:
        """Create a secret and return it. For a day, the previous secret is also used to sign; older ones are not, nor
        is one whose encryption key is missing."""
        secret = new_secret()

        async def apply(session: AsyncClientSession) -> str:
            before = _stored(await self._tenants.find_one({"_id": tenant}, {FIELD: 1}, session=session))
            rotated = _new(secret)
            if before:
                secrets = (secret, *self._newest_secret(before))
                rotated = replace(before, secrets=secrets, rotated_at=self._clock())
            after = self._encryption.encrypted(ENRICHMENT_CREDENTIALS, rotated)
            change: Document = {"$set": {FIELD: [document(after)]}, "$inc": {"version": 1}}
            await self._tenants.update_one({"_id": tenant}, change, upsert=True, session=session)
            if audit:
                await audit.record(set_up_changes(before, after), session)
            return secret

        return await self._updates.run(tenant, lambda: try_transaction(self._database, apply, audit))

    def _newest_secret(self, stored: EnrichmentSecrets) -> tuple[str, ...]:
        try:
            return self._encryption.decrypted(ENRICHMENT_CREDENTIALS, stored).secrets[:1]
        except CredentialUnavailable:
            return ()


def _new(secret: str) -> EnrichmentSecrets:
    return EnrichmentSecrets(id=new_id(), secrets=(secret,))


def _stored(doc: Document | None) -> EnrichmentSecrets | None:
    items = (doc or {}).get(FIELD, [])
    return decode(items[0], EnrichmentSecrets) if items else None
