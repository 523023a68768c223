"""Computes the plan for one recipient of one send. Performs no I/O.

For each channel, the checks run in order, and the first check that fails determines the decision. For a required
category, only the preference checks are skipped. All users without devices and without preferences for channels or
categories get the same plan, which is cached.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from hub.decide.effective_preferences import EffectivePreferences
from hub.email_address import is_email_address
from hub.model import (
    Category,
    CategoryPreference,
    Channel,
    DeliveryStatus,
    Device,
    Preferences,
    Priority,
    Reason,
    Step,
    StepStop,
    User,
)
from hub.phone_number import stored_number

CACHED_PLANS = 4096
EPOCH = datetime.min.replace(tzinfo=UTC)  # the cached plan does not depend on the time
CHANNELS = tuple(Channel)
NO_CHANNELS: frozenset[Channel] = frozenset()
PHONE_CHANNELS = (Channel.SMS, Channel.WHATSAPP)


class Requested(Struct, frozen=True):
    """The channels, the priority, and the steps that a send requests. None means the category's default. In a send with
    `require_ack`, only the acknowledgment stops a step."""

    channels: tuple[Channel, ...] | None = None
    priority: Priority | None = None
    steps: tuple[Step, ...] | None = None
    require_ack: bool = False

    def channels_in(self, category: Category) -> tuple[Channel, ...]:
        """Return the channels that go with the send. If there are only steps, there are none."""
        if self.channels is None and not self.steps_in(category):
            return category.default_channels
        return self.channels or ()

    def steps_in(self, category: Category) -> tuple[Step, ...]:
        """Return the steps. The category's steps apply if the send names neither channels nor steps."""
        return self._effective(category.steps) if self.channels is None and self.steps is None else self.own_steps

    @property
    def own_steps(self) -> tuple[Step, ...]:
        """The steps that the send names."""
        return self._effective(self.steps or ())

    def _effective(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the steps with what really stops them."""
        if not self.require_ack:
            return steps
        return tuple(
            step if step.unless is StepStop.NEVER else replace(step, unless=StepStop.ACKNOWLEDGED) for step in steps
        )


class Decision(Struct, frozen=True):
    """The decision for one channel: ACCEPTED, HELD until `due_at`, or an end. HELD and SKIPPED have a reason.

    `devices` are the ids of the target devices, if the channel delivers to devices. Each device gets a delivery. `step`
    and `unless` have the same meaning as those of a delivery. `chosen`: the recipient chose the digest in which the
    delivery waits."""

    channel: Channel
    outcome: DeliveryStatus
    reason: Reason | None = None
    devices: tuple[str, ...] = ()
    due_at: datetime | None = None
    step: int = 0
    unless: StepStop = StepStop.READ
    chosen: bool = False


class Plan(Struct, frozen=True):
    """The decisions for one recipient.

    - `decisions`: one decision for every channel, and one for every channel of every step.
    - `hidden`: the notification is not shown in the inbox now, because IN_APP is not accepted.
    - `in_app_step`: the number of the step that shows the notification now, or 0.
    - `skipped`: the channels that would go with the send but are skipped, with the reason.
    - `external`: the decisions that become stored deliveries.
    - `has_steps`: something other than reading stops a delivery.
    """

    priority: Priority
    hidden: bool
    decisions: tuple[Decision, ...]
    skipped: dict[str, str]
    external: tuple[Decision, ...]
    in_app_step: int = 0
    has_steps: bool = False


class Recipient(Struct, frozen=True):
    """The input of the checks: one user, one category, and one point in time.

    `switches` (for all categories) and `preference` (for this category) are effective preferences. `opted_out` are the
    channels from whose senders the user's phone number opted out."""

    category: Category
    switches: Mapping[Channel, bool]
    preference: CategoryPreference
    configured: frozenset[Channel]
    devices: Mapping[Channel, tuple[str, ...]]
    addresses: Mapping[Channel, str | None]
    suppressed: Mapping[str, str]
    opted_out: frozenset[Channel]
    now: datetime


Check = Callable[[Recipient, Channel], Decision | None]
"""Returns the decision to skip a channel, or None if the channel passes."""


def _muted(recipient: Recipient, channel: Channel) -> Decision | None:
    until = recipient.preference.muted_until
    return _skip(channel, Reason.MUTED) if until and until > recipient.now else None


def _channel_off(recipient: Recipient, channel: Channel) -> Decision | None:
    return None if recipient.switches.get(channel, True) else _skip(channel, Reason.PREFERENCE)


def _category_channel_off(recipient: Recipient, channel: Channel) -> Decision | None:
    return None if recipient.preference.channels.get(channel, True) else _skip(channel, Reason.PREFERENCE)


def _unconfigured(recipient: Recipient, channel: Channel) -> Decision | None:
    return None if channel in recipient.configured else _skip(channel, Reason.NOT_CONFIGURED)


def _unreachable(recipient: Recipient, channel: Channel) -> Decision | None:
    reachable = channel is Channel.IN_APP or recipient.addresses.get(channel) or recipient.devices.get(channel)
    return None if reachable else _skip(channel, Reason.NO_ADDRESS)


def _suppressed(recipient: Recipient, channel: Channel) -> Decision | None:
    address = recipient.addresses.get(channel)
    return _skip(channel, Reason.SUPPRESSED) if address and address.lower() in recipient.suppressed else None


def _opted_out(recipient: Recipient, channel: Channel) -> Decision | None:
    return _skip(channel, Reason.OPTED_OUT) if channel in recipient.opted_out else None


PREFERENCE_CHECKS: tuple[Check, ...] = (_muted, _channel_off, _category_channel_off)
DELIVERABILITY_CHECKS: tuple[Check, ...] = (_unconfigured, _unreachable, _opted_out, _suppressed)


def plan(
    requested: Requested,
    category: Category,
    defaults: Preferences,
    user: User,
    configured: frozenset[Channel],
    now: datetime,
    opted_out: frozenset[Channel] = NO_CHANNELS,
) -> Plan:
    """Return the plan. `defaults` are the tenant's preferences. `configured` are the channels that have a provider.
    `opted_out` are the channels from whose senders the user's phone number opted out."""
    has_choices = user.preferences.concerns_channels or defaults.concerns_channels
    if not (user.devices or user.suppressed or has_choices or opted_out or requested.steps_in(category)):
        return _default_plan(
            requested, category, configured, is_email_address(user.email), bool(stored_number(user.phone))
        )
    return _plan(requested, category, _recipient(category, defaults, user, configured, now, opted_out))


def decide_channel(
    channel: Channel,
    category: Category,
    defaults: Preferences,
    user: User,
    configured: frozenset[Channel],
    now: datetime,
) -> Decision:
    """Return the decision for a delivery that was planned earlier. This runs the same checks as `plan`."""
    return _decide(_recipient(category, defaults, user, configured, now), channel)


@lru_cache(CACHED_PLANS)
def _default_plan(
    requested: Requested, category: Category, configured: frozenset[Channel], mail: bool, phone: bool
) -> Plan:
    addresses = {Channel.EMAIL: "mail" if mail else None} | dict.fromkeys(PHONE_CHANNELS, "phone" if phone else None)
    preference = CategoryPreference(category=category.key)
    recipient = Recipient(category, {}, preference, configured, {}, addresses, {}, NO_CHANNELS, EPOCH)
    return _plan(requested, category, recipient)


def _recipient(
    category: Category,
    defaults: Preferences,
    user: User,
    configured: frozenset[Channel],
    now: datetime,
    opted_out: frozenset[Channel] = NO_CHANNELS,
) -> Recipient:
    preferences = EffectivePreferences(user.preferences, defaults)
    return Recipient(
        category=category,
        switches=preferences.channels,
        preference=preferences.for_category(category.key),
        configured=configured,
        devices=_by_channel(user.devices),
        addresses={channel: user_address(channel, user) for channel in (Channel.EMAIL, *PHONE_CHANNELS)},
        suppressed=user.suppressed,
        opted_out=opted_out,
        now=now,
    )


def user_address(channel: Channel, user: User) -> str | None:
    """Return the user's address on a channel that does not deliver to devices, or None without a usable address.

    It is also the text under which the address is suppressed. A number that cannot receive SMS may have WhatsApp, so
    its address there begins with `whatsapp:`, as for Twilio."""
    if channel is Channel.EMAIL:
        return user.email if is_email_address(user.email) else None
    number = stored_number(user.phone) if channel in PHONE_CHANNELS else None
    return f"whatsapp:{number}" if number and channel is Channel.WHATSAPP else number


def _by_channel(devices: tuple[Device, ...]) -> dict[Channel, tuple[str, ...]]:
    """Return device ids by channel. A device kind has the same name as its channel."""
    ids: dict[Channel, tuple[str, ...]] = {}
    for device in devices:
        channel = Channel(device.kind.value)
        ids[channel] = (*ids.get(channel, ()), device.id)
    return ids


def _plan(requested: Requested, category: Category, recipient: Recipient) -> Plan:
    candidates, steps = frozenset(requested.channels_in(category)), requested.steps_in(category)
    in_steps = {channel for step in steps for channel in step.channels}
    at_once = [
        _decide(recipient, channel) if channel in candidates else _skip(channel, Reason.NOT_REQUESTED)
        for channel in CHANNELS
        if channel in candidates or channel not in in_steps
    ]
    decisions = (*at_once, *_decide_steps(steps, recipient))
    shown = [d for d in decisions if d.channel is Channel.IN_APP and d.outcome is DeliveryStatus.ACCEPTED]
    external = tuple(decision for decision in decisions if is_stored(decision))
    return Plan(
        priority=requested.priority or category.priority,
        hidden=not shown,
        decisions=decisions,
        skipped={
            decision.channel.value: decision.reason.value
            for decision in at_once
            if decision.outcome is DeliveryStatus.SKIPPED and decision.reason and decision.channel in candidates
        },
        external=external,
        in_app_step=shown[0].step if shown else 0,
        has_steps=any(decision.unless is not StepStop.READ for decision in external),
    )


def _decide_steps(steps: Sequence[Step], recipient: Recipient) -> Iterator[Decision]:
    """Yield a decision for every channel of every step. A later step is HELD, and decided again when it is due."""
    for number, step in enumerate(steps, 1):
        due_at = recipient.now + timedelta(seconds=step.after_s)
        for channel in step.channels:
            held = Decision(channel, DeliveryStatus.HELD, Reason.STEP, due_at=due_at)
            yield replace(held if step.after_s else _decide(recipient, channel), step=number, unless=step.unless)


def is_stored(decision: Decision) -> bool:
    """Return True unless the notification stores the decision: shown in the inbox, or skipped without a step."""
    if decision.outcome is DeliveryStatus.SKIPPED:
        return decision.step > 0
    return decision.channel is not Channel.IN_APP or decision.outcome is DeliveryStatus.HELD


def _decide(recipient: Recipient, channel: Channel) -> Decision:
    for check in DELIVERABILITY_CHECKS if recipient.category.required else PREFERENCE_CHECKS + DELIVERABILITY_CHECKS:
        if decision := check(recipient, channel):
            return decision
    return Decision(channel, DeliveryStatus.ACCEPTED, devices=recipient.devices.get(channel, ()))


def _skip(channel: Channel, reason: Reason) -> Decision:
    return Decision(channel, DeliveryStatus.SKIPPED, reason)
