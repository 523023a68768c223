"""The queries of digests and of their items. An item is a delivery that a digest carries."""

import asyncio
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

import pymongo
from msgspec.structs import replace
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.read_concern import ReadConcern

from hub.model import ITEMS_SHOWN, Delivery, DeliveryStatus, DigestKind, Priority, Reason, document
from hub.outbox.lanes import SCHEDULER_LANE_OF_JOB
from hub.outbox.states import FINAL
from hub.platform.connections import DURABLE, SNAPSHOT, Document
from hub.platform.tolerant_decoding import decode, decode_all, decode_by_id
from hub.utc_time import Clock

TRANSACTION_TIMEOUT_S = 10.0
BRIEFING_SLOT = ""  # the key of the slot that all briefings of a device share
JOIN_FIELDS = ("due_at", "priority", "lane", "newest_notification", "newest_send", "updated_at")
CALL_FIELDS = ("tries", "lease_expirations", "reason", "enqueue_count", "claim")  # of earlier calls
TEMPLATE_FIELDS = ("template_version", "layout_version")
ENDED_FIELDS = {"status": 1, "reason": 1, "updated_at": 1}
RELEASE_BATCH_SIZE = 500  # items
PENDING_AT_ONCE = 200  # digests whose items are settled in one round
LOOKED_UP_AT_ONCE = 1000  # digests that are looked up in one query
OUTDATED_BATCH_SIZE = 500  # digests of one user

End = tuple[datetime, bool]
"""When an open digest leaves, and whether its user chose this time."""

Slot = tuple[str, str, str | None, str]
"""The mailbox, channel, device, and key of a digest. At most one digest of a slot is open, or one briefing for each end
of a quiet time."""
ItemKind = tuple[Priority, str]
"""The priority and category of an item."""


def indexes() -> list[IndexModel]:
    return [
        IndexModel(
            [(name, ASCENDING) for name in ("mailbox", "digest_key", "channel", "device")],
            name="open_digest",
            unique=True,
            partialFilterExpression={"open": True},
        ),
        # the items of a digest by status, newest first
        IndexModel(
            [("digest_id", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)],
            name="items",
            partialFilterExpression={"digest_id": {"$exists": True}},
        ),
        # the digests that have items that wait
        IndexModel(
            [("status", ASCENDING), ("digest_id", ASCENDING)],
            name="waiting_items",
            partialFilterExpression={"status": DeliveryStatus.HELD, "digest_id": {"$exists": True}},
        ),
        # the digests whose items do not have their final status yet
        IndexModel(
            [("status", ASCENDING), ("updated_at", ASCENDING)],
            name="items_pending",
            partialFilterExpression={"items_pending": True},
        ),
    ]


def slot_of(digest: Delivery) -> Slot:
    key = BRIEFING_SLOT if digest.digest_kind is DigestKind.BRIEFING else digest.digest_key or ""
    return digest.mailbox, digest.channel, digest.device, key


def briefing_key(id: str) -> str:
    """Return the key of a briefing. No digest has such a key: those contain a separator."""
    return f"/{id}"


