"""The task that enqueues due jobs: retries, jobs that never reached or were lost from their lane, and expired leases.

Every worker may run the task. A Redis lock assigns each round to one worker. Two concurrent rounds do redundant work
but no harm, because a job that is enqueued twice is claimed only once.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from msgspec.structs import replace

from hub.model import Attempt, DeliveryStatus, Job, Reason
from hub.outbox.claims import UNQUEUE_ALL_TIMEOUT_S, Claims, DueEntry, Settlement
from hub.outbox.lanes import ALL_LANES, Lanes
from hub.outbox.retry_delay import wait_s
from hub.platform import metrics
from hub.settings import Settings
from hub.utc_time import Clock

BATCH_SIZE = 500  # jobs per query
BACKPRESSURE_PAUSE_S = 0.05  # between rounds while the lanes are full
LOCK_MARGIN_MS = 20  # the lock expires this time before the next tick

log = structlog.get_logger(__name__)


class DueJobs:
    """The due jobs of one kind, such as deliveries. `name` is the kind in locks and metrics. `bounds` are those of the
    lanes of its workers."""

    def __init__(
        self,
        name: str,
        claims: Claims[Any],
        lanes: Lanes,
        clock: Clock,
        settings: Settings,
        bounds: Sequence[tuple[str, str]] = ALL_LANES,
    ) -> None:
        self._name = name
        self._claims = claims
        self._lanes = lanes
        self._clock = clock
        self._settings = settings
        self._bounds = bounds
        self._lock_ms = max(1, int(settings.scheduler_interval_s * 1000) - LOCK_MARGIN_MS)

    async def tick(self) -> int:
        """Enqueue one batch of due jobs per lane. Return the number of jobs for which a lane had no space."""
        if not await self._lanes.acquire_tick_lock(self._name, self._lock_ms):
            return 0
        if await self._lanes.detect_flush(self._name, UNQUEUE_ALL_TIMEOUT_S):
            metrics.flushes.inc()
            log.info("queue_refilled", queue=self._name, jobs=await self._claims.unmark_all_queued())
            await self._lanes.mark_restored(self._name)
        expired = await self._claims.list_expired(BATCH_SIZE)
        await self._expire_leases(expired)
        now, remaining = self._clock(), int(len(expired) == BATCH_SIZE)
        async for due in self._due_batches(now):
            by_lane: dict[str, list[DueEntry]] = defaultdict(list)
            for job in due:
                by_lane[job.lane].append(job)
            for capacity, jobs in zip(await self._lanes.free_capacity(list(by_lane)), by_lane.values(), strict=True):
                remaining += max(0, len(jobs) - capacity)
                if enqueued := [job.id for job in jobs[:capacity]]:
                    await self._claims.mark_queued(enqueued, now)
                    await self._claims.unmark_queued(await self._lanes.put([(jobs[0].lane, id) for id in enqueued]))
            remaining += len(due) == BATCH_SIZE
        if remaining:
            await asyncio.sleep(BACKPRESSURE_PAUSE_S)
            await self._lanes.release_tick_lock(self._name)
        return remaining

    async def _due_batches(self, now: datetime) -> AsyncIterator[list[DueEntry]]:
        """Yield due jobs, at most one batch per lane. Jobs on lanes outside the bounds are left out."""
        for first, before in self._bounds:
            after = first
            while due := await self._claims.due(now, after, before, BATCH_SIZE):
                yield due
                after = due[-1].lane

    async def _expire_leases(self, jobs: Sequence[Job]) -> None:
        """Settle the jobs whose workers died or stalled.

        Each of these jobs may be the cause. Jobs whose calls had started are retried with a delay. After repeated lease
        expirations, a job runs in isolation, to exclude that another job is the cause. An expiration before a call
        counts half, because an unavailable store may have caused it.
        """
        now, settlements = self._clock(), []
        for job in jobs:
            expirations, expirations_max = job.lease_expirations + 1, self._settings.lease_max_expirations
            called = any(attempt.ms is None for attempt in job.attempts[-1:])
            schedule = self._settings.schedule_of(job.lane.partition("/")[0])
            suspect = called or expirations >= expirations_max
            due_at = now + timedelta(seconds=wait_s(schedule, expirations, random.random) if suspect else 0)
            poison = expirations >= (expirations_max if called else 2 * expirations_max)
            status = DeliveryStatus.RETRYING if job.tries else DeliveryStatus.ACCEPTED
            status, reason = (DeliveryStatus.FAILED, Reason.POISON) if poison else (status, None)
            settlements.append(
                Settlement(
                    job=job,
                    status=status,
                    reason=reason,
                    due_at=None if poison else due_at,
                    attempts=tuple(_closed_attempt(attempt) for attempt in job.attempts),
                    tries=job.tries,
                    lease_expirations=expirations,
                )
            )
        for settled in await self._claims.settle(settlements) if settlements else ():
            metrics.lease_expirations.labels(self._name).inc()
            log.warning("lease_expired", job=settled.job.id, status=settled.status)


def _closed_attempt(attempt: Attempt) -> Attempt:
    """Return the attempt. If its call did not end, add an error."""
    return attempt if attempt.ms is not None else replace(attempt, error="its worker died", ms=0)
