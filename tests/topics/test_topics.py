"""Topics of a tenant: creation, list, search, and the number of subscribers."""

import asyncio

import pytest

from hub.audience.topics import EXACT_COUNT_MAX
from hub.model import topic_id
from hub.platform.connections import Database
from tests.client import GraphQLErrors, Tenant
from tests.conftest import scaled
from tests.graphql_errors import expect_error
from tests.topics.calls import LEAVE, TOPICS, UPSERT, list_topics, subscribe, unsubscribe, upsert_topic


async def keys(tenant: Tenant, search: str) -> list[str]:
    return [topic["key"] for topic in (await list_topics(tenant, search))["nodes"]]


async def test_topic_is_replaced_as_a_whole_and_keeps_its_subscribers(tenant: Tenant) -> None:
    topic = await upsert_topic(tenant, "releases", name="Releases", description="New versions", visible=True)
    created_at = topic.pop("createdAt")
    assert topic == {
        "key": "releases",
        "name": "Releases",
        "description": "New versions",
        "visible": True,
        "subscribers": 0,
    }
    await subscribe(tenant, "releases", "alice", "bob")
    again = await upsert_topic(tenant, "releases")
    assert again == {
        "key": "releases",
        "name": "releases",
        "description": None,
        "visible": False,
        "subscribers": 2,
        "createdAt": created_at,
    }
    assert (await list_topics(tenant))["nodes"] == [again]


async def test_first_subscriber_creates_an_invisible_topic_named_as_its_key(tenant: Tenant) -> None:
    assert await subscribe(tenant, "churn-risk", "alice") == 1
    [topic] = (await list_topics(tenant))["nodes"]
    assert (topic["key"], topic["name"], topic["visible"], topic["subscribers"]) == (
        "churn-risk",
        "churn-risk",
        False,
        1,
    )


async def test_topics_are_listed_in_pages_by_key(tenant: Tenant, database: Database) -> None:
    await asyncio.gather(*(upsert_topic(tenant, f"t{n:02}") for n in range(12)))
    await database.tenant_topics.insert_one({"_id": topic_id(f"{tenant.name}0", "other"), "name": "other"})
    found: list[str] = []
    after: str | None = None
    while True:
        page = await list_topics(tenant, first=5, after=after)
        found += [topic["key"] for topic in page["nodes"]]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == [f"t{n:02}" for n in range(12)]


async def test_search_finds_parts_of_keys_and_names_and_ignores_case(tenant: Tenant) -> None:
    await upsert_topic(tenant, "doc:12", name="Straße 100%")
    await upsert_topic(tenant, "doc:13", name="İstanbul (a.b)")
    await upsert_topic(tenant, "Billing", name="Money")
    assert await keys(tenant, "DOC:") == ["doc:12", "doc:13"]
    assert await keys(tenant, "strasse") == ["doc:12"]
    assert await keys(tenant, "ISTANBUL") == ["doc:13"]
    assert await keys(tenant, "(a.b)") == ["doc:13"]
    assert await keys(tenant, "a.c") == await keys(tenant, "nothing") == []
    assert await keys(tenant, "bill") == await keys(tenant, "money") == ["Billing"]
    await upsert_topic(tenant, "Billing", name="Invoices")
    assert await keys(tenant, "money") == []


async def test_subscribers_are_exact_up_to_a_thousand_and_then_counted_once_a_minute(tenant: Tenant) -> None:
    users = [f"u{n:04}" for n in range(EXACT_COUNT_MAX + 1)]
    url = tenant.urls[0]  # each process has its own counts

    async def counts() -> dict[str, int]:
        page = (await tenant.execute(TOPICS, url=url))["topics"]["nodes"]
        return {topic["key"]: topic["subscribers"] for topic in page}

    await upsert_topic(tenant, "empty")
    assert await subscribe(tenant, "large", *users[:1000]) == 1000
    assert await subscribe(tenant, "small", *users[:3]) == 3
    assert await counts() == {"empty": 0, "large": 1000, "small": 3}
    await unsubscribe(tenant, "large", users[0])
    assert (await counts())["large"] == 999
    assert await subscribe(tenant, "large", users[0], users[-1]) == 2
    assert (await counts())["large"] == 1001
    assert await subscribe(tenant, "large", "another") == 1
    assert (await counts())["large"] == 1001, "counted less than a minute ago"
    await unsubscribe(tenant, "large", *users[:2])
    assert await counts() == {"empty": 0, "large": 1000, "small": 3}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "input.key"),
        ({"key": "a\nb"}, "input.key"),
        ({"key": "x" * 257}, "input.key"),
        ({"key": "a", "name": " "}, "input.name"),
        ({"key": "a", "name": "x" * 257}, "input.name"),
        ({"key": "a", "description": "x" * 1025}, "input.description"),
        ({"key": "a", "description": "two\nlines"}, "input.description"),
    ],
)
async def test_invalid_topic_is_rejected(tenant: Tenant, fields: dict[str, str], field: str) -> None:
    assert await expect_error(tenant.execute(UPSERT, input=fields)) == ("BAD_USER_INPUT", field)


async def test_invalid_search_and_cursor_are_rejected(tenant: Tenant) -> None:
    for search in ("x" * 257, "a\nb"):
        assert await expect_error(list_topics(tenant, search)) == ("BAD_USER_INPUT", "search")
    for after in ("", "x", "!", "____"):
        assert await expect_error(list_topics(tenant, after=after)) == ("BAD_USER_INPUT", "after")
    assert await expect_error(list_topics(tenant, first=101)) == ("BAD_USER_INPUT", "first")


async def test_topic_of_another_tenant_does_not_exist(tenant: Tenant) -> None:
    async with Tenant(f"{tenant.name}x", tenant.urls) as other:
        await upsert_topic(other, "news", visible=True)
        await subscribe(other, "news", "alice")
        assert (await list_topics(tenant))["nodes"] == []
        assert await expect_error(unsubscribe(tenant, "news", "alice")) == ("NOT_FOUND", "topic")
        assert await expect_error(tenant.execute(LEAVE, user="alice", t="news")) == ("NOT_FOUND", "topic")
        assert (await list_topics(other))["nodes"][0]["subscribers"] == 1


async def test_tenant_with_too_many_topics_creates_no_more(tenant: Tenant, database: Database) -> None:
    await upsert_topic(tenant, "first")
    docs = [{"_id": topic_id(tenant.name, f"n{n}"), "name": "n", "visible": False} for n in range(9_999)]
    await database.tenant_topics.insert_many(docs)
    assert await expect_error(upsert_topic(tenant, "next")) == ("TOO_LARGE", None)
    with pytest.raises(GraphQLErrors, match="HUB_TENANT_MAX_TOPICS"):
        await subscribe(tenant, "next", "alice")
    assert (await tenant.execute('{ user(id: "alice") { id } }'))["user"] is None
    assert (await upsert_topic(tenant, "first", name="Again"))["name"] == "Again"


async def test_concurrent_creations_make_one_topic(tenant: Tenant, database: Database) -> None:
    for n in range(scaled(3, 20)):
        key = f"t{n}"
        await asyncio.gather(
            *(upsert_topic(tenant, key, name="Named") for _ in range(4)),
            *(subscribe(tenant, key, f"u{m}") for m in range(4)),
        )
        assert await database.tenant_topics.count_documents({"_id": topic_id(tenant.name, key)}) == 1
        [topic] = (await list_topics(tenant, key))["nodes"]
        assert (topic["subscribers"], topic["name"]) == (4, "Named")
