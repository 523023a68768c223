"""The interface of the modules in `hub/send/channels/`."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from msgspec import Struct

from hub.audience.devices import Devices
from hub.clock import Clock
from hub.model import Channel
from hub.platform.outbound_http import OutboundHTTP
from hub.send.message import Message, Preview, Provider
from hub.settings import Settings


class ChannelResources(Struct, frozen=True):
    """What providers are created from. A provider that must be closed is registered on `stack`."""

    settings: Settings
    outbound_http: OutboundHTTP
    stack: AsyncExitStack
    clock: Clock
    devices: Devices


class ChannelModule(Protocol):
    """A module that sends on one channel."""

    @property
    def CHANNEL(self) -> Channel:  # noqa: N802 - a constant of the module
        """The channel that the module sends on."""
        ...

    async def create_providers(self, resources: ChannelResources) -> Sequence[Provider]:
        """Return the providers in the order in which they are tried; none if the settings do not configure one. Raise
        ValueError for a setting that cannot be used."""
        ...

    def preview(self, message: Message) -> Preview:
        """Return what would be sent, for the outbox page of development mode. Pure."""
        ...
