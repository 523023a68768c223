"""Throttles: at most so many sends per recipient and key leave the hub in a window. Performs no I/O."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from hub.decide.effective_preferences import may_show
from hub.decide.plan import Decision, Plan
from hub.model import Category, Channel, DeliveryStatus, Reason, Record, Tenant, User, WindowCount


class Throttle(Record, frozen=True):
    """At most `limit` sends with this key per recipient in a window, which starts with the first counted send."""

    key: str
    window_s: int
    limit: int = 1


def throttled(
    throttle: Throttle, plan: Plan, category: Category, tenant: Tenant, user: User, counted: WindowCount, now: datetime
) -> tuple[Plan, WindowCount]:
    """Return the plan and the new count. `counted` is the stored count, or an empty one.

    A send counts if something of it leaves the hub. Over the limit, nothing leaves the hub, and the notification is
    shown in the inbox unless the user switched that off."""
    if all(decision.channel is Channel.IN_APP for decision in plan.external):
        return plan, counted
    window = timedelta(seconds=throttle.window_s)
    if not counted.count or counted.started_at + window <= now:
        counted = WindowCount(id=counted.id, count=0, started_at=now, expires_at=now)
    if counted.count >= throttle.limit:
        return _kept_in_inbox(plan, shown=not plan.hidden or may_show(category, user, tenant)), counted
    ends_at = max(counted.expires_at, counted.started_at + window)
    return plan, replace(counted, count=counted.count + 1, expires_at=ends_at)


def _kept_in_inbox(plan: Plan, *, shown: bool) -> Plan:
    """Return the plan without the deliveries that leave the hub. A step that shows the notification is kept."""
    kept = tuple(decision for decision in plan.external if decision.channel is Channel.IN_APP)
    shown = shown and not (kept and plan.hidden)
    leaving = frozenset(plan.external).difference(kept)

    def decide(decision: Decision) -> Decision:
        if decision in leaving:
            skipped = Decision(decision.channel, DeliveryStatus.SKIPPED, Reason.THROTTLED)
            return replace(skipped, step=decision.step, unless=decision.unless)
        if decision.channel is Channel.IN_APP and shown and not decision.step:
            return Decision(Channel.IN_APP, DeliveryStatus.ACCEPTED)
        return decision

    return replace(
        plan,
        hidden=not shown,
        decisions=tuple(decide(decision) for decision in plan.decisions),
        skipped=plan.skipped
        | {decision.channel.value: Reason.THROTTLED.value for decision in leaving if not decision.step},
        external=(*kept, *(decide(decision) for decision in plan.external if decision.step and decision in leaving)),
    )
