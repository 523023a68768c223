"""The deliveries that the scheduler releases: the queries, and the updates for the transaction that releases them.

Such a delivery is HELD, and its lane is a lane of the scheduler, which no worker takes. A delivery whose channel is
paused is HELD on a lane that nobody takes. When the channel is resumed, it gets a lane of the scheduler.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pymongo import ASCENDING, DeleteOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.model import Channel, Delivery, DeliveryStatus, Priority, Reason, Send, document
from hub.outbox.lanes import SCHEDULER_LANES, lane_of, paused_lane, scheduler_lane
from hub.outbox.retry_delay import DUE
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode_by_id
from hub.status.deliveries import COLLECTION
from hub.status.delivery_ends import finish_update

OUTDATED_BATCH_SIZE = 1000  # deliveries of one user
DUE_AT_ONCE = 500  # deliveries of a lane, longest overdue first
PREFERENCE_REASONS = [Reason.QUIET_HOURS, Reason.DO_NOT_DISTURB]
"""The reasons of deliveries that wait because of their user's preferences."""
ITEM_FIELDS = ("digest_id", "device", "reason", "revision", "updated_at")
RELEASED_FIELDS = (
    "status", "lane", "enqueue_count", "device", "due_at", "released_at", "updated_at", "counted", "template_version",
    "layout_version",
)  # fmt: skip


class HeldEntry(Struct, frozen=True):
    """A delivery that is due on a lane of the scheduler. A digest has no notification."""

    id: str
    lane: str
    mailbox: str
    notification: str


class HeldDeliveries:
    def __init__(self, database: Database) -> None:
        self._deliveries = database[COLLECTION]

    async def list_due(self, now: datetime, after: str, limit: int) -> list[HeldEntry]:
        """Return due deliveries of the lanes after `after`, by lane, longest overdue first."""
        lanes = {"$gt": after, "$lt": SCHEDULER_LANES[1]}
        match = {"lane": lanes, "due_at": {"$lte": now}, "status": DeliveryStatus.HELD}
        docs = self._deliveries.find(match, {"lane": 1, "mailbox": 1, "notification": 1}, hint="due")
        return [
            HeldEntry(doc["_id"], doc["lane"], doc["mailbox"], doc.get("notification", ""))
            async for doc in docs.sort(DUE).limit(limit)
        ]

    async def load(self, ids: Collection[str], session: AsyncClientSession) -> dict[str, Delivery]:
        """Return the deliveries in `ids` that are HELD on a lane of the scheduler, read in a transaction."""
        lanes = {"$gt": SCHEDULER_LANES[0], "$lt": SCHEDULER_LANES[1]}
        match = {"_id": {"$in": list(ids)}, "status": DeliveryStatus.HELD, "lane": lanes}
        return await decode_by_id(self._deliveries.find(match, session=session), Delivery)

    async def find_counted(self, notifications: Collection[str], session: AsyncClientSession) -> set[tuple[str, int]]:
        """Return the steps of notifications that were counted against a daily limit, read in a transaction."""
        ranges = [{"_id": {"$gte": f"{id}-", "$lt": f"{id}."}} for id in notifications]
        docs = self._deliveries.find({"$or": ranges, "counted": True}, {"notification": 1, "step": 1}, session=session)
        return {(doc["notification"], doc.get("step", 0)) async for doc in docs}

    async def make_outdated_due(self, mailbox: str, revision: int, now: datetime) -> int:
        """Make deliveries due whose waiting time was decided with preferences older than `revision`, at most one batch.
        Return their number, including those that are due but not released yet."""
        outdated = {
            "mailbox": mailbox,
            "reason": {"$in": PREFERENCE_REASONS},
            "status": DeliveryStatus.HELD,
            "revision": {"$not": {"$gte": revision}},
            "digest_id": None,  # an item waits with its digest
        }
        docs = self._deliveries.find(outdated, {"_id": 1}, hint="held").limit(OUTDATED_BATCH_SIZE)
        if ids := [doc["_id"] async for doc in docs]:
            later = {"_id": {"$in": ids}, **outdated, "due_at": {"$gt": now}}
            await self._deliveries.update_many(later, {"$set": {"due_at": now}})
        return len(ids)

    async def lock_due(self, send: Send, now: datetime) -> None:
        """Change the due deliveries of a send that may be in a transaction that releases them, so it conflicts
        and reads the send again."""
        for priority in Priority:
            match = {"lane": scheduler_lane(priority, send.tenant), "due_at": {"$lte": now}}
            docs = self._deliveries.find(match, {"send": 1}, hint="due").sort(DUE).limit(DUE_AT_ONCE)
            found = await docs.to_list()
            if ids := [one["_id"] for one in found if one.get("send") == send.id]:
                await self._deliveries.update_many({"_id": {"$in": ids}}, {"$inc": {"locks": 1}})

    async def keep_running(self, send: str) -> None:
        """Record that the deliveries of a send that workers process now are not held, because the send was resumed.
        Call this before `make_paused_due`: otherwise one of them could be held in between."""
        running = {"send": send, "status": DeliveryStatus.PROCESSING}
        await self._deliveries.update_many(running, {"$set": {"resumed": True}}, hint="send")

    async def make_paused_due(self, send: str, limit: int, now: datetime) -> int:
        """Make up to `limit` deliveries due that are held because the send was paused. Return their number."""
        docs = self._deliveries.find(_match_paused(send), {"_id": 1}, hint="paused").limit(limit)
        if ids := [doc["_id"] async for doc in docs]:
            match = {"_id": {"$in": ids}, **_match_paused(send)}
            await self._deliveries.update_many(match, {"$set": {"due_at": now}})
        return len(ids)

    async def count_paused(self, send: str, limit: int | None = None) -> int:
        """Return the number of deliveries that are held because the send was paused, and are not due, or `limit` if
        there are more."""
        bound: dict[str, Any] = {} if limit is None else {"limit": limit}
        return await self._deliveries.count_documents(_match_paused(send), hint="paused", **bound)

    async def keep_running_on(self, tenant: str, channel: Channel) -> None:
        """Record that the deliveries of a channel that workers process now are not held, because the channel was
        resumed. Call this before `release_paused`: otherwise one of them could be held in between."""
        running = {"tenant": tenant, "status": DeliveryStatus.PROCESSING, "channel": channel}
        await self._deliveries.update_many(running, {"$set": {"resumed": True}}, hint="status")

    async def count_due(self, tenant: str, priority: Priority, now: datetime) -> int:
        """Return the number of due deliveries on a lane of the scheduler, at most DUE_AT_ONCE."""
        due = {"lane": scheduler_lane(priority, tenant), "due_at": {"$lte": now}}
        return await self._deliveries.count_documents(due, hint="due", limit=DUE_AT_ONCE)

    async def release_paused(self, tenant: str, channel: Channel, priority: Priority, limit: int, now: datetime) -> int:
        """Make up to `limit` deliveries due that are held because the channel was paused, first accepted first. The
        scheduler decides each of them again. Return their number."""
        match = _match_channel(tenant, channel, priority)
        docs = self._deliveries.find(match, {"_id": 1}, hint="paused_channel").sort("_id", ASCENDING).limit(limit)
        if ids := [doc["_id"] async for doc in docs]:
            values = {"lane": scheduler_lane(priority, tenant), "due_at": now, "updated_at": now}
            await self._deliveries.update_many({"_id": {"$in": ids}, **match}, {"$set": values})
        return len(ids)

    async def count_paused_on(self, tenant: str, channel: Channel, priority: Priority, limit: int) -> int:
        """Return the number of deliveries that are held because the channel is paused, or `limit` if there are more."""
        match = {"lane": paused_lane(channel, priority, tenant), "reason": Reason.PAUSED}
        return await self._deliveries.count_documents(match, hint="paused_channel", limit=limit)

    async def postpone(self, ids: Collection[str], until: datetime) -> None:
        """Make deliveries that could not be released due again at `until`."""
        match = {"_id": {"$in": list(ids)}, "status": DeliveryStatus.HELD, "due_at": {"$lt": until}}
        await self._deliveries.update_many(match, {"$set": {"due_at": until}})


