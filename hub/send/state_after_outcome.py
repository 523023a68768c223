"""The state of a job after an outcome. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from hub.model import DeliveryStatus, Reason
from hub.outbox.retry_delay import wait_s
from hub.send.outcome import Dead, Delivered, Gone, Outcome, Sent


class Transition(Struct, frozen=True):
    """The next state of a job. `due_at` is set if the job has to wait, and `lane` if it waits on another lane. `error`
    is an error before the call, which is recorded as an attempt."""

    status: DeliveryStatus
    reason: Reason | None = None
    due_at: datetime | None = None
    lane: str | None = None
    error: str | None = None


def next_state(
    outcome: Outcome,
    tries: int,
    schedule: Sequence[float],
    after_max_s: float,
    now: datetime,
    jitter: Callable[[], float],
) -> Transition:
    """Return the next state of a delivery after `tries` attempts. `outcome` is the result of the last attempt.

    The delay before a retry follows the schedule, with jitter. The delay is never shorter than the provider requested,
    up to `after_max_s`."""
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
