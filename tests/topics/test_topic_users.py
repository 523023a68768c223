"""`users(topic:)`: the subscribers of a topic in pages, with and without a search."""

import pytest

from hub.audience.topics import EXACT_COUNT_MAX, SEARCHED_MAX
from tests.broadcasts import create_users
from tests.client import Tenant
from tests.graphql_errors import expect_error
from tests.topics.calls import leave, subscribe, upsert_topic

USERS = """query ($t: String, $s: String, $n: Int, $a: String) {
  users(topic: $t, search: $s, first: $n, after: $a) { nodes { id topics } pageInfo { hasNextPage endCursor } }
}"""


async def list_users(tenant: Tenant, topic: str, search: str | None = None, first: int = 50) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = (await tenant.execute(USERS, t=topic, s=search, n=first, a=after))["users"]
        found += [user["id"] for user in page["nodes"]]
        assert all(topic in user["topics"] for user in page["nodes"])
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


@pytest.mark.parametrize("others", [0, EXACT_COUNT_MAX])
async def test_subscribers_are_listed_and_searched(tenant: Tenant, others: int) -> None:
    users = [f"u{n:02}" for n in range(12)]
    await tenant.send("u99", "x99")
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", *users)
    await subscribe(tenant, "other", "u50")
    await leave(tenant, "news", "u03")
    if others:
        await subscribe(tenant, "news", *(f"x{n:04}" for n in range(others)))
    expected = [user for user in users if user != "u03"]
    assert await list_users(tenant, "news", "u", first=4) == expected
    assert await list_users(tenant, "news", "u1") == ["u10", "u11"]
    assert await list_users(tenant, "news", "u99") == await list_users(tenant, "news", "none") == []
    if not others:
        assert await list_users(tenant, "news", first=4) == expected
        assert await list_users(tenant, "news", first=11) == expected


async def test_page_of_a_search_examines_a_limited_number_of_users(tenant: Tenant) -> None:
    """Thousands of users match the search, and one of them is subscribed to the topic."""
    await create_users(tenant, [f"m{n:04}" for n in range(SEARCHED_MAX + 100)])
    await subscribe(tenant, "news", *(f"x{n:04}" for n in range(EXACT_COUNT_MAX)))
    await subscribe(tenant, "news", "m9999")
    page = (await tenant.execute(USERS, t="news", s="m", n=50))["users"]
    assert (page["nodes"], page["pageInfo"]["hasNextPage"]) == ([], True)
    assert await list_users(tenant, "news", "m") == ["m9999"]


async def test_unknown_or_invalid_topic_is_rejected(tenant: Tenant) -> None:
    assert await expect_error(list_users(tenant, "missing")) == ("NOT_FOUND", "topic")
    assert await expect_error(list_users(tenant, "")) == ("BAD_USER_INPUT", "topic")
