"""Requests that Twilio makes: statuses of messages, and incoming messages, with their signatures."""

import base64
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlencode

from tests.client import Tenant
from tests.fake_twilio import TOKEN

PUBLIC_URL = "https://hub.example"
PATH = "/providers/twilio"
SENDER = "+15550001111"
EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


def signature(url: str, form: dict[str, str], token: str = TOKEN) -> str:
    """Return the value of X-Twilio-Signature."""
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


async def post(
    tenant: Tenant, form: dict[str, str], *, signed: str | None = None, query: str = "", url: str | None = None
) -> tuple[int, str]:
    """Post a form. Return the status and the text of the response. Without `signed`, the signature is valid."""
    valid = signature(PUBLIC_URL + PATH + query, form)
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": valid if signed is None else signed,
    }
    address = (url or tenant.next_url()).removesuffix("/graphql") + PATH + query
    async with tenant.http.post(address, data=urlencode(form), headers=headers) as response:
        return response.status, await response.text()


def incoming(number: str, text: str, **more: str) -> dict[str, str]:
    """Return the form of a message to the hub."""
    sid = f"SM{secrets.token_hex(16)}"
    return {"MessageSid": sid, "SmsStatus": "received", "From": number, "To": SENDER, "Body": text, **more}


def status(sid: str, value: str, number: str, code: int | None = None) -> dict[str, str]:
    """Return the form of a status of a message from the hub."""
    error: dict[str, Any] = {"ErrorCode": str(code)} if code else {}
    return {"MessageSid": sid, "MessageStatus": value, "SmsStatus": value, "From": SENDER, "To": number, **error}


async def receive(tenant: Tenant, number: str, text: str, **more: str) -> str:
    """Post a message to the hub. Return the answer."""
    code, answer = await post(tenant, incoming(number, text, **more))
    assert code == 200
    return answer
