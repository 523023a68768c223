"""Who holds what, and what became of it: claims, settling, and what is due.

What it guarantees
- A claim is atomic: of all who want a job, one gets it. It carries a fresh token, and starting a call and settling
  require that token, so that who lost its claim (a pause longer than the lease) changes nothing.
- A job that waits or is held has a `due_at`; one that came to its end has none. So nothing is ever forgotten: what a
  dead worker held, what Redis lost, and what was never put on a lane becomes due like a retry does.
- A settlement and the receipts of it are one transaction.
- What was called off, or read, while a worker had it does not wait again: `instead` on the document says what becomes
  of it then, and whoever settles it sees that.

`queued` is set while a job lies on a lane: only then can it be claimed, so that a stale double of an id does not bring
a job forward whose time has not come.
"""

import asyncio
import random
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import pymongo
from msgspec import Struct, ValidationError, convert
from msgspec.structs import replace
from pymongo import UpdateOne, WriteConcern
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from hub.clock import Clock
from hub.ids import new_id
from hub.model import Attempt, DeliveryStatus, Priority, Reason, document
from hub.outbox.due_index import DUE
from hub.outbox.states import WAITING, may_move
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document
from hub.platform.decoding import report_unreadable

FAST_WRITES = WriteConcern(w=1)  # a claim that a failover loses is made again
DOUBLINGS_MAX = 2
TRANSACTION_RETRIES_MAX = 8
UNQUEUE_ALL_TIMEOUT_S = 120.0  # of everything that waits
IN_LANE: Document = {"status": {"$in": WAITING}, "queued": {"$gte": 1}}
CLAIM_FIELDS = ("claim", "queued", "instead")  # of a job that somebody holds


class Job(Protocol):
    """What can be claimed: a delivery, or a call of a tenant's endpoint."""

    @property
    def id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def lane(self) -> str: ...
    @property
    def status(self) -> DeliveryStatus: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def attempts(self) -> tuple[Attempt, ...]: ...
    @property
    def tries(self) -> int: ...
    @property
    def lapses(self) -> int: ...
    @property
    def claim(self) -> str | None: ...


J = TypeVar("J", bound=Job)


class DueEntry(Struct, frozen=True):
    """Something that is due. `held`: somebody claimed it, and the claim has run out."""

    id: str
    lane: str
    claim_expired: bool


class Settlement(Struct, Generic[J], frozen=True, kw_only=True):
    """What becomes of a claimed job. `due_at` where it waits again; None where it ended."""

    job: J
    status: DeliveryStatus
    reason: Reason | None
    due_at: datetime | None
    attempts: tuple[Attempt, ...]
    tries: int
    lapses: int
    provider_id: str | None = None


class ReceiptBuilder(Protocol):
    """Makes the documents that belong to receipts: the receipts themselves and the webhook calls they cause."""

    async def build_documents(self, pending: Sequence[Any], now: datetime) -> dict[str, list[Document]]:
        """Return what to insert, by collection."""


