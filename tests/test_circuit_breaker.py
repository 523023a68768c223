"""Circuit breakers that share state in Redis, and the state that follows an outcome."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis as RedisClient
from redis.asyncio.retry import Retry as Retries
from redis.backoff import NoBackoff

from hub.model import DeliveryStatus, Reason
from hub.platform import circuit_breaker
from hub.platform.circuit_breaker import PROBE_RETRY_S, Breakers
from hub.platform.embedded_servers import Mongod, Redis
from hub.send.outcome import Dead, Delivered, Gone, Outcome, Retry, Sent
from hub.send.state_after_outcome import Transition, next_state
from tests.client import eventually
from tests.conftest import scaled

OPEN_S = 0.4
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
async def two_breakers(servers: tuple[Mongod, Redis]) -> AsyncIterator[tuple[Breakers, Breakers]]:
    """Breakers of two processes."""
    prefix = f"breaker{uuid4().hex}:"
    async with RedisClient.from_url(servers[1].url) as one, RedisClient.from_url(servers[1].url) as other:
        yield Breakers(one, prefix, OPEN_S), Breakers(other, prefix, OPEN_S)


async def wait_s(breakers: Breakers, name: str = "smtp") -> float:
    return (await breakers.check([name]))[name]


async def probe(breakers: Breakers, within_s: float = 5) -> None:
    """Wait until a call is allowed."""

    async def granted() -> bool:
        return await wait_s(breakers) == 0

    await eventually(granted, within_s)


async def test_breaker_opens_exactly_at_7_failures_of_the_last_10(servers: tuple[Mongod, Redis]) -> None:
    chosen = random.Random(3)
    async with RedisClient.from_url(servers[1].url) as client:
        breakers = Breakers(client, f"breaker{uuid4().hex}:", 60)
        for number in range(scaled(40, 1000)):
            results: list[bool] = []
            while True:
                received = [chosen.random() < 0.45 for _ in range(chosen.randrange(1, 4))]
                await breakers.record({f"host-{number}": received})
                results += received
                context = results[-10:].count(False) >= 7 and len(results) >= 10
                assert (await wait_s(breakers, f"host-{number}") > 0) == context, results
                if context or len(results) > 60:
                    break


async def test_two_processes_share_a_breaker_and_one_probe_closes_it(two_breakers: tuple[Breakers, Breakers]) -> None:
    one, other = two_breakers
    for _ in range(5):
        await one.record({"smtp": [False]})
        await other.record({"smtp": [False]})
    assert 0 < await wait_s(one) <= OPEN_S
    assert 0 < await wait_s(other) <= OPEN_S
    assert await wait_s(other, "ses") < 0, "the others are not affected"
    assert set(await one.list_open()) == {"smtp"}
    assert await other.find_open(["smtp", "ses"]) == {"smtp"}
    await asyncio.sleep(OPEN_S)
    assert await other.find_open(["smtp", "ses"]) == set()
    requested = await asyncio.gather(*(wait_s(breakers) for breakers in two_breakers * 10))
    assert requested.count(0) == 1, "one of all callers"
    assert min(wait for wait in requested if wait) > 0
    assert max(requested) <= PROBE_RETRY_S, "no caller waits as long as a probe may take"
    await other.record({"smtp": [True]})
    assert await wait_s(one) < 0
    assert await one.list_open() == {}
    await one.record({"smtp": [False] * 6})
    assert await wait_s(other) < 0, "it has started again"


async def test_failed_probes_double_the_wait_up_to_the_maximum(
    two_breakers: tuple[Breakers, Breakers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "OPEN_MAX_S", 1.0)
    one, other = two_breakers
    await one.record({"smtp": [False] * 10})
    for expected in (2 * OPEN_S, 1.0, 1.0):
        await probe(other)
        await other.record({"smtp": [False]})
        assert expected - 0.2 < await wait_s(one) <= expected


async def test_calls_running_when_the_breaker_opened_do_not_change_it(
    two_breakers: tuple[Breakers, Breakers],
) -> None:
    one, other = two_breakers
    await one.record({"smtp": [False] * 10})
    await other.record({"smtp": [True]})
    assert 0 < await wait_s(one) <= OPEN_S
    await other.record({"smtp": [False] * 10})
    assert 0 < await wait_s(one) <= OPEN_S


async def test_check_without_a_call_does_not_use_up_the_probe(two_breakers: tuple[Breakers, Breakers]) -> None:
    one, other = two_breakers
    await one.record({"smtp": [False] * 10})
    await asyncio.sleep(OPEN_S)
    assert (await one.check(["smtp"], probing=[]))["smtp"] > 0
    assert await wait_s(other) == 0


async def test_calls_are_allowed_without_redis() -> None:
    async with RedisClient(port=1, retry=Retries(NoBackoff(), 0)) as nowhere:
        breakers = Breakers(nowhere, "", 30)
        await breakers.record({"smtp": [False] * 10})
        assert await wait_s(breakers) < 0


outcomes = st.one_of(
    st.builds(Sent),
    st.builds(Delivered),
    st.builds(Dead, st.text()),
    st.builds(Gone, st.text()),
    st.builds(Retry, st.text(), st.none() | st.floats(0, 10**7)),
)
schedules = st.lists(st.floats(0.001, 10**6), max_size=8).map(tuple)


@given(outcomes, st.integers(1, 12), schedules, st.floats(0, 10**5), st.floats(0, 1, exclude_max=True))
def test_outcome_determines_the_next_state(
    outcome: Outcome, tries: int, schedule: tuple[float, ...], after_max_s: float, jitter: float
) -> None:
    step = next_state(outcome, tries, schedule, after_max_s, NOW, lambda: jitter)
    if not isinstance(outcome, Retry):
        ends = {
            Sent: Transition(DeliveryStatus.SENT),
            Delivered: Transition(DeliveryStatus.DELIVERED),
            Dead: Transition(DeliveryStatus.FAILED, Reason.REFUSED),
            Gone: Transition(DeliveryStatus.FAILED, Reason.ADDRESS_GONE),
        }
        assert step == ends[type(outcome)]
    elif tries > len(schedule):
        assert step == Transition(DeliveryStatus.FAILED, Reason.ATTEMPTS_USED_UP)
    else:
        assert (step.status, step.reason) == (DeliveryStatus.RETRYING, None)
        assert step.due_at
        wait_s, told_s = (step.due_at - NOW) / timedelta(seconds=1), min(outcome.after_s or 0, after_max_s)
        assert wait_s >= told_s - 1e-5, "never earlier than the provider allows"
        assert wait_s <= max(2 * schedule[tries - 1], told_s + 1) + 1e-5


@given(st.floats(0.1, 10**5))
def test_retry_delays_are_spread_around_the_schedule(wait_s: float) -> None:
    chosen = random.Random(1)
    found = [next_state(Retry("x"), 1, (wait_s,), 0, NOW, chosen.random).due_at for _ in range(200)]
    waits = sorted((at - NOW) / timedelta(seconds=1) for at in found if at)
    assert 0.8 * wait_s < sum(waits) / 200 < 1.2 * wait_s
    assert waits[0] < 0.1 * wait_s
    assert waits[-1] > 1.9 * wait_s
