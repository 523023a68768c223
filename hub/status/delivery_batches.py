"""Changes of many deliveries at once: replay those that failed, and cancel those that wait.

The first deliveries are changed immediately. If there are more, or if the caller limits the rate, the batch is stored,
and the scheduler of any worker continues it, also after a restart, until it is complete or stopped.
"""

from collections import Counter
from datetime import datetime, timedelta

from msgspec import Struct, to_builtins
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from hub.ids import first_id_at, new_id
from hub.model import DeliveryBatchAction, DeliveryStatus, Reason
from hub.outbox.restored_jobs import HELD_JOBS, release_update
from hub.outbox.states import REPLAYABLE, WAITING, WITHOUT_ADDRESS
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode_page
from hub.status.deliveries import NO_REASON, Deliveries
from hub.status.delivery_query import (
    UNQUEUED,
    DeliveryQuery,
    can_match,
    failed_match_of,
    index_of,
    match_of,
    replay_match_of,
)
from hub.status.digests import Digests
from hub.status.sends import Notifications
from hub.utc_time import Clock

COLLECTION = "delivery_batches"
EARLIER_REPLAYS = "replays"  # of earlier versions
BATCH_SIZE = 1000  # deliveries that are changed in one step
BATCHES_PER_ROUND = 10
STEP_S = 5  # a batch with a rate is continued after this time
BATCHES_SHOWN = 50
KEPT = timedelta(days=30)  # after the end of a batch
PREVIEW_COUNT_MAX = 100_000
READ_CHECKED_MAX = 10_000


def indexes() -> Indexes:
    return {
        COLLECTION: [
            IndexModel([("tenant", ASCENDING), ("_id", DESCENDING)], name="tenant"),
            IndexModel([("due_at", ASCENDING)], name="running", partialFilterExpression={"due_at": {"$exists": True}}),
            IndexModel([("ended_at", ASCENDING)], name="retention", expireAfterSeconds=int(KEPT.total_seconds())),
        ],
        EARLIER_REPLAYS: [],
    }


class BatchOptions(Struct, frozen=True):
    """Why deliveries are changed, and at most how many per minute."""

    note: str = ""
    per_minute: int | None = None


