"""Group commit: concurrent changes are gathered and committed together.

What it guarantees
- A work's future is resolved only after its transaction was committed by a majority and journalled.
- Two transactions of one process never touch the same mailbox at once: this process never conflicts with itself.
  Small works on one mailbox are committed in the order they were submitted.
- A work that fails (`apply` raises) fails alone. Its `apply` checks first and changes then.

What runs when
- Nothing waits when idle: a work starts a transaction at once. What arrives meanwhile is gathered for the next.
- `NARROW_LANES` transactions carry many small works each. One begins when the one before has nothing left but to wait
  for its commit, or when `MANY` works wait: so that batches are large, for each costs milliseconds, and the processor
  has something to do while the store has.
- One further lane carries works on many mailboxes (`wide`) and those that want a transaction to themselves (`alone`),
  so that they hold up nobody. When only busy mailboxes keep the first work there from starting, they are reserved for
  it: small works cannot starve it.
- Each attempt reads a snapshot, lets the works write into a `Draft`, and writes that. Whoever else changed one of the
  mailboxes since the snapshot makes the server refuse with a write conflict, and the attempt is made anew. After a
  second conflict the batch is split, so that one contested mailbox does not hold up the rest.

A batch runs in a context of its own: deadlines and log fields of whoever happened to start it are not everybody's.

How it stops: `close` refuses new works and waits for those under way.
"""

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

import pymongo
import structlog
from msgspec.structs import replace
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from hub.clock import Clock
from hub.errors import HubError, Unavailable
from hub.inbox import search
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import (
    CONTENT_FIELDS,
    MUTABLE_FIELDS,
    DeliveryStatus,
    Mailbox,
    MailboxChange,
    Notification,
    document,
    mailbox_from,
)
from hub.platform import metrics, tracing
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document, is_outage
from hub.platform.decoding import decode_by_id
from hub.settings import Settings

SMALL_TRANSACTIONS = 3
FULL_BATCH = 64  # works
LARGE_MIN_DOCUMENTS = 64  # documents; a larger work goes the wide way
MAX_SCANNED = 2000  # works looked at for one batch, so that a long queue costs no more than a short one
STATEMENTS_PER_COMMAND = 1000  # of one command
MIN_START_TIME_S = 0.5  # a work with less time left is refused rather than begun
MIN_ATTEMPT_TIME_S = 0.05
DUPLICATE_KEY = 11000

log = structlog.get_logger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
NewMailboxUpdates = Callable[[Collection[str], UnitOfWork], dict[str, list[UpdateOne]]]
"""What else has to be written for mailboxes that are new (the users they belong to): collection to updates."""
AddFollowUps = Callable[[UnitOfWork], None]
"""Adds rows of other stages to a unit."""
LoadDecisionData = Callable[[Collection[str], Collection[str]], Coroutine[Any, Any, Any]]
"""What is known of the tenants of all these mailboxes, and of the people behind those of the second."""


class Work(Protocol[T_co]):
    """One change of one or more inboxes."""

    @property
    def mailboxes(self) -> Collection[str]:
        """Every mailbox it may touch. Those that do not exist are made."""

    @property
    def reads(self) -> Collection[str]:
        """Ids of the notifications it has to see."""

    @property
    def keys(self) -> Collection[str]:
        """Idempotency keys it has to look up."""

    @property
    def documents(self) -> int:
        """How many it may write, about: notifications, deliveries, and calls of tenants' endpoints."""

    @property
    def size(self) -> int:
        """Bytes it may write, about."""

    @property
    def needs_recipients(self) -> bool:
        """Has to know what its people want, in `unit.known`."""

    @property
    def exclusive(self) -> bool:
        """Wants a transaction to itself, and may read and write in it."""

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> T_co:
        """Writes itself into the unit. Called again, on a new unit, for every attempt."""
        ...


class _Submission(Generic[T]):
    __slots__ = ("deadline", "future", "trace", "work")

    def __init__(self, work: Work[T], future: asyncio.Future[T], deadline: float, trace: str | None) -> None:
        self.work = work
        self.future = future
        self.deadline = deadline
        self.trace = trace


Batch = list[_Submission[Any]]


