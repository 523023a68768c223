"""Claims jobs, settles them, and lists due jobs.

Guarantees
- A claim is atomic: one worker claims the job. The claim has a new token, which is required to start a call and to
  settle the job. A worker that lost its claim, because it paused for longer than the lease, cannot change the job.
- A waiting job has a `due_at`, by the hub's clock. A job that Redis lost, and a job that never reached its lane, become
  due in the same way as a retry.
- A claimed job has a `leased_until` instead, by real time: moving the hub's clock ends no lease. The scheduler settles
  the job of a dead worker when its lease has expired, and the job waits again. A finished job has neither.
- A settlement and its receipts are written in one transaction. A final state is recorded in it as `outcome`, and an
  update outside the transaction gives it to the job (`_apply_outcomes`), because MongoDB changes indexed fields several
  times slower in transactions. If a worker dies between the two, the job is not processed again: when its lease has
  expired, the scheduler applies the outcome.
- If the send is cancelled or the notification is read while a worker processes a job, the job does not wait again. The
  `override` field of its document contains the final state, and the settlement applies this state.
- If the send is resumed while a worker processes a job, the job is not held with PAUSED. The field `resumed` is set.

`enqueue_count` is set while a job is on a lane. Only such a job can be claimed, so a duplicate id on a lane never
starts a job before it is due.
"""

import asyncio
import random
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import pymongo
from msgspec import Struct, ValidationError, convert
from msgspec.structs import replace
from pymongo import WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

from hub.ids import new_id
from hub.model import Attempt, DeliveryStatus, Job, JobOutcome, Reason, document
from hub.outbox.retry_delay import DUE, LEASES
from hub.outbox.states import WAITING, may_move
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document
from hub.platform.tolerant_decoding import report_unreadable
from hub.utc_time import Clock, RealClock

FAST_WRITES = WriteConcern(w=1)  # a claim that is lost in a failover is repeated
DOUBLINGS_MAX = 2  # doublings of the time that a job may be on its lane
TRANSACTION_RETRIES_MAX = 8
STATEMENTS_PER_COMMAND = 100  # a command is limited to 16 MB, and a job has up to 50 attempts
UNQUEUE_ALL_TIMEOUT_S = 120.0  # updates every waiting job
IN_LANE: Document = {"status": {"$in": WAITING}, "enqueue_count": {"$gte": 1}}
CLAIM_FIELDS = ("claim", "leased_until", "enqueue_count", "override", "resumed")  # set while a worker has the job
REPLACED_FIELDS = (*CLAIM_FIELDS, "attempts", "reason", "due_at", "tries", "lease_expirations", "provider_id")
"""The fields that a settlement sets or removes."""
APPLY_OUTCOME: list[Document] = [
    {"$unset": [*REPLACED_FIELDS]},
    {"$replaceWith": {"$mergeObjects": ["$$ROOT", "$outcome"]}},
    {"$unset": "outcome"},
]
"""The update that gives a job the final state that was recorded."""

J = TypeVar("J", bound=Job)
J_contra = TypeVar("J_contra", bound=Job, contravariant=True)


class DueEntry(Struct, frozen=True):
    """A due job."""

    id: str
    lane: str


class Settlement(Struct, Generic[J], frozen=True, kw_only=True):
    """The next state of a claimed job. `due_at` is set if the job waits again, and None if the job is finished. `lane`
    is set if the job moves to another lane. A job that is held with PAUSED waits without `due_at`."""

    job: J
    status: DeliveryStatus
    reason: Reason | None
    due_at: datetime | None
    attempts: tuple[Attempt, ...]
    tries: int
    lease_expirations: int
    provider_id: str | None = None
    lane: str | None = None


class Receipts(Protocol[J_contra]):
    """The receipts of the jobs of one collection."""

    def receipt_for(self, job: J_contra, status: DeliveryStatus, reason: Reason | None) -> Any | None:
        """Return the receipt for a job's new status, or None if this status has no receipt."""
        ...

    async def build_documents(self, pending: Sequence[Any], now: datetime) -> dict[str, list[Document]]:
        """Return the documents to insert, by collection: the receipts and the webhook calls that they cause."""
        ...

    def on_commit(self, jobs: Iterable[tuple[J_contra, DeliveryStatus]]) -> None:
        """Handle jobs with their new statuses, which were committed. This must not wait."""
        ...


