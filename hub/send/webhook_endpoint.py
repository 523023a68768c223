"""Calls of a tenant's endpoints about events: the same signature and the same answers as a person's webhook."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from hub.clock import Clock
from hub.model import DeliveryStatus, Reason, Tenant, WebhookCall, WebhookEndpoint
from hub.platform import circuit_breaker
from hub.platform.outbound_http import OutboundHTTP
from hub.send import signing
from hub.send.job_handler import ReadyToSend
from hub.send.outcome import Outcome
from hub.send.retry_policy import Transition

ENDPOINT_CACHE_SIZE = 10_000
SECRET_OVERLAP = timedelta(days=1)
"""How long the secret before the newest one signs beside it."""


class WebhookMessage(Struct, frozen=True):
    """A call, and where it goes."""

    id: str
    call: WebhookCall
    endpoint: WebhookEndpoint


class WebhookEndpointProvider:
    name = "endpoint"

    def __init__(self, egress: OutboundHTTP, timeout_s: float, clock: Clock) -> None:
        self._egress = egress
        self._clock = clock
        self.timeout_s = timeout_s

    def breakers(self, message: WebhookMessage) -> tuple[str, ...]:
        return circuit_breaker.breaker_names("webhook", message.call.tenant, message.endpoint.url, message.endpoint.id)

    async def send(self, message: WebhookMessage) -> Outcome:
        """One attempt, with the id that the call has for life."""
        now, body = self._clock(), message.call.payload.encode()
        headers = signing.sign_headers(message.id, body, signing_secrets(message.endpoint, now), now)
        return await signing.post(self._egress, message.endpoint.url, body, headers, self.timeout_s, now)


class WebhookHandler:
    """The desk of these calls. `tenants` are read by id; `settled` keeps book of how an endpoint does."""

    def __init__(
        self,
        provider: WebhookEndpointProvider,
        tenants: Callable[[Collection[str]], Awaitable[Mapping[str, Tenant]]],
        record_result: Callable[[str, WebhookEndpoint, DeliveryStatus], Awaitable[None]],
    ) -> None:
        self._provider = provider
        self._tenants = tenants
        self._record_result = record_result
        self._endpoints: dict[tuple[str, str], WebhookEndpoint] = {}

    async def prepare(self, jobs: Sequence[WebhookCall], now: datetime) -> list[ReadyToSend | Transition]:  # noqa: ARG002 - as desks are
        """What is for an endpoint that is gone or switched off fails, and can be replayed when it is back."""
        tenants = await self._tenants({job.tenant for job in jobs})
        found: list[ReadyToSend | Transition] = []
        for job in jobs:
            endpoint = next((one for one in tenants[job.tenant].endpoints if one.id == job.endpoint), None)
            if endpoint is None or not endpoint.enabled:
                found.append(Transition(DeliveryStatus.FAILED, Reason.ADDRESS_GONE))
                continue
            if len(self._endpoints) >= ENDPOINT_CACHE_SIZE:
                self._endpoints.clear()
            self._endpoints[job.tenant, job.endpoint] = endpoint
            found.append(ReadyToSend(WebhookMessage(job.id, job, endpoint), [self._provider]))
        return found

    async def on_settled(self, jobs: Sequence[tuple[WebhookCall, DeliveryStatus]]) -> None:
        for job, became in jobs:
            if endpoint := self._endpoints.get((job.tenant, job.endpoint)):
                await self._record_result(job.tenant, endpoint, became)

    async def on_address_gone(self, job: WebhookCall, message: WebhookMessage) -> None:
        """It said so to this call; to the next it may say something else."""


def signing_secrets(endpoint: WebhookEndpoint, now: datetime) -> tuple[str, ...]:
    """What signs now, the newest first."""
    rotating = endpoint.rotated_at is not None and now < endpoint.rotated_at + SECRET_OVERLAP
    return endpoint.secrets[: 2 if rotating else 1]
