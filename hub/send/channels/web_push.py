"""The WEB_PUSH channel, which sends to browsers through their push services (RFC 8030, 8291, and 8292).

The service worker receives a JSON object with the fields `id`, `deliveryId`, `title`, `body`, `url`, `icon`, `image`,
`actions`, `tag`, `unseen`, `category`, `priority`, `createdAt`, `data`, and `receipt`, the URL to which it reports
deliveries and clicks. A payload that is too large is reduced to its most important fields, with `partial: true` and a
body that may be truncated. The service worker loads nothing from the hub: it has no token, and it could not read
notifications that are hidden from the inbox.
"""

import asyncio
import hashlib
from bisect import bisect_right
from datetime import datetime
from urllib.parse import urlsplit

import orjson
from cachetools import LRUCache
from py_vapid import Vapid, VapidException
from pywebpush import WebPusher, WebPushException

from hub import base64url, utc_time
from hub.model import Action, Channel, Notification, Priority
from hub.platform import circuit_breaker
from hub.platform.outbound_http import AddressNotAllowed, HTTPResponse, OutboundHTTP, OutboundHTTPError
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider, collapse_id
from hub.send.outcome import Dead, Gone, Outcome, Retry, Sent
from hub.send.retry_after import retry_after_s
from hub.settings.value_parsers import vapid_key
from hub.utc_time import Clock, RealClock

CHANNEL = Channel.WEB_PUSH

RECORD_BYTES = 4096  # RFC 8291 4: every push service accepts this size
OVERHEAD_BYTES = 86 + 1 + 16  # header with the key, delimiter, tag
PAYLOAD_BYTES = RECORD_BYTES - OVERHEAD_BYTES
SHORT_BYTES = 800  # for push services that accept less than RFC 8291 requires
TITLE_CHARS = 256
BODY_CHARS = 1000  # of a truncated body; system notifications show less
TTL_MAX_S = 28 * 86_400  # the maximum of the large push services
TOKEN_S = 12 * 3600  # RFC 8292 2: no longer than 24 h
TOKEN_FRESH_S = TOKEN_S - 3600  # age at which a token is replaced; it is still valid then
TOKENS_MAX = 1000  # there are few push services, but clients choose the addresses

