"""The queries of deliveries and the changes outside the workers: cancel, skip after a read, and replay."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, ValidationError, convert, to_builtins
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateMany
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.ids import new_id
from hub.model import Attempt, Channel, Delivery, DeliveryStatus, Reason, StepStop, document
from hub.outbox.retry_delay import job_indexes
from hub.outbox.states import WAITING, may_move
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_all, decode_page, report_unreadable
from hub.status.delivery_ends import SENT_STATUSES, DeliveryEnds
from hub.status.delivery_query import (
    REPLAYABLE_STATUSES,
    UNQUEUED,
    WITHOUT_ADDRESS,
    DeliveryQuery,
    can_match,
    failed_match_of,
    index_of,
    match_after_cursor,
    match_of,
    order_of,
    replay_match_of,
)
from hub.status.digests import Digests
from hub.status.digests import indexes as digest_indexes
from hub.status.sends import Counts, Notifications, counts_by_send
from hub.utc_time import Clock

COLLECTION = "deliveries"
REPLAY_BATCH_SIZE = 1000
REPLAYS_PER_ROUND = 10
PREVIEW_COUNT_MAX = 100_000
READ_CHECKED_MAX = 10_000
NO_REASON = "NONE"  # the reason of deliveries that wait for a retry
READABLE_STATUSES = [state for state in SENT_STATUSES if may_move(state, DeliveryStatus.READ)]
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
                partialFilterExpression={"status": {"$in": REPLAYABLE_STATUSES}},
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
            *digest_indexes(),
            # the email that a bounce concerns, by the id that the provider returned
            IndexModel([("provider_id", ASCENDING)], name="provider_id", partialFilterExpression=SENT_EMAIL),
            # `find_by_message_sid`: the SMS or WhatsApp message that a status of Twilio concerns
            IndexModel([("provider_id", ASCENDING)], name="text_message", partialFilterExpression=SENT_TEXT_MESSAGE),
        ],
        "replays": [],  # needs no index: there are few replays, and completed ones are deleted
    }


class ReplayPreview(Struct, frozen=True):
    """The effect of a replay. `count` is the number of deliveries that would be sent again, of which `already_read`
    were read. `address_gone`, `suppressed`, and `reasons` count all matching deliveries."""

    count: int
    address_gone: int
    suppressed: int
    already_read: int
    reasons: dict[str, int]


class _Replay(Struct, frozen=True, rename={"id": "_id"}):
    """A replay that was too large for one call. A document with unknown fields is not used because it would match more
    deliveries than requested."""

    id: str
    tenant: str
    query: DeliveryQuery
    started_at: datetime


class Deliveries:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        ends: DeliveryEnds,
        notifications: Notifications,
        digests: Digests,
    ) -> None:
        self._digests = digests
        self._ends = ends
        self._notifications = notifications
        self._deliveries = database[COLLECTION]
        self._replays = database.replays
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

    async def counts(self, sends: Collection[str]) -> dict[str, Counts]:
        """Count the stored deliveries of each send in one query."""
        of = {"send": "$send", "k": "$channel", "v": "$status", "r": "$reason"}
        stages: list[Document] = [
            {"$match": {"send": {"$in": list(sends)}}},
            {"$group": {"_id": of, "count": {"$sum": 1}}},
        ]
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

    async def count_waiting(self, send: str, limit: int | None = None) -> int:
        """Return the number of deliveries of a send that wait, or `limit` if there are more."""
        match = {"send": send, "status": {"$in": WAITING}}
        bound: dict[str, Any] = {} if limit is None else {"limit": limit}
        return await self._deliveries.count_documents(match, hint="send", **bound)

    async def replay(self, tenant: str, query: DeliveryQuery) -> int:
        """Send FAILED deliveries again with a full retry schedule. Return the number of matching deliveries.

        If the query names their ids or status, RETRYING deliveries are also replayed: their next try is now. Deliveries
        whose address is gone or suppressed are excluded unless the query names their ids or reasons. `continue_replays`
        processes the batches after the first one."""
        if not can_match(query, failed=True):
            return 0
        now = self._clock()
        # first, because an item may get the status of its digest in between
        replayed = await self._digests.replay_with_items(tenant, query.ids) if query.ids else 0
        match, index = replay_match_of(tenant, query), index_of(query, failed=True)
        matching = await self._deliveries.count_documents(match, hint=index)
        if matching > REPLAY_BATCH_SIZE:
            await self._replays.insert_one(
                {"_id": new_id(), "tenant": tenant, "query": to_builtins(query), "started_at": now}
            )
        await self._replay(match, index, now)
        return replayed + matching

    async def replay_preview(self, tenant: str, query: DeliveryQuery) -> ReplayPreview:
        """Return the effect that `replay` would have. Count at most `PREVIEW_COUNT_MAX` deliveries, and check the first
        `READ_CHECKED_MAX` deliveries for reads."""
        if not can_match(query, failed=True):
            return ReplayPreview(0, 0, 0, 0, {})
        index = index_of(query, failed=True)
        group = {"$group": {"_id": "$reason", "count": {"$sum": 1}}}
        stages: list[Document] = [{"$match": failed_match_of(tenant, query)}, {"$limit": PREVIEW_COUNT_MAX}, group]
        reasons = {doc["_id"]: doc["count"] async for doc in await self._deliveries.aggregate(stages, hint=index)}
        left_out = () if query.reasons or query.ids is not None else WITHOUT_ADDRESS
        match = replay_match_of(tenant, query)
        cursor = self._deliveries.find(match, {"notification": 1}, hint=index).limit(READ_CHECKED_MAX)
        notifications = [doc["notification"] async for doc in cursor if "notification" in doc]
        read = 0
        for start in range(0, len(notifications), REPLAY_BATCH_SIZE):
            part = Counter(notifications[start : start + REPLAY_BATCH_SIZE])
            read += sum(part[id] for id in await self._notifications.list_read(part))
        return ReplayPreview(
            count=sum(count for reason, count in reasons.items() if reason not in left_out),
            address_gone=reasons.get(Reason.ADDRESS_GONE, 0),
            suppressed=reasons.get(Reason.SUPPRESSED, 0),
            already_read=read,
            reasons={reason or NO_REASON: count for reason, count in reasons.items()},
        )

    async def continue_replays(self) -> int:
        """Process the next batch of each large replay. Return the number of replayed deliveries."""
        replayed = rounds = 0
        async for doc in self._replays.find({}):
            try:
                replay = convert(doc, _Replay)
            except ValidationError as error:
                report_unreadable(doc, _Replay, error)  # a process of the version that wrote the document continues it
                continue
            match, index = replay_match_of(replay.tenant, replay.query), index_of(replay.query, failed=True)
            done = await self._replay(match, index, replay.started_at)
            replayed += done
            if not done:
                await self._replays.delete_one({"_id": replay.id})
            rounds += 1
            if rounds == REPLAYS_PER_ROUND:
                break
        return replayed

    async def _replay(self, match: Document, index: str, before: datetime) -> int:
        """Replay one batch of deliveries that failed before `before`, so a delivery that fails again is not replayed
        twice. A delivery that was claimed in the meantime has another status and is not changed."""
        earlier = {"$and": [match, {"updated_at": {"$lte": before}}]}
        fields = {"digest_id": 1, "digest_key": 1}
        docs = await self._deliveries.find(earlier, fields, hint=index).limit(REPLAY_BATCH_SIZE).to_list()
        ids = [doc["_id"] for doc in docs if "digest_id" not in doc and "digest_key" not in doc]
        await self._digests.replay([doc for doc in docs if "digest_id" in doc or "digest_key" in doc])
        now = self._clock()
        update = {
            "$set": {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now},
            "$unset": {"tries": "", "lease_expirations": "", "reason": "", "enqueue_count": "", "claim": ""},
        }
        batch = {"_id": {"$in": [doc["_id"] for doc in docs]}}
        await self._deliveries.update_many({"_id": {"$in": ids}, "status": DeliveryStatus.FAILED}, update)
        if DeliveryStatus.RETRYING in match["status"]["$in"]:
            waiting = {**batch, "status": DeliveryStatus.RETRYING, **UNQUEUED}
            await self._deliveries.update_many(waiting, {"$set": {"due_at": now, "updated_at": now}})
        return len(docs)


def cancelled_document(delivery: Document, reason: Reason) -> Document:
    """Return the document of a new delivery that is cancelled before it is stored."""
    waiting = {name: value for name, value in delivery.items() if name not in ("due_at", "enqueue_count")}
    return waiting | {"status": DeliveryStatus.CANCELLED.value, "reason": reason.value}


def _set_override(match: Document, status: DeliveryStatus, reason: Reason) -> UpdateMany:
    """Return an update that sets the final status of running deliveries, which are then not retried. Write the update
    before the waiting deliveries are finished: otherwise a running delivery could start to wait in between."""
    running = match | {"status": DeliveryStatus.PROCESSING}
    return UpdateMany(running, {"$set": {"override": {"status": status, "reason": reason}}})
