"""Digests: deliveries of several sends are gathered per recipient, channel, and device. Performs no I/O."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from hub.decide.plan import Decision, Plan
from hub.model import Channel, DeliveryStatus, Priority, Reason, Record


class Digest(Record, frozen=True):
    """Gather the deliveries with this key. The window starts with the first delivery."""

    key: str
    window_s: int


def digest_key(category: str, key: str) -> str:
    """Return the key of a stored digest. A digest has one category, so it has one unsubscribe link and one mute."""
    return f"{category}/{key}"


def gathered(digest: Digest, plan: Plan, now: datetime) -> Plan:
    """Return the plan with the deliveries that wait in a digest. `due_at` is the end of a window that starts now.

    The inbox, later steps, and CRITICAL sends are not gathered."""
    if plan.priority is Priority.CRITICAL:
        return plan
    due_at = now + timedelta(seconds=digest.window_s)

    def hold(decision: Decision) -> Decision:
        if decision.outcome is not DeliveryStatus.ACCEPTED or decision.channel is Channel.IN_APP:
            return decision
        return replace(decision, outcome=DeliveryStatus.HELD, reason=Reason.DIGEST, due_at=due_at)

    return replace(
        plan,
        decisions=tuple(hold(decision) for decision in plan.decisions),
        external=tuple(hold(decision) for decision in plan.external),
    )
