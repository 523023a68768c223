"""Properties of delivery plans for all sends, categories and users."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.decide.plan import Plan, Requested, decide_channel, plan
from hub.model import (
    NO_PREFERENCES,
    Category,
    CategoryPreference,
    Channel,
    DeliveryStatus,
    Device,
    DeviceKind,
    Preferences,
    Priority,
    Reason,
    Step,
    StepStop,
    User,
)
from tests.conftest import scaled

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FACTS = {Reason.NOT_REQUESTED, Reason.NOT_CONFIGURED, Reason.NO_ADDRESS, Reason.SUPPRESSED}
EVERYTHING = frozenset(Channel)
channels = st.lists(st.sampled_from(Channel), unique=True).map(tuple)
instants = st.none() | st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours))
switches = st.dictionaries(st.sampled_from(Channel), st.booleans(), max_size=4)
keys = st.sampled_from(["news", "security", "other"])
category_preferences = st.builds(CategoryPreference, category=keys, channels=switches, muted_until=instants)
preferences = st.builds(
    Preferences,
    channels=switches,
    categories=st.lists(category_preferences, max_size=3, unique_by=lambda preference: preference.category).map(tuple),
)
categories = st.builds(
    Category,
    key=keys,
    name=st.just("Name"),
    required=st.booleans(),
    default_channels=channels,
    priority=st.sampled_from(Priority),
)
requested_channels = st.builds(Requested, channels=st.none() | channels, priority=st.none() | st.sampled_from(Priority))
configured = st.frozensets(st.sampled_from(Channel)).map(lambda some: some | {Channel.IN_APP})
devices = st.lists(st.sampled_from(DeviceKind), max_size=4).map(
    lambda kinds: tuple(
        Device(id=f"d{number}", kind=kind, key=f"k{number}", created_at=NOW) for number, kind in enumerate(kinds)
    )
)
users = st.builds(
    User,
    id=st.just("t/alice"),
    created_at=st.just(NOW),
    updated_at=st.just(NOW),
    email=st.none() | st.just("Alice@example.org"),
    phone=st.none() | st.sampled_from(["+491701234567", "+49 (170) 123-4567", "0170 1234567"]),
    devices=devices,
    preferences=st.just(NO_PREFERENCES) | preferences,
    suppressed=st.sampled_from([{}, {"alice@example.org": "bounced"}, {"+491701234567": "gone"}]),
)
cases = st.tuples(requested_channels, categories, st.just(NO_PREFERENCES) | preferences, users, configured)
Case = tuple[Requested, Category, Preferences, User, frozenset[Channel]]
properties = settings(max_examples=scaled(60, 2000), deadline=None)


def decide_case(case: Case) -> Plan:
    return plan(*case, NOW)


def default_or_requested(case: Case) -> set[Channel]:
    return set(case[1].default_channels if case[0].channels is None else case[0].channels)


def reachable(case: Case) -> set[Channel]:
    """Return the channels that can deliver to the user."""
    user, channels_of_user = case[3], {Channel.IN_APP, *(Channel(device.kind.value) for device in case[3].devices)}
    if user.email and "alice@example.org" not in user.suppressed:
        channels_of_user.add(Channel.EMAIL)
    if user.phone and user.phone.startswith("+"):
        channels_of_user |= (
            {Channel.WHATSAPP} if "+491701234567" in user.suppressed else {Channel.SMS, Channel.WHATSAPP}
        )
    return channels_of_user & case[4]


@properties
@given(cases)
def test_every_channel_has_a_decision_and_every_skip_a_reason(case: Case) -> None:
    found = decide_case(case)
    assert [decision.channel for decision in found.decisions] == list(Channel)
    for decision in found.decisions:
        assert (decision.outcome is DeliveryStatus.SKIPPED) == (decision.reason is not None)
        assert (decision.reason is Reason.NOT_REQUESTED) == (decision.channel not in default_or_requested(case))


@properties
@given(cases)
def test_every_requested_channel_is_sent_or_has_a_reason(case: Case) -> None:
    found = decide_case(case)
    going = {decision.channel for decision in found.external} | (set() if found.hidden else {Channel.IN_APP})
    assert going | {Channel(name) for name in found.skipped} == default_or_requested(case) | ({Channel.IN_APP} & going)
    assert not going & {Channel(name) for name in found.skipped}
    assert all(decision.outcome is not DeliveryStatus.SKIPPED for decision in found.external)
    assert found.priority == (case[0].priority or case[1].priority)


@properties
@given(cases)
def test_required_category_is_sent_on_every_reachable_channel(case: Case) -> None:
    case = (case[0], replace(case[1], required=True), *case[2:])
    found = decide_case(case)
    going = {decision.channel for decision in found.decisions if decision.outcome is DeliveryStatus.ACCEPTED}
    assert going == default_or_requested(case) & reachable(case)
    assert {decision.reason for decision in found.decisions if decision.reason} <= FACTS


@properties
@given(cases, st.integers(1, 1000))
def test_muted_category_is_not_sent_and_hidden_in_the_inbox(case: Case, hours: int) -> None:
    requested, category, defaults, user, configured = case
    category = replace(category, required=False)
    others = tuple(preference for preference in user.preferences.categories if preference.category != category.key)
    muted = CategoryPreference(category=category.key, muted_until=NOW + timedelta(hours=hours))
    user = replace(user, preferences=replace(user.preferences, categories=(*others, muted)))
    found = plan(requested, category, defaults, user, configured, NOW)
    assert found.hidden
    assert found.external == ()
    assert set(found.skipped.values()) <= {Reason.MUTED}


@properties
@given(cases)
def test_disabled_channel_is_used_only_for_required_categories(case: Case) -> None:
    requested, category, defaults, user, configured = case
    switched_off = dict.fromkeys(Channel, False)
    user = replace(user, preferences=replace(user.preferences, channels=switched_off))
    found = plan(requested, category, defaults, user, configured, NOW)
    if not category.required:
        assert found.hidden
        assert found.external == ()
    own = replace(defaults, channels=switched_off), replace(user, preferences=Preferences(channels={}))
    assert category.required or plan(requested, category, *own, configured, NOW).external == ()


@properties
@given(cases, st.sampled_from(Channel))
def test_preference_of_the_user_overrides_the_tenant_default(case: Case, channel: Channel) -> None:
    _requested, category, _, user, _ = case
    against = CategoryPreference(category=category.key, channels={channel: False})
    own = CategoryPreference(category=category.key, channels={channel: True})
    defaults = Preferences(channels={channel: False}, categories=(against,))
    user = replace(user, preferences=Preferences(channels={channel: True}, categories=(own,)))
    reason = decide_channel(channel, category, defaults, user, EVERYTHING, NOW).reason
    assert reason not in {Reason.PREFERENCE, Reason.MUTED}


@properties
@given(cases)
def test_plan_is_deterministic_and_a_cached_plan_is_equal(case: Case) -> None:
    """An ended mute has no effect, but prevents the use of the cached plan."""
    found = decide_case(case)
    assert found == decide_case(case)
    requested, category, defaults, user, configured = case
    if user.preferences == NO_PREFERENCES:
        without_effect = Preferences(categories=(CategoryPreference(category="nobody's", muted_until=NOW),))
        assert found == plan(requested, category, defaults, replace(user, preferences=without_effect), configured, NOW)


@properties
@given(cases)
def test_accepted_channel_has_no_decide_channel_afterwards(case: Case) -> None:
    _requested, category, defaults, user, configured = case
    for decision in decide_case(case).decisions:
        if decision.reason is not Reason.NOT_REQUESTED:
            assert decide_channel(decision.channel, category, defaults, user, configured, NOW) == decision


@properties
@given(cases)
def test_decision_lists_the_devices_of_the_user_of_that_kind(case: Case) -> None:
    for decision in decide_case(case).external:
        kind = DeviceKind(decision.channel) if decision.channel.value in {kind.value for kind in DeviceKind} else None
        assert decision.devices == tuple(device.id for device in case[3].devices if device.kind is kind)


def test_mute_ends_at_its_instant() -> None:
    category = Category(key="news", name="News")
    for hours, hidden in ((1, True), (0, False), (-1, False)):
        preference = CategoryPreference(category="news", muted_until=NOW + timedelta(hours=hours))
        user = User(id="t/a", created_at=NOW, updated_at=NOW, preferences=Preferences(categories=(preference,)))
        assert plan(Requested(), category, NO_PREFERENCES, user, EVERYTHING, NOW).hidden is hidden


some_steps = st.lists(
    st.builds(
        Step,
        channels=st.lists(st.sampled_from(Channel), unique=True, min_size=1).map(tuple),
        after_s=st.sampled_from([0, 1, 3600]),
        unless=st.sampled_from(StepStop),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@properties
@given(cases, some_steps, st.booleans(), st.booleans())
def test_every_channel_of_every_step_has_one_decision(
    case: Case, steps: tuple[Step, ...], by_category: bool, require_ack: bool
) -> None:
    """A later step is held without a device until exactly its time, and one that is due is decided like the send."""
    requested, category, defaults, user, configured = case
    if by_category:
        requested, category = replace(requested, channels=None), replace(category, steps=steps)
    else:
        requested = replace(requested, steps=steps)
    found = plan(replace(requested, require_ack=require_ack), category, defaults, user, configured, NOW)
    at_once = set(requested.channels or ())
    answers = [(d.step, d.channel) for d in found.decisions if d.reason is not Reason.NOT_REQUESTED]
    expected = {(0, channel) for channel in at_once}
    expected |= {(number, channel) for number, step in enumerate(steps, 1) for channel in step.channels}
    assert len(answers) == len(set(answers))
    assert set(answers) == expected
    assert {d.channel for d in found.decisions} == set(Channel)
    for decision in found.decisions:
        if not decision.step:
            assert decision.outcome is not DeliveryStatus.HELD
            continue
        step = steps[decision.step - 1]
        stops = {StepStop.NEVER, StepStop.ACKNOWLEDGED} if require_ack else {step.unless}
        assert decision.unless in stops
        if step.after_s:
            assert (decision.outcome, decision.reason) == (DeliveryStatus.HELD, Reason.STEP)
            assert (decision.due_at, decision.devices) == (NOW + timedelta(seconds=step.after_s), ())
        else:
            alone = decide_channel(decision.channel, category, defaults, user, configured, NOW)
            assert (decision.outcome, decision.reason, decision.devices) == (alone.outcome, alone.reason, alone.devices)
