"""The newest messages that were captured in development, for `/dev/outbox`."""

from datetime import datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import CollectionInvalid, OperationFailure

from hub.model import Channel, Record, document
from hub.platform.connections import NAMESPACE_EXISTS, Database
from hub.platform.tolerant_decoding import decode, decode_all

COLLECTION = "captured_messages"
MESSAGES_MAX = 500
COLLECTION_MAX_BYTES = 64 << 20


class CapturedMessage(Record, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A captured message. `provider` is None if the channel has no provider. `text` and `html` are the content as the
    recipient sees it."""

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


class CapturedMessages:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._messages = database[COLLECTION]

    async def create_collection(self) -> None:
        """Create the capped collection, which deletes the oldest messages."""
        try:
            await self._database.create_collection(COLLECTION, capped=True, size=COLLECTION_MAX_BYTES, max=MESSAGES_MAX)
        except CollectionInvalid:
            pass
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise

    async def add(self, message: CapturedMessage) -> None:
        await self._messages.insert_one(document(message))

    async def newest(self, limit: int, after: str = "") -> list[CapturedMessage]:
        """Return up to `limit` messages whose id is greater than `after`, newest first."""
        match: dict[str, Any] = {"_id": {"$gt": after}} if after else {}
        docs = self._messages.find(match).sort("_id", DESCENDING).limit(limit)
        return await decode_all(docs, CapturedMessage)

    async def get(self, id: str) -> CapturedMessage | None:
        doc = await self._messages.find_one({"_id": id})
        return decode(doc, CapturedMessage) if doc else None
