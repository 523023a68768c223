"""Calls of a tenant's endpoints about events: the same signature and the same answers as a person's webhook."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from hub.clock import Clock
from hub.model import DeliveryStatus, Reason, Tenant, WebhookCall, WebhookEndpoint
from hub.platform import circuit_breaker
from hub.platform.outbound_http import OutboundHTTP
from hub.send import signing
from hub.send.job_handler import Ready
from hub.send.outcome import Outcome
from hub.send.retry_policy import Next

KNOWN_MAX = 10_000
ROTATION = timedelta(days=1)
"""How long the secret before the newest one signs beside it."""


class Addressed(Struct, frozen=True):
    """A call, and where it goes."""

    id: str
    call: WebhookCall
    endpoint: WebhookEndpoint


class EndpointCaller:
    name = "endpoint"

    def __init__(self, egress: OutboundHTTP, timeout_s: float, clock: Clock) -> None:
        self._egress = egress
        self._clock = clock
        self.timeout_s = timeout_s

    def breakers(self, message: Addressed) -> tuple[str, ...]:
        return circuit_breaker.breaker_names("webhook", message.call.tenant, message.endpoint.url, message.endpoint.id)

    async def send(self, message: Addressed) -> Outcome:
        """One attempt, with the id that the call has for life."""
        now, body = self._clock(), message.call.payload.encode()
        headers = signing.signed(message.id, body, secrets_at(message.endpoint, now), now)
        return await signing.post(self._egress, message.endpoint.url, body, headers, self.timeout_s, now)


class Calls:
    """The desk of these calls. `tenants` are read by id; `settled` keeps book of how an endpoint does."""

    def __init__(
        self,
        caller: EndpointCaller,
        tenants: Callable[[Collection[str]], Awaitable[Mapping[str, Tenant]]],
        settled: Callable[[str, WebhookEndpoint, DeliveryStatus], Awaitable[None]],
    ) -> None:
        self._caller = caller
        self._tenants = tenants
        self._settled = settled
        self._endpoints: dict[tuple[str, str], WebhookEndpoint] = {}

    async def prepare(self, jobs: Sequence[WebhookCall], now: datetime) -> list[Ready | Next]:  # noqa: ARG002 - as desks are
        """What is for an endpoint that is gone or switched off fails, and can be replayed when it is back."""
        tenants = await self._tenants({job.tenant for job in jobs})
        found: list[Ready | Next] = []
        for job in jobs:
            endpoint = next((one for one in tenants[job.tenant].endpoints if one.id == job.endpoint), None)
            if endpoint is None or not endpoint.enabled:
                found.append(Next(DeliveryStatus.FAILED, Reason.ADDRESS_GONE))
                continue
            if len(self._endpoints) >= KNOWN_MAX:
                self._endpoints.clear()
            self._endpoints[job.tenant, job.endpoint] = endpoint
            found.append(Ready(Addressed(job.id, job, endpoint), [self._caller]))
        return found

    async def ended(self, jobs: Sequence[tuple[WebhookCall, DeliveryStatus]]) -> None:
        for job, became in jobs:
            if endpoint := self._endpoints.get((job.tenant, job.endpoint)):
                await self._settled(job.tenant, endpoint, became)

    async def gone(self, job: WebhookCall, message: Addressed) -> None:
        """It said so to this call; to the next it may say something else."""


def secrets_at(endpoint: WebhookEndpoint, now: datetime) -> tuple[str, ...]:
    """What signs now, the newest first."""
    rotating = endpoint.rotated_at is not None and now < endpoint.rotated_at + ROTATION
    return endpoint.secrets[: 2 if rotating else 1]
