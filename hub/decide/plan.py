"""The plan for one recipient of one send: values in, values out.

For each channel the checks are asked in order, and the first that objects decides. A required category passes what
people wish, and nothing else. A person without wishes and devices is like every other one, so that plan is kept.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct

from hub.mail_address import is_mail_address
from hub.model import (
    NO_PREFERENCES,
    BecauseKind,
    Category,
    CategoryPreference,
    Channel,
    DeliveryStatus,
    Device,
    Preferences,
    Priority,
    Reason,
    User,
)

KEPT = 4096  # plans
NO_TIME = datetime.min.replace(tzinfo=UTC)  # nothing of a person without wishes depends on it
CHANNELS = tuple(Channel)
PHONED = (Channel.SMS, Channel.WHATSAPP)


class Asked(Struct, frozen=True):
    """What a send asks for; None leaves it to the category."""

    channels: tuple[Channel, ...] | None = None
    priority: Priority | None = None


class Decision(Struct, frozen=True):
    """The answer for one channel: ACCEPTED, or SKIPPED with its reason. `devices`: the ids it goes to, one delivery
    each, where the channel goes to devices."""

    channel: Channel
    outcome: DeliveryStatus
    reason: Reason | None = None
    devices: tuple[str, ...] = ()
    due_at: datetime | None = None


class Plan(Struct, frozen=True):
    """`decisions`: one for every channel. `hidden`: not shown in the inbox, because IN_APP does not go. `skipped`:
    channels that were asked for and decided against, with the reason. `outside`: what becomes deliveries."""

    priority: Priority
    because: str
    hidden: bool
    decisions: tuple[Decision, ...]
    skipped: dict[str, str]
    outside: tuple[Decision, ...]


class Person(Struct, frozen=True):
    """What the checks look at: one person, one category, one instant. `switches` and `wish` are the person's own over
    what the tenant starts from."""

    category: Category
    switches: Mapping[Channel, bool]
    wish: CategoryPreference
    configured: frozenset[Channel]
    devices: Mapping[Channel, tuple[str, ...]]
    addresses: Mapping[Channel, str | None]
    suppressed: Mapping[str, str]
    now: datetime


Check = Callable[[Person, Channel], Decision | None]
"""What speaks against a channel; None lets it pass."""


def _muted(person: Person, channel: Channel) -> Decision | None:
    until = person.wish.muted_until
    return _no(channel, Reason.MUTED) if until and until > person.now else None


def _switched_off(person: Person, channel: Channel) -> Decision | None:
    return None if person.switches.get(channel, True) else _no(channel, Reason.PREFERENCE)


def _unwanted(person: Person, channel: Channel) -> Decision | None:
    return None if person.wish.channels.get(channel, True) else _no(channel, Reason.PREFERENCE)


def _unconfigured(person: Person, channel: Channel) -> Decision | None:
    return None if channel in person.configured else _no(channel, Reason.NOT_CONFIGURED)


def _unreachable(person: Person, channel: Channel) -> Decision | None:
    there = channel is Channel.IN_APP or person.addresses.get(channel) or person.devices.get(channel)
    return None if there else _no(channel, Reason.NO_ADDRESS)


def _suppressed(person: Person, channel: Channel) -> Decision | None:
    address = person.addresses.get(channel)
    return _no(channel, Reason.SUPPRESSED) if address and address.lower() in person.suppressed else None


WISHES: tuple[Check, ...] = (_muted, _switched_off, _unwanted)
FACTS: tuple[Check, ...] = (_unconfigured, _unreachable, _suppressed)


def plan(
    asked: Asked,
    category: Category,
    defaults: Preferences,
    user: User,
    configured: frozenset[Channel],
    now: datetime,
) -> Plan:
    """Decides for every channel. `defaults` is what the tenant's people start from, `configured` the channels that
    have a provider."""
    if not user.devices and not user.suppressed and user.preferences == NO_PREFERENCES and defaults == NO_PREFERENCES:
        return _like_everybody(asked, category, configured, is_mail_address(user.email), bool(user.phone))
    return _plan(asked, category, _person(category, defaults, user, configured, now))


def objection(
    channel: Channel,
    category: Category,
    defaults: Preferences,
    user: User,
    configured: frozenset[Channel],
    now: datetime,
) -> Reason | None:
    """What speaks against that channel by now: the same checks, for a delivery that was decided before."""
    return _decide(_person(category, defaults, user, configured, now), channel).reason


@lru_cache(KEPT)
def _like_everybody(asked: Asked, category: Category, configured: frozenset[Channel], mail: bool, phone: bool) -> Plan:
    addresses = {Channel.EMAIL: "mail" if mail else None} | dict.fromkeys(PHONED, "phone" if phone else None)
    wish = CategoryPreference(category=category.key)
    return _plan(asked, category, Person(category, {}, wish, configured, {}, addresses, {}, NO_TIME))


def _person(
    category: Category, defaults: Preferences, user: User, configured: frozenset[Channel], now: datetime
) -> Person:
    mine, address = user.preferences, user.email if is_mail_address(user.email) else None
    return Person(
        category=category,
        switches=defaults.channels | mine.channels,
        wish=mine.for_category(category.key).with_defaults(defaults.for_category(category.key)),
        configured=configured,
        devices=_by_channel(user.devices),
        addresses={Channel.EMAIL: address} | dict.fromkeys(PHONED, user.phone),
        suppressed=user.suppressed,
        now=now,
    )


def _by_channel(devices: tuple[Device, ...]) -> dict[Channel, tuple[str, ...]]:
    """A kind of device is named like the channel that goes there."""
    found: dict[Channel, tuple[str, ...]] = {}
    for device in devices:
        channel = Channel(device.kind.value)
        found[channel] = (*found.get(channel, ()), device.id)
    return found


def _plan(asked: Asked, category: Category, person: Person) -> Plan:
    wanted = frozenset(category.default_channels if asked.channels is None else asked.channels)
    decisions = tuple(
        _decide(person, channel) if channel in wanted else _no(channel, Reason.NOT_REQUESTED) for channel in CHANNELS
    )
    goes = [decision for decision in decisions if decision.outcome is not DeliveryStatus.SKIPPED]
    return Plan(
        priority=asked.priority or category.priority,
        because=BecauseKind.NAMED.value,
        hidden=all(decision.channel is not Channel.IN_APP for decision in goes),
        decisions=decisions,
        skipped={
            decision.channel.value: decision.reason.value
            for decision in decisions
            if decision.outcome is DeliveryStatus.SKIPPED and decision.reason and decision.channel in wanted
        },
        outside=tuple(decision for decision in goes if decision.channel is not Channel.IN_APP),
    )


def _decide(person: Person, channel: Channel) -> Decision:
    for check in FACTS if person.category.required else WISHES + FACTS:
        if no := check(person, channel):
            return no
    return Decision(channel, DeliveryStatus.ACCEPTED, devices=person.devices.get(channel, ()))


def _no(channel: Channel, reason: Reason) -> Decision:
    return Decision(channel, DeliveryStatus.SKIPPED, reason)