class NoReceipts:
    """For jobs without receipts."""

    def receipt_for(self, *_: object) -> None:
        return None

    async def build_documents(self, *_: object) -> dict[str, list[Document]]:
        return {}

    def on_commit(self, *_: object) -> None:
        pass


class Claims(Generic[J]):
    """The jobs of one collection. `requeue_after_s`: how long a job may be on its lane before it is due again."""

    def __init__(
        self,
        database: Database,
        collection: str,
        type_: type[J],
        clock: Clock,
        real_clock: RealClock,
        requeue_after_s: float,
        receipts: Receipts[J],
    ) -> None:
        self._database = database
        self._receipts = receipts
        self._jobs = database[collection]
        self._fast_jobs = self._jobs.with_options(write_concern=FAST_WRITES, read_concern=ReadConcern("local"))
        self._type = type_
        self._clock = clock
        self._real_clock = real_clock
        self._requeue_after_ms = int(requeue_after_s * 1000)

    async def claim(self, ids: Sequence[str], lease_s: float, expirations_below: int | None = None) -> list[J]:
        """Claim the jobs in `ids` that are on a lane, with a lease of `lease_s` seconds, and return them.

        With `expirations_below`, claim only jobs with fewer expired leases."""
        token = new_id()
        match: Document = {"_id": {"$in": list(ids)}, **IN_LANE}
        if expirations_below is not None:
            match["lease_expirations"] = {"$not": {"$gte": expirations_below}}
        claim_values = {
            "status": DeliveryStatus.PROCESSING,
            "claim": token,
            "leased_until": self._real_clock() + timedelta(seconds=lease_s),
            "updated_at": self._clock(),
        }
        unset = {"due_at": "", "enqueue_count": "", "reason": ""}
        result = await self._fast_jobs.update_many(match, {"$set": claim_values, "$unset": unset})
        if not result.modified_count:
            return []
        return await self._decode(self._fast_jobs.find({"_id": {"$in": list(ids)}, "claim": token}))

    async def find_suspects(self, ids: Sequence[str], lease_expirations: int) -> list[str]:
        """Return the ids in `ids` of jobs on a lane that have at least `lease_expirations` expired leases."""
        match = {"_id": {"$in": list(ids)}, **IN_LANE, "lease_expirations": {"$gte": lease_expirations}}
        return [doc["_id"] async for doc in self._fast_jobs.find(match, {"_id": 1})]

    async def start(self, jobs: Mapping[str, str], claim: str) -> set[str]:
        """Record an attempt of each job (id to provider) before its call. Return the ids whose claim is still valid.

        Calls are allowed only for these jobs."""
        by_provider: dict[str, list[str]] = {}
        for id, provider in jobs.items():
            by_provider.setdefault(provider, []).append(id)
        started_ids: set[str] = set()
        for provider, ids in by_provider.items():
            match = {"_id": {"$in": ids}, "claim": claim}
            attempt = document(Attempt(at=self._clock(), provider=provider))
            started = await self._fast_jobs.update_many(match, {"$push": {"attempts": attempt}})
            if started.modified_count == len(ids):
                started_ids.update(ids)
            else:
                started_ids.update([doc["_id"] async for doc in self._fast_jobs.find(match, {"_id": 1})])
        return started_ids

    async def settle(self, settlements: Sequence[Settlement[J]]) -> list[Settlement[J]]:
        """Apply each settlement whose claim is still valid, and return the applied settlements. Raise PyMongoError."""
        for _ in range(TRANSACTION_RETRIES_MAX):
            try:
                return await self._settle(settlements)
            except PyMongoError as error:
                if not error.has_error_label("TransientTransactionError"):
                    raise
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - jitter
        return await self._settle(settlements)

    async def _settle(self, settlements: Sequence[Settlement[J]]) -> list[Settlement[J]]:
        now = self._clock()
        async with (
            self._database.client.start_session(causal_consistency=False) as session,
            await session.start_transaction(read_concern=SNAPSHOT, write_concern=DURABLE),
        ):
            match = {"_id": {"$in": [settlement.job.id for settlement in settlements]}}
            cursor = self._jobs.find(match, {"claim": 1, "override": 1, "resumed": 1, "outcome": 1}, session=session)
            docs = {doc["_id"]: doc async for doc in cursor}
            claimed = [
                (settlement, doc)
                for settlement in settlements
                if (doc := docs.get(settlement.job.id)) and doc.get("claim") == settlement.job.claim
            ]
            recorded = [(settlement, doc["outcome"]) for settlement, doc in claimed if "outcome" in doc]
            new = [_apply_changes(settlement, doc, now) for settlement, doc in claimed if "outcome" not in doc]
            if new:
                await self._update([_settlement_update(settlement, now) for settlement in new], session)
            pending = [
                receipt
                for settlement in new
                if (receipt := self._receipts.receipt_for(settlement.job, settlement.status, settlement.reason))
            ]
            for collection, documents in (await self._receipts.build_documents(pending, now)).items():
                await self._database[collection].insert_many(documents, ordered=False, session=session)
        try:
            final = [settlement.job.id for settlement in new if _is_final(settlement)]
            await self._apply_outcomes([*final, *(settlement.job.id for settlement, _ in recorded)])
        finally:
            self._receipts.on_commit((settlement.job, settlement.status) for settlement in new)
        return [*new, *(settlement for settlement, outcome in recorded if outcome.get("status") == settlement.status)]

    async def _apply_outcomes(self, ids: Sequence[str]) -> None:
        """Give jobs the final states that were recorded."""
        if ids:
            match = {"_id": {"$in": list(ids)}, "outcome": {"$exists": True}}
            await self._fast_jobs.update_many(match, APPLY_OUTCOME)

    async def _update(self, statements: Sequence[Document], session: AsyncClientSession) -> None:
        """Run update commands directly, because pymongo's bulk writes are slower."""
        for start in range(0, len(statements), STATEMENTS_PER_COMMAND):
            chunk = statements[start : start + STATEMENTS_PER_COMMAND]
            command = {"update": self._jobs.name, "updates": chunk, "ordered": False}
            response = await self._database.command(command, session=session)
            if response.get("writeErrors"):
                raise BulkWriteError(response)

    async def due(self, now: datetime, after: str, before: str, limit: int) -> list[DueEntry]:
        """Return due jobs of the lanes after `after` and before `before`, by lane, longest overdue first."""
        match = {"lane": {"$gt": after, "$lt": before}, "due_at": {"$lte": now}}
        docs = self._jobs.find(match, {"lane": 1}, hint="due").sort(DUE).limit(limit)
        return [DueEntry(doc["_id"], doc["lane"]) async for doc in docs]

    async def list_expired(self, limit: int) -> list[J]:
        """Return claimed jobs whose lease has expired, first expired first."""
        match = {"leased_until": {"$lte": self._real_clock()}}
        return await self._decode(self._jobs.find(match, hint="leases").sort(LEASES).limit(limit))

    async def _decode(self, docs: AsyncIterable[Document]) -> list[J]:
        """Return the jobs that this version can decode. The others become FAILED with the reason
        UNREADABLE and can be replayed."""
        jobs, undecodable = [], []
        async for doc in docs:
            try:
                jobs.append(convert(doc, self._type))
            except ValidationError as error:
                report_unreadable(doc, self._type, error)
                undecodable.append({"_id": doc["_id"], "claim": doc.get("claim"), "status": DeliveryStatus.PROCESSING})
        if undecodable:
            values = {"status": DeliveryStatus.FAILED, "reason": Reason.UNREADABLE, "updated_at": self._clock()}
            unset = dict.fromkeys((*CLAIM_FIELDS, "due_at", "tries", "lease_expirations"), "")
            await self._jobs.update_many({"$or": undecodable}, {"$set": values, "$unset": unset})
        return jobs

    async def mark_queued(self, ids: Sequence[str], now: datetime) -> None:
        """Record that these jobs are put on lanes now. They are due again after a time that doubles with each call."""
        times_queued = {"$ifNull": ["$enqueue_count", 0]}
        wait_ms = {"$multiply": [self._requeue_after_ms, {"$pow": [2, {"$min": [times_queued, DOUBLINGS_MAX]}]}]}
        await self._fast_jobs.update_many(
            {"_id": {"$in": list(ids)}, "due_at": {"$lte": now}, "status": {"$in": WAITING}},
            [{"$set": {"due_at": {"$add": [now, wait_ms]}, "enqueue_count": {"$add": [times_queued, 1]}}}],
        )

    async def unmark_queued(self, ids: Sequence[str]) -> None:
        """Record that these jobs are not on lanes. They are due immediately."""
        match = {"_id": {"$in": list(ids)}, "enqueue_count": {"$gte": 1}}
        await self._fast_jobs.update_many(match, {"$set": {"due_at": self._clock()}, "$unset": {"enqueue_count": ""}})

    async def unmark_all_queued(self) -> int:
        """Make every queued job due immediately, because the lanes are lost. Return the number of jobs."""
        match = {"due_at": {"$exists": True}, "enqueue_count": {"$gte": 1}}
        update = {"$set": {"due_at": self._clock()}, "$unset": {"enqueue_count": ""}}
        with pymongo.timeout(UNQUEUE_ALL_TIMEOUT_S):
            return (await self._jobs.update_many(match, update, hint="due")).modified_count


