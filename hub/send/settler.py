"""The background task that settles the results of one dispatcher in batches.

Guarantees
- If MongoDB is unavailable, storing a result is retried. After any other error, the results of the batch are settled
  one by one, because one of them may have caused the error. A job that is not settled becomes due when its lease ends.
- `run` raises only if settling itself crashes.

How it stops: after `finish`, `run` settles the remaining results and returns.
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog
from pymongo.errors import PyMongoError

from hub.model import Attempt, DeliveryStatus, Job, Reason
from hub.outbox.claims import Claims, Settlement
from hub.platform import metrics
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import is_cancelling, is_outage
from hub.send.job_kind import JobHandler
from hub.send.state_after_outcome import Transition
from hub.status.virtual_deliveries import TEMPLATE_PROVIDER
from hub.utc_time import Clock, elapsed

ATTEMPTS_KEPT = 50
HUB_PROVIDER = "hub"  # in the attempt of a job that the hub could not prepare
BATCH_SIZE = 500
ERROR_PAUSE_S = 0.5  # after a store error

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)


class Settler(Generic[J]):
    """Settles results. `on_batch` is called after each batch."""

    def __init__(
        self,
        channel: str,
        handler: JobHandler[J],
        claims: Claims[J],
        breakers: Breakers,
        clock: Clock,
        on_batch: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._handler = handler
        self._claims = claims
        self._breakers = breakers
        self._clock = clock
        self._on_batch = on_batch
        self._results: deque[Settlement[J]] = deque()
        self._results_ready = asyncio.Event()
        self._all_settled = asyncio.Event()
        self._call_results: defaultdict[str, list[bool]] = defaultdict(list)  # by circuit breaker
        self._finishing = False

    @property
    def waiting(self) -> int:
        """The number of results that are not yet settled."""
        return len(self._results)

    def put(
        self,
        job: J,
        transition: Transition,
        attempts: tuple[Attempt, ...] | None = None,
        tries: int | None = None,
        provider_id: str | None = None,
    ) -> None:
        """Queue the next state of a claimed job. `attempts` and `tries` are set if a provider was called."""
        if transition.error:
            provider = TEMPLATE_PROVIDER if transition.reason is Reason.TEMPLATE_ERROR else HUB_PROVIDER
            failed = Attempt(at=self._clock(), provider=provider, error=transition.error, ms=0)
            attempts = (*job.attempts, failed)[-ATTEMPTS_KEPT:]
        expirations = transition.lease_expirations
        tries = transition.tries if tries is None else tries
        settlement = Settlement(
            job=job,
            status=transition.status,
            reason=transition.reason,
            due_at=transition.due_at,
            attempts=job.attempts if attempts is None else attempts,
            tries=job.tries if tries is None else tries,
            lease_expirations=job.lease_expirations if expirations is None else expirations,
            provider_id=provider_id,
            lane=transition.lane,
        )
        self._results.append(settlement)
        self._all_settled.clear()
        self._results_ready.set()

    def reschedule(self, job: J, due_at: datetime) -> None:
        """Schedule a job again. This does not count as a try."""
        self.put(job, Transition(DeliveryStatus.ACCEPTED, None, due_at))

    def reschedule_all(self, jobs: Iterable[J]) -> None:
        """Schedule jobs again after a store error. No provider was called for them."""
        for job in jobs:
            self.reschedule(job, self._clock() + timedelta(seconds=random.uniform(1, 2)))  # noqa: S311 - jitter

    def add_call_results(self, results: Iterable[tuple[str, bool]]) -> None:
        """Queue the successes and failures of calls for the circuit breakers."""
        for breaker, ok in results:
            self._call_results[breaker].append(ok)

    async def wait_settled(self) -> None:
        """Wait until all results are settled, or until `stop_waiting` is called."""
        await self._all_settled.wait()

    def stop_waiting(self) -> None:
        """Make `wait_settled` return."""
        self._all_settled.set()

    def finish(self) -> None:
        """Make `run` return after all results are settled."""
        self._finishing = True
        self._results_ready.set()

    async def run(self) -> None:
        """Settle results until `finish` is called or the task is cancelled."""
        while not is_cancelling() and not (self._finishing and not self._results):
            self._results_ready.clear()
            if self._results:
                await self._settle_next()
            else:
                self._all_settled.set()
                await self._results_ready.wait()

    async def _settle_next(self) -> None:
        batch = [self._results.popleft() for _ in range(min(len(self._results), BATCH_SIZE))]
        try:
            await self._settle(batch)
        except Exception as error:  # noqa: BLE001 - the next batch must be settled after any error
            log.warning("settling_failed", channel=self._channel, error=error, jobs=len(batch))
            if isinstance(error, PyMongoError) and is_outage(error):
                self._results.extendleft(reversed(batch))
            elif len(batch) > 1:
                for settlement in batch:
                    with suppress(Exception):
                        await self._settle([settlement])
            await asyncio.sleep(ERROR_PAUSE_S)
        finally:
            self._on_batch()

    async def _settle(self, batch: Sequence[Settlement[J]]) -> None:
        call_results, self._call_results = self._call_results, defaultdict(list)
        await self._breakers.record(call_results)
        settled, now = await self._claims.settle(batch), self._clock()
        for settlement in settled:
            metrics.deliveries.labels(self._channel, settlement.status).inc()
            if settlement.status in {DeliveryStatus.SENT, DeliveryStatus.DELIVERED}:
                waited_s = elapsed(settlement.job.accepted_at, now).total_seconds()
                metrics.accept_to_sent.labels(self._channel, settlement.job.priority).observe(waited_s)
        if finished := [(settlement.job, settlement.status) for settlement in settled if settlement.due_at is None]:
            try:
                await self._handler.on_settled(finished)
            except PyMongoError as error:
                log.warning("settlement_hooks_failed", channel=self._channel, jobs=len(finished), error=error)
