"""Decides whether a category can arrive on a channel. Performs no I/O."""

from collections.abc import Collection

from msgspec import Struct

from hub.decide.plan import PHONE_CHANNELS, user_address
from hub.model import Category, Channel, Reach, User, channel_use


class Reachability(Struct, frozen=True):
    """What decides where a category can arrive.

    - `configured`: the channels that have a provider.
    - `used`: `Tenant.used_channels`. None if it is not known which channels sends have named.
    - `addresses`: the channels for which the user has an address. None if no user is concerned.
    """

    configured: Collection[Channel]
    used: Collection[str] | None
    addresses: Collection[Channel] | None = None

    def of(self, category: Category, channel: Channel) -> Reach:
        """Return the first reason why a category cannot arrive on a channel, or OK."""
        if channel not in self.configured:
            return Reach.NOT_CONFIGURED
        if not (
            self.used is None
            or channel in category.default_channels
            or any(channel in step.channels for step in category.steps)
            or channel_use(category.key, channel) in self.used
        ):
            return Reach.NOT_USED
        if self.addresses is not None and channel not in self.addresses:
            return Reach.NO_ADDRESS
        return Reach.OK


def addressed_channels(user: User | None) -> frozenset[Channel]:
    """Return the channels for which a user has an address or a device. An address that is suppressed does not count."""
    if user is None:
        return frozenset((Channel.IN_APP,))
    addresses = {channel: user_address(channel, user) for channel in (Channel.EMAIL, *PHONE_CHANNELS)}
    usable = (channel for channel, one in addresses.items() if one and one.lower() not in user.suppressed)
    return frozenset((Channel.IN_APP, *usable, *(Channel(device.kind.value) for device in user.devices)))
