"""Calls to the webhooks of Slack, Discord, and Teams. The URL of a webhook is a secret and never part of an error."""

import asyncio
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

import orjson
from msgspec.structs import replace

from hub.model import Channel
from hub.platform import circuit_breaker
from hub.platform.outbound_http import AddressNotAllowed, HTTPResponse, OutboundHTTPError
from hub.send.channel import ChannelResources
from hub.send.chat_card import Card
from hub.send.chat_preview import preview_html
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Gone, Outcome, Retry
from hub.send.retry_after import retry_after_s

RETRY_STATUSES = frozenset({408, 425, 429})
REJECTED = 400


class ChatProvider(ABC):
    """The client for the webhooks of one chat."""

    channel: Channel

    def __init__(self, resources: ChannelResources) -> None:
        self.name = self.channel.lower()
        self.timeout_s = resources.settings.provider_timeout_s
        self._outbound_http = resources.outbound_http
        self._real_clock = resources.real_clock

    @abstractmethod
    def payload(self, message: Message) -> dict[str, Any]:
        """Return the JSON of a message, the same in every attempt."""

    @abstractmethod
    def outcome(self, response: HTTPResponse, now: datetime) -> Outcome:
        """Return the outcome of a response."""

    def target(self, url: str) -> str:
        """Return the URL to call for the URL that the user connected."""
        return url

    def breakers(self, message: Message) -> tuple[str, ...]:
        device = message.device
        return circuit_breaker.breaker_names(
            self.name, message.notification.tenant, _url(message), device.id if device else ""
        )

    async def send(self, message: Message) -> Outcome:
        """Make one call. If the chat rejects a message with an image, which it may be unable to load, send the message
        without the image."""
        if not (url := _url(message)):
            return Dead("the device has no URL")
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._post(url, message)
                if response.status == REJECTED and message.notification.image_url:
                    without_image = replace(message.notification, image_url=None)
                    response = await self._post(url, replace(message, notification=without_image))
        except AddressNotAllowed as error:
            return Dead(str(error))
        except OutboundHTTPError as error:
            return Retry(str(error), shared=error.host_down or None)
        except TimeoutError:
            return Retry(f"no response within {self.timeout_s:g} s")
        return self.outcome(response, self._real_clock())

    async def _post(self, url: str, message: Message) -> HTTPResponse:
        headers = {"content-type": "application/json", "idempotency-key": message.id}
        body = orjson.dumps(self.payload(message))
        return await self._outbound_http.post(self.target(url), body, headers, self.timeout_s)


def providers(provider: type[ChatProvider], resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the provider of a chat if HUB_CHATS contains the chat."""
    return (provider(resources),) if provider.channel in resources.settings.chats else ()


def failed(
    response: HTTPResponse,
    now: datetime,
    *,
    code: str = "",
    gone: bool = False,
    after_s: float | None = None,
    shared: bool | None = None,
) -> Outcome:
    """Return the outcome of a call that failed. `code` is the chat's code for the error. `after_s` is the delay that
    the chat requested, if it is not in the header `Retry-After`. A redirect is not followed and is permanent."""
    error = f"HTTP {response.status}" + (f" ({code})" if code else "")
    if gone:
        return Gone(error)
    if response.status in RETRY_STATUSES or response.status >= 500:
        header = retry_after_s(response.headers.get("retry-after"), now)
        return Retry(error, header if after_s is None else after_s, shared)
    return Dead(error)


def json_body(response: HTTPResponse) -> dict[str, Any]:
    """Return the JSON object in a response, or an empty one."""
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def preview_of(channel: Channel, message: Message, card: Card, payload: dict[str, Any]) -> Preview:
    """Return the request body, and HTML that looks like the message in the chat."""
    pretty = orjson.dumps(payload, option=orjson.OPT_INDENT_2).decode()
    return Preview(message.notification.title, pretty, preview_html(channel, message, card))


def _url(message: Message) -> str:
    return (message.device.token or "") if message.device else ""
