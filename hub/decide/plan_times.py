"""Adds the times to a plan: which deliveries leave now, which wait, and which are skipped because of the daily limit.

Performs no I/O."""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from hub.decide.effective_preferences import may_show
from hub.decide.plan import Decision, Plan, is_stored
from hub.decide.timing import (
    INTERRUPTING,
    NOW,
    Answer,
    Question,
    availability_of,
    count_interruption,
    is_counted,
    when,
)
from hub.model import Category, Channel, DeliveryStatus, Interruptions, Mailbox, Reason, Tenant, User


class TimedPlan(Struct, frozen=True):
    """A plan with its times. `interruptions` is the new count of the mailbox if the deliveries that leave now count as
    an interruption, and None otherwise."""

    plan: Plan
    interruptions: Interruptions | None = None


def with_times(
    plan: Plan,
    category: Category,
    tenant: Tenant,
    user: User,
    now: datetime,
    expires_at: datetime | None,
    mailbox: Mailbox | None,
) -> TimedPlan:
    """Return the plan with the times of a user. `mailbox` contains the count of interruptions.

    All interrupting deliveries of a notification that leave now count as one interruption. Over the daily limit, the
    notification is shown in the inbox unless the user switched that off."""
    if not any(interrupts(decision) for decision in plan.external):
        return TimedPlan(plan)
    availability = availability_of(user, tenant)
    if availability is None:
        return TimedPlan(plan)
    question = Question(user.id, plan.priority, category.required, expires_at)
    answer = when(availability, question, now)
    if answer is NOW and is_counted(availability, question):
        if counted := count_interruption(availability, mailbox, now):
            return TimedPlan(plan, counted)
        answer = Answer(DeliveryStatus.SKIPPED, Reason.DAILY_LIMIT)
    if answer is NOW:
        return TimedPlan(plan)
    timed = _answered(plan, answer)
    if answer.reason is Reason.DAILY_LIMIT and plan.hidden and may_show(category, user, tenant):
        timed = _shown(timed)
    return TimedPlan(timed)


def interrupts(decision: Decision) -> bool:
    """Return True if a delivery interrupts the user now."""
    return decision.channel in INTERRUPTING and decision.outcome is DeliveryStatus.ACCEPTED


def _answered(plan: Plan, answer: Answer) -> Plan:
    """Return the plan with `answer` for the decisions that interrupt."""

    def answered(decision: Decision) -> Decision:
        if not interrupts(decision):
            return decision
        devices = () if answer.status is DeliveryStatus.SKIPPED else decision.devices
        return replace(decision, outcome=answer.status, reason=answer.reason, devices=devices, due_at=answer.due_at)

    decisions = tuple(answered(decision) for decision in plan.decisions)
    skipped = {
        decision.channel.value: decision.reason.value
        for before, decision in zip(plan.decisions, decisions, strict=True)
        if decision is not before
        and decision.outcome is DeliveryStatus.SKIPPED
        and decision.reason
        and not decision.step
    }
    external = tuple(answered(decision) for decision in plan.external)
    return replace(
        plan,
        decisions=decisions,
        skipped=plan.skipped | skipped,
        external=tuple(decision for decision in external if is_stored(decision)),
    )


def _shown(plan: Plan) -> Plan:
    """Return the plan with the notification in the inbox."""
    in_app = Decision(Channel.IN_APP, DeliveryStatus.ACCEPTED)
    others = [decision for decision in plan.decisions if decision.channel is not Channel.IN_APP or decision.step]
    skipped = {channel: reason for channel, reason in plan.skipped.items() if channel != Channel.IN_APP}
    return replace(plan, hidden=False, decisions=(in_app, *others), skipped=skipped)
