"""The worker loop of one channel: take, claim, prepare, call, settle.

What runs when
- One loop takes ids from the lanes, up to the number of free slots, and prepares them as one batch. The batch size
  follows the load: it is 1 when the worker is idle.
- Each provider call is a task and holds a slot. No tenant holds more than `TENANT_SHARE` of the slots: slow endpoints
  of one tenant do not block the others.
- Outcomes are settled in batches. A slot is free when its call ends. A worker that cannot settle stops taking.
- A job with only `ISOLATED_TRIES` lease expirations left is claimed, called and settled while the process makes no
  other call (`isolation`). Such jobs of one batch run one after the other in a separate task. Further ones are not
  claimed meanwhile; the scheduler puts them on their lane again.

Guarantees
- No call is made without a claim, and no call outlasts its claim.
- After an error a job is either rescheduled or stays claimed and becomes due when its lease ends.
- A job becomes FAILED with POISON only if its last leases expired while it ran in isolation.
- `run` raises if taking or settling crashes: no half of it goes on alone.

How it stops: `stop` ends the taking. Running calls may finish for as long as the process allows. Their outcomes are
settled. Jobs that are claimed but not called are released.
"""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, Generic, TypeVar

import structlog
from msgspec.structs import replace
from pymongo.errors import PyMongoError

from hub.clock import Clock
from hub.model import Attempt, DeliveryStatus, Reason
from hub.outbox.claims import Claims, Job, Settlement
from hub.outbox.lanes import Lanes
from hub.platform import metrics, tracing
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import is_cancelling, is_outage
from hub.platform.redis_keys import REDIS_ERRORS
from hub.send.isolation import IsolationLock
from hub.send.job_handler import JobHandler, ReadyToSend
from hub.send.outcome import Delivered, Gone, Outcome, Retry, Sent, breaker_results
from hub.send.retry_policy import Transition, next_state
from hub.send.throttle import DeliveryThrottle

WAKEUP_TIMEOUT_S = 1.0  # lanes are polled this often even without a wake-up token
SHARE_REACHED_PAUSE_S = 0.02  # between polls while a tenant holds its share of slots
ERROR_PAUSE_S = 0.5  # after an error of a store
SETTLE_BATCH_SIZE = 500
TENANT_SHARE = 0.75
STOP_SETTLE_TIMEOUT_S = 1.5  # to settle the last outcomes when the process stops
CANCEL_GRACE_S = 1.0  # a provider ends its call by itself; after this time it is cancelled
ATTEMPTS_KEPT = 50
ISOLATED_TRIES = 2  # more than one: the worker may have been killed for another reason
NOT_CALLED = Retry("not called")

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)


