"""The decision which calls may start now. Circuit breakers are checked first, then the limit of SMS, then rate
limits."""

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from msgspec.structs import replace

from hub.model import Channel, DeliveryStatus, Job, Priority, Reason
from hub.platform.circuit_breaker import Breakers
from hub.send.delivery_rate_limits import DeliveryThrottle, chat_webhook
from hub.send.job_kind import ReadyToSend
from hub.send.sms_limit import SmsLimit
from hub.send.state_after_outcome import Transition
from hub.utc_time import Clock

J = TypeVar("J", bound=Job)


class Admission:
    def __init__(
        self, channel: str, breakers: Breakers, sms_limit: SmsLimit, throttle: DeliveryThrottle, clock: Clock
    ) -> None:
        self._channel = channel
        self._sms_limit = sms_limit
        self._breakers = breakers
        self._throttle = throttle
        self._clock = clock

    async def admit(self, jobs: Sequence[tuple[J, ReadyToSend]]) -> list[tuple[J, ReadyToSend | Transition]]:
        """Return each job with the providers that may be called now, or with HELD if none may be called yet."""
        waits = await self._breaker_waits([ready for _, ready in jobs])
        user_waits = await self._sms_waits(jobs, waits) if self._channel == Channel.SMS else {}
        results = [(job, self._admit(job, ready, waits, user_waits.get(job.id, 0.0))) for job, ready in jobs]
        await self._breakers.release_probes([name for name, wait_s in waits.items() if wait_s == 0])
        return results

    async def _breaker_waits(self, messages: Sequence[ReadyToSend]) -> dict[str, float]:
        """Return the wait of each circuit breaker of these calls. A fallback provider receives a probe only if the
        first provider is blocked."""
        chains = [[provider.breakers(ready.message) for provider in ready.providers] for ready in messages]
        names = {name for chain in chains for breakers in chain for name in breakers}
        waits = await self._breakers.check(names, {name for first, *_ in chains for name in first})
        blocked = [chain for chain in chains if max(waits[name] for name in chain[0]) > 0]
        if fallback_names := {name for chain in blocked for breakers in chain[1:] for name in breakers}:
            waits |= await self._breakers.check(fallback_names)
        return waits

    async def _sms_waits(self, jobs: Sequence[tuple[J, ReadyToSend]], waits: Mapping[str, float]) -> dict[str, float]:
        """Return how long SMS over the limit of their user wait, by job id. CRITICAL ones do not count."""
        counted = [
            (job.id, ready.user)
            for job, ready in jobs
            if job.priority is not Priority.CRITICAL
            and any(_longest_wait(one.breakers(ready.message), waits) <= 0 for one in ready.providers)
        ]
        return await self._sms_limit.waits_s(counted)

    def _admit(
        self, job: Job, ready: ReadyToSend, waits: dict[str, float], user_wait_s: float
    ) -> ReadyToSend | Transition:
        if user_wait_s:
            return self._hold(Reason.RATE_LIMITED, user_wait_s)
        allowed = []
        shortest_s, probing = float("inf"), False
        for provider in ready.providers:
            breakers = provider.breakers(ready.message)
            wait_s = _longest_wait(breakers, waits)
            if wait_s <= 0:
                allowed.append(provider)
                for name in breakers:
                    if waits[name] == 0:  # one probe; rate limits do not delay it
                        waits[name], probing = 1.0, True
            shortest_s = min(shortest_s, wait_s)
        if not allowed:
            return self._hold(Reason.PROVIDER_DOWN, shortest_s + random.uniform(0, 1))  # noqa: S311 - jitter
        if not probing and ready.limited:
            webhook = chat_webhook(self._channel, ready.message)
            wait_s = self._throttle.wait_s(self._channel, job.tenant, ready.user, job.priority, webhook)
            if wait_s:
                return self._hold(Reason.RATE_LIMITED, wait_s)
        return replace(ready, providers=allowed)

    def _hold(self, reason: Reason, wait_s: float) -> Transition:
        return Transition(DeliveryStatus.HELD, reason, self._clock() + timedelta(seconds=wait_s))


def _longest_wait(breakers: Collection[str], waits: Mapping[str, float]) -> float:
    return max(waits[name] for name in breakers)
