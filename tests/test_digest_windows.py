"""The windows of digests: FIXED and SLIDING, `max`, `maxItems`, and `lookback`."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.decide.digest import Digest, end_after_join, gathered
from hub.decide.plan import Requested, plan
from hub.inbox.window_counts import empty_count
from hub.model import NO_PREFERENCES, Category, Channel, DeliveryStatus, DigestMode, Reason, User
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import GraphQLErrors, Json
from tests.digest_setup import HOUR, Running, digest_deployment, find, wait_for_ends
from tests.strategies import NOW

SECONDS = st.integers(10, 31 * 86_400)
EMAIL_PLAN = plan(
    Requested(channels=(Channel.IN_APP, Channel.EMAIL)),
    Category(key="news", name="news"),
    NO_PREFERENCES,
    User(id="acme/alice", email="a@people.example", created_at=NOW, updated_at=NOW),
    frozenset({Channel.IN_APP, Channel.EMAIL}),
    NOW,
)


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    async with digest_deployment(servers) as opened:
        yield opened


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(SECONDS, SECONDS, st.lists(st.integers(0, 86_400), max_size=20))
def test_sliding_window_ends_after_the_latest_delivery_but_not_after_max(
    window: int, longest: int, pauses: list[int]
) -> None:
    """The end never moves back, and is exactly the sooner of the two times. A FIXED window does not move."""
    digest = Digest(key="a", window_s=window, mode=DigestMode.SLIDING, max_s=max(window, longest))
    end, at = after(window), 0
    for joined, pause in enumerate(pauses, 2):
        at += pause
        moved = end_after_join(digest, end, NOW, joined, after(at))
        assert moved == max(end, min(after(at + window), after(digest.max_s)))
        assert end <= moved <= after(digest.max_s)
        assert end_after_join(replace(digest, mode=DigestMode.FIXED), end, NOW, joined, after(at)) == end
        end = moved


@given(SECONDS, st.integers(2, 50), st.integers(0, 5))
def test_window_ends_when_enough_deliveries_joined(window: int, most: int, more: int) -> None:
    digest = Digest(key="a", window_s=window, max_items=most)
    assert end_after_join(digest, after(window), NOW, most - 1, after(1)) == after(window)
    assert end_after_join(digest, after(window), NOW, most + more, after(1)) == after(1)


@given(SECONDS, st.lists(st.integers(0, 86_400), min_size=1, max_size=20))
def test_delivery_that_none_preceded_leaves_alone(lookback: int, pauses: list[int]) -> None:
    digest, mark = Digest(key="a", window_s=60, lookback_s=lookback), empty_count("a", NOW)
    at, last = 0, None
    for pause in pauses:
        at += pause
        planned, mark = gathered(digest, {}, EMAIL_PLAN, mark, after(at))
        leaves = last is None or at - last >= lookback
        [email] = planned.external
        assert (email.outcome is DeliveryStatus.ACCEPTED) is leaves
        assert (email.reason is Reason.DIGEST) is not leaves
        last = at


async def test_sliding_window_moves_with_each_delivery(running: Running) -> None:
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "anna", channels=["EMAIL"])
    ends = []
    for window in ("PT1H", "PT2H", "PT4H"):
        digest = {"key": "a", "window": window, "mode": "SLIDING", **({"max": "PT3H"} if window != "PT4H" else {})}
        await tenant.send("anna", channels=["EMAIL"], digest=digest)
        [one], _ = await find(tenant, userId="anna")
        ends.append(datetime.fromisoformat(one["dueAt"]))
    first, second, third = ends
    assert timedelta(hours=1) <= second - first < timedelta(hours=1, minutes=5)
    assert timedelta(hours=2) <= third - second < timedelta(hours=2, minutes=5)


async def test_simulate_shows_the_end_that_the_joining_delivery_moves(running: Running) -> None:
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "gina", channels=["EMAIL"])
    await tenant.send("gina", channels=["EMAIL"], digest=HOUR)
    [digest], _ = await find(tenant, userId="gina")
    query = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel dueAt } } }"
    fields = {"to": {"users": ["gina"]}, "category": "news", "content": {"title": "T", "body": ""}}

    async def end_with(**more: object) -> str:
        found = await tenant.execute(query, input={**fields, "channels": ["EMAIL"], "digest": {**HOUR, **more}})
        return next(str(one["dueAt"]) for one in found["simulate"][0]["decisions"] if one["channel"] == "EMAIL")

    assert await end_with() == digest["dueAt"]
    assert await end_with(window="PT4H", mode="SLIDING", max="PT6H") > digest["dueAt"]
    assert await end_with(maxItems=2) < digest["dueAt"]


async def test_digest_leaves_early_with_max_items(running: Running) -> None:
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "ben", channels=["EMAIL"])
    for _ in range(3):
        await tenant.send("ben", channels=["EMAIL"], digest={**HOUR, "maxItems": 3})
    [digest], _ = await wait_for_ends(tenant, "ben", 4)
    assert (digest["status"], digest["itemCount"]) == ("SENT", 3)


async def test_first_delivery_leaves_at_once_with_lookback(running: Running) -> None:
    """`simulate` says so before each send."""
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "cleo", channels=["EMAIL"])
    digest = {**HOUR, "lookback": "PT1H"}
    query = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome } } }"
    fields = {"to": {"users": ["cleo"]}, "category": "news", "content": {"title": "T", "body": ""}}

    async def simulated() -> str:
        found = await tenant.execute(query, input={**fields, "channels": ["EMAIL"], "digest": digest})
        return next(str(d["outcome"]) for d in found["simulate"][0]["decisions"] if d["channel"] == "EMAIL")

    assert await simulated() == "ACCEPTED"
    await tenant.send("cleo", channels=["EMAIL"], digest=digest)
    [], [alone] = await wait_for_ends(tenant, "cleo", 1)
    assert (alone["status"], alone["digestId"]) == ("SENT", None)
    assert await simulated() == "HELD"
    for _ in range(2):
        await tenant.send("cleo", channels=["EMAIL"], digest=digest)
    digests, _ = await find(tenant, userId="cleo")
    assert [one["itemCount"] for one in digests] == [2]


async def test_category_gathers_sends_that_have_no_digest(running: Running) -> None:
    """A changed category applies to the next send. The digest of a send is a digest of its own."""
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "emil", channels=["EMAIL"])
    await tenant.define_category("social", "EMAIL", digest="PT1H")
    await tenant.send("emil", category="social")
    await tenant.send("emil", category="social")
    await tenant.send("emil", category="social", digest=HOUR)
    digests, _ = await find(tenant, userId="emil")
    assert [one["itemCount"] for one in digests] == [1, 2]
    query = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel reason dueAt } } }"
    fields = {"to": {"users": ["emil"]}, "category": "social", "content": {"title": "T", "body": ""}}
    [simulation] = (await tenant.execute(query, input=fields))["simulate"]
    [email] = [one for one in simulation["decisions"] if one["channel"] == "EMAIL"]
    assert (email["reason"], email["dueAt"]) == ("DIGEST", digests[1]["dueAt"])
    assert (await tenant.execute("{ categories { key digest } }"))["categories"][-1] == {
        "key": "social",
        "digest": "PT1H",
    }
    await tenant.define_category("social", "EMAIL")
    await tenant.send("emil", category="social")
    _, [newest, *_] = await find(tenant, userId="emil")
    assert newest["digestId"] is None
    with pytest.raises(GraphQLErrors) as raised:
        await tenant.define_category("social", "EMAIL", digest="PT1S")
    assert raised.value.errors[0]["extensions"]["field"] == "input.digest"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"max": "PT2H"}, "max"),
        ({"mode": "SLIDING", "max": "PT59M"}, "max"),
        ({"mode": "SLIDING", "max": "P32D"}, "max"),
        ({"lookback": "PT9S"}, "lookback"),
        ({"maxItems": 1}, "maxItems"),
    ],
)
async def test_bad_window_is_refused(running: Running, more: Json, field: str) -> None:
    digest: dict[str, Any] = {**HOUR, **more}
    with pytest.raises(GraphQLErrors) as raised:
        await running[1].send("dora", digest=digest)
    assert raised.value.code == "BAD_USER_INPUT"
    assert raised.value.errors[0]["extensions"]["field"] == f"input.digest.{field}"
