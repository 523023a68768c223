"""A signed POST (Standard Webhooks 1.0), and what its answer means."""

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
"""The receiver takes no such request: no POST, no JSON, not of this size. The same one would be refused again."""


def sign_headers(id: str, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The headers that prove where a body comes from: one signature a secret, over id, time and body."""
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
    egress: OutboundHTTP, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float, now: datetime
) -> Outcome:
    """One attempt. The outcome tells the status and never what the other side wrote, which may be anything."""
    try:
        answer = await egress.post(url, body, headers, timeout_s)
    except AddressNotAllowed as refused:
        return Dead(str(refused))
    except OutboundHTTPError as error:
        return Retry(str(error), shared=error.host_down or None)
    return outcome_of_response(answer, now)


def outcome_of_response(answer: HTTPResponse, now: datetime) -> Outcome:
    """Like Svix and the Standard Webhooks, whatever is not a success is tried again: 400, 401 and 404 are what a
    receiver says while it is being deployed or has yet to learn its secret, and a redirect waits for somebody to write
    down the new address. Only 410 says that the address is dead."""
    if 200 <= answer.status < 300:
        return Delivered()
    error = f"HTTP {answer.status}"
    if answer.status == GONE:
        return Gone(error)
    if answer.status in PERMANENT_STATUSES:
        return Dead(error)
    return Retry(error, retry_after_s(answer.headers.get("retry-after"), now))