class Committer:
    """`tell` is called with each unit that was committed, and what it changed, before any future of it is resolved;
    `unsure` when a commit was given up that may yet come about. `look_up` reads what works that decide about people
    need to know of them, `complete` adds what follows from what they wrote."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        *,
        new_mailbox_updates: NewMailboxUpdates,
        on_commit: Callable[[UnitOfWork, list[MailboxChange]], None],
        load_decision_data: LoadDecisionData,
        add_follow_ups: AddFollowUps,
        outcome_unknown: Callable[[], None],
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._new_mailbox_updates = new_mailbox_updates
        self._on_commit = on_commit
        self._load_decision_data = load_decision_data
        self._add_follow_ups = add_follow_ups
        self._outcome_unknown = outcome_unknown
        self._small: deque[_Submission[Any]] = deque()
        self._large: deque[_Submission[Any]] = deque()
        self._busy: set[str] = set()
        self._small_running = 0
        self._small_writing = 0
        self._large_running = 0
        self._schedule_pending = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._queue_full_logged = False

    @property
    def waiting(self) -> int:
        """Works that no transaction has taken yet."""
        return len(self._small) + len(self._large)

    async def submit(self, work: Work[T]) -> T:
        """Returns once `work` is committed. Unavailable if that did not come about in time: it may have been committed
        all the same."""
        if self._closed:
            raise Unavailable("The hub is shutting down.")
        if self.waiting >= self._settings.commit_queue:
            if not self._queue_full_logged:
                log.warning("commit_queue_full", setting="HUB_COMMIT_QUEUE")
            self._queue_full_logged = True
            raise Unavailable("Too many changes are waiting (HUB_COMMIT_QUEUE): try again shortly.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with tracing.span("commit"):
            job = _Submission(
                work, future, loop.time() + self._settings.commit_deadline_s, tracing.current_traceparent()
            )
            (self._large if work.exclusive or work.documents > LARGE_MIN_DOCUMENTS else self._small).append(job)
            if not self._schedule_pending:
                self._schedule_pending = True
                loop.call_soon(self._schedule, context=Context())
            return await future

    async def close(self) -> None:
        self._closed = True
        while self._small or self._large or self._tasks:
            self._schedule()
            if self._tasks:
                await asyncio.wait(self._tasks)

    # ------------------------------------------------------------- who goes next

    def _schedule(self) -> None:
        self._schedule_pending = False
        self._queue_full_logged = self._queue_full_logged and self.waiting >= self._settings.commit_queue
        if self._large and not self._large_running and (batch := self._next_batch(self._large, set())):
            self._large_running += 1
            self._start(batch, large=True)
        waiting = self._large and not self._large_running
        reserved = set(self._large[0].work.mailboxes) if waiting else set()
        while self._can_start and (batch := self._next_batch(self._small, reserved)):
            self._small_running += 1
            self._small_writing += 1
            self._start(batch, large=False)

    @property
    def _can_start(self) -> bool:
        """Another transaction of small works may begin."""
        waiting = len(self._small)
        return self._small_running < SMALL_TRANSACTIONS and (
            waiting >= FULL_BATCH or (waiting > 0 and not self._small_writing)
        )

    def _next_batch(self, queue: deque[_Submission[Any]], reserved: set[str]) -> Batch:
        """The next works whose mailboxes are free, in order; the others keep their places."""
        settings = self._settings
        too_late = asyncio.get_running_loop().time() + MIN_START_TIME_S
        batch: Batch = []
        skipped: list[_Submission[Any]] = []
        skipped_mailboxes: set[str] = set()
        documents = size = 0
        for _ in range(min(len(queue), MAX_SCANNED)):
            job = queue.popleft()
            work = job.work
            if job.deadline < too_late:
                _fail(job, Unavailable("The store did not keep up: nothing was changed, try again."))
                continue
            if not (
                self._busy.isdisjoint(work.mailboxes)
                and reserved.isdisjoint(work.mailboxes)
                and skipped_mailboxes.isdisjoint(work.mailboxes)
            ):
                skipped.append(job)
                skipped_mailboxes.update(work.mailboxes)
                if queue is self._large:
                    break  # the first one's mailboxes are reserved: it goes next
                continue
            documents += work.documents
            size += work.size
            if batch and (
                work.exclusive or documents > settings.commit_max_documents or size > settings.commit_max_bytes
            ):
                queue.appendleft(job)
                break
            batch.append(job)
            if work.exclusive:
                break
        queue.extendleft(reversed(skipped))
        return batch

    def _start(self, batch: Batch, *, large: bool) -> None:
        mailboxes = {mailbox for job in batch for mailbox in job.work.mailboxes}
        self._busy |= mailboxes
        writing = not large

        def written() -> None:
            nonlocal writing
            if writing:
                writing = False
                self._small_writing -= 1
                self._schedule()

        task = asyncio.create_task(self._run(batch, written), context=Context())
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._busy -= mailboxes
            if large:
                self._large_running -= 1
            else:
                self._small_running -= 1
            written()
            self._schedule()

        task.add_done_callback(done, context=Context())

    # ------------------------------------------------------------- one batch

    async def _run(self, batch: Batch, written: Callable[[], None]) -> None:
        """Until each of them is settled. Who ran out of time leaves; the others go on. `written` is called once
        nothing but the commit is left to wait for, or something went wrong."""
        conflicts = 0
        loop = asyncio.get_running_loop()
        while True:
            self._abandon([job for job in batch if job.deadline <= loop.time()])
            batch = [job for job in batch if job.deadline > loop.time()]
            if not batch:
                return
            left_s = min(job.deadline for job in batch) - loop.time()
            try:
                with pymongo.timeout(max(MIN_ATTEMPT_TIME_S, left_s)):
                    await self._attempt(batch, written)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                written()
                if isinstance(error, PyMongoError) and _worth_retrying(error):
                    conflicts += 1
                    metrics.conflicts.inc()
                    if conflicts < 2 or len(batch) == 1:
                        await asyncio.sleep(random.uniform(0, min(0.1, 0.002 * 2**conflicts)))  # noqa: S311 - jitter
                        continue
                elif isinstance(error, PyMongoError) and is_outage(error):
                    metrics.commits_unavailable.inc()
                    log.warning("commit_unavailable", error=error, works=len(batch))
                    if not error.timeout:
                        self._abandon(batch)
                        return
                    continue
                if len(batch) == 1:
                    _fail(batch[0], error)
                    return
                await self._split(batch, written)
                return

    def _abandon(self, batch: Batch) -> None:
        """It may have been committed all the same, and was not told."""
        if batch:
            self._outcome_unknown()
        for job in batch:
            _fail(job, Unavailable("The store did not answer in time. Retry with an idempotency key."))
        return

    async def _split(self, batch: Batch, written: Callable[[], None]) -> None:
        """Halves, one after the other, so that what belongs to one mailbox stays in order."""
        middle = len(batch) // 2
        await self._run(batch[:middle], written)
        await self._run(batch[middle:], written)

    async def _attempt(self, batch: Batch, written: Callable[[], None]) -> None:
        settled: list[tuple[_Submission[Any], Any]] = []
        began_ns = time.time_ns()
        async with self._database.client.start_session(causal_consistency=False) as session:
            await session.start_transaction(read_concern=SNAPSHOT, write_concern=DURABLE)
            try:
                unit = await self._build_unit(batch, session)
                for job in batch:
                    try:
                        settled.append((job, await job.work.apply(unit, session)))
                    except HubError as error:
                        settled.append((job, error))
                self._add_follow_ups(unit)
                await self._write(unit, session)
                written()
                await _commit(session)
            except BaseException:
                with suppress(PyMongoError):
                    await session.abort_transaction()
                raise
        metrics.commit_batch_size.observe(len(batch))
        metrics.commit_seconds.observe((time.time_ns() - began_ns) / 1e9)
        changed = unit.changes()
        self._on_commit(unit, _with_traces(batch, changed, began_ns) if tracing.enabled() else changed)
        for job, result in settled:
            if isinstance(result, HubError):
                _fail(job, result)
            elif not job.future.done():
                job.future.set_result(result)

    async def _build_unit(self, batch: Batch, session: AsyncClientSession) -> UnitOfWork:
        """What is known of people is read beside the transaction, at the same time: a wish that was answered before
        these works came is seen, and the others are as good as later."""
        mailboxes = {mailbox for job in batch for mailbox in job.work.mailboxes}
        recipients = {mailbox for job in batch if job.work.needs_recipients for mailbox in job.work.mailboxes}
        loading = asyncio.create_task(self._load_decision_data(mailboxes, recipients))
        loading.add_done_callback(
            _ignore_error
        )  # it is left alone where the other fails: cancelled, it costs a connection
        unit = await self._read(batch, session)
        unit.decision_data = await loading
        return unit

    async def _read(self, batch: Batch, session: AsyncClientSession) -> UnitOfWork:
        keys = list({mailbox for job in batch for mailbox in job.work.mailboxes})
        mailboxes = {
            doc["_id"]: mailbox_from(doc)
            async for doc in self._database.mailboxes.find({"_id": {"$in": keys}}, session=session)
        }
        newcomers = frozenset(keys) - mailboxes.keys()
        for key in newcomers:
            mailboxes[key] = Mailbox(id=key, epoch=secrets.token_hex(4))
        unit = UnitOfWork(self._clock(), mailboxes, newcomers)
        if ids := list({id for job in batch for id in job.work.reads}):
            found = self._database.notifications.find({"_id": {"$in": ids}}, session=session)
            unit.notifications.update(await decode_by_id(found, Notification))
        if idempotency := list({key for job in batch for key in job.work.keys}):
            async for doc in self._database.idempotency.find({"_id": {"$in": idempotency}}, session=session):
                unit.idempotency_records[doc["_id"]] = doc
        return unit

    async def _write(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        """Mailboxes first: they are the lock that another process runs into."""
        if new := [document(head) for head in unit.mailboxes_to_write if head.id in unit.new_mailboxes]:
            await self._insert("mailboxes", new, session)
        if changed := [_counts_update(head) for head in unit.mailboxes_to_write if head.id not in unit.new_mailboxes]:
            await self._command("update", "mailboxes", "updates", changed, session)
        if unit.new_mailboxes:
            for collection, updates in self._new_mailbox_updates(unit.new_mailboxes, unit).items():
                await self._database[collection].bulk_write(updates, ordered=False, session=session)
        if unit.inserted:
            await self._insert("notifications", [search.stored_document(n) for n in unit.inserted.values()], session)
        if unit.replaced:
            updates = [_notification_update(n) for n in unit.replaced.values()]
            await self._database.notifications.bulk_write(updates, ordered=False, session=session)
        for collection, by_key in unit.updates.items():
            await self._database[collection].bulk_write(list(by_key.values()), session=session)
        for collection, rows in unit.inserts.items():
            await self._insert(collection, rows, session)

    async def _insert(self, collection: str, rows: list[Document], session: AsyncClientSession) -> None:
        await self._command("insert", collection, "documents", rows, session)

    async def _command(
        self, name: str, collection: str, field: str, statements: list[Document], session: AsyncClientSession
    ) -> None:
        """Write commands as they go over the wire: what pymongo's bulk writes do around them takes longer. One is a
        document of up to 16 MB, which what is written at once stays far below."""
        for start in range(0, len(statements), STATEMENTS_PER_COMMAND):
            chunk = statements[start : start + STATEMENTS_PER_COMMAND]
            response = await self._database.command({name: collection, field: chunk, "ordered": False}, session=session)
            if response.get("writeErrors"):
                raise BulkWriteError(response)


def _counts_update(head: Mailbox) -> Document:
    """The statement that writes them."""
    counts = {"modseq": head.modseq, "unread": head.unread, "unseen": head.unseen}
    return {"q": {"_id": head.id}, "u": {"$set": counts}}


def _ignore_error(task: asyncio.Task[Any]) -> None:
    """Its exception is nobody's any more."""
    if not task.cancelled():
        task.exception()


