"""`users`: search, pages, and the cost of what is selected in it."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.unicode_text import folded
from hub.utc_time import now
from tests.broadcasts import broadcast
from tests.client import GraphQLErrors, Json, Tenant
from tests.conftest import scaled
from tests.processes import Deployment
from tests.test_query_cost import PREFERENCES, cost, expect_rejection
from tests.test_schedules import after

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
SEARCH = "query ($s: String, $n: Int, $a: String) { users(search: $s, first: $n, after: $a) { nodes { id } edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }"
EVERYTHING = (
    "query ($n: Int) { users(first: $n) { nodes { id devices { id } "
    + PREFERENCES
    + " inbox(first: 5) { unread nodes { title because deliveries { channel status items { id } } } } } } }"
)
DATABASE = "usersquery"


@pytest.fixture(scope="module")
async def urls(servers: tuple[Mongod, Redis]) -> AsyncIterator[list[str]]:
    mongod, redis = servers
    own = {"mongo_database": DATABASE, "redis_prefix": f"{DATABASE}:", "query_max_cost": "100000"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **own) as running:
        yield running.urls


@pytest.fixture
async def own_tenant(urls: list[str]) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", urls) as fresh:
        yield fresh


@pytest.fixture
async def profiled(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    """A database of its own, whose commands MongoDB records."""
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        database: Database = client[DATABASE]
        yield database
        await database.command("profile", 0)


async def recorded(database: Database, collection: str | None = None) -> list[Json]:
    """Return the recorded reads."""
    match: Json = {"op": {"$in": ["query", "command", "getmore"]}}
    if collection:
        match["ns"] = f"{DATABASE}.{collection}"
    found = await database["system.profile"].find(match).to_list()
    return [one for one in found if not one["ns"].endswith("system.profile") and "profile" not in one["command"]]


async def record(database: Database) -> None:
    await database.command("profile", 0)
    await database["system.profile"].drop()
    await database.command("profile", 2)


async def search(tenant: Tenant, text: str | None = None, first: int = 100, after: str | None = None) -> Json:
    page: Json = (await tenant.execute(SEARCH, s=text, n=first, a=after))["users"]
    assert [edge["node"] for edge in page["edges"]] == page["nodes"]
    return page


async def found(tenant: Tenant, text: str | None = None) -> list[str]:
    return [node["id"] for node in (await search(tenant, text))["nodes"]]


async def test_users_are_found_by_the_beginning_of_id_email_phone_and_name(tenant: Tenant) -> None:
    users = [
        {"id": "u1", "email": "Ann.Lee@Example.org", "name": "Zoë"},
        {"id": "ann", "phone": "+4915112345678"},
        {"id": "u3", "name": "ANNA Straße"},
        {"id": "u4", "email": "x@ann.example", "name": "Joann"},
        {"id": "$U5", "name": ".*"},
    ]
    await tenant.execute(UPSERT, users=users)
    async with Tenant(f"{tenant.name}x", tenant.urls) as other:
        await other.execute(UPSERT, users=[{"id": "ann"}, {"id": "u9", "email": "ann@x.example"}])
    assert await found(tenant) == await found(tenant, "  ") == ["$U5", "ann", "u1", "u3", "u4"]
    assert await found(tenant, "ann") == ["ann", "u1", "u3"]
    assert await found(tenant, "ANN") == ["u1", "u3"]
    assert await found(tenant, "ann.lee@") == await found(tenant, "zoë") == ["u1"]
    assert await found(tenant, "anna STRASSE") == ["u3"]
    assert await found(tenant, "+49151") == ["ann"]
    assert await found(tenant, ".*") == await found(tenant, "$") == ["$U5"]
    assert await found(tenant, "nobody") == []
    await tenant.execute(UPSERT, users=[{"id": "u1", "email": "lee@example.org"}, {"id": "u3", "name": None}])
    assert await found(tenant, "ann") == ["ann"]


async def test_pages_of_users_are_in_order_of_their_ids(tenant: Tenant) -> None:
    ids = sorted(f"{letter}{n}" for letter in ("a", "B", "ä", "z/") for n in range(8))
    await tenant.execute(UPSERT, users=[{"id": id, "name": f"Same {id}"} for id in ids])
    for text in (None, "same"):
        pages, after = [], None
        while True:
            page = await search(tenant, text, 5, after)
            pages += [node["id"] for node in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert pages == ids


@pytest.mark.parametrize(
    ("variables", "field"),
    [({"a": "x"}, "after"), ({"a": ""}, "after"), ({"n": 101}, "first"), ({"s": "x" * 321}, "search")],
)
async def test_invalid_argument_of_users_is_named(tenant: Tenant, variables: Json, field: str) -> None:
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute(SEARCH, **variables)
    assert refused.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": field}


async def test_users_requires_a_service(tenant: Tenant) -> None:
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute(SEARCH, user="alice")
    assert refused.value.code == "FORBIDDEN"


async def test_search_reads_no_users_of_other_tenants_and_few_of_its_own(
    own_tenant: Tenant, profiled: Database
) -> None:
    """A frequent text is found in order of the ids, and a rare one through the indexes of the fields."""
    others, count = scaled(2_000, 100_000), scaled(3_000, 100_000)

    def user(tenant: str, n: int) -> Json:
        fields = {"email": f"Mail{n:06}@X.org", "phone": f"+49{n:06}", "name": f"Name {n:06}"}
        search_fields = {
            "tenant": tenant,
            "email_lower": fields["email"].lower(),
            "name_folded": folded(fields["name"]),
        }
        return {"_id": f"{tenant}/{n:06}", "created_at": now(), "updated_at": now(), **fields, **search_fields}

    for tenant, size in (("a", others), (own_tenant.name, count), ("z", others)):
        for start in range(0, size, 10_000):
            docs = [user(tenant, n) for n in range(start, min(start + 10_000, size))]
            await profiled.users.insert_many(docs)
    for text, hits in (("mail", 50), ("name 0000", 50), ("mail000777", 1), ("+49000778", 1), ("000779", 1), ("no", 0)):
        for _ in range(3):  # a cached plan of another text does not make it slow
            await record(profiled)
            nodes = (await search(own_tenant, text, 50))["nodes"]
            assert len(nodes) == hits, text
            [query] = await recorded(profiled, "users")
            assert max(query["docsExamined"], query["keysExamined"]) < 1500, (text, query["planSummary"])
            assert "COLLSCAN" not in query["planSummary"]


async def test_users_of_all_sends_in_a_page_are_read_at_once(own_tenant: Tenant, profiled: Database) -> None:
    users = [f"user{n:02}" for n in range(3)]
    for user in users:
        await own_tenant.send(user, "zoe")
    for user in users[:2]:
        await own_tenant.send(user, sendAt=after(hours=1))
    named = [[user, "zoe"] for user in users] + [[user] for user in users[:2]]
    counts = []
    for _ in range(3):  # a regular read of the hub may be recorded as well
        await record(profiled)
        page = await own_tenant.execute("{ sends(first: 10) { nodes { to { users } } } }")
        await profiled.command("profile", 0)
        assert [send["to"]["users"] for send in page["sends"]["nodes"]] == named[::-1]
        reads = Counter(one["ns"].partition(".")[2] for one in await recorded(profiled))
        counts.append((reads["sends"], sum(reads.values())))
    assert min(counts) == (2, 3)


async def test_repeated_send_to_a_filter_counts_nobody(own_tenant: Tenant, profiled: Database) -> None:
    await own_tenant.execute(UPSERT, users=[{"id": "ann", "locale": "de"}])
    first = await broadcast(own_tenant, to={"where": {"locale": "de"}}, idempotencyKey="k")
    assert first["total"] == 1
    await record(profiled)
    assert (await broadcast(own_tenant, to={"where": {"locale": "de"}}, idempotencyKey="k"))["id"] == first["id"]
    assert await recorded(profiled, "users") == []


MILLION = "{ users(first: 100) { nodes { inbox(first: 100) { nodes { deliveries { items { id } } } } } } }"
NESTED = "deliveries { items { " * 10 + "id" + " } }" * 10
LISTS = " ".join(f"l{n}: users(first: 100) {{ nodes {{ devices {{ id }} {PREFERENCES} }} }}" for n in range(20))
NESTED_LISTS = [MILLION, f"{{ inbox(first: 1) {{ nodes {{ {NESTED} }} }} }}", f"{{ {LISTS} }}"]


def test_nested_lists_are_refused_by_their_cost() -> None:
    assert cost(MILLION)[0] > 1_000_000
    for query in NESTED_LISTS:
        assert "HUB_QUERY_MAX_COST" in str(cost(query)[1])
    inboxes = "{ users(first: %d) { nodes { id inbox(first: 10) { nodes { id } } } } }"
    assert cost(inboxes % 20)[1] is None
    assert "21 pages" in str(cost(inboxes % 21)[1])
    assert cost("{ users(first: 100) { nodes { id email name phone locale timezone attributes } } }")[1] is None


@pytest.mark.parametrize("query", NESTED_LISTS, ids=["pages of 100", "20 levels", "20 lists"])
async def test_nested_lists_are_refused_before_execution(own_tenant: Tenant, profiled: Database, query: str) -> None:
    await record(profiled)
    await expect_rejection(own_tenant, query)
    found = {one["ns"].partition(".")[2] for one in await recorded(profiled)}
    assert found <= {"sends"}  # each process looks for sends whose enrichment is late


async def test_number_of_queries_does_not_grow_with_the_number_of_users(own_tenant: Tenant, profiled: Database) -> None:
    """Except for the inboxes, each of which is a mailbox and a page. Deliveries of all inboxes are one query."""
    await own_tenant.define_category("news", "IN_APP", "WEBHOOK")
    connect = 'mutation { connectWebhook(url: "https://hooks.example/a") { secret } }'
    users = [f"user{n:02}" for n in range(20)]
    await own_tenant.execute(UPSERT, users=[{"id": user} for user in users])
    for user in users:
        await own_tenant.execute(connect, user=user)
    for n in range(3):
        await own_tenant.send(*users, title=f"Hello {n}")

    async def reads(count: int) -> Counter[str]:
        await record(profiled)
        page: Any = (await own_tenant.execute(EVERYTHING, n=count))["users"]["nodes"]
        await profiled.command("profile", 0)
        assert len(page) == count
        assert all(len(node["devices"]) == 1 and len(node["inbox"]["nodes"]) == 3 for node in page)
        assert all(len(n["deliveries"]) == 2 for node in page for n in node["inbox"]["nodes"])
        found = Counter(one["ns"].partition(".")[2] for one in await recorded(profiled))
        del found["sends"]  # the query does not read them, but each process looks for sends whose enrichment is late
        return found

    await own_tenant.execute(EVERYTHING, n=1)
    few, many = await reads(2), await reads(20)
    assert (few.pop("mailboxes"), few.pop("notifications")) == (2, 2)
    assert (many.pop("mailboxes"), many.pop("notifications")) == (20, 20)
    assert many["deliveries"] == 1
    assert many == few