def _apply_changes(settlement: Settlement[J], doc: Document, now: datetime) -> Settlement[J]:
    """Return the settlement. If the job would wait again, use the final state that was set in the meantime. If the job
    would be held because its send was paused, and the send was resumed, the job is due now."""
    paused = settlement.reason is Reason.PAUSED
    override: Mapping[str, str] | None = doc.get("override")
    if override is None and paused and doc.get("resumed"):
        return replace(settlement, status=DeliveryStatus.ACCEPTED, reason=None, due_at=now, lane=None)
    if override is None or (settlement.due_at is None and not paused):
        return settlement
    try:
        status, reason = DeliveryStatus(override["status"]), Reason(override["reason"])
    except (KeyError, TypeError, ValueError):  # written by another version: it must not wait again
        return replace(settlement, status=DeliveryStatus.CANCELLED, reason=None, due_at=None)
    return replace(settlement, status=status, reason=reason, due_at=None)


def _settlement_update(settlement: Settlement[J], now: datetime) -> Document:
    """Return the update statement of a job whose claim the transaction has read. It matches only the id, so MongoDB
    plans no query. If the claim changed since the transaction began, the update fails with a write conflict."""
    assert may_move(DeliveryStatus.PROCESSING, settlement.status), settlement.status
    outcome = JobOutcome(
        status=settlement.status,
        updated_at=now,
        attempts=settlement.attempts,
        reason=settlement.reason,
        tries=settlement.tries,
        lease_expirations=settlement.lease_expirations,
        provider_id=settlement.provider_id,
        lane=settlement.lane or None,
    )
    values = document(outcome)
    if _is_final(settlement):
        return {"q": {"_id": settlement.job.id}, "u": {"$set": {"outcome": values}}}
    unset = {name for name in REPLACED_FIELDS if name not in values}
    if settlement.due_at:
        values["due_at"] = settlement.due_at
        unset.discard("due_at")
    return {"q": {"_id": settlement.job.id}, "u": {"$set": values, "$unset": dict.fromkeys(sorted(unset), "")}}


def _is_final(settlement: Settlement[J]) -> bool:
    """Return True if the job does not wait again. A job that is held with PAUSED waits without `due_at`."""
    return settlement.due_at is None and settlement.reason is not Reason.PAUSED
