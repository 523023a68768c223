"""The verdict of the failure guard, and its canary."""

from collections.abc import Sequence
from typing import Any

import pytest

from hub.decide.failure_guard import CANARY_MIN, Canary, Counts, Result, canary_below, judge
from hub.model import Channel, DeliveryStatus, Reason

DELIVERED, FAILED, HELD = DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.HELD


def verdict(*counts: tuple[Channel, DeliveryStatus, str | None, int]) -> tuple[Result, bool]:
    found = judge({(channel, status, reason): count for channel, status, reason, count in counts}, 20)
    return found.result, found.is_final


EMAIL, PUSH = Channel.EMAIL, Channel.WEB_PUSH
ACCEPTED, SENT, RETRYING = DeliveryStatus.ACCEPTED, DeliveryStatus.SENT, DeliveryStatus.RETRYING


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], (Result.UNDECIDED, True)),
        ([(EMAIL, SENT, None, 19), (EMAIL, SENT, None, 0)], (Result.UNDECIDED, True)),
        ([(EMAIL, FAILED, Reason.REFUSED, 19)], (Result.UNDECIDED, True)),
        ([(EMAIL, SENT, None, 80), (EMAIL, FAILED, Reason.REFUSED, 20)], (Result.PASSED, True)),
        ([(EMAIL, SENT, None, 79), (EMAIL, RETRYING, None, 21)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 89), (EMAIL, ACCEPTED, None, 11)], (Result.PASSED, False)),
        ([(EMAIL, SENT, None, 90), (EMAIL, HELD, Reason.RATE_LIMITED, 10)], (Result.PASSED, True)),
        ([(EMAIL, SENT, None, 20), (EMAIL, HELD, Reason.QUIET_HOURS, 80)], (Result.PASSED, True)),
        ([(EMAIL, RETRYING, None, 10), (EMAIL, HELD, Reason.PROVIDER_DOWN, 90)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 900), (PUSH, FAILED, Reason.REFUSED, 20)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 900), (PUSH, FAILED, Reason.ADDRESS_GONE, 20)], (Result.PASSED, True)),
        ([(EMAIL, SENT, None, 900), (Channel.WEBHOOK, RETRYING, None, 500)], (Result.PASSED, True)),
        ([(Channel.WEBHOOK, FAILED, Reason.TEMPLATE_ERROR, 20)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 20), (Channel.IN_APP, FAILED, Reason.TEMPLATE_ERROR, 20)], (Result.FAILED, True)),
        ([(EMAIL, FAILED, None, 19), (Channel.IN_APP, DELIVERED, None, 900)], (Result.UNDECIDED, True)),
        ([(EMAIL, FAILED, None, 10), (PUSH, FAILED, None, 10)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 30), (EMAIL, DeliveryStatus.SKIPPED, Reason.ALREADY_READ, 70)], (Result.PASSED, True)),
    ],
)
def test_verdict_of_a_canary(counts: Sequence[Any], expected: tuple[Result, bool]) -> None:
    assert verdict(*counts) == expected


def test_channel_that_is_down_fails_the_canary_only_if_it_has_failures() -> None:
    counts: Counts = {(EMAIL, RETRYING, None): 3, (PUSH, SENT, None): 90}
    assert judge(counts, 20).result is Result.PASSED
    assert judge(counts, 20, {EMAIL}).result is Result.FAILED
    assert judge(counts, 20, {PUSH}).result is Result.PASSED


def test_deliveries_that_wait_after_a_failure_have_failed() -> None:
    counts: Counts = {(EMAIL, ACCEPTED, None): 30, (EMAIL, SENT, None): 10}
    assert (judge(counts, 20).result, judge(counts, 20).is_backlog) == (Result.UNDECIDED, True)
    found = judge(counts, 20, retried={(EMAIL, ACCEPTED, None): 40})  # counted later than the others
    assert (found.result, found.called, found.failed, found.is_backlog) == (Result.FAILED, 40, 30, False)
    assert not judge({(EMAIL, SENT, None): 10}, 20).is_backlog


@pytest.mark.parametrize("total", [1, 50, 101, 10_000, 50_000])
def test_canary_is_one_percent_or_a_hundred_users(total: int) -> None:
    canary = Canary("0190b2a3-0000-7000-8000-000000000000", canary_below(total))
    size = sum(canary.includes(f"acme/user-{number}") for number in range(total))
    expected = min(total, max(CANARY_MIN, total // 100))
    assert abs(size - expected) < 0.3 * expected
