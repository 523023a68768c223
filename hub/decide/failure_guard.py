"""The failure guard of sends that name no users. Pure.

A guarded send first reaches a canary, which is a share of its recipients that a hash of send and user chooses. The
other recipients wait until enough deliveries of the canary were called. If too many of them failed, the send is paused.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType

from msgspec import Struct

from hub.model import Channel, DeliveryStatus, Reason

CANARY_MIN = 100  # recipients
CANARY_DIVISOR = 100  # 1 % of the recipients, if that is more
CALLED_SHARE = 0.9  # of the canary's deliveries that may leave now
CALLED_MIN = 20  # with fewer calls, their results prove nothing
HASH_BYTES = 4
HASHES = 1 << 8 * HASH_BYTES
SENT = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ)
FAILED = (DeliveryStatus.FAILED, DeliveryStatus.RETRYING)
WAITING = (DeliveryStatus.ACCEPTED, DeliveryStatus.PROCESSING)
HELD_BRIEFLY = (Reason.RATE_LIMITED, Reason.PAUSED)
"""The reasons of HELD deliveries for which the guard waits. A delivery that is held with PAUSED was not called since
its send was resumed, or its channel is paused."""
OWN_REASONS = (Reason.TEMPLATE_ERROR, Reason.POISON)
"""The reasons of FAILED deliveries for which the recipient's address is not responsible."""

Counts = Mapping[tuple[Channel, DeliveryStatus, str | None], int]


class Canary(Struct, frozen=True):
    """The recipients of a send whose hash is less than `below`."""

    send: str
    below: int

    def includes(self, key: str) -> bool:
        """Return True if the canary includes the user with this mailbox key."""
        digest = blake2b(f"{self.send}/{key}".encode(), digest_size=HASH_BYTES).digest()
        return int.from_bytes(digest) < self.below


def canary_below(total: int) -> int:
    """Return `Canary.below` for an expected number of recipients, which is at least 1."""
    size = max(CANARY_MIN, total // CANARY_DIVISOR)
    return HASHES * min(size, total) // total


class Result(StrEnum):
    PASSED = "passed"
    UNDECIDED = "undecided"  # too few calls
    FAILED = "failed"


class Verdict(Struct, frozen=True):
    """The result of the deliveries of a canary. `called`, `failed`: their numbers. `is_final`: enough deliveries were
    called. `is_backlog`: too few were called, and enough wait to decide later. `text`: the failures in words."""

    result: Result
    called: int
    failed: int
    is_final: bool
    is_backlog: bool
    text: str


class _Tally(Struct):
    called: int = 0
    failed: int = 0
    waiting: int = 0

    def add(self, other: "_Tally") -> None:
        self.called += other.called
        self.failed += other.failed
        self.waiting += other.waiting

    def move(self, count: int, *, has_failed: bool) -> None:
        """Count deliveries as called that were counted as waiting."""
        moved = min(count, self.waiting)
        self.add(_Tally(called=moved, failed=moved if has_failed else 0, waiting=-moved))


def judge(
    counts: Counts,
    failures_max: int,
    down: Collection[Channel] = (),
    retried: Counts = MappingProxyType({}),
) -> Verdict:
    """Judge the deliveries of a canary by channel, status, and reason. `failures_max`: the percentage of failures that
    is allowed, of all channels together and of each channel that has enough calls. `down`: the channels all of whose
    providers have an open circuit breaker. A failure on one of them fails the canary. `retried`: how many of the
    deliveries that wait have failed before.

    A delivery that an open circuit breaker holds has failed: its provider is down. Deliveries that wait for a time,
    such as the end of quiet hours, do not count, nor do those that ended without a call. A call to an address that is
    gone, or to a user's own webhook, has not failed, because the address is the cause. IN_APP is not a call, and counts
    only as a channel of its own."""
    tallies: defaultdict[Channel, _Tally] = defaultdict(_Tally)
    for (channel, status, reason), count in counts.items():
        tallies[channel].add(_tally(channel, status, reason, count))
    for (channel, _, _), count in retried.items():
        tallies[channel].move(count, has_failed=channel is not Channel.WEBHOOK)
    whole = _Tally()
    for channel, tally in tallies.items():
        if channel is not Channel.IN_APP:
            whole.add(tally)
    failing = [
        channel
        for channel, tally in sorted(tallies.items())
        if _has_failed(tally, failures_max) or (channel in down and tally.failed)
    ]
    if not failing and _has_failed(whole, failures_max):
        failing = [channel for channel in sorted(tallies) if tallies[channel].failed and channel is not Channel.IN_APP]
    result = Result.PASSED if whole.called >= CALLED_MIN else Result.UNDECIDED
    return Verdict(
        result=Result.FAILED if failing else result,
        called=whole.called,
        failed=whole.failed,
        is_final=whole.called >= CALLED_SHARE * (whole.called + whole.waiting),
        is_backlog=whole.called < CALLED_MIN <= whole.waiting,
        text=" and ".join(_text(channel, tallies[channel], channel in down) for channel in failing),
    )


def _tally(channel: Channel, status: DeliveryStatus, reason: str | None, count: int) -> _Tally:
    held = status is DeliveryStatus.HELD
    if status in FAILED or (held and reason == Reason.PROVIDER_DOWN):
        is_address = reason == Reason.ADDRESS_GONE or (channel is Channel.WEBHOOK and reason not in OWN_REASONS)
        return _Tally(called=count, failed=0 if is_address else count)
    if status in SENT:
        return _Tally(called=count)
    if status in WAITING or (held and reason in HELD_BRIEFLY):
        return _Tally(waiting=count)
    return _Tally()


def _has_failed(tally: _Tally, failures_max: int) -> bool:
    return tally.called >= CALLED_MIN and 100 * tally.failed > failures_max * tally.called


def _text(channel: Channel, tally: _Tally, is_down: bool) -> str:
    down = " (the provider is down)" if is_down else ""
    return f"{tally.failed:,} of the first {tally.called:,} {channel} deliveries{down}"


def paused_by_guard(verdict: Verdict, failures_max: int) -> str:
    """Return the reason of a pause by the guard."""
    return (
        f"Paused by the failure guard: {verdict.text} failed or must be tried again. At most {failures_max} % may fail "
        "(HUB_GUARD_FAILURES). The other users have not got the send. Correct the cause, such as the mail server, and "
        "resume the send. It keeps the version of its template: if the template or content is wrong, recall it and "
        "send again."
    )
