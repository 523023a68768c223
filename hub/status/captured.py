"""What left the hub in development, or would have: kept for `/dev/outbox`, the newest only."""

from datetime import datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import CollectionInvalid, OperationFailure

from hub.model import Channel, Record, document
from hub.platform.connections import NAMESPACE_EXISTS, Database
from hub.platform.decoding import decode, decode_all

COLLECTION = "caught"
KEPT = 500
KEPT_BYTES = 64 << 20


class Caught(Record, frozen=True, kw_only=True, rename={"id": "_id"}):
    """One message. `provider` is who was called, None where a channel has none; `outcome` what came of it. `text` and
    `html`: the content as its channel would show it to people."""

    id: str
    at: datetime
    delivery: str
    tenant: str
    user: str
    channel: Channel
    to: str
    subject: str
    text: str
    html: str | None = None
    provider: str | None = None
    outcome: str = "Delivered"


class Catch:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._caught = database[COLLECTION]

    async def make(self) -> None:
        """Its collection, which drops the oldest by itself."""
        try:
            await self._database.create_collection(COLLECTION, capped=True, size=KEPT_BYTES, max=KEPT)
        except CollectionInvalid:
            pass
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise

    async def put(self, caught: Caught) -> None:
        await self._caught.insert_one(document(caught))

    async def newest(self, most: int, after: str = "") -> list[Caught]:
        """Those above the id `after`, newest first."""
        wanted: dict[str, Any] = {"_id": {"$gt": after}} if after else {}
        found = self._caught.find(wanted).sort("_id", DESCENDING).limit(most)
        return await decode_all(found, Caught)

    async def get(self, id: str) -> Caught | None:
        doc = await self._caught.find_one({"_id": id})
        return decode(doc, Caught) if doc else None