def accepted(delivery: Delivery, id: str, device: str | None, requeue_after: timedelta, now: datetime) -> Delivery:
    """Return a delivery as it is when it is released: on its lane, for `device` if its channel has devices."""
    return replace(
        delivery,
        id=id,
        status=DeliveryStatus.ACCEPTED,
        lane=lane_of(delivery.channel, delivery.priority, delivery.tenant),
        enqueue_count=1,
        device=device,
        due_at=now + requeue_after,
        released_at=now,
        updated_at=now,
        reason=None,
    )


def accepted_update(after: Delivery) -> UpdateOne:
    """Return the update that releases a delivery."""
    doc = document(after)
    return UpdateOne(
        {"_id": after.id},
        {"$set": {name: doc[name] for name in RELEASED_FIELDS if name in doc}, "$unset": {"reason": "", "open": ""}},
    )


def held_update(id: str, reason: str | None, due_at: datetime | None, revision: int, now: datetime) -> UpdateOne:
    """Return the update that holds a delivery longer. `revision` is that of the preferences that decided."""
    values = {"reason": reason, "due_at": due_at, "revision": revision, "updated_at": now}
    return UpdateOne({"_id": id}, {"$set": values})


def paused_update(id: str, now: datetime) -> UpdateOne:
    """Return the update that holds a delivery until its send is resumed."""
    values = {"reason": Reason.PAUSED, "updated_at": now}
    return UpdateOne({"_id": id}, {"$set": values, "$unset": {"due_at": ""}})


def channel_paused_update(delivery: Delivery, now: datetime) -> UpdateOne:
    """Return the update that holds a delivery until its channel is resumed."""
    lane = paused_lane(delivery.channel, delivery.priority, delivery.tenant)
    values = {"lane": lane, "reason": Reason.PAUSED, "updated_at": now}
    return UpdateOne({"_id": delivery.id}, {"$set": values, "$unset": {"due_at": ""}})


def item_update(item: Delivery) -> UpdateOne:
    """Return the update that makes a delivery that waits by itself an item of a digest."""
    doc = document(item)
    values = {name: doc[name] for name in ITEM_FIELDS if name in doc}
    return UpdateOne({"_id": item.id}, {"$set": values, "$unset": {"lane": "", "due_at": ""}})


def ended_update(id: str, status: DeliveryStatus, reason: Reason | None, now: datetime) -> UpdateOne:
    """Return the update that ends a delivery."""
    return UpdateOne({"_id": id}, finish_update(status, reason, now))


def shown_update(id: str) -> DeleteOne:
    """Return the deletion of an IN_APP delivery. From now on, its notification stores its status."""
    return DeleteOne({"_id": id})


def _match_paused(send: str) -> Document:
    lanes = {"$gt": SCHEDULER_LANES[0], "$lt": SCHEDULER_LANES[1]}  # not those that wait for their channel
    return {"send": send, "reason": Reason.PAUSED, "due_at": None, "status": DeliveryStatus.HELD, "lane": lanes}


def _match_channel(tenant: str, channel: Channel, priority: Priority) -> Document:
    lane = paused_lane(channel, priority, tenant)
    return {"lane": lane, "reason": Reason.PAUSED, "status": DeliveryStatus.HELD}
