"""What follows an outcome: pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from hub.model import DeliveryStatus, Reason
from hub.outbox.due_index import wait_s
from hub.send.outcome import Dead, Delivered, Gone, Outcome, Sent


class Transition(Struct, frozen=True):
    """`due_at` where it waits again."""

    status: DeliveryStatus
    reason: Reason | None = None
    due_at: datetime | None = None


def next_state(
    outcome: Outcome,
    tries: int,
    schedule: Sequence[float],
    after_max_s: float,
    now: datetime,
    jitter: Callable[[], float],
) -> Transition:
    """What becomes of a delivery after `tries` attempts, of which `outcome` ended the last.

    The wait before another is as the schedule says, with jitter, and never shorter than what the provider asked for."""
    match outcome:
        case Sent():
            return Transition(DeliveryStatus.SENT)
        case Delivered():
            return Transition(DeliveryStatus.DELIVERED)
        case Dead():
            return Transition(DeliveryStatus.FAILED, Reason.REFUSED)
        case Gone():
            return Transition(DeliveryStatus.FAILED, Reason.ADDRESS_GONE)
    if tries > len(schedule):
        return Transition(DeliveryStatus.FAILED, Reason.ATTEMPTS_USED_UP)
    seconds = wait_s(schedule, tries, jitter)
    if outcome.after_s is not None:
        seconds = max(seconds, min(outcome.after_s, after_max_s) + jitter())
    return Transition(DeliveryStatus.RETRYING, None, now + timedelta(seconds=seconds))
