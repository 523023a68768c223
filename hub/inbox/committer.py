"""Group commit: concurrent changes are collected and committed together.

A change is called a work (see `works.Work`). The works of one transaction are called a batch.

Guarantees
- A caller gets its result only after the transaction is committed by a majority and journaled.
- Two transactions of one process never change the same mailbox at the same time, so they do not conflict.
- Small works on one mailbox are committed in the order in which they were submitted.
- If `apply` of a work raises a HubError, only that work fails.

When transactions run
- An idle committer starts a transaction immediately. Works that arrive in the meantime wait for the next transaction.
- Up to `SMALL_TRANSACTIONS` concurrent transactions run batches of small works. The next transaction starts when the
  previous one has written its changes, or when `FULL_BATCH` works are waiting. Batches are therefore large, which
  matters because each transaction takes milliseconds, and the CPU is used during commits.
- One more transaction runs large works (many documents) and exclusive works. Large works do not delay small works.
- If the first large work waits for busy mailboxes, they are reserved for it, so small works cannot starve it.
- Works of LOW rank, such as releases of deliveries, have transactions of their own: two, or one while other works wait.
- A batch runs in a separate context, without the deadline and log fields of the request that started it.

Shutdown: `close` rejects new works and waits for the submitted works.
"""

import asyncio
from collections import deque
from contextvars import Context
from typing import Any, TypeVar

import structlog

from hub.errors import Unavailable
from hub.inbox.batch_transaction import Batch, CommitHooks, Submission, TransactionRunner, fail
from hub.inbox.works import Work
from hub.platform import tracing
from hub.platform.connections import Database
from hub.settings import Settings
from hub.utc_time import Clock

SMALL_TRANSACTIONS = 3  # concurrent transactions
FULL_BATCH = 64  # works
LARGE_MIN_DOCUMENTS = 64  # a work with more documents is a large work
LOW_TRANSACTIONS = 2  # concurrent transactions of works of LOW rank
LOW_MAX_MAILBOXES = 200  # in one transaction of such works
MAX_SCANNED = 2000  # works checked for one batch, so the cost does not grow with the queue
WAITING_MAX = 20_000  # waiting works of one process. Further works are rejected.
MIN_START_TIME_S = 0.5  # a work with less time before its deadline is not started

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Committer:
    """Collects works and commits them in batches."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, hooks: CommitHooks) -> None:
        self._settings = settings
        self._transactions = TransactionRunner(database, clock, hooks)
        self._small: deque[Submission[Any]] = deque()
        self._large: deque[Submission[Any]] = deque()
        self._low: deque[Submission[Any]] = deque()
        self._busy: set[str] = set()
        self._small_running = 0
        self._small_writing = 0
        self._large_running = 0
        self._low_running = 0
        self._schedule_pending = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._queue_full_logged = False

    @property
    def waiting(self) -> int:
        """The number of works that are not in a transaction yet."""
        return len(self._small) + len(self._large) + len(self._low)

    async def submit(self, work: Work[T]) -> T:
        """Return the result of `work` after it is committed.

        Raise Unavailable after the deadline. The work may still have been committed."""
        if self._closed:
            raise Unavailable("The hub is shutting down.")
        if self.waiting >= WAITING_MAX:
            if not self._queue_full_logged:
                log.warning("commit_queue_full", waiting=self.waiting)
            self._queue_full_logged = True
            raise Unavailable("Too many changes are waiting: try again shortly.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with tracing.span("commit"):
            job = Submission(
                work, future, loop.time() + self._settings.commit_deadline_s, tracing.current_traceparent()
            )
            self._queue_of(work).append(job)
            if not self._schedule_pending:
                self._schedule_pending = True
                loop.call_soon(self._schedule, context=Context())
            return await future

    async def close(self) -> None:
        """Reject new works and wait for the submitted works."""
        self._closed = True
        while self.waiting or self._tasks:
            self._schedule()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _schedule(self) -> None:
        self._schedule_pending = False
        self._queue_full_logged = self._queue_full_logged and self.waiting >= WAITING_MAX
        if self._large and not self._large_running and (batch := self._next_batch(self._large, set())):
            self._large_running += 1
            self._start(batch, self._large)
        waiting = self._large and not self._large_running
        reserved = set(self._large[0].work.mailboxes) if waiting else set()
        while self._can_start and (batch := self._next_batch(self._small, reserved)):
            self._small_running += 1
            self._small_writing += 1
            self._start(batch, self._small)
        while self._can_start_low and (batch := self._next_batch(self._low, reserved)):
            self._low_running += 1
            self._start(batch, self._low)

    def _queue_of(self, work: Work[Any]) -> deque[Submission[Any]]:
        if work.low:
            return self._low
        return self._large if work.exclusive or work.documents > LARGE_MIN_DOCUMENTS else self._small

    @property
    def _can_start_low(self) -> bool:
        """True if another transaction of works of LOW rank may start."""
        return self._low_running < (1 if self._small or self._large else LOW_TRANSACTIONS)

    @property
    def _can_start(self) -> bool:
        """True if another transaction of small works may start."""
        waiting = len(self._small)
        return self._small_running < SMALL_TRANSACTIONS and (
            waiting >= FULL_BATCH or (waiting > 0 and not self._small_writing)
        )

    def _next_batch(self, queue: deque[Submission[Any]], reserved: set[str]) -> Batch:
        """Take the next works whose mailboxes are free, in order. The other works keep their positions in the queue."""
        settings = self._settings
        too_late = asyncio.get_running_loop().time() + MIN_START_TIME_S
        batch: Batch = []
        skipped: list[Submission[Any]] = []
        skipped_mailboxes: set[str] = set()
        documents = size = mailboxes = 0
        for _ in range(min(len(queue), MAX_SCANNED)):
            job = queue.popleft()
            work = job.work
            if job.deadline < too_late:
                fail(job, Unavailable("The store is overloaded. Nothing was changed: try again."))
                continue
            if not (
                self._busy.isdisjoint(work.mailboxes)
                and reserved.isdisjoint(work.mailboxes)
                and skipped_mailboxes.isdisjoint(work.mailboxes)
            ):
                skipped.append(job)
                skipped_mailboxes.update(work.mailboxes)
                if queue is self._large:
                    break  # this is the next large work, and its mailboxes are reserved
                continue
            documents += work.documents
            size += work.size
            mailboxes += len(work.mailboxes)
            if batch and (
                work.exclusive
                or documents > settings.commit_max_documents
                or size > settings.commit_max_bytes
                or (work.low and mailboxes > LOW_MAX_MAILBOXES)
            ):
                queue.appendleft(job)
                break
            batch.append(job)
            if work.exclusive:
                break
        queue.extendleft(reversed(skipped))
        return batch

    def _start(self, batch: Batch, queue: deque[Submission[Any]]) -> None:
        mailboxes = {mailbox for job in batch for mailbox in job.work.mailboxes}
        self._busy |= mailboxes
        writing = queue is self._small

        def on_written() -> None:
            nonlocal writing
            if writing:
                writing = False
                self._small_writing -= 1
                self._schedule()

        task = asyncio.create_task(self._transactions.run(batch, on_written), context=Context())
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._busy -= mailboxes
            if queue is self._large:
                self._large_running -= 1
            elif queue is self._low:
                self._low_running -= 1
            else:
                self._small_running -= 1
            on_written()
            self._schedule()

        task.add_done_callback(done, context=Context())
