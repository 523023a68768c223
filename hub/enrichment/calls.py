"""The call of a tenant's URL that enriches a send: a signed POST of the send's data, answered by a JSON object."""

from collections.abc import Sequence

import orjson
from msgspec import Struct

from hub.audience.enrichment_secrets import EnrichmentSecretStore
from hub.model import Category, Priority, Tenant
from hub.platform.circuit_breaker import Breakers, breaker_names
from hub.platform.encryption import CredentialUnavailable
from hub.platform.outbound_http import AddressNotAllowed, HTTPResponse, OutboundHTTP, OutboundHTTPError
from hub.platform.webhook_signature import sign_headers
from hub.utc_time import RealClock

ANSWER_MAX_BYTES = 32 << 10
TIMEOUT_MAX_S = 30
CRITICAL_TIMEOUT_S = 2
NOT_OF_THE_CALL = frozenset({408, 429})
"""Statuses below 500 that concern the URL, whatever the data is: too slow, or too many calls."""
NO_ANSWER = "{}"
"""What templates read as `enriched` if a send goes without it."""


class CallFailed(Struct, frozen=True):
    """A call without an answer that can be used. `wait_s`: no call was made, and none is allowed for this long.
    `retry_after`: the header of the response. `url_down`: the failure concerns every call of the URL, not only this
    data. `host_down`: it concerns the host."""

    error: str
    wait_s: float | None = None
    retry_after: str | None = None
    url_down: bool = False
    host_down: bool = False


class EnrichmentCalls:
    def __init__(
        self, outbound_http: OutboundHTTP, breakers: Breakers, secrets: EnrichmentSecretStore, real_clock: RealClock
    ) -> None:
        self._outbound_http = outbound_http
        self._breakers = breakers
        self._secrets = secrets
        self._real_clock = real_clock

    async def call(
        self, tenant: Tenant, category: Category, data: bytes, id: str, priority: Priority
    ) -> str | CallFailed:
        """Make one call, unless a circuit breaker is open, and return the JSON object of its answer. `id`: the
        `webhook-id`, which is the same in every call for a send. Raise CredentialUnavailable if this process does not
        have the key of the secret."""
        assert category.enrichment
        secrets = self._secrets.signing(tenant)
        host, url = names = breaker_names(
            "enrichment", tenant.id, category.enrichment.url, category.enrichment.revision
        )
        waits = await self._breakers.check(names)
        if (wait_s := max(waits.values())) > 0:
            await self._breakers.release_probes([name for name in names if waits[name] == 0])
            return CallFailed("the circuit breaker is open, because calls to this URL failed", wait_s)
        result = await self._post(secrets, category, data, id, priority)
        failed = result if isinstance(result, CallFailed) else CallFailed("")
        await self._breakers.record({host: [not failed.host_down], url: [not failed.url_down]})
        return result

    async def try_call(
        self, tenant: Tenant, category: Category, data: bytes, id: str, priority: Priority
    ) -> str | CallFailed:
        """Make one call as `call` does, but without the circuit breakers, which the call of a simulation must not
        open."""
        try:
            return await self._post(self._secrets.signing(tenant), category, data, id, priority)
        except CredentialUnavailable as error:
            return CallFailed(str(error))

    async def _post(
        self, secrets: Sequence[str], category: Category, data: bytes, id: str, priority: Priority
    ) -> str | CallFailed:
        enrichment, now = category.enrichment, self._real_clock()
        assert enrichment
        timeout_s = min(enrichment.timeout_s, CRITICAL_TIMEOUT_S if priority is Priority.CRITICAL else TIMEOUT_MAX_S)
        try:
            headers = sign_headers(id, data, secrets, now)
            response = await self._outbound_http.post(enrichment.url, data, headers, timeout_s)
        except AddressNotAllowed as error:
            return CallFailed(str(error))
        except OutboundHTTPError as error:
            return CallFailed(str(error), url_down=True, host_down=error.host_down)
        return _answer(response)


def _answer(response: HTTPResponse) -> str | CallFailed:
    """Return the JSON object in a response."""
    if not 200 <= response.status < 300:
        url_down = response.status >= 500 or response.status in NOT_OF_THE_CALL
        return CallFailed(f"HTTP {response.status}", retry_after=response.headers.get("retry-after"), url_down=url_down)
    if len(response.body) > ANSWER_MAX_BYTES:
        return CallFailed(f"the answer has more than {ANSWER_MAX_BYTES:,} bytes")
    try:
        answer = orjson.loads(response.body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return CallFailed("the answer is not a JSON object")
    return orjson.dumps(answer).decode()  # each text has one form, in which the cache is searched for ids of users
