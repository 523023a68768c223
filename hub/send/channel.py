"""The interface of the modules in `hub/send/channels/`."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from msgspec import Struct

from hub.audience.devices import Devices
from hub.audience.opt_outs import OptOuts
from hub.model import Channel
from hub.platform.outbound_http import OutboundHTTP
from hub.send.message import Message, Preview, Provider
from hub.settings import Settings
from hub.utc_time import Clock, RealClock


class ChannelResources(Struct, frozen=True):
    """The components from which providers are created. Register a provider that must be closed on `stack`."""

    settings: Settings
    outbound_http: OutboundHTTP
    stack: AsyncExitStack
    clock: Clock
    real_clock: RealClock
    devices: Devices
    opt_outs: OptOuts


class ChannelModule(Protocol):
    """A module that sends on one channel."""

    @property
    def CHANNEL(self) -> Channel:  # noqa: N802 - a constant of the module
        """The channel that the module sends on."""
        ...

    async def create_providers(self, resources: ChannelResources) -> Sequence[Provider]:
        """Return the providers in the order in which they are called, or an empty sequence if none is configured. Raise
        ValueError if a setting cannot be used."""
        ...

    def preview(self, message: Message) -> Preview:
        """Return a preview of the message for the outbox page of development mode. Pure."""
        ...
