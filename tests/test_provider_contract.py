"""The contract of every provider of every channel, tested against fake servers."""

import asyncio
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.send.outcome import Dead, Gone, Retry, Sent
from hub.send.retry_after import HUGE_S, retry_after_s
from tests.chat_setup import CHAT_CASES
from tests.fake_providers import HANG
from tests.provider_setup import NOW, PROVIDER_CASES, FakeServers, ProviderCase, without_secrets
from tests.sms_setup import TEXT_MESSAGE_CASES

CASES = PROVIDER_CASES | TEXT_MESSAGE_CASES | CHAT_CASES
pytestmark = pytest.mark.usefixtures("no_secrets_in_logs")


@pytest.fixture(params=CASES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def case(kind: str, fakes: FakeServers) -> ProviderCase:
    return await CASES[kind](fakes, 10)


@pytest.fixture
async def impatient_case(kind: str, fakes: FakeServers) -> ProviderCase:
    """A provider with a timeout of half a second."""
    return await CASES[kind](fakes, 0.5)


async def test_accepted_message_is_sent_once(case: ProviderCase) -> None:
    assert isinstance(without_secrets(await case.provider.send(case.message())), Sent)
    assert case.accepted_count() == 1


async def test_throttled_message_is_retried_after_the_given_time(case: ProviderCase) -> None:
    case.set_fault("slow_down")
    outcome = without_secrets(await case.provider.send(case.message()))
    assert isinstance(outcome, Retry)
    assert outcome.after_s == case.retry_after_s
    assert (case.calls(), case.accepted_count()) == (1, 0)


async def test_server_error_is_retried_by_the_hub_and_not_by_the_client(case: ProviderCase) -> None:
    case.set_fault("down")
    assert isinstance(without_secrets(await case.provider.send(case.message())), Retry)
    assert case.calls() == 1


async def test_permanent_error_is_dead(case: ProviderCase) -> None:
    case.set_fault("permanent")
    assert isinstance(without_secrets(await case.provider.send(case.message())), Dead)
    assert case.calls() == 1


async def test_gone_is_gone(case: ProviderCase, kind: str) -> None:
    if kind == "ses":
        return  # it reports this later, by a bounce
    case.set_fault("gone")
    assert isinstance(without_secrets(await case.provider.send(case.message())), Gone)
    assert case.calls() == 1


async def test_hanging_provider_times_out_and_leaves_no_connection(impatient_case: ProviderCase) -> None:
    impatient_case.set_fault(HANG)
    started_at = time.monotonic()
    outcomes = await asyncio.gather(*(impatient_case.provider.send(impatient_case.message()) for _ in range(40)))
    assert time.monotonic() - started_at < 5
    assert all(isinstance(without_secrets(outcome), Retry) for outcome in outcomes)


async def test_redirect_is_not_followed(case: ProviderCase, kind: str) -> None:
    if kind == "smtp":
        return  # it sends none
    case.set_fault("redirect")
    assert isinstance(without_secrets(await case.provider.send(case.message())), Dead | Retry)
    assert case.calls() == 1


async def test_next_message_after_a_failure_is_sent(case: ProviderCase) -> None:
    for fault in ("slow_down", "down", "permanent"):
        case.set_fault(fault)
        await case.provider.send(case.message())
    case.server.clear_fault()
    assert isinstance(await case.provider.send(case.message()), Sent)
    assert case.accepted_count() == 1


async def test_concurrent_messages_all_arrive(case: ProviderCase) -> None:
    outcomes = await asyncio.gather(*(case.provider.send(case.message()) for _ in range(40)))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert case.accepted_count() == 40


async def test_unreachable_provider_is_retried(case: ProviderCase) -> None:
    await case.server.close()
    assert isinstance(without_secrets(await case.provider.send(case.message())), Retry)


@given(st.integers(0, 10**40))
def test_retry_after_in_seconds_is_parsed(seconds: int) -> None:
    assert retry_after_s(f" {seconds} ", NOW) == min(seconds, HUGE_S)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)))  # noqa: DTZ001 - the strategy requires naive datetimes
def test_retry_after_as_a_date_is_parsed(at: datetime) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    expected = min(max((at - NOW).total_seconds(), 0), HUGE_S)
    assert retry_after_s(format_datetime(at, usegmt=True), NOW) == expected


@given(
    st.text() | st.sampled_from(["-5", "", "1e9", "0x10", "٣", "Fri, 99 Nov 2026 08:15:30 GMT", "1 2 3", "nan", "inf"])
)
def test_retry_after_random_text_is_none_or_within_bounds(text: str) -> None:
    found = retry_after_s(text, NOW)
    assert found is None or 0 <= found <= HUGE_S


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "٣", "1e3", "nan", "inf"])
def test_retry_after_invalid_value_is_none(text: str | None) -> None:
    assert retry_after_s(text, NOW) is None
