"""Calls of tenants' webhook endpoints. The signature and the status codes are the same as in the WEBHOOK channel."""

import random
from collections.abc import Sequence
from datetime import datetime

import structlog
from cachetools import LRUCache
from msgspec import Struct

from hub.audience.tenants import Tenants
from hub.model import DeliveryStatus, Reason, Tenant, WebhookCall, WebhookEndpoint
from hub.platform import circuit_breaker
from hub.platform.encryption import CredentialUnavailable
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.webhook_signature import sign_headers, signing_secrets
from hub.send import signed_post
from hub.send.job_kind import ReadyToSend
from hub.send.outcome import Outcome
from hub.send.state_after_outcome import Transition, state_without_credential
from hub.send.worker_resources import DispatchPolicy
from hub.utc_time import Clock, RealClock
from hub.webhooks.endpoints import Endpoints

log = structlog.get_logger(__name__)

ENDPOINT_CACHE_SIZE = 10_000


class WebhookMessage(Struct, frozen=True):
    """A webhook call with its endpoint."""

    id: str
    call: WebhookCall
    endpoint: WebhookEndpoint


class WebhookEndpointProvider:
    name = "endpoint"

    def __init__(self, outbound_http: OutboundHTTP, timeout_s: float, clock: Clock, real_clock: RealClock) -> None:
        self._outbound_http = outbound_http
        self._clock = clock
        self._real_clock = real_clock
        self.timeout_s = timeout_s

    def breakers(self, message: WebhookMessage) -> tuple[str, ...]:
        return circuit_breaker.breaker_names("webhook", message.call.tenant, message.endpoint.url, message.endpoint.id)

    async def send(self, message: WebhookMessage) -> Outcome:
        """Make one attempt. The `webhook-id` header is the same in every attempt."""
        now, body = self._real_clock(), message.call.payload.encode()
        secrets = signing_secrets(message.endpoint, self._clock())
        headers = sign_headers(message.id, body, secrets, now)
        return await signed_post.post(self._outbound_http, message.endpoint.url, body, headers, self.timeout_s, now)


class WebhookHandler:
    """The job handler of webhook calls."""

    def __init__(
        self, provider: WebhookEndpointProvider, tenants: Tenants, endpoints: Endpoints, policy: DispatchPolicy
    ) -> None:
        self._provider = provider
        self._schedule = policy.schedule
        self._tenants = tenants
        self._endpoints = endpoints
        self._called: LRUCache[tuple[str, str], WebhookEndpoint] = LRUCache(
            ENDPOINT_CACHE_SIZE
        )  # endpoints by tenant and id

    async def prepare(self, jobs: Sequence[WebhookCall], now: datetime) -> list[ReadyToSend | Transition]:
        """Return the message of each call. A call of a deleted or disabled endpoint fails and can be replayed later."""
        tenants = await self._tenants.get_many({job.tenant for job in jobs})
        results: list[ReadyToSend | Transition] = []
        for job in jobs:
            endpoint = _find_endpoint(tenants[job.tenant], job.endpoint)
            if endpoint is None or not endpoint.enabled:
                results.append(Transition(DeliveryStatus.FAILED, Reason.ADDRESS_GONE))
                continue
            self._called[job.tenant, job.endpoint] = endpoint
            try:
                message = WebhookMessage(job.id, job, self._endpoints.decrypted(endpoint))
            except CredentialUnavailable as error:
                log.warning("credential_unavailable", webhook_call=job.id, error=str(error), throttled=True)
                results.append(state_without_credential(error, job.tries, self._schedule, now, random.random))
                continue
            results.append(ReadyToSend(message, [self._provider]))
        return results

    async def find_stopped(self, jobs: Sequence[tuple[WebhookCall, ReadyToSend]]) -> dict[str, Transition]:  # noqa: ARG002 - part of JobHandler
        """Return nothing: these calls are not stopped."""
        return {}

    async def on_settled(self, jobs: Sequence[tuple[WebhookCall, DeliveryStatus]]) -> None:
        """Record the results of the calls."""
        for job, status in jobs:
            if endpoint := self._called.get((job.tenant, job.endpoint)):
                await self._endpoints.record_result(job.tenant, endpoint, status)

    async def on_address_gone(self, job: WebhookCall, message: WebhookMessage) -> None:
        """Do nothing: if a tenant's endpoint returns 410, only this call fails."""


def _find_endpoint(tenant: Tenant, id: str) -> WebhookEndpoint | None:
    return next((endpoint for endpoint in tenant.endpoints if endpoint.id == id), None)
