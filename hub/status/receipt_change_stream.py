"""Receipts. They are written in the transaction that causes them and streamed through a MongoDB change stream.

Cursors are the resume tokens of the stream. A reader that reconnects misses no receipt if the oplog still contains the
reader's position. Each receipt is delivered at least once; readers discard ids that they have already received.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from typing import Any

from bson import Timestamp
from msgspec import Struct
from pymongo import ASCENDING, IndexModel
from pymongo.errors import OperationFailure

from hub import base64url
from hub.errors import BadUserInput, CursorExpired, RateLimited
from hub.ids import new_id
from hub.model import Channel, Delivery, DeliveryStatus, Notification, Receipt, ReceiptKind, document
from hub.platform import metrics
from hub.platform.connections import Database, Document, Indexes, is_outage
from hub.platform.tolerant_decoding import decode
from hub.settings import Settings

COLLECTION = "receipts"
DAY_S = 86_400
CLOCK_MARGIN = timedelta(seconds=60)  # tolerated difference between the clocks of this process and of MongoDB
HISTORY_LOST = 286
RETRY_AFTER_S = 10.0  # after RateLimited
WAIT_MS = 1000  # time for which MongoDB blocks a read without results


class StreamedReceipt(Struct, frozen=True):
    """A receipt and the stream position after it."""

    receipt: Receipt
    cursor: str


def indexes(settings: Settings) -> Indexes:
    # receipts are read only through the change stream; this index deletes old ones
    return {
        COLLECTION: [IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=settings.receipt_days * DAY_S)]
    }


def user_receipt(n: Notification, kind: ReceiptKind, at: datetime, channel: Channel = Channel.IN_APP) -> Document:
    """Return the receipt of a user action."""
    return _document(n, kind, at, channel, None, None)


def channel_receipt(
    n: Notification, channel: Channel, status: DeliveryStatus, at: datetime, reason: str | None = None
) -> Document:
    """Return the receipt of a notification's status on one channel."""
    return _document(n, ReceiptKind.DELIVERY, at, channel, status, reason)


def delivery_receipt(delivery: Delivery, status: DeliveryStatus, at: datetime, reason: str | None = None) -> Document:
    """Return the receipt of a stored delivery's status."""
    return document(
        Receipt(
            id=new_id(at),
            tenant=delivery.tenant,
            kind=ReceiptKind.DELIVERY,
            at=at,
            send_id=delivery.send,
            notification_id=delivery.notification,
            user_id=delivery.user_id,
            channel=delivery.channel,
            status=status,
            reason=reason,
        )
    )


def _document(
    n: Notification,
    kind: ReceiptKind,
    at: datetime,
    channel: Channel,
    status: DeliveryStatus | None,
    reason: str | None,
) -> Document:
    return document(
        Receipt(
            id=new_id(at),
            tenant=n.tenant,
            kind=kind,
            at=at,
            send_id=n.send,
            notification_id=n.id,
            user_id=n.user_id,
            channel=channel,
            status=status,
            reason=reason,
        )
    )


class ReceiptStreams:
    """The open receipt streams of this process. Their number is limited because each uses a cursor on MongoDB's
    oplog. `to_real_time` converts a time on the hub's clock."""

    def __init__(
        self,
        database: Database,
        per_tenant_max: int,
        process_max: int,
        to_real_time: Callable[[datetime], datetime],
    ) -> None:
        self._database = database
        self._per_tenant_max = per_tenant_max
        self._process_max = process_max
        self._to_real_time = to_real_time
        self._open: Counter[str] = Counter()

    async def stream(
        self, tenant: str, send_id: str | None, after: str | None, since: datetime | None
    ) -> AsyncGenerator[StreamedReceipt, None]:
        """Yield the receipts of a tenant or of one send: after the cursor `after`, since the time `since`, or only new
        ones.

        Raise CursorExpired if the oplog no longer contains the position, or RateLimited if too many streams are
        open."""
        if self._open[tenant] >= self._per_tenant_max:
            raise RateLimited(
                f"A tenant has at most {self._per_tenant_max} receipt streams (HUB_TENANT_MAX_RECEIPT_STREAMS).",
                RETRY_AFTER_S,
            )
        if self._open.total() >= self._process_max:
            raise RateLimited(
                f"This process has at most {self._process_max} receipt streams (HUB_RECEIPT_MAX_STREAMS).",
                RETRY_AFTER_S,
            )
        self._open[tenant] += 1
        metrics.receipt_readers.inc()
        try:
            async with await self._open_stream(tenant, send_id, after, since) as stream:
                while stream.alive:
                    try:
                        change = await stream.try_next()
                    except OperationFailure as error:
                        if error.code == HISTORY_LOST:
                            raise CursorExpired(
                                "This reader is older than the stored receipts. Start again without a cursor."
                            ) from error
                        raise
                    if change is not None and (receipt := decode(change["fullDocument"], Receipt)):
                        yield StreamedReceipt(receipt, _cursor(change["_id"]["_data"]))
        finally:
            metrics.receipt_readers.dec()
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    async def _open_stream(self, tenant: str, send_id: str | None, after: str | None, since: datetime | None) -> Any:
        match: Document = {"operationType": "insert", "fullDocument.tenant": tenant}
        if send_id is not None:
            match["fullDocument.send_id"] = send_id
        start: dict[str, Any] = {}
        if after is not None:
            start["resume_after"] = {"_data": _token(after)}
        elif since is not None:
            real = self._to_real_time(since)
            start["start_at_operation_time"] = Timestamp(int((real - CLOCK_MARGIN).timestamp()), 0)
        receipts = self._database[COLLECTION]
        stages = [{"$match": match}]
        try:
            return await receipts.watch(stages, max_await_time_ms=WAIT_MS, **start)
        except OperationFailure as error:
            if is_outage(error):
                raise
            if after is not None or since is not None:
                raise CursorExpired(
                    "The cursor is older than the stored receipts, or belongs to other receipts. Start again without "
                    "a cursor."
                ) from error
            return await receipts.watch(stages, max_await_time_ms=WAIT_MS)


def _cursor(token: str) -> str:
    return base64url.encode(bytes.fromhex(token))


def _token(cursor: str) -> str:
    try:
        return base64url.decode(cursor).hex().upper()
    except ValueError:
        raise BadUserInput(
            "after is not a valid cursor of these receipts. Pass a returned cursor unchanged.", "after"
        ) from None