def _with_traces(batch: Batch, changed: list[MailboxChange], began_ns: int) -> list[MailboxChange]:
    """The transaction as a step of its works' traces: one of its own, with links to them, where there are several.
    What is told of a mailbox goes on in the trace of the work that changed it, of several the last."""
    wanting = [job.trace for job in batch if job.trace]
    tracing.record("transaction", wanting[0] if len(wanting) == 1 else None, began_ns, "CLIENT", wanting)
    causes = {mailbox: job.trace for job in batch for mailbox in job.work.mailboxes}
    return [
        replace(change, events=tuple(replace(event, trace=causes.get(change.mailbox)) for event in change.events))
        for change in changed
    ]


def _notification_update(n: Notification) -> UpdateOne:
    """What a mark may have changed, and nothing of what the sender wrote but where it was taken back."""
    doc = document(n)
    names = (
        (*MUTABLE_FIELDS, *CONTENT_FIELDS, search.FOLDED)
        if n.removed_as is DeliveryStatus.CANCELLED
        else MUTABLE_FIELDS
    )
    update: dict[str, Document] = {"$set": {name: doc[name] for name in names if name in doc}}
    if gone := {name: "" for name in names if name not in doc}:
        update["$unset"] = gone
    return UpdateOne({"_id": n.id}, update)


async def _commit(session: AsyncClientSession) -> None:
    """Asks again while the answer is unknown; the deadline around it ends that."""
    while True:
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label("UnknownTransactionCommitResult") or error.timeout:
                raise
        else:
            return


def _worth_retrying(error: PyMongoError) -> bool:
    """Conflicts, elections and lost connections before the commit; and duplicate keys, because the next attempt sees
    the document that was in the way."""
    if error.timeout:
        return False
    if error.has_error_label("TransientTransactionError"):
        return True
    if isinstance(error, OperationFailure):
        if error.code == DUPLICATE_KEY:
            return True
        details = error.details or {}
        return any(fault.get("code") == DUPLICATE_KEY for fault in details.get("writeErrors", []))
    return False


def _fail(job: _Submission[Any], error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
