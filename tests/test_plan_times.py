"""Properties of plans with times, for all sends, users, and preferences, with and without steps."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.decide.plan import Plan, is_stored, plan
from hub.decide.plan_times import TimedPlan, with_times
from hub.decide.recheck import recheck
from hub.decide.timing import INTERRUPTING
from hub.model import (
    Channel,
    Delivery,
    DeliveryStatus,
    Interruptions,
    Mailbox,
    Priority,
    QuietHours,
    Reason,
    Step,
    StepStop,
    Tenant,
)
from tests.strategies import new_notification
from tests.test_delivery_plan import NOW, Case, cases, properties
from tests.test_timing import CHANGES
from tests.test_timing import schedules as quiet_schedules

TIME_REASONS = {Reason.QUIET_HOURS, Reason.DO_NOT_DISTURB, Reason.DAILY_LIMIT}
schedules = st.none() | st.just(()) | st.just((QuietHours(start="11:00", end="14:00"),))
disturbed = st.none() | st.integers(-2, 48).map(lambda hours: NOW + timedelta(hours=hours))
limits = st.none() | st.integers(0, 2)
counts = st.integers(0, 2).map(lambda count: Interruptions(day=f"{NOW:%Y-%m-%d}", count=count))
expiries = st.none() | st.integers(1, 40).map(lambda hours: NOW + timedelta(hours=hours))
steps = st.lists(
    st.builds(
        Step,
        channels=st.lists(st.sampled_from(Channel), min_size=1, unique=True).map(tuple),
        after_s=st.integers(1, 60),
        unless=st.sampled_from(StepStop),
    ),
    max_size=2,
).map(tuple)
times = st.tuples(schedules, disturbed, limits)
Times = tuple[tuple[QuietHours, ...] | None, datetime | None, int | None]


def decide(
    case: Case, own: Times, count: Interruptions, expires_at: datetime | None, later: tuple[Step, ...]
) -> tuple[Plan, TimedPlan]:
    requested, category, defaults, user, configured = case
    names = ("quiet_schedule", "do_not_disturb_until", "daily_limit")
    changes: dict[str, Any] = dict(zip(names, own, strict=True))
    user = replace(user, preferences=replace(user.preferences, **changes))
    tenant = Tenant(id="t", preferences=defaults)
    before = plan(replace(requested, steps=later), category, defaults, user, configured, NOW)
    mailbox = Mailbox(id=user.id, epoch="e", interruptions=count)
    return before, with_times(before, category, tenant, user, NOW, expires_at, mailbox)


@properties
@given(cases, times, counts, expiries, steps)
def test_every_channel_and_step_has_exactly_one_decision(
    case: Case, own: Times, count: Interruptions, expires_at: datetime | None, later: tuple[Step, ...]
) -> None:
    before, timed = decide(case, own, count, expires_at, later)
    after = timed.plan
    rows = [(decision.channel, decision.step) for decision in after.decisions]
    assert len(rows) == len(set(rows))
    over = Reason.DAILY_LIMIT in after.skipped.values()
    shown = {(Channel.IN_APP, 0)} if over and before.hidden and not after.hidden else set()
    assert set(rows) == {(decision.channel, decision.step) for decision in before.decisions} | shown
    assert list(after.external) == [decision for decision in after.decisions if is_stored(decision)]
    devices = {(decision.channel, decision.step): decision.devices for decision in before.decisions}
    for decision in after.external:
        if decision.outcome is not DeliveryStatus.SKIPPED:
            assert decision.devices == devices[decision.channel, decision.step]
    for decision in after.decisions:
        assert (decision.outcome is DeliveryStatus.HELD) == (decision.due_at is not None)
        if decision.due_at:
            assert decision.due_at > NOW
            assert expires_at is None or decision.due_at < expires_at or decision.reason is Reason.STEP
        if decision.reason in TIME_REASONS:
            assert decision.channel in INTERRUPTING
            assert not decision.devices or decision.outcome is DeliveryStatus.HELD
            assert after.skipped.get(decision.channel) == (
                None if decision.outcome is DeliveryStatus.HELD else decision.reason
            )


@properties
@given(cases, times, counts, expiries, steps)
def test_what_leaves_now_counts_once_and_what_is_over_the_limit_is_shown(
    case: Case, own: Times, count: Interruptions, expires_at: datetime | None, later: tuple[Step, ...]
) -> None:
    before, timed = decide(case, own, count, expires_at, later)
    after, limit = timed.plan, own[2]
    leaving = [
        decision
        for decision in after.external
        if decision.channel in INTERRUPTING and decision.outcome is DeliveryStatus.ACCEPTED
    ]
    important = before.priority is Priority.CRITICAL or (case[1].required and before.priority is not Priority.LOW)
    counts_now = bool(leaving) and limit is not None and not important
    assert (timed.interruptions is not None) == counts_now
    if timed.interruptions:
        assert limit is not None
        assert timed.interruptions.count == count.count + 1 <= limit
    over = Reason.DAILY_LIMIT in after.skipped.values()
    assert not (over and leaving)
    assert before.hidden or not after.hidden
    if over and Channel.IN_APP not in before.skipped:
        assert not after.hidden or not _inbox_on(case)
    if not over:
        assert after.hidden == before.hidden


@properties
@given(cases, quiet_schedules, disturbed, expiries, steps, st.sampled_from(sorted(CHANGES)))
def test_no_chain_of_answers_is_endless(
    case: Case,
    schedule: tuple[QuietHours, ...],
    disturbed_until: datetime | None,
    expires_at: datetime | None,
    later: tuple[Step, ...],
    zone: str,
) -> None:
    """What waits is decided again when it is due. Only a step may then wait once more, for the end of a quiet time."""
    requested, category, defaults, user, configured = case
    own = replace(user.preferences, quiet_schedule=schedule, do_not_disturb_until=disturbed_until)
    case = requested, category, defaults, replace(user, preferences=own, timezone=zone), configured
    tenant, user = Tenant(id="t", preferences=defaults), case[3]
    planned = plan(replace(requested, steps=later), category, defaults, user, configured, NOW)
    timed = with_times(planned, category, tenant, user, NOW, expires_at, None).plan
    n = replace(new_notification("n", user.id, hidden=False), category=category.key, expires_at=expires_at)
    for decision in timed.external:
        if decision.outcome is not DeliveryStatus.HELD:
            continue
        waiting = Delivery(
            id="d", tenant="t", mailbox=user.id, notification="n", channel=decision.channel, category=category.key,
            status=decision.outcome, reason=decision.reason, priority=timed.priority, unless=decision.unless,
            step=decision.step, device=next(iter(decision.devices), None), created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        reasons, again = [decision.reason], decision
        while again.outcome is DeliveryStatus.HELD:
            assert again.due_at
            at = again.due_at
            again = recheck(waiting, n, category, tenant, user, configured, at)
            assert again.due_at is None or again.due_at > at
            reasons.append(again.reason)
            assert len(reasons) <= (3 if decision.reason is Reason.STEP else 2)
        assert again.outcome is not DeliveryStatus.SKIPPED or decision.reason is Reason.STEP


def _inbox_on(case: Case) -> bool:
    _, category, defaults, user, _ = case
    own, default = user.preferences, defaults
    on = own.channels.get(Channel.IN_APP, default.channels.get(Channel.IN_APP, True))
    cells = default.for_category(category.key).channels | own.for_category(category.key).channels
    return category.required or (on and cells.get(Channel.IN_APP, True))
