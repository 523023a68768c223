"""The idempotency key of a send."""

from hashlib import sha256

from msgspec import Struct

from hub.errors import Conflict
from hub.inbox import idempotency_records
from hub.inbox.unit_of_work import UnitOfWork
from hub.platform.connections import Document
from hub.workflows.send_request import SendRequest, request_hash


class IdempotencyKey(Struct, frozen=True):
    """The id of the record of a key, and the hash of the request."""

    id: str
    hash: str

    @classmethod
    def of(cls, tenant: str, key: str, request: SendRequest) -> "IdempotencyKey":
        """Return the key. It is hashed, because the text may contain the name of a person."""
        return cls(f"{tenant}/{sha256(key.encode()).hexdigest()}", request_hash(request))

    def first_send(self, unit: UnitOfWork) -> str | None:
        """Return the id of the send that was created with this key, or None. Raise Conflict if its request was
        different."""
        return self.send_of(unit.idempotency_records.get(self.id))

    def send_of(self, record: Document | None) -> str | None:
        """Return the id of the send in the stored record of this key, or None. Raise Conflict as `first_send` does."""
        if record is None:
            return None
        if record["hash"] != self.hash or "send" not in record:
            raise Conflict(
                "This idempotency key was used before with another input. Use a new key, or repeat the first input."
            )
        return str(record["send"])

    def record(self, unit: UnitOfWork, send: str) -> None:
        """Store the key with the id of its send."""
        record = {"_id": self.id, "hash": self.hash, "send": send, "at": unit.now}
        unit.idempotency_records[self.id] = record
        unit.insert(idempotency_records.COLLECTION, record)
