"""Signed POST requests (Standard Webhooks 1.0) and the outcomes of their responses."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime

from hub.platform.outbound_http import AddressNotAllowed, HTTPResponse, OutboundHTTP, OutboundHTTPError
from hub.send.outcome import Dead, Delivered, Gone, Outcome, Retry
from hub.send.retry_after import retry_after_s

PREFIX = "whsec_"
GONE = 410
PERMANENT_STATUSES = frozenset({405, 413, 414, 415, 431})
"""Statuses of receivers that do not accept POST, JSON, or this size. A retry would fail in the same way."""


def sign_headers(id: str, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """Return the signature headers of a body, with one signature per secret over the id, the time, and the body."""
    time = str(int(at.timestamp()))
    content = b".".join((id.encode(), time.encode(), body))
    keys = [b64decode(secret.removeprefix(PREFIX)) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": time,
        "webhook-signature": " ".join(f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in keys),
    }


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
