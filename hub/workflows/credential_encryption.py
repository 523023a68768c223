"""The encryption of stored credentials in the background, and the change of the key.

- The workers encrypt what is not encrypted: values of earlier versions of the hub, and of processes without a key.
- `hub keys rotate-encryption` writes what other keys encrypt again with the first key.

The index on `encrypted_with` is the list of what remains, so an interrupted run continues. A value is replaced only if
it is still the one that was read. Otherwise it was changed meanwhile, and a later slice finds it if necessary.
"""

import contextlib
from collections.abc import Sequence

import structlog
from msgspec import Struct, field
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import PyMongoError

from hub.audience.tenants import ENDPOINT_CREDENTIALS, ENRICHMENT_CREDENTIALS
from hub.audience.users import DEVICE_CREDENTIALS
from hub.platform.connections import Database, Document
from hub.platform.encryption import ENCRYPTED_WITH, SETTING, CredentialUnavailable, Encryption, StoredCredentials

STORED = (DEVICE_CREDENTIALS, ENDPOINT_CREDENTIALS, ENRICHMENT_CREDENTIALS)
"""Where credentials are stored."""
SLICE = 500  # documents
COUNTED_MAX = 10_000  # documents

log = structlog.get_logger(__name__)


class Slice(Struct):
    """The result for one slice. `found`: the number of documents. `written`: the number of items. `last`: the id of the
    last document. `failed`: the ids of items that cannot be decrypted, each with the reason."""

    found: int
    written: int
    last: str
    failed: list[tuple[str, str]] = field(default_factory=list)


class CredentialEncryption:
    def __init__(self, database: Database, encryption: Encryption) -> None:
        self._database = database
        self._encryption = encryption

    async def tick(self) -> int:
        """Encrypt the next slice of what is not encrypted. Return the number of items."""
        if self._encryption.first_key is None:
            return 0
        return sum([(await self.encrypt_slice(where, None)).written for where in STORED])

    async def encrypt_slice(self, where: StoredCredentials, key: str | None, after: str = "") -> Slice:
        """Encrypt items with the first key: those that `key` encrypts, or, with None, those that are not encrypted.
        Read only documents whose id is greater than `after`."""
        collection = self._database[where.collection]
        names = ("id", ENCRYPTED_WITH, *where.fields)
        match = _encrypted_with(where, key) | ({"_id": {"$gt": after}} if after else {})
        found = collection.find(match, {f"{where.array}.{name}": 1 for name in names}, hint=where.index_name)
        if key is not None:
            found = found.sort("_id", ASCENDING)
        docs = await found.limit(SLICE).to_list()
        result = Slice(len(docs), 0, docs[-1]["_id"] if docs else after)
        updates = []
        for doc in docs:
            for item in doc[where.array]:
                if item.get(ENCRYPTED_WITH) == key:
                    try:
                        updates.append(self._update(where, doc["_id"], item))
                    except CredentialUnavailable as error:
                        result.failed.append((item["id"], str(error)))
        if updates:
            result.written = (await collection.bulk_write(updates, ordered=False)).modified_count
        return result

    async def find_fault(self, where: StoredCredentials, key: str) -> str | None:
        """Decrypt one of the items that a key encrypts. Return the reason if that fails, which shows that the key with
        this id is another one."""
        doc = await self._database[where.collection].find_one(_encrypted_with(where, key), hint=where.index_name)
        item = next((item for item in (doc or {}).get(where.array, ()) if item.get(ENCRYPTED_WITH) == key), None)
        if item is not None:
            try:
                self._encryption.decrypted_values(where, item["id"], {name: item.get(name) for name in where.fields})
            except CredentialUnavailable as error:
                return str(error)
        return None

    def _update(self, where: StoredCredentials, doc_id: str, item: Document) -> UpdateOne:
        """Return the update that encrypts an item with the first key, unless it has changed."""
        stored = {name: item[name] for name in where.fields if name in item}
        plain = self._encryption.decrypted_values(where, item["id"], stored) if item.get(ENCRYPTED_WITH) else stored
        values = self._encryption.encrypted_values(where, item["id"], plain)
        values[ENCRYPTED_WITH] = self._encryption.first_key
        unchanged = {name: {"$eq": item.get(name)} for name in ("id", ENCRYPTED_WITH, *where.fields)}
        update = {"$set": {f"{where.array}.$.{name}": value for name, value in values.items()}}
        return UpdateOne({"_id": doc_id, where.array: {"$elemMatch": unchanged}}, update)

    async def used_keys(self, where: StoredCredentials) -> list[str]:
        """Return the ids of the keys that encrypt items. The number of queries is that of the keys."""
        return await self._keys_except(where, [])

    async def missing_keys(self) -> list[str]:
        """Return the ids of keys that encrypt stored items and that this process does not have."""
        known = self._encryption.key_ids
        return sorted({key for where in STORED for key in await self._keys_except(where, known)})

    async def _keys_except(self, where: StoredCredentials, known: Sequence[str]) -> list[str]:
        keys: list[str] = []
        while True:
            other = {"$gt": "", "$nin": [*known, *keys]}
            match = where.has_items() | {where.array: {"$elemMatch": {ENCRYPTED_WITH: other}}}
            doc = await self._database[where.collection].find_one(
                match, {f"{where.array}.{ENCRYPTED_WITH}": 1}, hint=where.index_name
            )
            if doc is None:
                return keys
            found = {item.get(ENCRYPTED_WITH) for item in doc[where.array]}
            keys += sorted(key for key in found.difference(known, keys) if isinstance(key, str))

    async def log_missing_keys(self) -> None:
        """Log the keys that this process needs and does not have."""
        with contextlib.suppress(PyMongoError):
            if keys := await self.missing_keys():
                log.error("encryption_keys_missing", keys=keys, setting=SETTING)

    async def count(self, where: StoredCredentials, key: str | None) -> int:
        """Return the number of items that a key encrypts, or, with None, of items that are not encrypted. At most
        COUNTED_MAX documents are read."""
        uses: Document = {"$eq": [{"$ifNull": [f"$$item.{ENCRYPTED_WITH}", None]}, key]}
        items = {"$filter": {"input": f"${where.array}", "as": "item", "cond": uses}}
        pipeline: list[Document] = [
            {"$match": _encrypted_with(where, key)},
            {"$limit": COUNTED_MAX},
            {"$group": {"_id": None, "count": {"$sum": {"$size": items}}}},
        ]
        cursor = await self._database[where.collection].aggregate(pipeline, hint=where.index_name)
        counts = await cursor.to_list()
        return counts[0]["count"] if counts else 0


def _encrypted_with(where: StoredCredentials, key: str | None) -> Document:
    return where.has_items() | {f"{where.array}.{ENCRYPTED_WITH}": key}
