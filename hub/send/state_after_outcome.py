"""The state of a job after an outcome. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from hub.model import DeliveryStatus, Reason
from hub.outbox.retry_delay import wait_s
from hub.platform.encryption import CredentialUnavailable
from hub.send.outcome import Dead, Delivered, Gone, OptedOut, Outcome, Postponed, Retry, Sent, Skipped


class Transition(Struct, frozen=True):
    """The next state of a job. `due_at` is set if the job has to wait, and `lane` if it waits on another lane. `error`
    is an error before the call, which is recorded as an attempt. `lease_expirations` is set if the preparation
    crashed, and `tries` if the error counts as a try."""

    status: DeliveryStatus
    reason: Reason | None = None
    due_at: datetime | None = None
    lane: str | None = None
    error: str | None = None
    lease_expirations: int | None = None
    tries: int | None = None


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
        case Skipped():
            return Transition(DeliveryStatus.SKIPPED)
        case Dead():
            return Transition(DeliveryStatus.FAILED, Reason.REFUSED)
        case Gone():
            return Transition(DeliveryStatus.FAILED, Reason.ADDRESS_GONE)
        case OptedOut():
            return Transition(DeliveryStatus.SKIPPED, Reason.OPTED_OUT)
        case Postponed():
            due_at = now + timedelta(seconds=outcome.after_s * (1 + jitter()))
            return Transition(DeliveryStatus.HELD, Reason.RATE_LIMITED, due_at)
    if tries > len(schedule):
        return Transition(DeliveryStatus.FAILED, Reason.ATTEMPTS_USED_UP)
    seconds = wait_s(schedule, tries, jitter)
    if outcome.after_s is not None:
        seconds = max(seconds, min(outcome.after_s, after_max_s) + jitter())
    return Transition(DeliveryStatus.RETRYING, None, now + timedelta(seconds=seconds))


def state_without_credential(
    error: CredentialUnavailable, tries: int, schedule: Sequence[float], now: datetime, jitter: Callable[[], float]
) -> Transition:
    """Return the next state of a job that was tried `tries` times and whose credential cannot be decrypted. This counts
    as a try: another worker may have the key, or an operator adds it."""
    after = next_state(Retry(str(error)), tries + 1, schedule, 0, now, jitter)
    return replace(after, error=str(error), tries=tries + 1)


def state_after_crash(
    error: Exception,
    lease_expirations: int,
    schedule: Sequence[float],
    expirations_max: int,
    now: datetime,
    jitter: Callable[[], float],
) -> Transition:
    """Return the next state of a job whose preparation raised `error`. This counts as an expired lease of the job,
    which had `lease_expirations` before."""
    expirations = lease_expirations + 1
    if expirations >= expirations_max:
        text = f"the hub could not prepare the message ({type(error).__name__})"
        return Transition(DeliveryStatus.FAILED, Reason.POISON, error=text, lease_expirations=expirations)
    due_at = now + timedelta(seconds=wait_s(schedule, expirations, jitter))
    return Transition(DeliveryStatus.ACCEPTED, None, due_at, lease_expirations=expirations)
