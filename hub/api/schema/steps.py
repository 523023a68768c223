"""The steps of sends and categories."""

from collections.abc import Sequence

import strawberry

from hub import model
from hub.api.schema.scalars import Duration
from hub.errors import BadUserInput
from hub.iso_duration import DAY_S

STEPS_MAX = 10
AFTER_MAX_DAYS = 90


@strawberry.type(description="Deliveries that follow a send, unless the recipient stops them.")
class Step:
    channels: list[model.Channel] = strawberry.field(description="The channels of the step.")
    after_s: Duration = strawberry.field(name="after", description="The time from the send to the step.")
    unless: model.StepStop = strawberry.field(
        description="The action of the recipient that stops the step. In a send with `requireAck`, it is ACKNOWLEDGED "
        "or NEVER."
    )


@strawberry.input(
    description="Deliveries that follow a send, unless the recipient stops them. In a send with `requireAck`, only the "
    "acknowledgment stops a step, or nothing if `unless` is NEVER."
)
class StepInput:
    channels: list[model.Channel] = strawberry.field(
        description="The channels of the step, at least one. IN_APP shows the notification when the step is due; until "
        "then, it is hidden unless IN_APP goes with the send."
    )
    after: Duration | None = strawberry.field(
        default=Duration(0),
        description=f"The time from the send to the step, at most {AFTER_MAX_DAYS} days. PT0S: the step goes with the "
        "send.",
    )
    unless: model.StepStop | None = strawberry.field(
        default=model.StepStop.READ, description="The action of the recipient that stops the step."
    )


def to_steps(steps: Sequence[StepInput], field: str, *, require_ack: bool) -> tuple[model.Step, ...]:
    """Validate and convert steps. `field` is the path of the list. `require_ack`: they belong to a send that requests
    an acknowledgment."""
    if len(steps) > STEPS_MAX:
        raise BadUserInput(f"At most {STEPS_MAX} steps are allowed.", field)
    for index, step in enumerate(steps):
        if step.unless is model.StepStop.ACKNOWLEDGED and not require_ack:
            raise BadUserInput(
                "Only a send with `requireAck: true` can be acknowledged. All its steps wait for that. Choose another "
                "`unless`, or set `requireAck` in the send.",
                f"{field}.{index}.unless",
            )
    return tuple(_to_step(step, f"{field}.{index}") for index, step in enumerate(steps))


def _to_step(step: StepInput, field: str) -> model.Step:
    if not step.channels:
        raise BadUserInput("`channels` must name at least one channel.", f"{field}.channels")
    after_s = step.after or 0
    if after_s > AFTER_MAX_DAYS * DAY_S:
        raise BadUserInput(f"`after` must be at most P{AFTER_MAX_DAYS}D.", f"{field}.after")
    return model.Step(
        channels=tuple(dict.fromkeys(step.channels)), after_s=after_s, unless=step.unless or model.StepStop.READ
    )