class DeliveryBatch(Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A change of many deliveries. `total` is the number of deliveries that matched at its start, and `done` of those
    that were changed; it is too low if a process was killed. The batch is continued at `due_at`, until `ended_at`. A
    document with an unknown query is not used because it would match more deliveries than requested. The query is
    removed at the end: it may name a user."""

    id: str
    tenant: str
    action: DeliveryBatchAction
    started_at: datetime
    query: DeliveryQuery | None = None
    note: str = ""
    per_minute: int | None = None
    total: int = 0
    done: int = 0
    due_at: datetime | None = None
    ended_at: datetime | None = None
    stopped: bool = False


class ReplayPreview(Struct, frozen=True):
    """The effect of a replay. `count` is the number of deliveries that would be sent again, of which `already_read`
    were read. `address_gone`, `suppressed`, and `reasons` count all matching deliveries."""

    count: int
    address_gone: int
    suppressed: int
    already_read: int
    reasons: dict[str, int]


class DeliveryBatches:
    def __init__(
        self,
        database: Database,
        stored: AsyncCollection[Document],
        clock: Clock,
        deliveries: Deliveries,
        notifications: Notifications,
        digests: Digests,
    ) -> None:
        self._batches = database[COLLECTION]
        self._earlier_replays = database[EARLIER_REPLAYS]
        self._stored = stored
        self._clock = clock
        self._deliveries = deliveries
        self._notifications = notifications
        self._digests = digests

    async def replay(self, tenant: str, query: DeliveryQuery, options: BatchOptions) -> int:
        """Send FAILED deliveries again with a full retry schedule. Return the number of matching deliveries.

        If the query names their ids or status, RETRYING deliveries are also replayed: their next try is now. Deliveries
        whose address is gone or suppressed are excluded unless the query names their ids or reasons."""
        if not can_match(query, failed=True):
            return 0
        # first, because an item may get the status of its digest in between
        replayed = await self._digests.replay_with_items(tenant, query.ids) if query.ids else 0
        return replayed + await self._start(tenant, DeliveryBatchAction.REPLAY, query, options)

    async def cancel(self, tenant: str, query: DeliveryQuery, options: BatchOptions) -> int:
        """Cancel deliveries that wait. Return the number of matching deliveries. Running ones are not retried, unless
        the query limits statuses or times of failure."""
        if not can_match(query):
            return 0
        return await self._start(tenant, DeliveryBatchAction.CANCEL, query, options)

    async def replay_preview(self, tenant: str, query: DeliveryQuery) -> ReplayPreview:
        """Return the effect that `replay` would have. Count at most `PREVIEW_COUNT_MAX` deliveries, and check the first
        `READ_CHECKED_MAX` deliveries for reads."""
        if not can_match(query, failed=True):
            return ReplayPreview(0, 0, 0, 0, {})
        index = index_of(query, failed=True)
        group = {"$group": {"_id": "$reason", "count": {"$sum": 1}}}
        stages: list[Document] = [{"$match": failed_match_of(tenant, query)}, {"$limit": PREVIEW_COUNT_MAX}, group]
        reasons = {doc["_id"]: doc["count"] async for doc in await self._stored.aggregate(stages, hint=index)}
        left_out = () if query.reasons or query.ids is not None else WITHOUT_ADDRESS
        match = replay_match_of(tenant, query)
        cursor = self._stored.find(match, {"notification": 1}, hint=index).limit(READ_CHECKED_MAX)
        notifications = [doc["notification"] async for doc in cursor if "notification" in doc]
        read = 0
        for start in range(0, len(notifications), BATCH_SIZE):
            part = Counter(notifications[start : start + BATCH_SIZE])
            read += sum(part[id] for id in await self._notifications.list_read(part))
        return ReplayPreview(
            count=sum(count for reason, count in reasons.items() if reason not in left_out),
            address_gone=reasons.get(Reason.ADDRESS_GONE, 0),
            suppressed=reasons.get(Reason.SUPPRESSED, 0),
            already_read=read,
            reasons={reason or NO_REASON: count for reason, count in reasons.items()},
        )

    async def list_recent(self, tenant: str) -> list[DeliveryBatch]:
        """Return the newest batches of a tenant that were stored, newest first."""
        found = self._batches.find({"tenant": tenant}, hint="tenant").sort("_id", DESCENDING)
        return await decode_page(found, DeliveryBatch, BATCHES_SHOWN)

    async def stop(self, tenant: str, id: str) -> bool:
        """Stop a batch. Its changes remain. Return True if it was running."""
        running = {"_id": id, "tenant": tenant, "due_at": {"$exists": True}}
        return (await self._batches.update_one(running, self._end(stopped=True))).modified_count > 0

    async def tick(self) -> int:
        """Continue the batches that are due. Return the number of changed deliveries."""
        await self._take_over_earlier_replays()
        done = 0
        due = self._batches.find({"due_at": {"$lte": self._clock()}}, hint="running").sort("due_at", ASCENDING)
        for batch in await decode_page(due, DeliveryBatch, BATCHES_PER_ROUND):
            done += await self._continue(batch)
        return done

    async def _start(
        self, tenant: str, action: DeliveryBatchAction, query: DeliveryQuery, options: BatchOptions
    ) -> int:
        now = self._clock()
        batch = DeliveryBatch(
            id=new_id(now),
            tenant=tenant,
            action=action,
            started_at=now,
            query=query,
            note=options.note,
            per_minute=options.per_minute,
            due_at=now,
        )
        match, index = _match_of(batch, query)
        total = await self._stored.count_documents(match, hint=index)
        if total <= BATCH_SIZE and options.per_minute is None:
            await self._step(batch, query, BATCH_SIZE)
        elif total:
            stored = to_builtins(batch, builtin_types=(datetime,)) | {"total": total}
            await self._batches.insert_one({name: value for name, value in stored.items() if value is not None})
            await self._continue(batch)
        return total

    async def _continue(self, batch: DeliveryBatch) -> int:
        """Change the next deliveries of a batch, unless another process does."""
        query, due_at = batch.query, batch.due_at
        if query is None or due_at is None:
            return 0
        limit, pause = BATCH_SIZE, timedelta()
        if rate := batch.per_minute:
            limit = min(BATCH_SIZE, max(1, rate * STEP_S // 60))
            pause = timedelta(minutes=limit / rate)
        next_at = max(due_at, self._clock() - timedelta(seconds=STEP_S)) + pause
        claim = {"$set": {"due_at": next_at + timedelta(milliseconds=1)}}
        if not (await self._batches.update_one({"_id": batch.id, "due_at": due_at}, claim)).modified_count:
            return 0
        done = await self._step(batch, query, limit)
        await self._batches.update_one({"_id": batch.id}, {"$inc": {"done": done}} if done else self._end())
        return done

    async def _step(self, batch: DeliveryBatch, query: DeliveryQuery, limit: int) -> int:
        match, index = _match_of(batch, query)
        if batch.action is DeliveryBatchAction.CANCEL:
            running = not query.statuses and not query.by_failure
            return await self._deliveries.cancel_matching(match, match["status"]["$in"], limit, running=running)
        retrying = DeliveryStatus.RETRYING in (query.statuses or (REPLAYABLE if query.ids is not None else ()))
        return await self._replay(match, index, limit, retrying=retrying)

    async def _replay(self, match: Document, index: str, limit: int, *, retrying: bool) -> int:
        """Replay deliveries, with `retrying` also those that wait for a retry, and release those that are held since a
        restore. One that was claimed in the meantime has another status and is not changed."""
        fields = {"digest_id": 1, "digest_key": 1}
        docs = await self._stored.find(match, fields, hint=index).limit(limit).to_list()
        ids = [doc["_id"] for doc in docs if "digest_id" not in doc and "digest_key" not in doc]
        await self._digests.replay([doc for doc in docs if "digest_id" in doc or "digest_key" in doc])
        now = self._clock()
        update = {
            "$set": {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now},
            "$unset": {"tries": "", "lease_expirations": "", "reason": "", "enqueue_count": "", "claim": ""},
        }
        await self._stored.update_many({"_id": {"$in": ids}, "status": DeliveryStatus.FAILED}, update)
        batch = {"_id": {"$in": [doc["_id"] for doc in docs]}}
        if retrying:
            waiting = {**batch, "status": DeliveryStatus.RETRYING, **UNQUEUED}
            await self._stored.update_many(waiting, {"$set": {"due_at": now, "updated_at": now}})
        await self._stored.update_many({**batch, **HELD_JOBS}, release_update(now, to_scheduler=True))
        return len(docs)

    def _end(self, **values: bool) -> Document:
        return {"$set": {"ended_at": self._clock(), **values}, "$unset": {"due_at": "", "query": ""}}

    async def _take_over_earlier_replays(self) -> None:
        """Continue the replays that processes of an earlier version began."""
        async for doc in self._earlier_replays.find({}):
            batch = {**doc, "action": DeliveryBatchAction.REPLAY, "due_at": self._clock()}
            await self._batches.replace_one({"_id": doc["_id"]}, batch, upsert=True)
            await self._earlier_replays.delete_one({"_id": doc["_id"]})


async def stop_all(database: Database, now: datetime) -> int:
    """Stop all batches, because the database was restored. Return their number."""
    await database[EARLIER_REPLAYS].delete_many({})
    end = {"$set": {"ended_at": now, "stopped": True}, "$unset": {"due_at": "", "query": ""}}
    running = {"due_at": {"$exists": True}}
    return (await database[COLLECTION].update_many(running, end, hint="running")).modified_count


def _match_of(batch: DeliveryBatch, query: DeliveryQuery) -> tuple[Document, str]:
    """Return the match of the deliveries that a batch has yet to change, and its index. Deliveries that are created, or
    fail again, after its start are left out."""
    if batch.action is DeliveryBatchAction.REPLAY:
        match = replay_match_of(batch.tenant, query)
        return match | {"$and": [{"updated_at": {"$lte": batch.started_at}}]}, index_of(query, failed=True)
    match = match_of(batch.tenant, query)
    waiting = [status for status in match["status"]["$in"] if status in WAITING]
    earlier = {"_id": {"$lt": first_id_at(batch.started_at)}}
    return match | {"status": {"$in": waiting}, "$and": [earlier]}, index_of(query)
