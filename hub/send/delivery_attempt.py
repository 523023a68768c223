"""One attempt of a job: its providers are called in order until one returns an outcome other than `Retry`."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from time import perf_counter
from typing import Any, Generic, TypeVar

import structlog
from pymongo.errors import PyMongoError

from hub.model import Attempt, DeliveryStatus, Job
from hub.outbox.claims import Claims
from hub.outbox.retry_delay import wait_s
from hub.platform import metrics, tracing
from hub.send.delivery_rate_limits import chat_webhook
from hub.send.job_kind import JobHandler, ReadyToSend
from hub.send.outcome import Delivered, Gone, Outcome, Postponed, Retry, Sent, Skipped, breaker_results
from hub.send.settler import ATTEMPTS_KEPT, Settler
from hub.send.state_after_outcome import Transition, next_state
from hub.send.worker_resources import DispatchPolicy, WorkerResources

CANCEL_GRACE_S = 1.0  # providers enforce their own timeout; a call that exceeds it by this time is cancelled
NOT_CALLED = Retry("not called")

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)


class ProviderCalls(Generic[J]):
    def __init__(
        self,
        channel: str,
        handler: JobHandler[J],
        claims: Claims[J],
        settler: Settler[J],
        resources: WorkerResources,
        policy: DispatchPolicy,
    ) -> None:
        self._channel = channel
        self._handler = handler
        self._claims = claims
        self._settler = settler
        self._tally = resources.tally
        self._throttle = resources.throttle
        self._clock = resources.clock
        self._policy = policy

    async def attempt(self, job: J, ready: ReadyToSend, ends_at: float) -> None:
        """Make one attempt of a job whose first call was recorded with `Claims.start`, and queue its next state.

        No call outlasts `ends_at`, the event loop time at which the lease ends. If the attempt is cancelled, the job is
        retried, although the message may have arrived. This does not count as a try, nor does the death of a worker."""
        attempts = list(job.attempts)
        try:
            outcome = await self._call_providers(job, ready, ends_at, attempts)
        except asyncio.CancelledError:
            now, provider = self._clock(), ready.providers[0].name
            attempts.append(Attempt(at=now, provider=provider, error="the worker was stopped", ms=0))
            wait = timedelta(seconds=wait_s(self._policy.schedule, job.tries + 1, random.random))
            status = DeliveryStatus.RETRYING if job.tries else DeliveryStatus.ACCEPTED
            self._settler.put(job, Transition(status, None, now + wait), tuple(attempts[-ATTEMPTS_KEPT:]))
            raise
        except Exception:  # the job becomes due again when its lease ends
            log.exception("call_crashed", channel=self._channel, job=job.id)
            return
        if outcome is None:
            return
        if outcome is NOT_CALLED:
            self._settler.reschedule(job, self._clock())
            return
        self._settle(job, outcome, attempts)
        if isinstance(outcome, Gone):
            await self._deactivate_address(job, ready.message)

    async def _call_providers(
        self, job: J, ready: ReadyToSend, ends_at: float, attempts: list[Attempt]
    ) -> Outcome | None:
        """Add each call to `attempts`. Return the last outcome, NOT_CALLED if a call could outlast the lease, or None
        if the claim was lost, or if the job was stopped and its next state is queued."""
        outcome: Outcome = NOT_CALLED
        for index, provider in enumerate(ready.providers):
            if asyncio.get_running_loop().time() + provider.timeout_s + CANCEL_GRACE_S > ends_at:
                break
            if index:
                try:
                    still_claimed = await self._claims.start({job.id: provider.name}, job.claim or "")
                    stopped = await self._handler.find_stopped([(job, ready)]) if still_claimed else {}
                except PyMongoError as error:  # the outcome of the previous provider is used
                    log.warning("fallback_provider_skipped", channel=self._channel, job=job.id, error=error)
                    break
                if not still_claimed:
                    return None
                if stopped:  # its tries do not count
                    self._settler.put(job, stopped[job.id], tuple(attempts[-ATTEMPTS_KEPT:]))
                    return None
            outcome = await self._call(provider, ready, attempts)
            if not isinstance(outcome, Retry):
                break
        return outcome

    async def _call(self, provider: Any, ready: ReadyToSend, attempts: list[Attempt]) -> Outcome:
        at, started = self._clock(), perf_counter()
        outcome = await self._send(provider, ready)
        if webhook := chat_webhook(self._channel, ready.message):
            self._throttle.pause(self._channel, webhook, outcome)
        ok = isinstance(outcome, Sent | Delivered | Skipped)
        error = ready.note if isinstance(outcome, Sent | Delivered | Skipped) else outcome.error
        ms = round((perf_counter() - started) * 1000)
        attempts.append(Attempt(at=at, provider=provider.name, ok=ok, error=error, ms=ms))
        self._settler.add_call_results(breaker_results(provider.breakers(ready.message), outcome))
        if not isinstance(outcome, Postponed):
            self._tally.count(self._channel, provider.name, ok)
        metrics.attempts.labels(self._channel, provider.name, type(outcome).__name__).inc()
        return outcome

    async def _send(self, provider: Any, ready: ReadyToSend) -> Outcome:
        try:
            async with asyncio.timeout(provider.timeout_s + CANCEL_GRACE_S):
                with tracing.span(f"send {self._channel}", ready.traceparent, "CLIENT"):
                    outcome: Outcome = await provider.send(ready.message)
                return outcome
        except TimeoutError:
            return Retry(f"no answer within {provider.timeout_s:g} s (HUB_PROVIDER_TIMEOUT_S)")
        except Exception as error:
            log.exception("provider_crashed", channel=self._channel, provider=provider.name, delivery=ready.message.id)
            return Retry(type(error).__name__, shared=False)  # a bug that concerns this message

    def _settle(self, job: J, outcome: Outcome, attempts: Sequence[Attempt]) -> None:
        tries, policy = job.tries + (not isinstance(outcome, Postponed)), self._policy
        transition = next_state(outcome, tries, policy.schedule, policy.retry_after_max_s, self._clock(), random.random)
        provider_id = outcome.provider_id if isinstance(outcome, Sent | Delivered) else None
        self._settler.put(job, transition, tuple(attempts[-ATTEMPTS_KEPT:]), tries, provider_id)

    async def _deactivate_address(self, job: J, message: Any) -> None:
        try:
            await self._handler.on_address_gone(job, message)
        except Exception as error:  # noqa: BLE001 - the job is settled; the next message fails with Gone again
            log.warning("address_deactivation_failed", channel=self._channel, job=job.id, error=error)