class Dispatcher(Generic[J]):
    def __init__(
        self,
        channel: str,
        handler: JobHandler[J],
        claims: Claims[J],
        lanes: Lanes,
        breakers: Breakers,
        throttle: DeliveryThrottle,
        isolation: IsolationLock,
        clock: Clock,
        *,
        concurrency: int,
        lease_s: float,
        schedule: Sequence[float],
        retry_after_max_s: float,
        lease_max_expirations: int,
        count: Callable[[str, str, bool], None] = lambda *_: None,
    ) -> None:
        self.channel = channel
        self._handler = handler
        self._claims = claims
        self._lanes = lanes
        self._breakers = breakers
        self._throttle = throttle
        self._isolation = isolation
        self._clock = clock
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._schedule = schedule
        self._retry_after_max_s = retry_after_max_s
        self._isolate_from = max(1, lease_max_expirations - ISOLATED_TRIES)  # expired leases
        self._count = count
        self._isolated_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots_by_tenant: Counter[str] = Counter()
        self._slot_freed = asyncio.Event()
        self._results: deque[Settlement[J]] = deque()
        self._results_ready = asyncio.Event()
        self._all_settled = asyncio.Event()
        self._health: defaultdict[str, list[bool]] = defaultdict(list)
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop` or cancellation."""
        settling = asyncio.create_task(self._settle_until_stopped())
        settling.add_done_callback(lambda _: self.stop())
        try:
            while not self._stopping and not is_cancelling():
                await self._poll()
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for call in self._tasks:
                call.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._stopping = True
            self._results_ready.set()
            await asyncio.wait({settling}, timeout=STOP_SETTLE_TIMEOUT_S)
            settling.cancel()
        if settling.done():
            settling.result()

    def stop(self) -> None:
        self._stopping = True
        self._slot_freed.set()
        self._all_settled.set()

    # ------------------------------------------------------------- taking

    @property
    def _free_slots(self) -> int:
        return self._concurrency - self._slots_by_tenant.total() if len(self._results) < 4 * self._concurrency else 0

    async def _poll(self) -> None:
        if not self._free_slots:
            self._slot_freed.clear()
            await self._slot_freed.wait()
            return
        most = max(1, int(self._concurrency * TENANT_SHARE))
        try:
            async with self._isolation.shared():
                if self._stopping or not self._free_slots:
                    return
                busy = any(slots >= most for slots in self._slots_by_tenant.values())
                if taken := await self._lanes.take(self.channel, self._free_slots, most, self._slots_by_tenant):
                    await self._log_errors(self._process(taken))
                    return
            if busy:  # the waiting jobs may be theirs, and a free slot pushes no wake-up token
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
        """Claim and start the jobs that need no isolation. Suspects run in the isolated task; if it is busy, they are
        not claimed and come back later."""
        ids = [id for _, id in taken]
        ends_at = asyncio.get_running_loop().time() + self._lease_s
        try:
            jobs = await self._claims.claim(ids, self._lease_s, self._isolate_from)
        except PyMongoError as error:
            if is_outage(error):  # perhaps an election: without this the ids would wait until they are due again
                with suppress(*REDIS_ERRORS):
                    await self._lanes.put(taken)
            raise
        await self._prepare(jobs, ends_at)
        if len(jobs) == len(ids) or (self._isolated_task and not self._isolated_task.done()):
            return
        if suspects := await self._claims.find_suspects(ids, self._isolate_from):
            self._isolated_task = self._spawn(self._run_isolated(suspects))

    async def _run_isolated(self, ids: Sequence[str]) -> None:
        """Run suspects one by one. Each is claimed only when the lock is held, and the lock is released after
        the job is settled: only the job itself can make its lease expire."""
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
        if calls := await self._prepare(jobs, ends_at):
            await asyncio.wait(calls)
        if not self._stopping:
            await self._all_settled.wait()

    async def _prepare(self, jobs: Sequence[J], ends_at: float) -> list[asyncio.Task[None]]:
        """Check the jobs and start their calls. Return the tasks of the calls."""
        if not jobs:
            return []
        now = self._clock()
        try:
            prepared = await self._handler.prepare(jobs, now)
        except Exception:
            self._reschedule_all(jobs)
            raise
        to_call: list[tuple[J, ReadyToSend]] = []
        for job, result in zip(jobs, prepared, strict=True):
            if isinstance(result, Transition):
                self._queue_settlement(job, result)
            else:
                to_call.append((job, result))
        return await self._start(to_call, ends_at) if to_call else []

    async def _start(self, to_call: list[tuple[J, ReadyToSend]], ends_at: float) -> list[asyncio.Task[None]]:
        """Start the calls that the circuit breakers and the rate limits allow."""
        chains = [[provider.breakers(ready.message) for provider in ready.providers] for _, ready in to_call]
        names_asked = {name for chain in chains for names in chain for name in names}
        waits = await self._breakers.check(names_asked, {name for chain in chains for name in chain[0]})
        blocked = [chain for chain in chains if max(waits[name] for name in chain[0]) > 0]
        if fallback_names := {name for chain in blocked for names in chain[1:] for name in names}:
            waits |= await self._breakers.check(fallback_names)
        to_start: dict[str, tuple[J, ReadyToSend]] = {}
        for job, ready in to_call:
            passing: list[Any] = []
            shortest, probing = float("inf"), False
            for provider in ready.providers:
                names = provider.breakers(ready.message)
                wait = max(waits[name] for name in names)
                if wait <= 0:
                    passing.append(provider)
                    for name in names:
                        if waits[name] == 0:
                            waits[name], probing = 1.0, True  # one probe, which no rate limit delays
                shortest = min(shortest, wait)
            if not passing:
                wait_s = shortest + random.uniform(0, 1)  # noqa: S311 - jitter
                self._reschedule(job, Reason.PROVIDER_DOWN, self._clock() + timedelta(seconds=wait_s))
            elif not probing and (wait_s := self._throttle.wait_s(self.channel, job.tenant, ready.user, job.priority)):
                self._reschedule(job, Reason.RATE_LIMITED, self._clock() + timedelta(seconds=wait_s))
            else:
                to_start[job.id] = job, replace(ready, providers=passing)
        await self._breakers.release_probes([name for name, wait in waits.items() if wait == 0])
        if not to_start:
            return []
        claim = next(iter(to_start.values()))[0].claim
        assert claim
        first = {id: ready.providers[0].name for id, (_, ready) in to_start.items()}
        try:
            started = await self._claims.start(first, claim)
        except Exception:
            self._reschedule_all([job for job, _ in to_start.values()])
            raise
        calls = []
        for id in started:
            job, ready = to_start[id]
            self._slots_by_tenant[job.tenant] += 1
            self._isolation.acquire_shared()
            calls.append(self._spawn(self._call(job, ready, claim, ends_at)))
            calls[-1].add_done_callback(lambda _: self._isolation.release_shared())
        return calls

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------- calling

    async def _call(self, job: J, ready: ReadyToSend, claim: str, ends_at: float) -> None:
        """Make one attempt: call the providers in order until one returns something other than `Retry`."""
        attempts = list(job.attempts)
        outcome: Outcome = NOT_CALLED
        try:
            for index, provider in enumerate(ready.providers):
                if asyncio.get_running_loop().time() + provider.timeout_s + CANCEL_GRACE_S > ends_at:
                    break
                if index:
                    try:
                        mine = await self._claims.start({job.id: provider.name}, claim)
                    except PyMongoError as away:  # the outcome of the previous provider counts
                        log.warning("fallback_provider_skipped", channel=self.channel, job=job.id, error=away)
                        break
                    if not mine:
                        return
                at, begun = self._clock(), perf_counter()
                outcome = await self._send(provider, ready)
                ok = isinstance(outcome, Sent | Delivered)
                error = None if isinstance(outcome, Sent | Delivered) else outcome.error
                ms = round((perf_counter() - begun) * 1000)
                attempts.append(Attempt(at=at, provider=provider.name, ok=ok, error=error, ms=ms))
                for name, healthy in breaker_results(provider.breakers(ready.message), outcome):
                    self._health[name].append(healthy)
                self._count(self.channel, provider.name, ok)
                metrics.attempts.labels(self.channel, provider.name, type(outcome).__name__).inc()
                if not isinstance(outcome, Retry):
                    break
            if outcome is NOT_CALLED:  # a call now could outlast the claim
                self._reschedule(job, None, self._clock())
                return
            now = self._clock()
            tries = job.tries + 1
            step = next_state(outcome, tries, self._schedule, self._retry_after_max_s, now, random.random)
            provider_id = outcome.provider_id if isinstance(outcome, Sent | Delivered) else None
            self._queue_settlement(job, step, tuple(attempts[-ATTEMPTS_KEPT:]), tries, provider_id)
            if isinstance(outcome, Gone):
                await self._handler.on_address_gone(job, ready.message)
        except asyncio.CancelledError:  # the process stops: the message may have arrived
            stopped = Retry("the worker was stopped")
            interrupted = Attempt(at=self._clock(), provider=ready.providers[0].name, error=stopped.error, ms=0)
            tries = job.tries + 1
            step = next_state(stopped, tries, self._schedule, self._retry_after_max_s, self._clock(), random.random)
            self._queue_settlement(job, step, (*attempts[1 - ATTEMPTS_KEPT :], interrupted), tries)
            raise
        except PyMongoError as error:
            log.warning("address_deactivation_failed", channel=self.channel, job=job.id, error=error)
        except Exception:  # if it is not settled, its lease expires
            log.exception("call_crashed", channel=self.channel, job=job.id)
        finally:
            self._slots_by_tenant[job.tenant] -= 1
            if not self._slots_by_tenant[job.tenant]:
                del self._slots_by_tenant[job.tenant]
            self._slot_freed.set()

    async def _send(self, provider: Any, ready: ReadyToSend) -> Outcome:
        try:
            async with asyncio.timeout(provider.timeout_s + CANCEL_GRACE_S):
                with tracing.span(f"send {self.channel}", ready.traceparent, "CLIENT"):
                    outcome: Outcome = await provider.send(ready.message)
                return outcome
        except TimeoutError:
            return Retry(f"no answer within {provider.timeout_s:g} s (HUB_PROVIDER_TIMEOUT_S)")
        except Exception as error:
            log.exception("provider_crashed", channel=self.channel, provider=provider.name, delivery=ready.message.id)
            return Retry(type(error).__name__, shared=False)  # a bug that concerns this message

    # ------------------------------------------------------------- settling

    def _reschedule(self, job: J, reason: Reason | None, due_at: datetime) -> None:
        """Schedule the job again without counting a try."""
        status = DeliveryStatus.HELD if reason else DeliveryStatus.ACCEPTED
        self._queue_settlement(job, Transition(status, reason, due_at))

    def _reschedule_all(self, jobs: Sequence[J]) -> None:
        """Schedule jobs again after an error of a store. None of them was called."""
        for job in jobs:
            self._reschedule(job, None, self._clock() + timedelta(seconds=random.uniform(1, 2)))  # noqa: S311 - jitter

    def _queue_settlement(
        self,
        job: J,
        step: Transition,
        attempts: tuple[Attempt, ...] | None = None,
        tries: int | None = None,
        provider_id: str | None = None,
    ) -> None:
        settlement = Settlement(
            job=job,
            status=step.status,
            reason=step.reason,
            due_at=step.due_at,
            attempts=job.attempts if attempts is None else attempts,
            tries=job.tries if tries is None else tries,
            lease_expirations=job.lease_expirations,
            provider_id=provider_id,
        )
        self._results.append(settlement)
        self._all_settled.clear()
        self._results_ready.set()

    async def _settle_until_stopped(self) -> None:
        """Settle until the dispatcher stops and nothing is left."""
        while not is_cancelling() and not (self._stopping and not self._results and not self._tasks):
            self._results_ready.clear()
            if self._results:
                await self._settle()
            else:
                self._all_settled.set()
                await self._results_ready.wait()

    async def _settle(self) -> None:
        batch = [self._results.popleft() for _ in range(min(len(self._results), SETTLE_BATCH_SIZE))]
        try:
            await self._settle_batch(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are settled
            log.warning("settling_failed", channel=self.channel, error=error, jobs=len(batch))
            if isinstance(error, PyMongoError) and is_outage(error):
                self._results.extendleft(reversed(batch))
            elif len(batch) > 1:  # one of them may cause the error
                for settlement in batch:
                    with suppress(Exception):
                        await self._settle_batch([settlement])
            await asyncio.sleep(ERROR_PAUSE_S)
        finally:
            self._slot_freed.set()

    async def _settle_batch(self, batch: Sequence[Settlement[J]]) -> None:
        health, self._health = self._health, defaultdict(list)
        await self._breakers.record(health)
        settled, now = await self._claims.settle(batch), self._clock()
        for done in settled:
            metrics.deliveries.labels(self.channel, done.status).inc()
            if done.status in {DeliveryStatus.SENT, DeliveryStatus.DELIVERED}:
                waited_s = (now - done.job.created_at).total_seconds()
                metrics.accept_to_sent.labels(self.channel, done.job.priority).observe(waited_s)
        if ended := [(done.job, done.status) for done in settled if done.due_at is None]:
            try:
                await self._handler.on_settled(ended)
            except PyMongoError as error:
                log.warning("settlement_hooks_failed", channel=self.channel, jobs=len(ended), error=error)
