"""Processes due work.

- Inboxes: ends snoozes and removes expired notifications.
- Deliveries and webhook calls: enqueues retries, jobs that never reached their lane or were lost there, and jobs whose
  leases expired.
- Counts: recounts one mailbox after another, because a wrong count is a bug that should be found before users see it.

Every worker may run a scheduler. Work that two of them find is done once: each change checks again in its transaction,
and a delivery that is queued twice is claimed once. Failed work stays due and is found by a later round.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from msgspec.structs import replace
from pymongo.errors import PyMongoError

from hub.clock import Clock
from hub.errors import HubError
from hub.inbox.store import Inboxes
from hub.model import Attempt, DeliveryStatus, Reason
from hub.outbox.claims import UNQUEUE_ALL_TIMEOUT_S, Claims, DueEntry, Job, Settlement
from hub.outbox.due_index import wait_s
from hub.outbox.lanes import Lanes
from hub.platform import metrics
from hub.platform.connections import is_cancelling
from hub.platform.redis_keys import REDIS_ERRORS
from hub.settings import Settings
from hub.status.deliveries import Deliveries
from hub.workflows.cancel_send import SendCancellation
from hub.workflows.inbox_actions import InboxActions

BATCH_SIZE = 500  # notifications per round; a full batch is followed by the next at once
RETRY_PAUSE_S = 1.0
RECOUNT_EVERY_S = 5.0
BACKPRESSURE_PAUSE_S = 0.05  # between rounds while the lanes are full
LOCK_MARGIN_MS = 20  # the lock expires this much before the next tick

log = structlog.get_logger(__name__)


class Scheduler:
    def __init__(
        self,
        inboxes: Inboxes,
        change: InboxActions,
        call_off: SendCancellation,
        deliveries: Deliveries,
        queues: Sequence["DueJobs"],
        clock: Clock,
        interval_s: float,
    ) -> None:
        self._inboxes = inboxes
        self._inbox_actions = change
        self._cancellation = call_off
        self._deliveries = deliveries
        self._queues = queues
        self._clock = clock
        self._interval_s = interval_s

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_forever(self.tick, BATCH_SIZE))
            group.create_task(self._run_forever(self._cancellation.resume_interrupted, 1))
            group.create_task(self._run_forever(self._deliveries.continue_replays, 1))
            group.create_task(self._recount_forever())
            for queue in self._queues:
                group.create_task(self._run_forever(queue.tick, 1))

    async def _run_forever(self, tick: Callable[[], Awaitable[int]], full: int) -> None:
        """Call `tick` until cancelled, again at once if it found at least `full` items."""
        while not is_cancelling():
            try:
                found = await tick()
            except (HubError, PyMongoError, *REDIS_ERRORS) as error:
                log.warning("scheduler_failed", error=error)
                await asyncio.sleep(RETRY_PAUSE_S)
            except Exception:
                log.exception("scheduler_crashed")
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                if found < full:
                    await asyncio.sleep(self._interval_s)

    async def _recount_forever(self) -> None:
        while True:
            await asyncio.sleep(RECOUNT_EVERY_S)
            try:
                mailbox = await self._inboxes.sample_mailbox()
                recounted = mailbox and await self._inboxes.recount(mailbox)
            except Exception as error:  # noqa: BLE001 - a mailbox that cannot be read must not end the process
                log.warning("recount_failed", error=error)
                continue
            if recounted:
                head, unread, unseen = recounted
                metrics.mailboxes_recounted.inc()
                if (head.unread, head.unseen) != (unread, unseen):
                    metrics.mailboxes_drifted.inc()
                    log.error(
                        "counts_drifted",
                        mailbox=head.id,
                        unread=head.unread,
                        unseen=head.unseen,
                        counted=[unread, unseen],
                    )

    async def tick(self) -> int:
        """Process one batch of due notifications. Return their number."""
        due = await self._inboxes.list_due(self._clock(), BATCH_SIZE)
        by_mailbox: dict[str, list[str]] = defaultdict(list)
        for mailbox, notification in due:
            by_mailbox[mailbox].append(notification)
        woken = [self._inbox_actions.apply_due(mailbox, ids) for mailbox, ids in by_mailbox.items()]
        for answer in await asyncio.gather(*woken, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        return len(due)


class DueJobs:
    """Due jobs of one kind: deliveries, or calls of webhook endpoints."""

    def __init__(
        self,
        name: str,
        claims: Claims[Any],
        lanes: Lanes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._name = name
        self._claims = claims
        self._lanes = lanes
        self._clock = clock
        self._settings = settings
        self._turn_ms = max(1, int(settings.scheduler_interval_s * 1000) - LOCK_MARGIN_MS)

    async def tick(self) -> int:
        """Enqueue one batch of due jobs per lane. Return the number of jobs that did not fit."""
        if not await self._lanes.acquire_tick_lock(self._name, self._turn_ms):
            return 0
        if await self._lanes.detect_flush(self._name, UNQUEUE_ALL_TIMEOUT_S):
            metrics.flushes.inc()
            log.info("queue_refilled", queue=self._name, jobs=await self._claims.unmark_all_queued())
            await self._lanes.mark_restored(self._name)
        now, lane, more = self._clock(), "", 0
        while due := await self._claims.due(now, lane, BATCH_SIZE):
            by_lane: dict[str, list[DueEntry]] = defaultdict(list)
            for job in due:
                by_lane[job.lane].append(job)
            if held := [job.id for job in due if job.claim_expired]:
                await self._expire_leases(await self._claims.list_expired(held, now), now)
            for room, jobs in zip(await self._lanes.free_capacity(list(by_lane)), by_lane.values(), strict=True):
                waiting = [job.id for job in jobs if not job.claim_expired]
                more += max(0, len(waiting) - room)
                if letting_in := waiting[:room]:
                    await self._claims.mark_queued(letting_in, now)
                    await self._claims.unmark_queued(await self._lanes.put([(jobs[0].lane, id) for id in letting_in]))
            lane = due[-1].lane
            more += len(due) == BATCH_SIZE
        if more:
            await asyncio.sleep(BACKPRESSURE_PAUSE_S)
            await self._lanes.release_tick_lock(self._name)
        return more

    async def _expire_leases(self, held: Sequence[Job], now: datetime) -> None:
        """Settle jobs whose workers died or stalled.

        Each job may be the cause. Jobs whose calls had started are retried with a delay. After repeated lease
        expirations a job is run in isolation, so that it is not blamed for another job's crash. Expirations before a
        call count half, because an unavailable store may cause them.
        """
        settlements = []
        for job in held:
            expirations, most = job.lease_expirations + 1, self._settings.lease_max_expirations
            begun = any(attempt.ms is None for attempt in job.attempts[-1:])
            schedule = self._settings.schedule_of(job.lane.partition("/")[0])
            suspect = begun or expirations >= most
            again = now + timedelta(seconds=wait_s(schedule, expirations, random.random) if suspect else 0)
            poison = expirations >= (most if begun else 2 * most)
            status = DeliveryStatus.RETRYING if job.tries else DeliveryStatus.ACCEPTED
            status, reason = (DeliveryStatus.FAILED, Reason.POISON) if poison else (status, None)
            settlements.append(
                Settlement(
                    job=job,
                    status=status,
                    reason=reason,
                    due_at=None if poison else again,
                    attempts=tuple(_closed_attempt(attempt) for attempt in job.attempts),
                    tries=job.tries,
                    lease_expirations=expirations,
                )
            )
        for settled in await self._claims.settle(settlements):
            metrics.lease_expirations.labels(self._name).inc()
            log.warning("lease_expired", job=settled.job.id, status=settled.status)


def _closed_attempt(attempt: Attempt) -> Attempt:
    return attempt if attempt.ms is not None else replace(attempt, error="its worker died", ms=0)