class Claims(Generic[J]):
    """The jobs of one collection. `told` makes the receipt of what became of one, if that is told."""

    def __init__(
        self,
        database: Database,
        collection: str,
        type_: type[J],
        clock: Clock,
        queued_s: float,
        receipt_writer: ReceiptBuilder,
        receipt_for: Callable[[J, DeliveryStatus, Reason | None, datetime], Any | None],
    ) -> None:
        self._database = database
        self._receipt_writer = receipt_writer
        self._receipt_for = receipt_for
        self._jobs = database[collection]
        self._fast_jobs = self._jobs.with_options(write_concern=FAST_WRITES, read_concern=ReadConcern("local"))
        self._type = type_
        self._clock = clock
        self._queued_ms = int(queued_s * 1000)

    async def claim(self, ids: Sequence[str], lease_s: float, lapses_below: int | None = None) -> list[J]:
        """Those of `ids` that wait on a lane, from now on the caller's for `lease_s`. With `lapses_below` only those
        with fewer lapses."""
        token, now = new_id(), self._clock()
        wanted: Document = {"_id": {"$in": list(ids)}, **IN_LANE}
        if lapses_below is not None:
            wanted["lapses"] = {"$not": {"$gte": lapses_below}}
        claim_values = {
            "status": DeliveryStatus.PROCESSING,
            "claim": token,
            "due_at": now + timedelta(seconds=lease_s),
            "updated_at": now,
        }
        result = await self._fast_jobs.update_many(
            wanted, {"$set": claim_values, "$unset": {"queued": "", "reason": ""}}
        )
        if not result.modified_count:
            return []
        return await self._decode(self._fast_jobs.find({"_id": {"$in": list(ids)}, "claim": token}))

    async def find_suspects(self, ids: Sequence[str], lapses: int) -> list[str]:
        """Those of `ids` that wait on a lane and have so many lapses, or more."""
        wanted = {"_id": {"$in": list(ids)}, **IN_LANE, "lapses": {"$gte": lapses}}
        return [doc["_id"] async for doc in self._fast_jobs.find(wanted, {"_id": 1})]

    async def start(self, jobs: Mapping[str, str], claim: str) -> set[str]:
        """Counts an attempt of each job, id to provider, as its call starts. Answers those that are still the
        caller's: no other may be called."""
        by_provider: dict[str, list[str]] = {}
        for id, provider in jobs.items():
            by_provider.setdefault(provider, []).append(id)
        started_ids: set[str] = set()
        for provider, ids in by_provider.items():
            wanted = {"_id": {"$in": ids}, "claim": claim}
            attempt = document(Attempt(at=self._clock(), provider=provider))
            started = await self._fast_jobs.update_many(wanted, {"$push": {"attempts": attempt}})
            if started.modified_count == len(ids):
                started_ids.update(ids)
            else:
                started_ids.update([doc["_id"] async for doc in self._fast_jobs.find(wanted, {"_id": 1})])
        return started_ids

    async def settle(self, settlements: Sequence[Settlement[J]]) -> list[Settlement[J]]:
        """All of them, each if its claim still holds; answers those, as they came out. Raises PyMongoError."""
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
            wanted = {"_id": {"$in": [settlement.job.id for settlement in settlements]}}
            cursor = self._jobs.find(wanted, {"claim": 1, "instead": 1}, session=session)
            docs = {doc["_id"]: doc async for doc in cursor}
            still_claimed = [
                _apply_override(settlement, doc.get("instead"))
                for settlement in settlements
                if (doc := docs.get(settlement.job.id)) and doc.get("claim") == settlement.job.claim
            ]
            if still_claimed:
                await self._jobs.bulk_write(
                    [_settlement_update(one, now) for one in still_claimed], ordered=False, session=session
                )
            pending = [
                pending for one in still_claimed if (pending := self._receipt_for(one.job, one.status, one.reason, now))
            ]
            for collection, documents in (await self._receipt_writer.build_documents(pending, now)).items():
                await self._database[collection].insert_many(documents, ordered=False, session=session)
        return still_claimed

    async def due(self, now: datetime, after: str, limit: int) -> list[DueEntry]:
        """What is due on the lanes after that one, lane by lane, longest overdue first."""
        wanted = {"lane": {"$gt": after}, "due_at": {"$lte": now}}
        found = self._jobs.find(wanted, {"lane": 1, "status": 1}, hint="due").sort(DUE).limit(limit)
        return [DueEntry(doc["_id"], doc["lane"], doc["status"] == DeliveryStatus.PROCESSING) async for doc in found]

    async def list_expired(self, ids: Sequence[str], now: datetime) -> list[J]:
        """Those of `ids` whose claim has run out."""
        wanted = {"_id": {"$in": list(ids)}, "status": DeliveryStatus.PROCESSING, "due_at": {"$lte": now}}
        return await self._decode(self._jobs.find(wanted))

    async def _decode(self, docs: AsyncIterable[Document]) -> list[J]:
        """Return the jobs that this version understands wholly. Any other ends as FAILED with UNREADABLE: nothing is
        sent by guesses, and a replay brings it back. It costs no other job anything."""
        jobs, undecodable = [], []
        async for doc in docs:
            try:
                jobs.append(convert(doc, self._type))
            except ValidationError as error:
                report_unreadable(doc, self._type, error)
                undecodable.append({"_id": doc["_id"], "claim": doc.get("claim"), "status": DeliveryStatus.PROCESSING})
        if undecodable:
            values = {"status": DeliveryStatus.FAILED, "reason": Reason.UNREADABLE, "updated_at": self._clock()}
            unset = dict.fromkeys((*CLAIM_FIELDS, "due_at", "tries", "lapses"), "")
            await self._jobs.update_many({"$or": undecodable}, {"$set": values, "$unset": unset})
        return jobs

    async def mark_queued(self, ids: Sequence[str], now: datetime) -> None:
        """Notes that they go on their lanes now. Nobody looks at them again for a while, twice as long each time."""
        times_queued = {"$ifNull": ["$queued", 0]}
        wait_ms = {"$multiply": [self._queued_ms, {"$pow": [2, {"$min": [times_queued, DOUBLINGS_MAX]}]}]}
        await self._fast_jobs.update_many(
            {"_id": {"$in": list(ids)}, "due_at": {"$lte": now}, "status": {"$in": WAITING}},
            [{"$set": {"due_at": {"$add": [now, wait_ms]}, "queued": {"$add": [times_queued, 1]}}}],
        )

    async def unmark_queued(self, ids: Sequence[str]) -> None:
        """They are not on their lanes after all: due at once."""
        wanted = {"_id": {"$in": list(ids)}, "queued": {"$gte": 1}}
        await self._fast_jobs.update_many(wanted, {"$set": {"due_at": self._clock()}, "$unset": {"queued": ""}})

    async def unmark_all_queued(self) -> int:
        """The lanes are lost: whatever lay on them is due at once. Answers how many."""
        wanted = {"due_at": {"$exists": True}, "queued": {"$gte": 1}}
        update = {"$set": {"due_at": self._clock()}, "$unset": {"queued": ""}}
        with pymongo.timeout(UNQUEUE_ALL_TIMEOUT_S):
            return (await self._jobs.update_many(wanted, update, hint="due")).modified_count


