"""Sends that are PREPARING: enriched by a call of their tenant's URL, and then published.

Guarantees
- A send makes one call, however many recipients it has. A call that is repeated, because its worker died or a retry is
  due, has the same `webhook-id`: the id of the send.
- A send is published once. The transaction reads the record of the send again, so a worker that died, a second worker,
  or a send that is late does no harm.
- A send is not PREPARING for longer than `prepare_by`, also while Redis or the workers are away. Then `onFailure`
  counts. A send that waits for the expansions of its tenant has more time.
- A send does not fail because no call could be made, unless `prepare_by` is reached. A failure of the hub does not
  count as a failed call.
- A send that was paused, cancelled, or recalled during its call is not published. A user who was erased is left out.
- An answer is cached after its send was published, unless a user of the tenant was erased meanwhile.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import msgspec
import structlog
from cachetools import TTLCache

from hub.audience.tenants import Tenants
from hub.enrichment.cache import EnrichmentCache
from hub.enrichment.calls import NO_ANSWER, CallFailed, EnrichmentCalls
from hub.enrichment.jobs import EnrichmentJobs
from hub.errors import RateLimited, Unavailable
from hub.model import EnrichmentFailure, EnrichmentJob, Preparation, Priority, SendStatus
from hub.outbox.lanes import Lanes
from hub.status.scheduled_sends import ScheduledSend, ScheduledSends
from hub.utc_time import Clock
from hub.workflows.scheduler import PeriodicTask
from hub.workflows.send_request import SendRequest, enrichment_data
from hub.workflows.start_expansion import StartExpansion
from hub.workflows.waiting_sends import Publication, publish_waiting

FAILED_REASON = "ENRICHMENT"
BATCH_SIZE = 20  # late sends per query
LOCK_MS = 10_000
POSTPONED = timedelta(seconds=10)
LIMITED = timedelta(minutes=3)  # longer than a job waits before it checks the limit of expansions again
RECHECK_S = 1.0
URGENT, OTHERS = (Priority.CRITICAL,), tuple(one for one in Priority if one is not Priority.CRITICAL)
KEPT_ANSWERS, KEPT_ANSWERS_S = 1000, 600.0
CHANGED = "the send was changed during its preparation"
CHANGES_MAX = 5  # changes of a send, such as erasures of its users, while it is published

log = structlog.get_logger(__name__)


class PrepareSends:
    """`attempts_max`: the number of calls for a send whose category retries."""

    def __init__(
        self,
        scheduled: ScheduledSends,
        publish: Publication,
        start_expansion: StartExpansion,
        tenants: Tenants,
        calls: EnrichmentCalls,
        cache: EnrichmentCache,
        jobs: EnrichmentJobs,
        lanes: Lanes,
        attempts_max: int,
        clock: Clock,
    ) -> None:
        self._scheduled = scheduled
        self._publish = publish
        self._start_expansion = start_expansion
        self._tenants = tenants
        self._calls = calls
        self._cache = cache
        self._jobs = jobs
        self._lanes = lanes
        self._attempts_max = attempts_max
        self._clock = clock
        self._answers: TTLCache[str, str] = TTLCache(KEPT_ANSWERS, KEPT_ANSWERS_S)  # of sends not published yet

    async def prepare(self, job: EnrichmentJob) -> Preparation:
        """Enrich a send and publish it. Return why it has to wait, if it does.

        Raise RateLimited if too many sends of the tenant are being expanded, or another HubError, PyMongoError, or
        CredentialUnavailable for a temporary failure of the hub. The method may run several times for one send."""
        send = await self._scheduled.find_preparing(job.id)
        if send is None:
            stopped = await self._scheduled.is_stopped(job.id)
            return Preparation(error=CHANGED, wait_s=RECHECK_S) if stopped else Preparation(skipped=True)
        if send.expires_at and send.expires_at <= self._clock():
            await self._end_late(send)
            return Preparation()
        request = msgspec.json.decode(send.scheduled.request, type=SendRequest)
        if request.audience:
            await self._check_limit(send)  # before the call, which would be repeated
        tenant = await self._tenants.get(send.tenant)
        category = tenant.category(request.category)
        if category is None or category.enrichment is None:  # removed since
            return await self._publish_enriched(send, NO_ANSWER)
        data, ttl_s, reserved = enrichment_data(request), category.enrichment.ttl_s, None
        known = self._answers.get(send.id) or (await self._cache.find(tenant.id, category, data) if ttl_s else None)
        if known is None and ttl_s:
            reserved = await self._cache.reserve(tenant.id, category, data)
        result = known or await self._calls.call(tenant, category, data, send.id, job.priority)
        if isinstance(result, CallFailed):
            log.warning("enrichment_failed", send=send.id, category=category.key, error=result.error, throttled=True)
            return await self._after_failure(send, job, category.enrichment.on_failure, result)
        self._answers[send.id] = result  # the call is not repeated if the publication fails
        done = await self._publish_enriched(send, result)
        self._answers.pop(send.id, None)
        if reserved:
            await self._cache.put(reserved, category, result)
        return done

    async def _check_limit(self, send: ScheduledSend) -> None:
        """Raise RateLimited if too many sends of the tenant are being expanded. Then the send has more time."""
        try:
            await self._start_expansion.check_limit(send.tenant)
        except RateLimited:
            until = self._clock() + LIMITED
            await self._scheduled.postpone([send.id], min(until, send.expires_at or until), "prepare_by")
            raise

    async def _after_failure(
        self, send: ScheduledSend, job: EnrichmentJob, on_failure: EnrichmentFailure, failed: CallFailed
    ) -> Preparation:
        """Do what the category says about a failed call. A CRITICAL send is not tried again. While a circuit breaker
        is open, a send that may not go without its answer waits."""
        if on_failure is EnrichmentFailure.SEND:
            return await self._publish_enriched(send, NO_ANSWER)
        await self._scheduled.record_failed_call(send.id, failed.error)
        if failed.wait_s is not None:
            return Preparation(error=failed.error, wait_s=failed.wait_s)
        is_last = job.priority is Priority.CRITICAL or job.tries + 1 >= self._attempts_max
        if on_failure is EnrichmentFailure.RETRY and not is_last:
            return Preparation(error=failed.error, retry_after=failed.retry_after)
        ended = await self._scheduled.end(send, SendStatus.FAILED, FAILED_REASON)
        return Preparation() if ended else Preparation(error=CHANGED, wait_s=RECHECK_S)

    async def _publish_enriched(self, send: ScheduledSend, answer: str) -> Preparation:
        if await self._publish_unchanged(send, answer):
            return Preparation()
        return await self._publish_changed(send, answer)

    async def _publish_unchanged(self, send: ScheduledSend, answer: str) -> bool:
        return await publish_waiting(send, self._publish, self._scheduled, self._clock(), answer)

    async def _publish_changed(self, send: ScheduledSend, answer: str) -> Preparation:
        """Publish a send from which users were erased meanwhile. A send that was stopped is looked at again later,
        because it may continue."""
        for _ in range(CHANGES_MAX):
            current = await self._scheduled.find_preparing(send.id)
            if current is None:
                return Preparation(error=CHANGED, wait_s=RECHECK_S)
            if await self._publish_unchanged(current, answer):
                return Preparation()
        raise Unavailable("This send changes too often.")

    def tasks(self) -> list[PeriodicTask]:
        """Return the tasks that end the wait of late sends. CRITICAL sends have their own, so they do not wait for
        others. They run in every process, because workers may be away."""
        tasks = {"late_urgent_sends": URGENT, "late_sends": OTHERS}
        return [PeriodicTask(name, partial(self._tick, name, found)) for name, found in tasks.items()]

    async def _tick(self, lock: str, priorities: Sequence[Priority]) -> int:
        """Let `onFailure` count for one batch of sends that must not be PREPARING any longer. Return their number."""
        if not await self._scheduled.has_late(self._clock(), priorities):
            return 0
        async with self._lanes.tick_lock(lock, LOCK_MS) as may_run:
            return await self._end_late_sends(priorities) if may_run else 0

    async def _end_late_sends(self, priorities: Sequence[Priority]) -> int:
        late, postponed = await self._scheduled.list_late(self._clock(), priorities, BATCH_SIZE)
        results = await asyncio.gather(*(self._end_late(send) for send in late), return_exceptions=True)
        for send, result in zip(late, results, strict=True):
            if isinstance(result, BaseException):
                if not isinstance(result, Unavailable | RateLimited):
                    log.warning("late_send_failed", send=send.id, error=result)
                postponed.append(send.id)
        if postponed:
            await self._scheduled.postpone(postponed, self._clock() + POSTPONED, "prepare_by")
        return len(late) + len(postponed)

    async def _end_late(self, send: ScheduledSend) -> None:
        """Publish a late send without its enrichment, or end it. Let one wait that an older version has resumed."""
        request = msgspec.json.decode(send.scheduled.request, type=SendRequest)
        category = (await self._tenants.get(send.tenant)).category(request.category)
        on_failure = category.enrichment.on_failure if category and category.enrichment else EnrichmentFailure.SEND
        expired = send.expires_at is not None and send.expires_at <= self._clock()
        retried = on_failure is EnrichmentFailure.RETRY and await self._jobs.was_tried(send.id)
        if expired and not retried:
            await self._scheduled.end(send, SendStatus.EXPIRED)
            return
        if send.prepare_by is None:
            await self._scheduled.restart(send, self._clock())
            await self._jobs.reopen(send.id, send.tenant, send.priority or Priority.MEDIUM)
            return
        log.warning("late_send", send=send.id, on_failure=on_failure, throttled=True)
        if on_failure is EnrichmentFailure.SEND:
            if request.audience:
                await self._check_limit(send)
            await self._publish_enriched(send, NO_ANSWER)
        else:
            await self._scheduled.end(send, SendStatus.FAILED, FAILED_REASON)
