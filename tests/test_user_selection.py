"""The users whom a filter selects, read in slices from a database of their own."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import uuid4

import orjson
import pytest
from hypothesis import example, given, settings
from msgspec import Struct
from pymongo import AsyncMongoClient

from hub.audience import audience_count, key_counts, recipients, topics, user_selection, users
from hub.audience.audience_count import AudienceCounts
from hub.audience.filters import mongo_query, parse
from hub.audience.recipients import Recipients, bounds
from hub.audience.search_fields import SearchFields
from hub.audience.tenants import Tenants
from hub.audience.topics import Topics
from hub.audience.user_selection import UserSelection
from hub.audience.users import ProfileUpdate, Users
from hub.decide.failure_guard import HASHES, Canary
from hub.model import SendAudience, Tenant, mailbox_of, topic_id, user_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.client import Json
from tests.clocks import hub_now
from tests.conftest import scaled
from tests.processes import SECRET
from tests.test_inbox_indexes import Commands, explain_stages
from tests.user_filters import EMAILS, SCALARS, TENANT_DEFAULTS, is_match, random_users, wheres

COUNT = 300
TENANT = Tenant(id="t", locale=TENANT_DEFAULTS["locale"], timezone=TENANT_DEFAULTS["timezone"])
INDEXED = SearchFields(["plan"])
TEXT = '{"plan": "pro", "size": 5}'
examples = settings(max_examples=scaled(100, 5000), deadline=None)


class Population(Struct):
    """The users of a tenant in MongoDB, and as filters read them."""

    database: Database
    commands: Commands
    selection: UserSelection
    counts: AudienceCounts
    users: list[Json]

    def matching(self, where: Json) -> list[str]:
        return [user["id"] for user in self.users if is_match(where, user)]

    async def select(self, where: Json, after: str = "", until: str | None = None, limit: int = 1000) -> list[str]:
        """Return the users in all slices."""
        node, found = parse(where, "where"), []
        position: str | None = after
        while position is not None:
            part = await self.selection.select(TENANT, node, position, until, limit)
            assert part.position is None or part.position > position
            assert len(part.users) <= limit
            found += part.users
            position = part.position
        return found


@pytest.fixture(scope="module")
async def population(servers: tuple[Mongod, Redis]) -> AsyncIterator[Population]:
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        database = client[f"selection_{uuid4().hex[:8]}"]
        for collection, indexes in {**users.indexes(), **topics.indexes()}.items():
            if indexes:
                await database[collection].create_indexes(indexes)
        subscriptions = Topics(
            database, Users(database, hub_now, 5.0, INDEXED), hub_now, Settings(jwt_secret=(SECRET,))
        )
        people = sorted(random_users(COUNT), key=lambda user: user["id"])
        for tenant in (TENANT.id, "t2"):
            await insert(database, subscriptions, tenant, people)
        selection = UserSelection(database, subscriptions, INDEXED)
        yield Population(database, commands, selection, AudienceCounts(database, subscriptions, INDEXED), people)
        await client.drop_database(database.name)


async def insert(database: Database, subscriptions: Topics, tenant: str, people: list[Json]) -> None:
    profiles = [
        ProfileUpdate(
            id=mailbox_of(tenant, user["id"]),
            locale=user.get("ownLocale"),
            timezone=user.get("ownTimezone"),
            **{name: user.get(name) for name in ("name", "email", "phone", "attributes")},
        )
        for user in people
    ]
    await Users(database, hub_now, 5.0, INDEXED).upsert(profiles, None)
    subscribers = defaultdict(list)
    for user in people:
        at = datetime.fromisoformat(user["createdAt"])
        await database.users.update_one({"_id": mailbox_of(tenant, user["id"])}, {"$set": {"created_at": at}})
        for topic in user["topics"]:
            subscribers[topic].append(mailbox_of(tenant, user["id"]))
    for topic, mailboxes in subscribers.items():
        await subscriptions.subscribe(topic_id(tenant, topic), mailboxes, force=False, audit=None)


@examples
@given(where=wheres)
@example(where={"attributes.plan": {"startsWith": "\ud7ff"}})
@example(where={"attributes.plan": {"startsWith": "p\U0010ffff"}})
async def test_query_of_a_filter_finds_every_user_who_matches(population: Population, where: Json) -> None:
    query = mongo_query(parse(where, "where"), TENANT)
    docs = population.database.users.find({"$and": [{"_id": {"$gt": "t/", "$lt": "t0"}}, query]}, {"_id": 1})
    assert set(population.matching(where)) <= {user_of(doc["_id"]) async for doc in docs}


@settings(parent=examples, max_examples=scaled(100, 1500))
@given(where=wheres)
@example(where={"attributes.plan": {"in": ["pro", 1, True]}, "not": {"topics": "releases"}})
@example(where={"topics": {"in": ["releases", "other"]}, "locale": "de"})
async def test_selection_equals_the_slow_evaluation(population: Population, where: Json) -> None:
    assert await population.select(where) == population.matching(where)


SERVED = [
    ({"id": "ann-0003"}, "_id_"),
    ({"id": {"in": ["ann-0003", "z-0010"]}, "not": {"locale": "de"}}, "_id_"),
    ({"email": "ANN@example.org"}, "email_lower"),
    ({"email": {"in": ["ann@example.org", "bob@example.com"]}}, "email_lower"),
    ({"email": {"in": [*EMAILS[:1], *(f"{number}@example.org" for number in range(99))]}}, "email_lower"),
    ({"attributes.plan": "pro"}, "indexed"),
    ({"attributes.plan": {"in": ["pro", *range(99)]}}, "indexed"),
    ({"and": [{"locale": "de"}, {"attributes.plan": {"in": ["pro", 1, True]}}]}, "indexed"),
    ({"topics": "releases"}, "subscribers"),
    ({"topics": {"in": ["releases", "other"]}}, "subscribers"),
]
SCANNING = [
    {"name": "Ann"},
    {"attributes.address": "pro"},
    {"attributes.plan.plan": "pro"},
    {"attributes.plan": {"not": "pro"}},
    {"attributes.plan": {"in": ["pro", None]}},
    {"or": [{"email": "ann@example.org"}, {"attributes.plan": "pro"}]},
    {"email": {"in": [f"{number}@example.org" for number in range(101)]}},
]


@pytest.mark.parametrize("where", [where for where, _ in SERVED] + SCANNING)
async def test_selection_uses_an_index_and_sorts_nothing(population: Population, where: Json) -> None:
    indexes = [index for served, index in SERVED if served == where]
    assert (await population.selection.plan(parse(where, "where"))).scans == (not indexes)
    population.commands.sent.clear()
    assert await population.select(where, limit=50) == population.matching(where)
    requested = [*population.commands.sent]
    assert requested
    for command in requested:
        stages = await explain_stages(population.database, command)
        assert stages & {"IXSCAN", "IDHACK", "COUNT_SCAN"}, command
        assert not stages & {"COLLSCAN", "SORT"}, (command, stages)
    assert {*indexes} <= {command.get("hint") for command in requested}


@pytest.mark.parametrize(
    "where",
    [
        {"not": {"name": "Ann"}},
        {"name": "Bob"},
        {"attributes.plan": {"in": SCALARS}},
        {"topics": {"in": ["releases", "other"]}},
    ],
)
async def test_slices_of_ranges_make_up_the_whole(
    population: Population, where: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_selection, "SLICE", 7)
    monkeypatch.setattr(user_selection, "SCAN_SLICE", 20)
    everyone = [user["id"] for user in population.users]
    bounds = ["", everyone[70], "b", everyone[-1], "~"]
    parts = [
        await population.select(where, after, until, limit=3)
        for after, until in zip(bounds, [*bounds[1:], None], strict=True)
    ]
    expected = population.matching(where)
    assert len(expected) > 7
    assert [id for part in parts for id in part] == expected
    found = await population.selection.select(TENANT, parse({"id": "none", **where}, "where"), "", None, 3)
    assert found.users == []
    assert found.position is None


async def test_position_in_a_list_of_ids_is_an_existing_user(population: Population) -> None:
    """A checkpoint that names no user is set back as that of an erased user, so the same slice would be read again."""
    last = population.users[-1]["id"]
    unknown = [f"a{number:03}" for number in range(600)]
    node = parse({"id": {"in": [*unknown, last]}}, "where")
    found = await population.selection.select(TENANT, node, "", None, 100)
    assert (found.users, found.position) == ([last], None)
    everyone = [user["id"] for user in population.users]
    node = parse({"id": {"in": [*unknown, *everyone]}}, "where")
    found = await population.selection.select(TENANT, node, everyone[4], everyone[50], 10)
    assert (found.users, found.position) == (everyone[5:15], everyone[14])


async def test_slow_evaluation_ends_the_slice(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_selection, "EVALUATION_MAX_S", 0.0)
    first = await population.selection.select(TENANT, parse({"not": {"id": "x"}}, "where"), "", None, 3)
    assert first.users == [first.position] == [population.users[0]["id"]]
    assert await population.select({"name": "Ann"}) == population.matching({"name": "Ann"})


async def test_users_who_are_not_converted_are_found(population: Population) -> None:
    """A user of an earlier version, whose attributes are text."""
    for where in ({"attributes.plan": "pro"}, {"attributes.size": {"gt": 4}}, {"email": "old@example.org"}):
        expected = population.matching(where)
        old = {"_id": "t/~old", "email": "Old@example.org", "attributes": TEXT}
        now = hub_now()
        await population.database.users.insert_one(old | {"created_at": now, "updated_at": now})
        try:
            assert await population.select(where) == [*expected, "~old"]
            assert "~old" not in await population.select({"not": where})
        finally:
            await population.database.users.delete_one({"_id": "t/~old"})


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("where", [{"not": {"topics": "releases"}}, {"id": {"gte": "b"}}, {"attributes.plan": None}])
async def test_large_audience_is_estimated(
    population: Population, where: Json, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `sampled`, the number of users is also an estimate."""
    node, expected = parse(where, "where"), population.matching(where)
    counted = await population.counts.matching(TENANT, node)
    assert (counted.recipients, counted.exact) == (len(expected), True)
    assert counted.sample == expected[:10]
    monkeypatch.setattr(user_selection, "SLICE", 10)
    monkeypatch.setattr(user_selection, "SCAN_SLICE", 30)
    monkeypatch.setattr(audience_count, "SLICES_MAX", 2)
    monkeypatch.setattr(audience_count, "SEGMENT_SLICES_MAX", 1)
    if sampled:
        monkeypatch.setattr(key_counts, "COUNT_MAX", 10)
        monkeypatch.setattr(key_counts, "SAMPLE_SIZE", COUNT)
    estimated = await population.counts.matching(TENANT, node)
    assert not estimated.exact
    assert estimated.recipients == pytest.approx(len(expected), rel=0.5 if sampled else 0.25)


