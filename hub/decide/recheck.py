"""Decides a delivery again: when the scheduler releases it, and right before every call. Performs no I/O."""

from datetime import datetime

from msgspec.structs import replace

from hub.decide.plan import Decision, decide_channel
from hub.decide.timing import INTERRUPTING, NOW, Question, availability_of, when
from hub.model import Category, Channel, Delivery, DeliveryStatus, Notification, Reason, StepStop, Tenant, User

STOP_REASONS = {
    StepStop.SEEN: Reason.ALREADY_SEEN,
    StepStop.READ: Reason.ALREADY_READ,
    StepStop.ACKNOWLEDGED: Reason.ALREADY_ACKNOWLEDGED,
}
"""The reasons by what stops a delivery."""
STOPPED = frozenset({*STOP_REASONS.values(), Reason.SNOOZED})
"""The reasons of deliveries that a recipient stopped."""


def recheck(
    delivery: Delivery,
    n: Notification,
    category: Category,
    tenant: Tenant,
    user: User,
    configured: frozenset[Channel],
    now: datetime,
) -> Decision:
    """Return the decision with the current state of the notification and of the user.

    The outcome is ACCEPTED, HELD until a later time, or an end. A delivery without a device is for all devices."""
    channel, expires_at = delivery.channel, delivery.expires_at or n.expires_at
    if (expires_at and expires_at <= now) or (n.removed_at and n.removed_as in (DeliveryStatus.EXPIRED, None)):
        return Decision(channel, DeliveryStatus.EXPIRED)  # without `removed_as`: removed because of its age
    if n.removed_at:
        return Decision(channel, DeliveryStatus.CANCELLED, n.removed_reason or Reason.RECALLED)
    if reason := stop_reason(delivery.unless, n, now):
        return Decision(channel, DeliveryStatus.SKIPPED, reason)
    if delivery.device and all(device.id != delivery.device for device in user.devices):
        return Decision(channel, DeliveryStatus.SKIPPED, Reason.NO_ADDRESS)
    decision = decide_channel(channel, category, tenant.preferences, user, configured, now)
    if decision.outcome is not DeliveryStatus.ACCEPTED or channel not in INTERRUPTING:
        return decision
    answer = when(availability_of(user, tenant), question_about(delivery, n, category), now)
    if answer is NOW:
        return decision
    return replace(decision, outcome=answer.status, reason=answer.reason, due_at=answer.due_at)


def held_while_paused(decision: Decision) -> Decision:
    """Return the decision about a delivery whose send is paused: what would leave now or later waits until the send is
    resumed."""
    if decision.outcome not in (DeliveryStatus.ACCEPTED, DeliveryStatus.HELD):
        return decision
    return Decision(decision.channel, DeliveryStatus.HELD, Reason.PAUSED)


def question_about(delivery: Delivery, n: Notification, category: Category) -> Question:
    """Return the question when a delivery leaves."""
    return Question(delivery.mailbox, delivery.priority, category.required, delivery.expires_at or n.expires_at)


def stop_reason(unless: StepStop, n: Notification, now: datetime) -> Reason | None:
    """Return the reason if the recipient has done what stops a delivery. Archiving stops what reading stops."""
    if unless is StepStop.NEVER:
        return None
    if unless is StepStop.ACKNOWLEDGED:
        return STOP_REASONS[unless] if n.acknowledged_at else None
    if n.read_at or n.archived_at or (unless is StepStop.SEEN and n.seen_at):
        return STOP_REASONS[unless]
    return Reason.SNOOZED if n.snoozed_until and n.snoozed_until > now else None
