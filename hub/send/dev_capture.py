"""Captures outgoing messages in development. A channel without a provider captures only."""

from collections.abc import Awaitable, Callable, Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.clock import Clock
from hub.ids import new_id
from hub.model import Channel
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Delivered, Outcome, Sent
from hub.status.captured import CapturedMessage

PreviewFunction = Callable[[Message], Preview]
StoreFunction = Callable[[CapturedMessage], Awaitable[None]]

log = structlog.get_logger(__name__)


def capture(
    channel: Channel,
    providers: Sequence[Provider],
    preview: PreviewFunction,
    store: StoreFunction,
    clock: Clock,
    timeout_s: float,
) -> tuple[Provider, ...]:
    """Wrap the providers of a channel to store each message. Without a provider, return one that only stores."""
    providers = providers or [_NullProvider(timeout_s)]
    return tuple(_CapturingProvider(channel, provider, preview, store, clock) for provider in providers)


class _NullProvider:
    """Accepts every message and sends nothing."""

    name = "catcher"

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def breakers(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - as providers are
        return (self.name,)

    async def send(self, message: Message) -> Outcome:  # noqa: ARG002 - as providers are
        return Delivered()


class _CapturingProvider:
    """Stores a preview of each message that its provider sends."""

    def __init__(
        self, channel: Channel, provider: Provider, preview: PreviewFunction, store: StoreFunction, clock: Clock
    ) -> None:
        self.name = provider.name
        self.timeout_s = provider.timeout_s
        self._channel = channel
        self._provider = provider
        self._preview = preview
        self._store = store
        self._clock = clock

    def breakers(self, message: Message) -> tuple[str, ...]:
        return self._provider.breakers(message)

    async def send(self, message: Message) -> Outcome:
        preview = self._preview(message)
        outcome = await self._provider.send(message)
        now = self._clock()
        captured = CapturedMessage(
            id=new_id(now),
            at=now,
            delivery=message.id,
            tenant=message.notification.tenant,
            user=message.user.user_id,
            channel=self._channel,
            to=_address(self._channel, message),
            subject=preview.subject,
            text=preview.text,
            html=preview.html,
            provider=None if isinstance(self._provider, _NullProvider) else self.name,
            outcome=type(outcome).__name__ + ("" if isinstance(outcome, Sent | Delivered) else f": {outcome.error}"),
        )
        try:
            await self._store(captured)
        except PyMongoError as error:  # the message was sent: a retry would send it twice
            log.warning("capture_failed", delivery=message.id, error=error)
        return outcome


def _address(channel: Channel, message: Message) -> str:
    """Return the recipient's address for display."""
    if channel is Channel.EMAIL:
        return message.user.email or ""
    device = message.device
    return (device and (device.label or device.platform or device.url)) or ""
