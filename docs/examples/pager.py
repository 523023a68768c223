"""PAGER: a JSON POST to a pager service."""

from collections.abc import Sequence

import orjson

from hub import utc_time
from hub.model import Channel
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP, OutboundHTTPError
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Gone, Outcome, Retry, Sent
from hub.send.retry_after import retry_after_s

CHANNEL = Channel.PAGER


async def create_providers(resources: ChannelResources) -> Sequence[Provider]:
    """Return the pager service, if HUB_PAGER_URL is set."""
    settings = resources.settings
    if not settings.pager_url:
        return ()
    return (PagerService(resources.outbound_http, settings.pager_url, settings.provider_timeout_s),)


class PagerService:
    name = "pager"

    def __init__(self, outbound_http: OutboundHTTP, url: str, timeout_s: float) -> None:
        self._outbound_http = outbound_http
        self._url = url
        self.timeout_s = timeout_s

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - all messages go to one server
        return (self.name,)

    async def send(self, message: Message) -> Outcome:
        if not message.user.phone:
            return Dead("the user has no phone number")
        headers = {"content-type": "application/json"}
        try:
            response = await self._outbound_http.post(self._url, body(message), headers, self.timeout_s)
        except AddressNotAllowed as error:
            return Dead(str(error))
        except OutboundHTTPError as error:
            return Retry(str(error))
        failure = f"HTTP {response.status}"
        if 200 <= response.status < 300:
            return Sent()
        if response.status == 410:
            return Gone(failure)
        if response.status in (408, 429) or response.status >= 500:
            return Retry(failure, retry_after_s(response.headers.get("retry-after"), utc_time.now()))
        return Dead(failure)


def preview(message: Message) -> Preview:
    """Return the request body."""
    return Preview(message.notification.title, body(message).decode())


def body(message: Message) -> bytes:
    """Return the request body, the same in every attempt."""
    return orjson.dumps({"id": message.id, "to": message.user.phone, "text": message.notification.title})