class Digests:
    """The digests in the collection `deliveries`."""

    def __init__(self, deliveries: AsyncCollection[Document], clock: Clock) -> None:
        self._client = deliveries.database.client
        self._deliveries = deliveries
        self._majority = self._deliveries.with_options(read_concern=ReadConcern("majority"))
        self._clock = clock

    async def load_open(self, mailboxes: Mapping[str, Collection[str]], session: AsyncClientSession) -> list[Delivery]:
        """Return the open digests of mailboxes by digest key, read in a transaction."""
        slots = [{"mailbox": {"$in": list(ids)}, "digest_key": key} for key, ids in mailboxes.items()]
        return await decode_all(self._deliveries.find({"open": True, "$or": slots}, session=session), Delivery)

    async def load_open_briefings(self, mailboxes: Collection[str], session: AsyncClientSession) -> list[Delivery]:
        """Return the open briefings of mailboxes, read in a transaction."""
        match = {"open": True, "mailbox": {"$in": list(mailboxes)}, "digest_key": {"$gte": "/", "$lt": "0"}}
        docs = self._deliveries.find(match | {"digest_kind": DigestKind.BRIEFING}, session=session, hint="open_digest")
        return await decode_all(docs, Delivery)

    async def list_open(self, key: str, mailboxes: Collection[str]) -> list[Delivery]:
        """Return the open digests of mailboxes with this key."""
        match = {"open": True, "mailbox": {"$in": list(mailboxes)}, "digest_key": key}
        return await decode_all(self._deliveries.find(match, hint="open_digest"), Delivery)

    async def list_outdated(self, mailbox: str, revision: int, now: datetime) -> list[Delivery]:
        """Return open digests that leave later and whose end was decided with preferences older than `revision`, at
        most one batch."""
        docs = self._deliveries.find(_match_outdated(mailbox, revision, now), hint="open_digest")
        return await decode_all(docs.limit(OUTDATED_BATCH_SIZE), Delivery)

    async def set_ends(self, mailbox: str, revision: int, ends: Mapping[str, End | None], now: datetime) -> None:
        """Record that the preferences with `revision` decided when open digests leave. With None, a digest keeps its
        end. A transaction in which items join one of them conflicts with this, and starts again."""
        match = _match_outdated(mailbox, revision, now)
        updates = [
            UpdateOne({"_id": id, **match}, {"$set": {"revision": revision} | end_values(end)})
            for id, end in ends.items()
        ]
        await self._deliveries.bulk_write(updates, ordered=False)

    async def find_item_kinds(
        self, digests: Collection[Delivery], session: AsyncClientSession, paused: Collection[str] = ()
    ) -> dict[str, list[ItemKind]]:
        """Return the kinds of the items that wait in digests, without those of `paused` sends, read in a transaction. A
        digest, which may have very many items, has one kind: its own priority and category. Digests without such items
        are left out."""
        not_paused: Document = {"send": {"$nin": list(paused)}} if paused else {}
        briefings = [one.id for one in digests if one.digest_kind is DigestKind.BRIEFING]
        others = {one.id: one for one in digests if one.digest_kind is not DigestKind.BRIEFING}
        kinds = await self._find_kinds(briefings, not_paused, session) if briefings else {}
        for id in await self._find_waiting(others, not_paused, session) if others else ():
            kinds[id] = [(others[id].priority, others[id].category)]
        return kinds

    async def _find_waiting(self, ids: Collection[str], not_paused: Document, session: AsyncClientSession) -> list[str]:
        """Return the digests that have such items. Without paused sends, the index alone answers."""
        if not_paused:
            matches = [_match_waiting([id]) | not_paused for id in ids]
            items = [await self._deliveries.find_one(one, session=session, hint="items") for one in matches]
            return [item["digest_id"] for item in items if item]
        stages: list[Document] = [{"$match": _match_waiting(ids)}, {"$group": {"_id": "$digest_id"}}]
        return [doc["_id"] async for doc in await self._deliveries.aggregate(stages, session=session, hint="items")]

    async def _find_kinds(
        self, ids: Collection[str], not_paused: Document, session: AsyncClientSession
    ) -> dict[str, list[ItemKind]]:
        group = {"digest": "$digest_id", "priority": "$priority", "category": "$category"}
        stages: list[Document] = [{"$match": _match_waiting(ids) | not_paused}, {"$group": {"_id": group}}]
        kinds: dict[str, list[ItemKind]] = {}
        async for doc in await self._deliveries.aggregate(stages, session=session, hint="items"):
            kind = doc["_id"]
            priority = Priority.__members__.get(kind.get("priority"), Priority.LOW)  # of a later version
            kinds.setdefault(kind["digest"], []).append((priority, kind.get("category", "")))
        return kinds

    async def count_joined(self, ids: Collection[str]) -> dict[str, int]:
        """Count all items of each digest, which no write after a failover can change."""
        stages: list[Document] = [
            {"$match": {"digest_id": {"$in": list(ids)}}},
            {"$group": {"_id": "$digest_id", "count": {"$sum": 1}}},
        ]
        return {doc["_id"]: doc["count"] async for doc in await self._majority.aggregate(stages, hint="items")}

    async def take_waiting(self, ids: Collection[str], before: str, limit: int) -> tuple[list[Delivery], str | None]:
        """Return items of digests that wait, newest first, with ids before `before` unless it is empty. Also return the
        id of the last one, or None if there are no others.

        Items that this version cannot decode become FAILED with the reason UNREADABLE."""
        match = _match_waiting(ids)
        if before:
            match["_id"] = {"$lt": before}
        found = self._majority.find(match, hint="items").sort("_id", DESCENDING)
        docs = await found.limit(limit).to_list()
        items = [item for doc in docs if (item := decode(doc, Delivery))]
        if len(items) < len(docs):
            unreadable = {doc["_id"] for doc in docs} - {item.id for item in items}
            values = {"status": DeliveryStatus.FAILED, "reason": Reason.UNREADABLE, "updated_at": self._clock()}
            undecoded = _match_waiting(ids) | {"_id": {"$in": list(unreadable)}}
            await self._deliveries.update_many(undecoded, {"$set": values})
        return items, docs[-1]["_id"] if len(docs) == limit else None

    async def find_lost(self) -> list[str]:
        """Return the ids of digests that do not exist but have items that wait, at most LOOKED_UP_AT_ONCE."""
        waiting: Document = {"status": DeliveryStatus.HELD, "digest_id": {"$gt": ""}}
        stages: list[Document] = [{"$match": waiting}, {"$group": {"_id": "$digest_id"}}]
        lost: list[str] = []
        async with await self._deliveries.aggregate(stages, hint="waiting_items") as cursor:
            while len(lost) < LOOKED_UP_AT_ONCE and (docs := await cursor.to_list(LOOKED_UP_AT_ONCE)):
                ids = [doc["_id"] for doc in docs]
                stored = {doc["_id"] async for doc in self._deliveries.find({"_id": {"$in": ids}}, {"_id": 1})}
                lost += [id for id in ids if id not in stored]
        return lost[:LOOKED_UP_AT_ONCE]

    async def release_items(self, id: str) -> int:
        """Take items that wait out of a digest, at most one slice, so the scheduler decides each of them. Return their
        number."""
        match = {"digest_id": id, "status": DeliveryStatus.HELD}
        docs = self._deliveries.find(match, {"_id": 1}, hint="items").limit(RELEASE_BATCH_SIZE)
        if ids := [doc["_id"] async for doc in docs]:
            await self._deliveries.update_many({"_id": {"$in": ids}, **match}, released_update(self._clock()))
        return len(ids)

    async def take_out(self, digest: Delivery, items: Sequence[str]) -> None:
        """Take items that wait out of a claimed digest, so the scheduler decides each of them. If the claim was lost,
        another worker may be sending them, and they stay."""
        for start in range(0, len(items), RELEASE_BATCH_SIZE):
            batch = items[start : start + RELEASE_BATCH_SIZE]
            await self._in_transaction(functools.partial(self._take_out_waiting, digest, batch))

    async def _take_out_waiting(self, digest: Delivery, items: Sequence[str], session: AsyncClientSession) -> None:
        claimed = {"_id": digest.id, "claim": digest.claim}
        match = {"_id": {"$in": list(items)}, "digest_id": digest.id, "status": DeliveryStatus.HELD}
        count = await self._deliveries.count_documents(match, session=session)
        fewer = await self._deliveries.update_one(claimed, {"$inc": {"joined": -count}}, session=session)
        if fewer.matched_count:
            await self._deliveries.update_many(match, released_update(self._clock()), session=session)

    async def set_item_counts(self, counts: Mapping[str, int]) -> None:
        """Store the number of items in the message of each digest."""
        updates = [UpdateOne({"_id": id}, {"$set": {"item_count": count}}) for id, count in counts.items()]
        if updates:
            await self._deliveries.bulk_write(updates, ordered=False)

    async def record_template_versions(self, digest: Delivery) -> None:
        values = {"template_version": digest.template_version, "layout_version": digest.layout_version}
        await self._deliveries.update_one({"_id": digest.id}, {"$set": values})

    async def newest_notifications(self, digests: Sequence[str]) -> list[list[str]]:
        """Return the notifications of the newest items of each digest, newest first."""
        return await asyncio.gather(*(self._newest_notifications(id) for id in digests))

    async def _newest_notifications(self, digest: str) -> list[str]:
        match = {"digest_id": digest, "status": {"$in": list(DeliveryStatus)}}
        docs = self._deliveries.find(match, {"notification": 1}, hint="items").sort("_id", DESCENDING)
        return [doc["notification"] async for doc in docs.limit(ITEMS_SHOWN)]

    async def as_shown(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Return the deliveries. An item that waits has the time of its digest, or the status if the digest ended."""
        ids = {one.digest_id for one in deliveries if one.digest_id and one.status is DeliveryStatus.HELD}
        if not ids:
            return deliveries
        digests = await decode_by_id(self._deliveries.find({"_id": {"$in": list(ids)}}), Delivery)
        return [_as_shown(one, digests.get(one.digest_id or "")) for one in deliveries]

    async def list_pending(self, left_out: Collection[str]) -> list[Document]:
        """Return digests that ended and whose items have another status, first ended first, except those in
        `left_out`."""
        match = {"items_pending": True, "status": {"$in": FINAL}, "_id": {"$nin": list(left_out)}}
        docs = self._deliveries.find(match, ENDED_FIELDS, hint="items_pending").sort("updated_at", ASCENDING)
        return await docs.limit(PENDING_AT_ONCE).to_list()

    async def find_pending(self, ids: Collection[str]) -> list[Document]:
        """Return the digests in `ids` that ended and whose items have another status."""
        match = {"_id": {"$in": list(ids)}, "items_pending": True, "status": {"$in": FINAL}}
        return await self._deliveries.find(match, ENDED_FIELDS).to_list()

    async def leave_out_ended(self, deliveries: list[Delivery], session: AsyncClientSession) -> list[Delivery]:
        """Return the deliveries, read in a transaction, except items whose digest ended."""
        ids = {one.digest_id for one in deliveries if one.digest_id}
        if not ids:
            return deliveries
        match = {"_id": {"$in": list(ids)}, "status": {"$in": FINAL}}
        ended = {doc["_id"] async for doc in self._deliveries.find(match, {"_id": 1}, session=session)}
        return [one for one in deliveries if one.digest_id not in ended]

    async def choose_items(
        self, digests: Sequence[Document], items: list[Delivery], session: AsyncClientSession
    ) -> list[Delivery]:
        """Return the items whose digest, which ended, did not change since it was read. A replay of the digest then
        conflicts with the transaction."""
        ids = {item.digest_id for item in items}
        before = {doc["_id"]: doc for doc in digests if doc["_id"] in ids}
        docs = self._deliveries.find({"_id": {"$in": list(before)}}, ENDED_FIELDS, session=session)
        unchanged = {doc["_id"] async for doc in docs if doc == before[doc["_id"]]}
        await self._deliveries.update_many({"_id": {"$in": list(unchanged)}}, {"$inc": {"slices": 1}}, session=session)
        return [item for item in items if item.digest_id in unchanged]

    async def mark_settled(self, digests: Sequence[Document]) -> None:
        """Record that all items have the status of their digest, except for digests that changed in the meantime."""
        await self._deliveries.update_many(_unchanged(digests), {"$unset": {"items_pending": ""}})

    async def replay(self, failed: Sequence[Document]) -> None:
        """Send FAILED digests again, and the digests of FAILED items, with all items that failed with their digest.

        An item that failed by itself leaves its digest and is sent alone."""
        for digest in {str(doc.get("digest_id", doc["_id"])): None for doc in failed}:
            await self._in_transaction(functools.partial(self._replay, digest))
        if items := [doc["_id"] for doc in failed if "digest_id" in doc]:
            await self._in_transaction(lambda session: self._take_out(items, session))

    async def replay_with_items(self, tenant: str, items: Collection[str]) -> int:
        """Send FAILED digests again that carry `items` which do not have the status of their digest yet. Return the
        number of these items."""
        match = {"_id": {"$in": list(items)}, "tenant": tenant, "status": DeliveryStatus.HELD}
        waiting = await self._deliveries.find(match | {"digest_id": {"$exists": True}}, {"digest_id": 1}).to_list()
        if not waiting:
            return 0
        failed = {"_id": {"$in": [doc["digest_id"] for doc in waiting]}, "status": DeliveryStatus.FAILED}
        digests = {doc["_id"] async for doc in self._deliveries.find(failed, {"_id": 1})}
        await self.replay([{"_id": id} for id in digests])
        return sum(doc["digest_id"] in digests for doc in waiting)

    async def _in_transaction(self, work: Callable[[AsyncClientSession], Awaitable[None]]) -> None:
        with pymongo.timeout(TRANSACTION_TIMEOUT_S):
            async with self._client.start_session(causal_consistency=False) as session:
                await session.with_transaction(work, read_concern=SNAPSHOT, write_concern=DURABLE)

    async def _replay(self, id: str, session: AsyncClientSession) -> None:
        now, failed = self._clock(), {"_id": id, "status": DeliveryStatus.FAILED}
        values = {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now, "items_pending": True}
        update = {"$set": values, "$unset": dict.fromkeys(CALL_FIELDS, "")}
        before = await self._deliveries.find_one_and_update(failed, update, session=session)
        if before is None:
            return
        if before.get("reason") == Reason.TEMPLATE_ERROR:  # the templates may have been corrected
            unset = {"$unset": dict.fromkeys(TEMPLATE_FIELDS, "")}
            await self._deliveries.update_one({"_id": id}, unset, session=session)
        items = {"digest_id": id, "status": DeliveryStatus.FAILED, "reason": before.get("reason")}
        held = {"status": DeliveryStatus.HELD, "reason": Reason.DIGEST, "updated_at": now}
        await self._deliveries.update_many(items, {"$set": held}, session=session)

    async def _take_out(self, items: Sequence[str], session: AsyncClientSession) -> None:
        match = {"_id": {"$in": list(items)}, "status": DeliveryStatus.FAILED}
        docs = self._deliveries.find(match, {"digest_id": 1}, session=session)
        digests = Counter([doc["digest_id"] async for doc in docs])
        if not digests:
            return
        now = self._clock()
        lane = {"$concat": ["$channel", "/", "$priority", "/", "$tenant"]}
        values = {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now, "lane": lane}
        unset = [*CALL_FIELDS, "digest_id"]
        await self._deliveries.update_many(match, [{"$set": values}, {"$unset": unset}], session=session)
        fewer = [UpdateOne({"_id": id}, {"$inc": {"joined": -count}}) for id, count in digests.items()]
        await self._deliveries.bulk_write(fewer, session=session)


def _match_waiting(digests: Collection[str]) -> Document:
    """Return the match of the items that wait in digests."""
    return {"digest_id": {"$in": list(digests)}, "status": DeliveryStatus.HELD}


def end_values(end: End | None) -> Document:
    """Return the changed fields of an open digest that a choice of its user concerns."""
    return {"due_at": end[0], "chosen": end[1]} if end else {}


def _match_outdated(mailbox: str, revision: int, now: datetime) -> Document:
    return {
        "open": True,
        "mailbox": mailbox,
        "reason": Reason.DIGEST,
        "due_at": {"$gt": now},
        "revision": {"$not": {"$gte": revision}},
    }


def end_of_items(status: DeliveryStatus) -> DeliveryStatus:
    """Return the status of the items of a digest that ended. A click on the digest proves nothing about one item."""
    return DeliveryStatus.SENT if status is DeliveryStatus.READ else status


def _unchanged(digests: Sequence[Document]) -> Document:
    """Return the match of digests that did not change since they were read."""
    return {"$or": [{name: digest[name] for name in ("_id", "status", "updated_at")} for digest in digests]}


def _as_shown(delivery: Delivery, digest: Delivery | None) -> Delivery:
    if digest is None or delivery.status is not DeliveryStatus.HELD:
        return delivery
    if digest.status not in FINAL:
        paused = digest.reason in (Reason.PAUSED, Reason.RESTORED)
        due_at, reason = None if digest.enqueue_count or paused else digest.due_at, delivery.reason
        if paused or digest.digest_kind is DigestKind.BRIEFING:  # do-not-disturb may be followed by quiet hours
            reason = digest.reason or reason
        return replace(delivery, due_at=due_at, reason=reason)
    return replace(
        delivery,
        status=end_of_items(digest.status),
        reason=digest.reason,
        updated_at=max(digest.updated_at, delivery.updated_at),
    )


def joined_update(digest: Delivery, joined_before: int) -> Document:
    """Return the update of an open digest that items joined."""
    doc = document(digest)
    return {
        "$inc": {"joined": digest.joined - joined_before},
        "$set": {name: doc[name] for name in JOIN_FIELDS} | {"revision": digest.revision},
    }


def released_update(now: datetime) -> list[Document]:
    """Return the update that takes items out of their digest, so they are due on their lanes of the scheduler."""
    return [{"$set": {"lane": SCHEDULER_LANE_OF_JOB, "due_at": now, "updated_at": now}}, {"$unset": "digest_id"}]
