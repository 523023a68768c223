"""Runs a transaction of the group commit: reads data, applies the works, writes the changes, and commits.

- Each attempt reads a snapshot, applies the works to a `UnitOfWork`, and writes the unit. If another process changed
  one of the mailboxes since the snapshot, MongoDB reports a write conflict, and the attempt is repeated.
- After the second conflict, the batch is split into halves that run at the same time, so one contested mailbox does not
  delay the other works.
- If `apply` of a work raises a HubError, only that work fails. `apply` must make its checks before it changes the unit.
- If the mailbox of a work cannot be decoded, only that work fails, with UnreadableMailbox.
"""

import asyncio
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import pymongo
import structlog
from msgspec import UNSET
from msgspec.structs import replace
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, PyMongoError

from hub.errors import HubError, Unavailable
from hub.inbox import idempotency_records, search, window_counts
from hub.inbox.mailbox_decoding import decode_mailboxes
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import Contended, Work
from hub.model import (
    CONTENT_FIELDS,
    MUTABLE_FIELDS,
    Mailbox,
    MailboxChange,
    Notification,
    WindowCount,
    document,
    live_keys,
)
from hub.platform import metrics, tracing
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document, is_outage, is_retryable
from hub.platform.tolerant_decoding import decode, decode_all, decode_by_id
from hub.utc_time import Clock

STATEMENTS_PER_COMMAND = 1000
MIN_ATTEMPT_TIME_S = 0.05
TRANSACTIONS_AT_ONCE = 8  # of the batches that were split, too; the committer starts fewer

log = structlog.get_logger(__name__)

T = TypeVar("T")


