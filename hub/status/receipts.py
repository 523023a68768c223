"""Stored receipts. The receipts of one transaction are stored in one document per tenant, one row per receipt.

    {_id, tenant, at,
     sends: [id of a send],
     events: [{kind, channel, status, reason}],
     rows: [{u: id of the user, n: id of the notification, e: index in `events`, s: index in `sends`,
             a: key of the action}]}

- An index of 0 and a missing key are omitted, so a send to many users stores what they share once.
- The id of a receipt is the id of its document and the index of its row. When a user is erased, the user's rows become
  null, so the other receipts keep their ids.
- Readers use the change stream (`receipt_change_stream.py`), which returns documents as they were inserted.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, ValidationError, convert
from pymongo import ASCENDING, IndexModel

from hub.ids import new_id
from hub.model import Channel, DeliveryStatus, PendingReceipt, Receipt, ReceiptKind, Record, document
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, report_unreadable
from hub.settings import Settings

COLLECTION = "receipts"
DAY_S = 86_400
ROWS_MAX = 1000  # rows of one document. Ids of receipts have three digits for the row.
BYTES_MAX = 256 << 10  # approximate size of the rows and sends of one document
ROW_BYTES = 64  # approximate size of a row, or of a send, without the ids


class _Event(Record, frozen=True):
    """What happened, which many rows of a document share."""

    kind: ReceiptKind
    channel: Channel | None = None
    status: DeliveryStatus | None = None
    reason: str | None = None


class _Row(Struct, frozen=True):
    u: str
    n: str
    e: int = 0
    s: int = 0
    a: str | None = None


class _Stored(Struct, frozen=True, rename={"id": "_id"}):
    """A document. Its events and rows are decoded one by one, because an item that is left out would shift others."""

    id: str
    tenant: str
    at: datetime
    sends: list[str]
    events: list[dict[str, Any]]
    rows: list[dict[str, Any] | None]


class Packed(Struct, frozen=True):
    """The documents of receipts, and each receipt with its id."""

    documents: list[Document]
    receipts: list[tuple[str, PendingReceipt]]


def indexes(settings: Settings) -> Indexes:
    return {
        COLLECTION: [
            # deletes old receipts, which are otherwise read only through the change stream
            IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=settings.receipt_days * DAY_S),
            # the receipts of a user, who is exported or erased
            IndexModel([("tenant", ASCENDING), ("rows.u", ASCENDING)], name="user"),
        ]
    }


def pack(pending: Iterable[PendingReceipt], at: datetime) -> Packed:
    """Return the documents of receipts of one transaction, in order."""
    packed = Packed([], [])
    builders: dict[str, _DocumentBuilder] = {}
    for one in pending:
        tenant = one.about.tenant
        builder = builders.get(tenant)
        if builder is None or builder.is_full:
            builder = builders[tenant] = _DocumentBuilder(tenant, at)
            packed.documents.append(builder.document)
        packed.receipts.append((builder.add(one), one))
    return packed


class _DocumentBuilder:
    def __init__(self, tenant: str, at: datetime) -> None:
        self._id = new_id(at)
        self._rows: list[Document] = []
        self._sends: dict[str, int] = {}
        self._events: dict[_Event, int] = {}
        self._bytes = 0
        self.document: Document = {"_id": self._id, "tenant": tenant, "at": at, "sends": [], "events": []}
        self.document["rows"] = self._rows

    @property
    def is_full(self) -> bool:
        return len(self._rows) >= ROWS_MAX or self._bytes >= BYTES_MAX

    def add(self, one: PendingReceipt) -> str:
        """Add a row. Return the id of the receipt."""
        row: Document = {"u": one.about.user_id, "n": one.notification_id}
        event = _Event(kind=one.kind, channel=one.channel, status=one.status, reason=one.reason)
        if event not in self._events:
            self._events[event] = len(self._events)
            self.document["events"].append(document(event))
        if one.about.send not in self._sends:
            self._sends[one.about.send] = len(self._sends)
            self.document["sends"].append(one.about.send)
            self._bytes += len(one.about.send) + ROW_BYTES
        if index := self._events[event]:
            row["e"] = index
        if index := self._sends[one.about.send]:
            row["s"] = index
        if one.action_key is not None:
            row["a"] = one.action_key
        self._rows.append(row)
        self._bytes += len(row["u"]) + len(row["n"]) + len(row.get("a", "")) + ROW_BYTES
        return _receipt_id(self._id, len(self._rows) - 1)


def unpack(doc: Mapping[str, Any], send: str | None = None) -> Iterator[tuple[int, Receipt]]:
    """Yield the receipts of a document, or those of one send, with the index of the row. Rows that this version cannot
    decode are left out."""
    stored = decode(doc, _Stored)
    if stored is None:
        return
    events = [decode(event, _Event) for event in stored.events]
    for index, raw in enumerate(stored.rows):
        receipt = raw and _receipt(stored, events, index, raw)
        if receipt and send in (None, receipt.send_id):
            yield index, receipt


def _receipt(stored: _Stored, events: list[_Event | None], index: int, raw: Document) -> Receipt | None:
    try:
        row = convert(raw, _Row)
        event, send = events[row.e], stored.sends[row.s]
    except (ValidationError, IndexError) as error:
        report_unreadable({"_id": _receipt_id(stored.id, index)}, Receipt, error)
        return None
    if event is None:
        return None
    return Receipt(
        id=_receipt_id(stored.id, index),
        tenant=stored.tenant,
        kind=event.kind,
        at=stored.at,
        send_id=send,
        notification_id=row.n,
        user_id=row.u,
        channel=event.channel,
        status=event.status,
        reason=event.reason,
        action_key=row.a,
    )


def _receipt_id(document_id: str, index: int) -> str:
    return f"{document_id}-{index:03d}"


class UserReceipts:
    """Exports and erases the receipts of users."""

    def __init__(self, database: Database) -> None:
        self._receipts = database[COLLECTION]

    async def list_newest(self, tenant: str, user: str, limit: int) -> list[Document]:
        """Return the newest `limit` receipts of a user as documents."""
        about = {"tenant": tenant, "rows.u": user}
        stages: list[Document] = [
            {"$match": about},
            {"$unwind": {"path": "$rows", "includeArrayIndex": "index"}},
            {"$match": about},
            {"$sort": {"_id": -1, "index": -1}},
            {"$limit": limit},
        ]
        found: list[Document] = []
        async for doc in await self._receipts.aggregate(stages, hint="user"):
            index, row = int(doc["index"]), doc["rows"]
            stored = decode({**doc, "rows": []}, _Stored)
            receipt = stored and _receipt(stored, [decode(event, _Event) for event in stored.events], index, row)
            if receipt:
                found.append(document(receipt))
        return found

    async def erase(self, tenant: str, user: str, until: datetime, kept: Collection[str]) -> None:
        """Erase the receipts of a user that were written until `until`, except those of the notifications `kept`."""
        about = {"tenant": tenant, "rows.u": user, "at": {"$lte": until}}
        erased = {"row.u": user, "row.n": {"$nin": list(kept)}}
        update = {"$set": {"rows.$[row]": None}}
        await self._receipts.update_many(about, update, array_filters=[erased], hint="user")