async def test_everyone_is_counted_up_to_a_limit_and_estimated_beyond_it(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = await population.counts.everyone(TENANT.id)
    assert (everyone.recipients, everyone.exact) == (COUNT, True)
    monkeypatch.setattr(audience_count, "USERS_MAX", 100)
    everyone = await population.counts.everyone(TENANT.id)
    assert (everyone.recipients, everyone.exact) == (COUNT, False)


def recipients_of(population: Population) -> Recipients:
    tenants = Tenants(population.database, 10, 5.0)
    return Recipients(population.database, tenants, population.selection, population.counts)


@pytest.mark.parametrize("where", [{"topics": "releases"}, {"not": {"topics": "releases"}}])
async def test_canary_of_a_filter_is_read_from_the_index_that_finds_its_users(
    population: Population, where: Json
) -> None:
    canary, [position, end] = Canary("send", HASHES // 2), bounds(TENANT.id)
    population.commands.sent.clear()
    keys: list[str] = []
    while position:
        audience = SendAudience(where=orjson.dumps(where).decode())
        found = await recipients_of(population).list_canary(audience, canary, position, end, 10)
        keys, position = keys + found.keys, found.position or ""
    assert keys == [key for user in population.matching(where) if canary.includes(key := mailbox_of(TENANT.id, user))]
    assert len(keys) > 10
    hints = {command.get("hint") for command in population.commands.sent}
    assert ("subscribers" in hints) == ("topics" in where)


async def test_number_of_recipients_that_is_an_estimate_has_an_upper_bound(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matches may be where the samples do not look."""
    monkeypatch.setattr(recipients, "ESTIMATE_MAX_S", 0)
    parts = await recipients_of(population).divide(TENANT.id, SendAudience(where='{"timezone": "Asia/Tokyo"}'))
    assert (parts.total, parts.total_max) == (0, COUNT)
