"""The plan for a recipient whom a send skips. Performs no I/O."""

from msgspec.structs import replace

from hub.decide.plan import Decision, Plan
from hub.model import DeliveryStatus, Reason


def skipped_plan(plan: Plan, reason: Reason) -> Plan:
    """Return the plan with every channel and step SKIPPED for `reason`, unless it was skipped already."""

    def skip(decision: Decision) -> Decision:
        if decision.outcome is DeliveryStatus.SKIPPED:
            return decision
        skipped = Decision(decision.channel, DeliveryStatus.SKIPPED, reason)
        return replace(skipped, step=decision.step, unless=decision.unless)

    used = {decision.channel for decision in plan.decisions if decision.outcome is not DeliveryStatus.SKIPPED}
    return replace(
        plan,
        hidden=True,
        decisions=tuple(skip(decision) for decision in plan.decisions),
        skipped={channel.value: reason.value for channel in used} | plan.skipped,
        external=(),
        in_app_step=0,
        has_steps=False,
    )
