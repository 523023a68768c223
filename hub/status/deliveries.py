"""The queries of deliveries and the changes outside the workers: cancel, and skip after a read."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateMany
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from hub.model import Attempt, Channel, Delivery, DeliveryStatus, Reason, StepStop, document
from hub.outbox.restored_jobs import restored_index
from hub.outbox.retry_delay import job_indexes
from hub.outbox.states import REPLAYABLE, WAITING, may_move
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_all, decode_page
from hub.status.delivery_ends import SENT_STATUSES, DeliveryEnds
from hub.status.delivery_query import (
    DeliveryQuery,
    can_match,
    index_of,
    match_after_cursor,
    match_of,
    order_of,
)
from hub.status.digests import Digests
from hub.status.digests import indexes as digest_indexes
from hub.status.status_counts import Counts, counts_by_send
from hub.utc_time import Clock

COLLECTION = "deliveries"
COUNT_MAX = 10_000  # deliveries that `count` counts
COUNT_S = 2.0  # time for which it counts them
NO_REASON = "NONE"  # the reason of deliveries that wait for a retry
READABLE_STATUSES = [state for state in SENT_STATUSES if may_move(state, DeliveryStatus.READ)]
COUNTED: list[Document] = [
    {"$group": {"_id": {"send": "$send", "k": "$channel", "v": "$status", "r": "$reason"}, "count": {"$sum": 1}}}
]
"""Stages that count deliveries by send, channel, status, and reason."""
SENT_EMAIL = {"channel": Channel.EMAIL.value, "provider_id": {"$exists": True}}
SENT_TEXT_MESSAGE = {
    "channel": {"$in": [Channel.SMS.value, Channel.WHATSAPP.value]},
    "provider_id": {"$exists": True},
}


def indexes() -> Indexes:
    return {
        COLLECTION: [
            *job_indexes(),
            # the deliveries of a send, by status and newest first; their counts, which read no documents
            IndexModel([(name, ASCENDING) for name in ("send", "status", "_id", "channel", "reason")], name="send"),
            # a tenant's deliveries with given statuses, newest first, such as dead letters
            IndexModel([("tenant", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)], name="status"),
            # a tenant's FAILED and RETRYING deliveries by the time of the last failure
            IndexModel(
                [(name, ASCENDING) for name in ("tenant", "status", "updated_at", "_id", "reason")],
                name="failed",
                partialFilterExpression={"status": {"$in": REPLAYABLE}},
            ),
            # a user's deliveries, newest first
            IndexModel([("mailbox", ASCENDING), ("_id", DESCENDING)], name="mailbox"),
            # `HeldDeliveries.make_outdated_due`: a user's deliveries that wait, by reason
            IndexModel(
                [("mailbox", ASCENDING), ("reason", ASCENDING), ("_id", ASCENDING)],
                name="held",
                partialFilterExpression={"status": DeliveryStatus.HELD},
            ),
            # `HeldDeliveries.make_paused_due`: the deliveries that are held because their send is paused
            IndexModel(
                [("send", ASCENDING), ("due_at", ASCENDING), ("_id", ASCENDING)],
                name="paused",
                partialFilterExpression={"reason": Reason.PAUSED},
            ),
            # `HeldDeliveries.release_paused`: the deliveries that are held because their channel is paused
            IndexModel(
                [("lane", ASCENDING), ("_id", ASCENDING)],
                name="paused_channel",
                partialFilterExpression={"reason": Reason.PAUSED},
            ),
            restored_index(),
            *digest_indexes(),
            # the email that a bounce concerns, by the id that the provider returned
            IndexModel([("provider_id", ASCENDING)], name="provider_id", partialFilterExpression=SENT_EMAIL),
            # `find_by_message_sid`: the SMS or WhatsApp message that a status of Twilio concerns
            IndexModel([("provider_id", ASCENDING)], name="text_message", partialFilterExpression=SENT_TEXT_MESSAGE),
        ],
    }


class Deliveries:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        ends: DeliveryEnds,
        digests: Digests,
    ) -> None:
        self._digests = digests
        self._ends = ends
        self._deliveries = database[COLLECTION]
        self._clock = clock

    async def by_notification(self, ids: Collection[str]) -> dict[str, list[Delivery]]:
        """Return the deliveries by notification id. A delivery id begins with the notification id."""
        deliveries: dict[str, list[Delivery]] = {}
        ranges = [{"_id": {"$gte": f"{id}-", "$lt": f"{id}."}} for id in ids]
        if ranges:
            found = await decode_all(self._deliveries.find({"$or": ranges}).sort("_id", ASCENDING), Delivery)
            for delivery in await self._digests.as_shown(found):
                deliveries.setdefault(delivery.notification, []).append(delivery)
        return deliveries

    async def get(self, tenant: str, id: str) -> Delivery | None:
        doc = await self._deliveries.find_one({"_id": id, "tenant": tenant})
        shown = await self._digests.as_shown([delivery] if doc and (delivery := decode(doc, Delivery)) else [])
        return shown[0] if shown else None

    async def get_of_any_tenant(self, id: str) -> Delivery | None:
        """Return a delivery of any tenant. The caller must have a signed link for the delivery."""
        doc = await self._deliveries.find_one({"_id": id})
        return decode(doc, Delivery) if doc else None

    async def find_by_provider_id(self, provider_id: str) -> Delivery | None:
        """Return the email delivery with this provider id."""
        doc = await self._deliveries.find_one({**SENT_EMAIL, "provider_id": provider_id}, hint="provider_id")
        return decode(doc, Delivery) if doc else None

    async def list_by_provider_id(self, tenant: str, provider_id: str, limit: int) -> list[Delivery]:
        """Return up to `limit` emails, SMS, and WhatsApp messages of a tenant with this provider id."""
        match = {"provider_id": provider_id, "tenant": tenant}
        emails, text_messages = await asyncio.gather(
            decode_page(self._deliveries.find({**SENT_EMAIL, **match}, hint="provider_id"), Delivery, limit),
            decode_page(self._deliveries.find({**SENT_TEXT_MESSAGE, **match}, hint="text_message"), Delivery, limit),
        )
        return await self._digests.as_shown((emails + text_messages)[:limit])

    async def find_by_message_sid(self, provider_id: str) -> Delivery | None:
        """Return the SMS or WHATSAPP delivery with this message SID of Twilio."""
        match = {**SENT_TEXT_MESSAGE, "provider_id": provider_id}
        doc = await self._deliveries.find_one(match, hint="text_message")
        return decode(doc, Delivery) if doc else None

    async def record_provider_status(
        self,
        id: str,
        status: DeliveryStatus,
        reason: Reason | None = None,
        before: Sequence[DeliveryStatus] = SENT_STATUSES,
    ) -> bool:
        """Record DELIVERED, READ, or FAILED for a delivery whose status is in `before`. Return True if it changed."""
        return await self._ends.finish({"_id": id}, status, reason, before) > 0

    async def record_provider_failure(self, id: str, reason: Reason, provider: str, error: str) -> None:
        """Record FAILED for a delivery that is SENT, and the error as an attempt."""
        if await self.record_provider_status(id, DeliveryStatus.FAILED, reason, [DeliveryStatus.SENT]):
            attempt = document(Attempt(at=self._clock(), provider=provider, error=error, ms=0))
            await self._deliveries.update_one({"_id": id}, {"$push": {"attempts": attempt}})

    async def record_click(self, id: str, now: datetime, session: AsyncClientSession | None = None) -> bool:
        """Record a click in a transaction. A click proves that the delivery was read. Return True for the first
        click."""
        first = {"_id": id, "clicked_at": {"$exists": False}}
        readable: Document = {"$in": ["$status", READABLE_STATUSES]}
        values = {
            "clicked_at": now,
            "status": {"$cond": [readable, DeliveryStatus.READ, "$status"]},
            "updated_at": {"$cond": [readable, now, "$updated_at"]},
        }
        return (await self._deliveries.update_one(first, [{"$set": values}], session=session)).matched_count > 0

    async def page(self, tenant: str, query: DeliveryQuery, first: int, after: str | None) -> list[Delivery]:
        """Return up to `first` deliveries after the cursor, newest first. Raise ValueError if the cursor belongs to a
        query with another order."""
        if not can_match(query):
            return []
        match = match_of(tenant, query)
        if after is not None:
            following = match_after_cursor(query, after)
            if following is None:
                raise ValueError(after)
            match = {"$and": [match, following]}
        docs = self._deliveries.find(match, hint=index_of(query)).sort(order_of(query))
        return await self._digests.as_shown(await decode_page(docs, Delivery, first))

    async def count(self, tenant: str, query: DeliveryQuery) -> int | None:
        """Return the number of deliveries. Return None if there are more than COUNT_MAX, or if counting them takes
        longer than COUNT_S, because few of the deliveries in the index match."""
        if not can_match(query):
            return 0
        match, index = match_of(tenant, query), index_of(query)
        try:
            with pymongo.timeout(COUNT_S):
                count = await self._deliveries.count_documents(match, hint=index, limit=COUNT_MAX + 1)
        except PyMongoError as error:
            if error.timeout:
                return None
            raise
        return count if count <= COUNT_MAX else None

    async def counts(self, sends: Collection[str]) -> dict[str, Counts]:
        """Count the stored deliveries of each send in one query."""
        stages: list[Document] = [{"$match": {"send": {"$in": list(sends)}}}, *COUNTED]
        return await counts_by_send(await self._deliveries.aggregate(stages, hint="send"), sends)

    async def has_unfinished(self, send: str) -> bool:
        """Return True if a delivery of the send waits or is being sent."""
        unfinished = {"send": send, "status": {"$in": [*WAITING, DeliveryStatus.PROCESSING]}}
        return await self._deliveries.find_one(unfinished, {"_id": 1}) is not None

    async def end(self, notifications: Collection[str], reason: Reason, unless: StepStop | None = None) -> int:
        """End the waiting deliveries of notifications: SKIPPED if `unless` stopped them, else CANCELLED. Return the
        number of deliveries.

        Running deliveries are not retried. Sent deliveries keep their status: a read in the inbox does not prove that
        the message on this channel was read. The method is idempotent, and safe to omit because the check before each
        call is authoritative."""
        ranges = [{"_id": {"$gte": f"{id}-", "$lt": f"{id}."}} for id in notifications]
        if not ranges:
            return 0
        match: Document = {"$or": ranges}
        if unless:
            match["unless"] = {"$in": [unless, None]} if unless is StepStop.READ else unless  # READ is the default
        status = DeliveryStatus.SKIPPED if unless else DeliveryStatus.CANCELLED
        await self._deliveries.bulk_write([_set_override(match, status, reason)])
        return await self._ends.finish(match, status, reason)

    async def cancel(self, send: str, reason: Reason, limit: int) -> int:
        """Cancel the waiting deliveries of a send, and running deliveries that would be retried. Stop after about
        `limit` deliveries. Return the number of cancelled deliveries."""
        await self._deliveries.bulk_write([_set_override({"send": send}, DeliveryStatus.CANCELLED, reason)])
        return await self._ends.finish({"send": send}, DeliveryStatus.CANCELLED, reason, limit=limit)

    async def cancel_matching(
        self, match: Document, waiting: Sequence[DeliveryStatus], limit: int, *, running: bool
    ) -> int:
        """Cancel up to about `limit` deliveries that match and wait in one of these states, and with `running` those
        that are being sent, if they would be retried. Return the number of cancelled deliveries."""
        if running:
            await self._deliveries.bulk_write([_set_override(match, DeliveryStatus.CANCELLED, Reason.CANCELLED)])
        return await self._ends.finish(match, DeliveryStatus.CANCELLED, Reason.CANCELLED, waiting, limit)

    async def count_waiting(self, send: str, limit: int | None = None) -> int:
        """Return the number of deliveries of a send that wait, or `limit` if there are more."""
        match = {"send": send, "status": {"$in": WAITING}}
        bound: dict[str, Any] = {} if limit is None else {"limit": limit}
        return await self._deliveries.count_documents(match, hint="send", **bound)


def cancelled_document(delivery: Document, reason: Reason) -> Document:
    """Return the document of a new delivery that is cancelled before it is stored."""
    waiting = {name: value for name, value in delivery.items() if name not in ("due_at", "enqueue_count")}
    return waiting | {"status": DeliveryStatus.CANCELLED.value, "reason": reason.value}


def _set_override(match: Document, status: DeliveryStatus, reason: Reason) -> UpdateMany:
    """Return an update that sets the final status of running deliveries, which are then not retried. Write the update
    before the waiting deliveries are finished: otherwise a running delivery could start to wait in between."""
    running = match | {"status": DeliveryStatus.PROCESSING}
    return UpdateMany(running, {"$set": {"override": {"status": status, "reason": reason}}})
