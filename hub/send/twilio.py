"""Twilio's Messages API, which sends SMS and WhatsApp messages, and the outcomes of its responses.

- https://www.twilio.com/docs/messaging/api/message-resource
- https://www.twilio.com/docs/api/errors

Twilio has no idempotency keys: a call that is repeated after a crash is a second message. The texts of Twilio's errors
contain phone numbers, so only the codes are used.
"""

import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

import orjson
import structlog
from pymongo.errors import PyMongoError

from hub.model import Channel
from hub.platform.outbound_http import HTTPResponse, OutboundHTTPError
from hub.platform.twilio_callback import CALLBACK_PATH, RETRY_FRAGMENT
from hub.send.channel import ChannelResources
from hub.send.outcome import Dead, Gone, OptedOut, Outcome, Retry, Sent
from hub.send.retry_after import retry_after_s

BODY_MAX_CHARS = 1600  # error 21617
MESSAGE_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
FAILED_STATUSES = {"failed", "undelivered"}
OPTED_OUT = 21610
INVALID_NUMBER = 21211

ACCOUNT_STATUSES = {401, 403, 404}
"""These concern the credentials or the account, not the message."""
TEMPORARY = {
    20003: "the credentials are refused: check HUB_TWILIO_ACCOUNT_SID and HUB_TWILIO_AUTH_TOKEN",
    20429: "too many requests",
    21212: "the sender is not valid: check HUB_SMS_FROM or HUB_WHATSAPP_FROM",
    21606: "the sender cannot send this: check HUB_SMS_FROM or HUB_WHATSAPP_FROM",
    21609: "Twilio cannot call HUB_PUBLIC_URL",
    21611: "too many messages of the sender are queued",
    21659: "the sender is not a number of this account: check HUB_SMS_FROM or HUB_WHATSAPP_FROM",
    21660: "the sender belongs to another account: check HUB_SMS_FROM or HUB_WHATSAPP_FROM",
    21703: "the messaging service in HUB_SMS_FROM has no sender",
    63007: "the sender has no WhatsApp: check HUB_WHATSAPP_FROM",
    63018: "too many WhatsApp messages",
    63038: "the daily limit of the account is reached",
}
"""Errors of status 400 that do not concern the message. It is retried, or sent by the next provider."""
PERMANENT = {
    INVALID_NUMBER: "the phone number is not valid",
    21408: "the account may not send to this country: allow it in the geographic permissions of Twilio's console",
    OPTED_OUT: "the recipient replied STOP",
    21612: "the sender cannot reach this number",
    21614: "the phone number cannot receive SMS",
    21617: "the text is too long",
    21655: "`whatsappContentSid` of the template is not an id of this account",
    21656: "`whatsappVariables` of the template are empty, or do not match the approved template",
    63003: "the phone number has no WhatsApp",
    63016: "more than 24 hours after the last message of the recipient, WhatsApp accepts only approved templates: set "
    "`whatsappContentSid` in the WHATSAPP text of the template",
    63024: "the phone number has no WhatsApp",
}

log = structlog.get_logger(__name__)


class TwilioMessages:
    """Creates messages of one channel. `gone_codes`: the errors that mean that the number is not an address."""

    def __init__(self, resources: ChannelResources, channel: Channel, gone_codes: Collection[int]) -> None:
        settings = resources.settings
        account = settings.twilio_account_sid
        login = b64encode(f"{account}:{settings.twilio_auth_token.get_secret_value()}".encode()).decode()
        self._url = f"{settings.twilio_url}/2010-04-01/Accounts/{account}/Messages.json"
        self._headers = {
            "authorization": f"Basic {login}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        self._callback = callback_url(settings.public_url)
        self._timeout_s = settings.provider_timeout_s
        self._outbound_http = resources.outbound_http
        self._real_clock = resources.real_clock
        self._opt_outs = resources.opt_outs
        self._channel = channel
        self._gone_codes = gone_codes

    async def create(self, number: str, fields: Mapping[str, str]) -> Outcome:
        """Create a message to a phone number with these form fields, and return the outcome. If the number opted out,
        this is recorded."""
        form = {**fields, "StatusCallback": self._callback} if self._callback else fields
        try:
            response = await self._outbound_http.post(
                self._url, urlencode(form).encode(), self._headers, self._timeout_s
            )
        except OutboundHTTPError as error:
            return Retry(str(error))
        outcome = self._outcome_of(response)
        if isinstance(outcome, OptedOut):
            try:
                await self._opt_outs.record(self._opt_outs.senders[self._channel], number, f"twilio {OPTED_OUT}")
            except PyMongoError as error:  # the next message has this outcome again
                log.warning("opt_out_not_recorded", channel=self._channel, error=error)
        return outcome

    def _outcome_of(self, response: HTTPResponse) -> Outcome:
        answer = _json_object(response.body)
        if 200 <= response.status < 300:
            sid = answer.get("sid")
            if not isinstance(sid, str) or not MESSAGE_SID.fullmatch(sid):
                return Retry(f"HTTP {response.status} without the SID of a message: check HUB_TWILIO_URL")
            failure = answer.get("error_code")
            if answer.get("status") in FAILED_STATUSES and isinstance(failure, int):
                return self._outcome_of_code(failure)
            return Sent(sid)
        found = answer.get("code")
        code = found if isinstance(found, int) else None
        text = describe_code(code) if code else f"HTTP {response.status}"
        is_permanent = 400 <= response.status < 500 and response.status not in ACCOUNT_STATUSES | {408, 429}
        if code in PERMANENT or (is_permanent and code and code not in TEMPORARY):
            return self._outcome_of_code(code)
        if is_permanent and not code:
            return Dead(text)
        return Retry(text, retry_after_s(response.headers.get("retry-after"), self._real_clock()))

    def _outcome_of_code(self, code: int) -> Outcome:
        text = describe_code(code)
        if code == OPTED_OUT:
            return OptedOut(text)
        if code in self._gone_codes:
            return Gone(text)
        return Retry(text) if code in TEMPORARY else Dead(text)


def describe_code(code: int) -> str:
    """Return the meaning of an error code, or where Twilio describes it."""
    meaning = PERMANENT.get(code) or TEMPORARY.get(code)
    return (
        f"Twilio {code}: {meaning}" if meaning else f"Twilio {code}: see https://www.twilio.com/docs/api/errors/{code}"
    )


def callback_url(public_url: str) -> str:
    """Return the URL to which Twilio posts statuses, or an empty text if this machine is the host of HUB_PUBLIC_URL:
    Twilio refuses messages with such a URL."""
    host = urlsplit(public_url).hostname or "localhost"
    try:
        reachable = not ip_address(host).is_loopback
    except ValueError:
        reachable = host != "localhost"
    return f"{public_url}{CALLBACK_PATH}{RETRY_FRAGMENT}" if reachable else ""


def _json_object(body: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