class CommitHooks(Protocol):
    """The callbacks of other stages around a commit."""

    async def load_decision_data(
        self, mailboxes: Collection[str], recipients: Collection[str], phone_owners: Collection[str]
    ) -> Any:
        """Return the tenants of `mailboxes`, the users of `recipients`, and the opt-outs of the phone numbers of
        `phone_owners`, who are recipients, as `unit.decision_data`."""
        ...

    async def load_deliveries(
        self, ids: Collection[str], mailboxes: Mapping[str, Mailbox], session: AsyncClientSession
    ) -> Any:
        """Return the deliveries that works need, read in the transaction, as `unit.deliveries`. `mailboxes` are those
        of the works."""
        ...

    async def load_digests(self, mailboxes: Mapping[str, Collection[str]], session: AsyncClientSession) -> Any:
        """Return the open digests of mailboxes by digest key, read in the transaction, as `unit.digests`."""
        ...

    def new_mailbox_updates(self, mailboxes: Collection[str], unit: UnitOfWork) -> dict[str, list[UpdateOne]]:
        """Return additional updates that new mailboxes require, such as creating their users, by collection. Each must
        match or insert a document: otherwise, the transaction is repeated."""
        ...

    async def add_follow_ups(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        """Add documents of other stages to a unit before it is written."""
        ...

    def on_commit(self, unit: UnitOfWork, changes: list[MailboxChange]) -> None:
        """Handle a committed unit and its changes, before the futures of its works are resolved."""
        ...

    def on_unknown_outcome(self) -> None:
        """Handle a transaction that was abandoned and may have been committed."""
        ...


class Submission(Generic[T]):
    """A work with the future of its caller."""

    __slots__ = ("deadline", "future", "traceparent", "work")

    def __init__(self, work: Work[T], future: asyncio.Future[T], deadline: float, traceparent: str | None) -> None:
        self.work = work
        self.future = future
        self.deadline = deadline
        self.traceparent = traceparent


Batch = list[Submission[Any]]


class _UserErased(Exception):
    """A user who must exist was erased after the users were read. The next attempt reads the users again."""


class TransactionRunner:
    """Runs the transactions of batches."""

    def __init__(self, database: Database, clock: Clock, hooks: CommitHooks) -> None:
        self._database = database
        self._clock = clock
        self._hooks = hooks
        self._slots = asyncio.Semaphore(TRANSACTIONS_AT_ONCE)

    async def run(self, batch: Batch, on_written: Callable[[], None]) -> None:
        """Run transactions until every work of the batch is committed or has failed.

        A work whose deadline has passed fails, and the other works continue. `on_written` is called before the commit
        and after an error."""
        conflicts = 0
        loop = asyncio.get_running_loop()
        while True:
            self._abandon([job for job in batch if job.deadline <= loop.time()])
            batch = [job for job in batch if job.deadline > loop.time()]
            if not batch:
                return
            try:
                async with self._slots:
                    left_s = min(job.deadline for job in batch) - loop.time()
                    with pymongo.timeout(max(MIN_ATTEMPT_TIME_S, left_s)):
                        await self._attempt(batch, on_written)
                return
            except Exception as error:  # noqa: BLE001 - otherwise callers would wait forever
                on_written()
                if isinstance(error, _UserErased) or (isinstance(error, PyMongoError) and is_retryable(error)):
                    conflicts += 1
                    metrics.conflicts.inc()
                    if conflicts >= 2 and len(batch) == 1 and batch[0].work.is_divisible:
                        fail(batch[0], Contended())
                        return
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
                    fail(batch[0], error)
                    return
                await self._split(batch, on_written)
                return

    def _abandon(self, batch: Batch) -> None:
        """Fail the works of a batch that may have been committed. Their changes are not published."""
        if batch:
            self._hooks.on_unknown_outcome()
        for job in batch:
            fail(job, Unavailable("The store did not respond in time. Retry with an idempotency key."))

    async def _split(self, batch: Batch, on_written: Callable[[], None]) -> None:
        """Run the two halves of a batch. Halves that share a mailbox run in sequence, so its works stay in order."""
        middle = len(batch) // 2
        first, second = batch[:middle], batch[middle:]
        if _mailboxes(first).isdisjoint(_mailboxes(second)):
            await asyncio.gather(self.run(first, on_written), self.run(second, on_written))
            return
        await self.run(first, on_written)
        await self.run(second, on_written)

    async def _attempt(self, batch: Batch, on_written: Callable[[], None]) -> None:
        results: list[tuple[Submission[Any], Any]] = []
        began_ns = time.time_ns()
        async with self._database.client.start_session(causal_consistency=False) as session:
            await session.start_transaction(read_concern=SNAPSHOT, write_concern=DURABLE)
            try:
                unit = await self._build_unit(batch, session)
                for job in batch:
                    try:
                        unit.require_readable(job.work.mailboxes)
                        results.append((job, await job.work.apply(unit, session)))
                    except HubError as error:
                        results.append((job, error))
                await self._hooks.add_follow_ups(unit, session)
                await self._write(unit, session)
                on_written()
                await _commit(session)
            except BaseException:
                with suppress(PyMongoError):
                    await session.abort_transaction()
                raise
        metrics.commit_batch_size.observe(len(batch))
        metrics.commit_seconds.observe((time.time_ns() - began_ns) / 1e9)
        changed = unit.changes()
        self._hooks.on_commit(unit, _with_traces(batch, changed, began_ns) if tracing.enabled() else changed)
        for job, result in results:
            if isinstance(result, HubError):
                fail(job, result)
            elif not job.future.done():
                job.future.set_result(result)

    async def _build_unit(self, batch: Batch, session: AsyncClientSession) -> UnitOfWork:
        """Read the data of the batch.

        Tenants and users are read concurrently, outside the transaction. The result includes every preference that was
        stored before the works were submitted."""
        mailboxes = _mailboxes(batch)
        recipients = {mailbox for job in batch if job.work.needs_recipients for mailbox in job.work.mailboxes}
        phone_owners = {mailbox for job in batch if job.work.needs_opt_outs for mailbox in job.work.mailboxes}
        loading = asyncio.create_task(self._hooks.load_decision_data(mailboxes, recipients, phone_owners))
        loading.add_done_callback(_ignore_error)  # not cancelled if `_read` fails: that would close a connection
        unit = await self._read(batch, session)
        unit.decision_data = await loading
        if digest_keys := _by_digest_key(batch, unit.decision_data):
            unit.digests = await self._hooks.load_digests(digest_keys, session)
        return unit

    async def _read(self, batch: Batch, session: AsyncClientSession) -> UnitOfWork:
        keys = list(_mailboxes(batch))
        mailboxes, unreadable = await decode_mailboxes(
            self._database.mailboxes.find({"_id": {"$in": keys}}, session=session)
        )
        new_mailboxes = frozenset(keys) - mailboxes.keys() - unreadable
        for key in new_mailboxes:
            mailboxes[key] = Mailbox(id=key, epoch=secrets.token_hex(4))
        unit = UnitOfWork(self._clock(), mailboxes, new_mailboxes, unreadable)
        if ids := list({id for job in batch for id in job.work.reads}):
            docs = self._database.notifications.find({"_id": {"$in": ids}}, session=session)
            unit.load(await decode_all(docs, Notification))
        if any(job.work.collapse_key for job in batch):
            async for doc in self._database.notifications.find(_match_live(batch), session=session, hint="live_key"):
                if n := decode(doc, Notification):
                    unit.load([n])
                else:
                    unit.mark_unreadable(doc["mailbox"])  # a second live notification would violate the index
        if counts := list({id for job in batch for id in job.work.counts}):
            docs = self._database[window_counts.COLLECTION].find({"_id": {"$in": counts}}, session=session)
            unit.counts = await decode_by_id(docs, WindowCount)
        if deliveries := list({id for job in batch for id in job.work.deliveries}):
            unit.deliveries = await self._hooks.load_deliveries(deliveries, mailboxes, session)
        if idempotency := list({key for job in batch for key in job.work.keys}):
            records = self._database[idempotency_records.COLLECTION]
            async for doc in records.find({"_id": {"$in": idempotency}}, session=session):
                unit.idempotency_records[doc["_id"]] = doc
        return unit

    async def _write(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        """Write the unit. Mailboxes are written first, because they act as locks between processes. Updates that unset
        a `live_key` are written before the notification that takes it."""
        if new := [document(head) for head in unit.mailboxes_to_write if head.id in unit.new_mailboxes]:
            await self._insert("mailboxes", new, session)
        if changed := [head for head in unit.mailboxes_to_write if head.id not in unit.new_mailboxes]:
            statements = [_mailbox_update(head, locked=head.id in unit.locked_mailboxes) for head in changed]
            await self._command("update", "mailboxes", "updates", statements, session)
        if new:
            created = [head["_id"] for head in new]
            for collection, updates in self._hooks.new_mailbox_updates(created, unit).items():
                result = await self._database[collection].bulk_write(updates, ordered=False, session=session)
                if result.matched_count + result.upserted_count < len(updates):
                    raise _UserErased
        if unit.replaced:
            updates = [_notification_update(n) for n in unit.replaced.values()]
            await self._database.notifications.bulk_write(updates, ordered=False, session=session)
        if unit.inserted:
            await self._insert("notifications", [search.stored_document(n) for n in unit.inserted.values()], session)
        for collection, by_key in unit.updates.items():
            await self._database[collection].bulk_write(list(by_key.values()), session=session)
        for collection, rows in unit.inserts.items():
            await self._insert(collection, rows, session)

    async def _insert(self, collection: str, rows: list[Document], session: AsyncClientSession) -> None:
        await self._command("insert", collection, "documents", rows, session)

    async def _command(
        self, name: str, collection: str, field: str, statements: list[Document], session: AsyncClientSession
    ) -> None:
        """Run a write command directly, because pymongo's bulk writes are slower.

        A command is limited to 16 MB. The limits of a batch are far below that."""
        for start in range(0, len(statements), STATEMENTS_PER_COMMAND):
            chunk = statements[start : start + STATEMENTS_PER_COMMAND]
            response = await self._database.command({name: collection, field: chunk, "ordered": False}, session=session)
            if response.get("writeErrors"):
                raise BulkWriteError(response)


def _mailboxes(batch: Batch) -> set[str]:
    return {mailbox for job in batch for mailbox in job.work.mailboxes}


def _match_live(batch: Batch) -> Document:
    """Return the match of the live notifications that the works of a batch need."""
    mailboxes: dict[str, set[str]] = defaultdict(set)
    for job in batch:
        if job.work.collapse_key:
            mailboxes[job.work.collapse_key].update(job.work.mailboxes)
    return {
        "$or": [{"mailbox": {"$in": list(ids)}, "live_key": {"$in": live_keys(key)}} for key, ids in mailboxes.items()]
    }


def _by_digest_key(batch: Batch, decision_data: Any) -> dict[str, set[str]]:
    """Return the mailboxes whose open digests the works of a batch need, by digest key."""
    mailboxes: dict[str, set[str]] = defaultdict(set)
    for job in batch:
        for key, ids in job.work.digest_keys(decision_data).items():
            mailboxes[key].update(ids)
    return mailboxes


def _mailbox_update(head: Mailbox, *, locked: bool) -> Document:
    """Return the update statement for a mailbox. MongoDB detects no conflict for an update that changes nothing, so a
    locked mailbox has a counter."""
    values: Document = {"modseq": head.modseq, "unread": head.unread, "unseen": head.unseen}
    if head.interruptions is not UNSET:
        values["interruptions"] = document(head.interruptions)
    update: Document = {"$set": values}
    if locked:
        update["$inc"] = {"locks": 1}
    return {"q": {"_id": head.id}, "u": update}


def _ignore_error(task: asyncio.Task[Any]) -> None:
    """Mark the exception as retrieved, because asyncio would otherwise log it."""
    if not task.cancelled():
        task.exception()


def _with_traces(batch: Batch, changed: list[MailboxChange], began_ns: int) -> list[MailboxChange]:
    """Record the transaction in the trace of its work. For several works, record a separate trace that links to theirs.

    Return the changes, each with the trace context of the last work that changed its mailbox."""
    traces = [job.traceparent for job in batch if job.traceparent]
    tracing.record("transaction", traces[0] if len(traces) == 1 else None, began_ns, "CLIENT", traces)
    by_mailbox = {mailbox: job.traceparent for job in batch for mailbox in job.work.mailboxes}
    return [
        replace(
            change, events=tuple(replace(event, traceparent=by_mailbox.get(change.mailbox)) for event in change.events)
        )
        for change in changed
    ]


def _notification_update(n: Notification) -> UpdateOne:
    """Return the update for the fields that a mark may change, and for the content if a recall deleted it."""
    doc = document(n)
    is_empty = n.removed_at and not (n.title or n.body)
    names = (*MUTABLE_FIELDS, *CONTENT_FIELDS, search.SEARCH_TEXT) if is_empty else MUTABLE_FIELDS
    update: dict[str, Document] = {"$set": {name: doc[name] for name in names if name in doc}}
    if unset := {name: "" for name in names if name not in doc}:
        update["$unset"] = unset
    return UpdateOne({"_id": n.id}, update)


async def _commit(session: AsyncClientSession) -> None:
    """Commit the transaction. Retry while the result is unknown, until the deadline of the caller."""
    while True:
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label("UnknownTransactionCommitResult") or error.timeout:
                raise
        else:
            return


def fail(job: Submission[Any], error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