URGENCY = {Priority.CRITICAL: "high", Priority.HIGH: "high", Priority.MEDIUM: "normal", Priority.LOW: "low"}
RETRY_STATUSES = {408, 425, 429}


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the client for all push services if HUB_VAPID_PRIVATE_KEY is set."""
    settings = resources.settings
    if not (key := settings.vapid_private_key.get_secret_value()):
        return ()
    vapid = Vapid(vapid_key(key))
    subject, timeout_s = settings.vapid_subject, settings.provider_timeout_s
    return (WebPush(resources.outbound_http, vapid, subject, timeout_s, resources.clock, resources.real_clock),)


def preview(message: Message) -> Preview:
    """Return the payload that the service worker would receive."""
    return Preview(message.notification.title, payload(message, orjson.OPT_INDENT_2).decode())


class WebPush:
    """The client for all push services."""

    name = "web_push"

    def __init__(
        self,
        outbound_http: OutboundHTTP,
        vapid: Vapid,
        subject: str,
        timeout_s: float,
        clock: Clock,
        real_clock: RealClock,
    ) -> None:
        self.timeout_s = timeout_s
        self._outbound_http = outbound_http
        self._vapid = vapid
        self._subject = subject
        self._clock = clock
        self._real_clock = real_clock
        self._tokens: LRUCache[str, tuple[float, str]] = LRUCache(TOKENS_MAX)
        """The token for each push service, with the Unix time in seconds at which the token was signed."""

    def breakers(self, message: Message) -> tuple[str, ...]:
        """Return the breakers of the push service and of the device. The user registered the address of the push
        service."""
        device = message.device
        return circuit_breaker.breaker_names(
            self.name, message.notification.tenant, _url(message), device.id if device else ""
        )

    async def send(self, message: Message) -> Outcome:
        try:
            async with asyncio.timeout(self.timeout_s):
                content = payload(message)
                response = await self._post(message, content)
                if response.status == 413 and len(content) > len(short := payload(message, max_bytes=SHORT_BYTES)):
                    response = await self._post(message, short)
        except AddressNotAllowed as error:
            return Dead(str(error))
        except OutboundHTTPError as error:
            return Retry(str(error), shared=error.host_down or None)
        except TimeoutError:
            return Retry("no answer in time")
        except (ValueError, IndexError, WebPushException, VapidException):  # the error texts may contain the keys
            return Dead("the keys or the URL of the subscription are not valid")
        return _outcome(response)

    async def _post(self, message: Message, content: bytes) -> HTTPResponse:
        device = message.device
        assert device
        keys = {"p256dh": device.p256dh or "", "auth": device.auth or ""}
        encrypted = WebPusher({"endpoint": device.url, "keys": keys}).encode(content)
        headers = {
            "authorization": self._token(_url(message)),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(ttl_s(message.notification, self._clock())),
            "urgency": URGENCY[message.notification.priority],
            "topic": topic(collapse_id(message.notification)),
        }
        return await self._outbound_http.post(_url(message), encrypted["body"], headers, self.timeout_s)

    def _token(self, url: str) -> str:
        """Return the VAPID token for one push service (RFC 8292)."""
        parts, made_at = urlsplit(url), self._real_clock().timestamp()
        audience = f"{parts.scheme}://{parts.netloc}"
        at, token = self._tokens.get(audience, (0.0, ""))
        if made_at - at > TOKEN_FRESH_S:
            claims = {"aud": audience, "sub": self._subject, "exp": int(made_at) + TOKEN_S}
            token = self._vapid.sign(claims)["Authorization"]
            self._tokens[audience] = (made_at, token)
        return token


def payload(message: Message, option: int = 0, max_bytes: int = PAYLOAD_BYTES) -> bytes:
    """Return the JSON of a push message in at most `max_bytes` bytes: all fields, or the most important ones that
    fit."""
    notification = message.notification
    values = {
        "id": notification.id,
        "title": notification.title,
        "receipt": message.receipt_url or None,
        "url": notification.action_url,
        "tag": collapse_id(notification),
        "deliveryId": message.id,
        "unseen": message.unseen,
        "category": notification.category,
        "priority": notification.priority,
        "createdAt": utc_time.rfc3339(notification.created_at),
        "body": message.plain_body,
        "icon": message.tenant.logo_url,
        "actions": [{"action": a.key, "title": a.label, "url": a.url} for a in _primary_first(notification.actions)],
        "image": notification.image_url,
        "data": orjson.loads(notification.data) if notification.data else None,
    }
    fields = {name: value for name, value in values.items() if value not in (None, [])}
    if len(orjson.dumps(fields)) <= max_bytes:
        return orjson.dumps(fields, option=option)
    minimal = {"id": notification.id, "title": notification.title[:TITLE_CHARS], "partial": True}
    for name in [name for name in fields if name not in minimal]:
        more = {name: fields[name]}
        if name == "body":
            more = {name: _truncate(message.plain_body, max_bytes - len(orjson.dumps(minimal | {name: ""})))}
        if len(orjson.dumps(minimal | more)) <= max_bytes:
            minimal |= more
    return orjson.dumps(minimal, option=option)


def _primary_first(actions: tuple[Action, ...]) -> list[Action]:
    """Return the actions in the order of their importance, because browsers display only the first two."""
    return sorted(actions, key=lambda action: not action.primary)


def _truncate(text: str, max_bytes: int) -> str:
    """Return the text truncated to `max_bytes` bytes of JSON. Truncated text ends with an ellipsis."""

    def size(chars: int) -> int:
        return len(orjson.dumps(text[:chars] + "…")) - len('""')

    if len(text) <= BODY_CHARS and size(len(text)) <= max_bytes:
        return text
    return text[: bisect_right(range(1, BODY_CHARS), max_bytes, key=size)] + "…"


def ttl_s(notification: Notification, now: datetime) -> int:
    """Return the time for which the push service stores the message for an offline browser."""
    if not notification.expires_at:
        return TTL_MAX_S
    return max(0, min(TTL_MAX_S, int((notification.expires_at - now).total_seconds())))


def topic(key: str) -> str:
    """Return the topic for a collapse id, 32 base64url characters (RFC 8030, 5.4). The push service stores only the
    newest message of a topic, so a duplicate or a newer notification replaces an undelivered message."""
    return base64url.encode(hashlib.sha256(key.encode()).digest()[:24])


def _url(message: Message) -> str:
    return (message.device and message.device.url) or ""


def _outcome(response: HTTPResponse) -> Outcome:
    error = f"the push service answered {response.status}"
    if 200 <= response.status < 300:
        return Sent()
    if response.status in (404, 410):  # RFC 8030, 7.3: the subscription has expired
        return Gone(error)
    if response.status in RETRY_STATUSES or response.status >= 500:
        return Retry(error, retry_after_s(response.headers.get("retry-after"), utc_time.now()))
    return Dead(error)  # also redirects, which are not followed