def _apply_override(settlement: Settlement[J], instead: Mapping[str, str] | None) -> Settlement[J]:
    """What would wait again ends instead, where that was said meanwhile."""
    if instead is None or settlement.due_at is None:
        return settlement
    try:
        status, reason = DeliveryStatus(instead["status"]), Reason(instead["reason"])
    except (KeyError, TypeError, ValueError):  # of another version; it must not wait again all the same
        return replace(settlement, status=DeliveryStatus.CANCELLED, reason=None, due_at=None)
    return replace(settlement, status=status, reason=reason, due_at=None)


def _settlement_update(settlement: Settlement[J], now: datetime) -> UpdateOne:
    assert may_move(DeliveryStatus.PROCESSING, settlement.status), settlement.status
    values: Document = {
        "status": settlement.status,
        "updated_at": now,
        "attempts": [document(attempt) for attempt in settlement.attempts],
    }
    optional = {
        "reason": settlement.reason,
        "due_at": settlement.due_at,
        "tries": settlement.tries or None,
        "lapses": settlement.lapses or None,
        "provider_id": settlement.provider_id,
    }
    values |= {name: value for name, value in optional.items() if value is not None}
    unset = {name: "" for name, value in optional.items() if value is None} | dict.fromkeys(CLAIM_FIELDS, "")
    return UpdateOne({"_id": settlement.job.id, "claim": settlement.job.claim}, {"$set": values, "$unset": unset})
