"""Signed POST requests and the outcomes of their responses. `hub/platform/webhook_signature.py` signs them."""

from collections.abc import Mapping
from datetime import datetime

from hub.platform.outbound_http import AddressNotAllowed, HTTPResponse, OutboundHTTP, OutboundHTTPError
from hub.send.outcome import Dead, Delivered, Gone, Outcome, Retry
from hub.send.retry_after import retry_after_s

GONE = 410
PERMANENT_STATUSES = frozenset({405, 413, 414, 415, 431})
"""Statuses of receivers that do not accept POST, JSON, or this size. A retry would fail in the same way."""


async def post(
    outbound_http: OutboundHTTP, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float, now: datetime
) -> Outcome:
    """Send one request to `url`. The outcome contains the HTTP status but never the response body."""
    try:
        response = await outbound_http.post(url, body, headers, timeout_s)
    except AddressNotAllowed as error:
        return Dead(str(error))
    except OutboundHTTPError as error:
        return Retry(str(error), shared=error.host_down or None)
    return outcome_of_response(response, now)


def outcome_of_response(response: HTTPResponse, now: datetime) -> Outcome:
    """Return the outcome of a response.

    As in Svix and Standard Webhooks, most errors are retried, because receivers return 400, 401, and 404 during
    deployments or before they have the secret. Redirects are not followed; they are retried. Only 410 means that the
    address no longer exists."""
    if 200 <= response.status < 300:
        return Delivered()
    error = f"HTTP {response.status}"
    if response.status == GONE:
        return Gone(error)
    if response.status in PERMANENT_STATUSES:
        return Dead(error)
    return Retry(error, retry_after_s(response.headers.get("retry-after"), now))
