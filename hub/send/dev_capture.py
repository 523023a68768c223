"""The capture of outgoing messages in development. Messages of a channel without a provider are only captured."""

from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.ids import new_id
from hub.model import Channel
from hub.send.channel import ChannelModule
from hub.send.message import Message, Provider
from hub.send.outcome import Delivered, Outcome, Sent, Skipped
from hub.status.captured import CapturedMessage, CapturedMessages
from hub.utc_time import Clock

log = structlog.get_logger(__name__)


def capture(
    channel: ChannelModule, providers: Sequence[Provider], captured: CapturedMessages, clock: Clock, timeout_s: float
) -> tuple[Provider, ...]:
    """Wrap the providers of a channel to store each message in `captured`. For a channel without a provider, return one
    that only stores messages."""
    return tuple(
        _CapturingProvider(channel, provider, captured, clock) for provider in providers or [_NullProvider(timeout_s)]
    )


class _NullProvider:
    """A provider that accepts every message and sends nothing."""

    name = "catcher"

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - part of Provider
        return (self.name,)

    async def send(self, message: Message) -> Outcome:  # noqa: ARG002 - part of Provider
        return Delivered()


class _CapturingProvider:
    """A provider that stores a preview of each message that the wrapped provider sends."""

    def __init__(self, channel: ChannelModule, provider: Provider, captured: CapturedMessages, clock: Clock) -> None:
        self.name = provider.name
        self.timeout_s = provider.timeout_s
        self._channel = channel
        self._provider = provider
        self._captured = captured
        self._clock = clock

    def breakers(self, message: Message) -> tuple[str, ...]:
        return self._provider.breakers(message)

    async def send(self, message: Message) -> Outcome:
        preview = self._channel.preview(message)
        outcome = await self._provider.send(message)
        now = self._clock()
        captured = CapturedMessage(
            id=new_id(now),
            at=now,
            delivery=message.id,
            tenant=message.notification.tenant,
            user=message.user.user_id,
            channel=self._channel.CHANNEL,
            to=_address(self._channel.CHANNEL, message),
            subject=preview.subject,
            text=preview.text,
            html=preview.html,
            provider=None if isinstance(self._provider, _NullProvider) else self.name,
            outcome=type(outcome).__name__
            + ("" if isinstance(outcome, Sent | Delivered | Skipped) else f": {outcome.error}"),
        )
        try:
            await self._captured.add(captured)
        except PyMongoError as error:  # the message was sent: a retry would send it twice
            log.warning("capture_failed", delivery=message.id, error=error)
        return outcome


def _address(channel: Channel, message: Message) -> str:
    """Return the recipient's address for display."""
    if channel is Channel.EMAIL:
        return message.user.email or ""
    device = message.device
    if device is None:
        return message.user.phone or ""
    return device.label or device.platform or device.masked_url or device.url or device.id
