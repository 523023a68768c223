"""The worker loop of one channel: take, claim, prepare, call, and settle.

What runs when
- One loop takes ids from the lanes, up to the number of free slots, and prepares them as one batch. The batch size
  depends on the load; it is 1 when the worker is idle.
- Each attempt (`delivery_attempt`) is a task and uses a slot. A tenant uses at most `TENANT_SHARE` of the slots, so the
  slow endpoints of one tenant do not block other tenants.
- Results are settled in batches (`settler`). A slot is free when its attempt ends. A worker that cannot settle results
  stops taking jobs.
- A job with only `ISOLATED_TRIES` lease expirations left is claimed, called, and settled while the process makes no
  other call (`poison_isolation`). Such jobs of one batch run one after the other in a separate task. Until that task
  ends, the worker does not claim more of them; the scheduler enqueues them again.

Guarantees
- No call is made without a claim, and no call outlasts its claim.
- After an error, a job is either rescheduled, or it remains claimed and becomes due when its lease ends.
- A job becomes FAILED with POISON only if its last leases expired, or its preparation failed, while the job ran in
  isolation.
- If either the taking or the settling task crashes, `run` raises; neither continues without the other.

How it stops: after `stop`, the worker takes no more jobs. Running calls may finish within the time that the process
allows, and their results are settled. Jobs that were claimed but not called are released.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

import structlog
from pymongo.errors import PyMongoError

from hub.model import Job
from hub.outbox.claims import Claims
from hub.platform.connections import is_cancelling, is_outage
from hub.platform.redis_errors import REDIS_ERRORS
from hub.send.admission import Admission
from hub.send.delivery_attempt import ProviderCalls
from hub.send.job_kind import JobHandler, ReadyToSend
from hub.send.settler import ERROR_PAUSE_S, Settler
from hub.send.state_after_outcome import Transition
from hub.send.worker_resources import DispatchPolicy, WorkerResources

WAKEUP_TIMEOUT_S = 1.0  # interval at which lanes are polled without a wake-up token
SHARE_REACHED_PAUSE_S = 0.02  # between polls while a tenant uses its whole share of slots
TENANT_SHARE = 0.75
STOP_SETTLE_TIMEOUT_S = 1.5  # to settle the last results when the process stops
ISOLATED_TRIES = 2  # more than one, because a worker may be killed for an unrelated reason
UNSETTLED_PER_SLOT = 4  # a worker with more unsettled results takes no jobs

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)


class Dispatcher(Generic[J]):
    def __init__(
        self,
        channel: str,
        handler: JobHandler[J],
        claims: Claims[J],
        resources: WorkerResources,
        policy: DispatchPolicy,
    ) -> None:
        self.channel = channel
        self._handler = handler
        self._claims = claims
        self._lanes = resources.lanes
        self._isolation = resources.isolation
        self._clock = resources.clock
        self._concurrency = policy.concurrency
        self._lease_s = policy.lease_s
        self._isolate_from = max(1, policy.lease_max_expirations - ISOLATED_TRIES)  # expired leases
        self._slots_by_tenant: Counter[str] = Counter()
        self._slot_freed = asyncio.Event()
        self._admission = Admission(
            channel, resources.breakers, resources.sms_limit, resources.throttle, resources.clock
        )
        self._settler = Settler(
            channel, handler, claims, resources.breakers, resources.clock, on_batch=self._slot_freed.set
        )
        self._calls = ProviderCalls(channel, handler, claims, self._settler, resources, policy)
        self._tasks: set[asyncio.Task[None]] = set()
        self._isolated_task: asyncio.Task[None] | None = None
        self._stopping = False

    async def run(self) -> None:
        """Process jobs until `stop` is called or the task is cancelled."""
        settling = asyncio.create_task(self._settler.run())
        settling.add_done_callback(lambda _: self.stop())
        try:
            while not self._stopping and not is_cancelling():
                await self._poll()
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._stopping = True
            self._settler.finish()
            await asyncio.wait({settling}, timeout=STOP_SETTLE_TIMEOUT_S)
            settling.cancel()
        if settling.done():
            settling.result()

    def stop(self) -> None:
        """Take no more jobs. `run` returns after the running calls have ended."""
        self._stopping = True
        self._slot_freed.set()
        self._settler.stop_waiting()

    @property
    def _free_slots(self) -> int:
        if self._settler.waiting >= UNSETTLED_PER_SLOT * self._concurrency:
            return 0
        return self._concurrency - self._slots_by_tenant.total()

    async def _poll(self) -> None:
        """Take one batch of ids and process it, or wait for a free slot or a wake-up token."""
        if not self._free_slots:
            self._slot_freed.clear()
            await self._slot_freed.wait()
            return
        per_tenant_max = max(1, int(self._concurrency * TENANT_SHARE))
        try:
            async with self._isolation.shared():
                if self._stopping or not self._free_slots:
                    return
                share_reached = any(slots >= per_tenant_max for slots in self._slots_by_tenant.values())
                if taken := await self._lanes.take(
                    self.channel, self._free_slots, per_tenant_max, self._slots_by_tenant
                ):
                    await self._log_errors(self._process(taken))
                    return
            if share_reached:  # that tenant's jobs may be waiting, and a free slot pushes no wake-up token
                await asyncio.sleep(SHARE_REACHED_PAUSE_S)
            else:
                await self._lanes.wait_for_wakeup([self.channel], WAKEUP_TIMEOUT_S)
        except REDIS_ERRORS as error:
            log.warning("queue_unavailable", channel=self.channel, error=error)
            await asyncio.sleep(ERROR_PAUSE_S)

    async def _log_errors(self, work: Awaitable[None]) -> None:
        try:
            await work
        except PyMongoError as error:
            log.warning("dispatch_failed", channel=self.channel, error=error)
            await asyncio.sleep(ERROR_PAUSE_S)
        except Exception:
            log.exception("dispatch_crashed", channel=self.channel)
            await asyncio.sleep(ERROR_PAUSE_S)

    async def _process(self, taken: Sequence[tuple[str, str]]) -> None:
        """Claim and start the jobs that do not need isolation. Suspected poison jobs run in the isolated task. If that
        task is busy, the jobs are not claimed and are enqueued again later."""
        ids = [id for _, id in taken]
        ends_at = asyncio.get_running_loop().time() + self._lease_s
        try:
            jobs = await self._claims.claim(ids, self._lease_s, self._isolate_from)
        except PyMongoError as error:
            if is_outage(error):  # perhaps an election; without this, the ids would wait until they are due again
                with suppress(*REDIS_ERRORS):
                    await self._lanes.put(taken)
            raise
        await self._start(jobs, ends_at)
        if len(jobs) == len(ids) or (self._isolated_task and not self._isolated_task.done()):
            return
        if suspects := await self._claims.find_suspects(ids, self._isolate_from):
            self._isolated_task = self._spawn(self._run_isolated(suspects))

    async def _run_isolated(self, ids: Sequence[str]) -> None:
        """Run suspected poison jobs one by one. The lock is acquired before a job is claimed and released after the job
        is settled, so only the job itself can make its lease expire."""
        for id in ids:
            async with self._isolation.exclusive():
                if self._stopping:
                    return
                await self._log_errors(self._process_isolated(id))

    async def _process_isolated(self, id: str) -> None:
        ends_at = asyncio.get_running_loop().time() + self._lease_s
        if not (jobs := await self._claims.claim([id], self._lease_s)):
            return
        log.warning("running_isolated", channel=self.channel, job=id)
        if attempts := await self._start(jobs, ends_at):
            await asyncio.wait(attempts)
        if not self._stopping:
            await self._settler.wait_settled()

    async def _start(self, jobs: Sequence[J], ends_at: float) -> list[asyncio.Task[None]]:
        """Start the attempts of the jobs that may be called now. Return the tasks."""
        try:
            checked = await self._check(jobs)
        except Exception:
            self._settler.reschedule_all(jobs)
            raise
        to_start: dict[str, tuple[J, ReadyToSend]] = {}
        for job, result in checked:
            if isinstance(result, Transition):
                self._settler.put(job, result)
            else:
                to_start[job.id] = job, result
        try:
            started = await self._record_start(to_start)
            stopped = await self._handler.find_stopped([to_start[id] for id in started])
        except Exception:
            self._settler.reschedule_all(job for job, _ in to_start.values())
            raise
        for id, transition in stopped.items():
            self._settler.put(to_start[id][0], transition)
        return [self._spawn_attempt(*to_start[id], ends_at) for id in started - stopped.keys()]

    async def _check(self, jobs: Sequence[J]) -> list[tuple[J, ReadyToSend | Transition]]:
        """Return the next states of the jobs that are not called now, and the messages of the other jobs."""
        if not jobs:
            return []
        prepared = list(zip(jobs, await self._handler.prepare(jobs, self._clock()), strict=True))
        ready = [(job, result) for job, result in prepared if isinstance(result, ReadyToSend)]
        ended = [(job, result) for job, result in prepared if isinstance(result, Transition)]
        return [*ended, *(await self._admission.admit(ready) if ready else [])]

    async def _record_start(self, to_start: dict[str, tuple[J, ReadyToSend]]) -> set[str]:
        """Record the first call of each job. Return the ids of the jobs that are still claimed by this worker."""
        if not to_start:
            return set()
        claim = next(iter(to_start.values()))[0].claim  # the jobs of a batch share one claim
        assert claim
        return await self._claims.start({id: ready.providers[0].name for id, (_, ready) in to_start.items()}, claim)

    def _spawn_attempt(self, job: J, ready: ReadyToSend, ends_at: float) -> asyncio.Task[None]:
        self._slots_by_tenant[job.tenant] += 1
        self._isolation.acquire_shared()
        task = self._spawn(self._calls.attempt(job, ready, ends_at))

        def free_slot(_: asyncio.Task[None]) -> None:
            self._isolation.release_shared()
            self._slots_by_tenant[job.tenant] -= 1
            if not self._slots_by_tenant[job.tenant]:
                del self._slots_by_tenant[job.tenant]
            self._slot_freed.set()

        task.add_done_callback(free_slot)
        return task

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
