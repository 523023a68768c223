"""The idempotency key of a send."""

from datetime import datetime
from hashlib import sha256

from msgspec import Struct

from hub.errors import Conflict
from hub.inbox import idempotency_records
from hub.inbox.unit_of_work import UnitOfWork
from hub.platform.connections import Document
from hub.workflows.send_request import SendRequest, request_hash


def record_id(tenant: str, key: str) -> str:
    """Return the id of the record of a caller's key. The key is hashed, because it may contain the name of a person."""
    return f"{tenant}/{sha256(key.encode()).hexdigest()}"


class IdempotencyKey(Struct, frozen=True):
    """The id of the record of a key, and the hash of the request. Without a hash, requests are not compared.
    `expires_at`: the time when the record is deleted. None: HUB_IDEMPOTENCY_DAYS later."""

    id: str
    hash: str | None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, tenant: str, key: str, request: SendRequest) -> "IdempotencyKey":
        return cls(record_id(tenant, key), request_hash(request))

    @classmethod
    def of_rule(cls, tenant: str, event: str, rule: str, expires_at: datetime) -> "IdempotencyKey":
        """Return the key of the send that a rule makes for an event. No key of a caller has such an id."""
        return cls(f"{tenant}/rule/{sha256(f'{event}/{rule}'.encode()).hexdigest()}", None, expires_at)

    def first_send(self, unit: UnitOfWork) -> str | None:
        """Return the id of the send that was created with this key, or None. Raise Conflict if its request was
        different."""
        return self.send_of(unit.idempotency_records.get(self.id))

    def send_of(self, record: Document | None) -> str | None:
        """Return the id of the send in the stored record of this key, or None. Raise Conflict as `first_send` does."""
        if record is None:
            return None
        if (self.hash is not None and record["hash"] != self.hash) or "send" not in record:
            raise Conflict(
                "This idempotency key was used before with another input. Use a new key, or repeat the first input."
            )
        return str(record["send"])

    def record(self, unit: UnitOfWork, send: str) -> None:
        """Store the key with the id of its send."""
        record: Document = {"_id": self.id, "send": send}
        record |= {"hash": self.hash, "at": unit.now} if self.expires_at is None else {"expires_at": self.expires_at}
        unit.idempotency_records[self.id] = record
        unit.insert(idempotency_records.COLLECTION, record)
