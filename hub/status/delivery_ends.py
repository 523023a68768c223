"""Gives deliveries their final status, with receipts, in transactions of limited size.

A digest that ended gives its status to its items in slices. An item that waits for its slice is not ended otherwise: it
was in the message, although it is still HELD.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import pymongo
from msgspec import Struct
from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from hub.model import Delivery, DeliveryStatus, Reason
from hub.outbox.states import WAITING, may_move
from hub.platform.connections import DURABLE, SNAPSHOT, Document
from hub.platform.tolerant_decoding import decode
from hub.status.digests import Digests, end_of_items
from hub.status.receipt_builder import ReceiptBuilder
from hub.utc_time import Clock

BATCH_SIZE = 500  # deliveries per transaction
TIMEOUT_S = 10.0  # of one transaction, including its retries
SENT_STATUSES = [DeliveryStatus.SENT, DeliveryStatus.DELIVERED]
BEFORE_END_OF_DIGEST = (DeliveryStatus.HELD, *SENT_STATUSES)
"""The statuses of items that a status of their digest may replace. A later report of a provider also reaches them."""

Choose = Callable[[list[Delivery], AsyncClientSession], Awaitable[list[Delivery]]]
"""Returns the deliveries that may end, read in the transaction that ends them."""


class _End(Struct, frozen=True):
    """A final status, and the statuses that it may replace."""

    status: DeliveryStatus
    reason: Reason | None
    before: list[DeliveryStatus]


class DeliveryEnds:
    """Changes the collection `deliveries`."""

    def __init__(
        self, deliveries: AsyncCollection[Document], clock: Clock, receipt_builder: ReceiptBuilder, digests: Digests
    ) -> None:
        self._database = deliveries.database
        self._deliveries = deliveries
        self._clock = clock
        self._receipt_builder = receipt_builder
        self._digests = digests

    async def finish(
        self,
        match: Document,
        status: DeliveryStatus,
        reason: Reason | None,
        before: Sequence[DeliveryStatus] = WAITING,
        limit: int | None = None,
    ) -> int:
        """Set the final status of matching deliveries whose status is in `before`, and write receipts. Stop after the
        batch that reaches `limit`. Return the number of deliveries. Items whose digest ended are left out."""
        end, finished = _end_of(status, reason, before), 0
        async with self._deliveries.find(match | {"status": {"$in": end.before}}, batch_size=BATCH_SIZE) as cursor:
            while docs := await cursor.to_list(BATCH_SIZE):
                finished += await self._finish(docs, end, self._digests.leave_out_ended)
                if limit is not None and finished >= limit:
                    break
        return finished

    async def finish_items(self, digests: Sequence[Document]) -> list[Document]:
        """Give the first items of digests that ended with the same status and reason this status. Return the digests
        that have no other items without it."""
        reason = digests[0].get("reason")
        status = end_of_items(DeliveryStatus(digests[0]["status"]))
        end = _end_of(status, Reason(reason) if reason else None, BEFORE_END_OF_DIGEST)
        match = {"digest_id": {"$in": [digest["_id"] for digest in digests]}, "status": {"$in": end.before}}
        found = self._deliveries.find(match, hint="items").sort("digest_id", ASCENDING)
        docs = await found.limit(BATCH_SIZE).to_list()
        if docs:
            await self._finish(docs, end, functools.partial(self._digests.choose_items, digests))
        rest = docs[-1]["digest_id"] if len(docs) == BATCH_SIZE else None
        return [digest for digest in digests if rest is None or digest["_id"] < rest]

    async def _finish(self, docs: Sequence[Document], end: _End, choose: Choose) -> int:
        deliveries = [delivery for doc in docs if (delivery := decode(doc, Delivery))]
        finished = 0
        if len(deliveries) < len(docs):
            undecodable = {doc["_id"] for doc in docs} - {delivery.id for delivery in deliveries}
            match = {"_id": {"$in": list(undecodable)}, "status": {"$in": end.before}}
            update = finish_update(end.status, end.reason, self._clock())
            finished = (await self._deliveries.update_many(match, update)).modified_count
        if not deliveries:
            return finished

        async def finish_all(session: AsyncClientSession) -> list[Delivery]:
            return await self._finish_all(deliveries, end, choose, session)

        with pymongo.timeout(TIMEOUT_S):
            async with self._database.client.start_session(causal_consistency=False) as session:
                ended = await session.with_transaction(finish_all, read_concern=SNAPSHOT, write_concern=DURABLE)
        self._receipt_builder.on_commit((one, end.status) for one in ended)
        return finished + len(ended)

    async def _finish_all(
        self, deliveries: Sequence[Delivery], end: _End, choose: Choose, session: AsyncClientSession
    ) -> list[Delivery]:
        now = self._clock()
        unfinished = {"_id": {"$in": [delivery.id for delivery in deliveries]}, "status": {"$in": end.before}}
        ids = {doc["_id"] async for doc in self._deliveries.find(unfinished, {"_id": 1}, session=session)}
        current = await choose([delivery for delivery in deliveries if delivery.id in ids], session)
        change = finish_update(end.status, end.reason, now)
        with_items = change | {"$set": change["$set"] | {"items_pending": True}}
        for update, ended in (
            (change, [one.id for one in current if not one.digest_key]),
            (with_items, [one.id for one in current if one.digest_key]),
        ):
            if ended:
                await self._deliveries.update_many({"_id": {"$in": ended}}, update, session=session)
        receipts = [
            receipt for one in current if (receipt := self._receipt_builder.receipt_for(one, end.status, end.reason))
        ]
        for collection, documents in (await self._receipt_builder.build_documents(receipts, now)).items():
            await self._database[collection].insert_many(documents, ordered=False, session=session)
        return current


def finish_update(status: DeliveryStatus, reason: Reason | None, now: datetime) -> Document:
    """Return the update that sets a final status."""
    confirmed = {"delivered_at": now} if status is DeliveryStatus.DELIVERED else {}
    return {
        "$set": {"status": status, "updated_at": now} | confirmed | ({"reason": reason} if reason else {}),
        "$unset": {"due_at": "", "enqueue_count": "", "open": ""} | ({} if reason else {"reason": ""}),
    }


def _end_of(status: DeliveryStatus, reason: Reason | None, before: Sequence[DeliveryStatus]) -> _End:
    return _End(status, reason, [old for old in before if may_move(old, status)])
