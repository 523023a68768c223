"""The reads of subscribers that expansions and filters use, and the indexes of all queries of topics."""

from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from hub.audience.search_fields import SearchFields
from hub.audience.topics import Topics
from hub.audience.users import Users
from hub.model import mailbox_of, topic_id
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.client import Json, Tenant
from tests.clocks import hub_now
from tests.processes import SECRET
from tests.test_inbox_indexes import Commands, stage_names
from tests.topics.calls import leave, subscribe, unsubscribe, upsert_topic

USERS = [f"u{n:02}" for n in range(30)]


class Store:
    def __init__(self, client: AsyncMongoClient[Json], commands: Commands) -> None:
        self.database = client["hub"]
        self.commands = commands
        settings = Settings(jwt_secret=(SECRET,))
        users = Users(self.database, hub_now, settings.commit_deadline_s, SearchFields(()))
        self.topics = Topics(self.database, users, hub_now, settings)


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Store]:
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        yield Store(client, commands)


async def test_subscribers_are_listed_in_ranges_without_those_who_left(tenant: Tenant, store: Store) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", *USERS)
    await subscribe(tenant, "new", "x")
    await leave(tenant, "news", "u03")
    await unsubscribe(tenant, "news", "u05")
    subscribed = [user for user in USERS if user not in ("u03", "u05")]

    async def listed(after: str, until: str | None, limit: int) -> list[str]:
        return await store.topics.list_subscribers(tenant.name, "news", after, until, limit)

    assert await listed("", None, 100) == subscribed
    assert await listed("", None, 4) == ["u00", "u01", "u02", "u04"]
    assert await listed("u04", "u09", 100) == ["u06", "u07", "u08", "u09"]
    assert await listed("u09", "u09", 100) == await listed("u29", None, 100) == []
    keys = await store.topics.topics_of([mailbox_of(tenant.name, user) for user in ("u03", "u04", "x", "nobody")])
    assert keys == {mailbox_of(tenant.name, "u04"): ["news"], mailbox_of(tenant.name, "x"): ["new"]}


async def test_every_query_of_topics_uses_an_index_and_sorts_nothing(tenant: Tenant, store: Store) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", *USERS)
    alice, topics, id = mailbox_of(tenant.name, "u00"), store.topics, topic_id(tenant.name, "news")
    store.commands.sent.clear()
    await topics.list_page(tenant.name, "new", 10, "a")
    await topics.upsert(id, "News", None, visible=True, audit=None)
    await topics.subscribe(id, [alice, mailbox_of(tenant.name, "more")], force=False, audit=None)
    await topics.subscribe(topic_id(tenant.name, "created"), [alice], force=True, audit=None)
    await topics.unsubscribe(id, [alice, mailbox_of(tenant.name, "u01")], None)
    await topics.subscribe(id, [alice], force=False, audit=None)
    await topics.leave(id, alice)
    await topics.leave(id, alice)
    await topics.rejoin(id, alice)
    await topics.count_subscribers([id])
    await topics.topics_of([alice])
    await topics.visible_topics_of(alice)
    await topics.list_subscriptions(alice, 10, "", visible_only=True)
    await topics.export(alice, 10)
    commands = list(store.commands.sent)
    assert len(commands) > 20
    for command in commands:
        explained = {
            name: value
            for name, value in command.items()
            if name not in {"lsid", "$clusterTime", "$db", "txnNumber", "startTransaction", "autocommit", "readConcern"}
        }
        plan = await store.database.command("explain", explained, verbosity="queryPlanner")
        assert not stage_names(plan) & {"COLLSCAN", "SORT"}, command


async def test_subscribers_are_read_and_counted_from_the_index_alone(tenant: Tenant, store: Store) -> None:
    await subscribe(tenant, "news", *USERS)
    await store.topics.list_subscribers(tenant.name, "news", "u03", "u20", 10)
    [command] = store.commands.sent
    explained = {name: command[name] for name in ("find", "filter", "projection", "sort", "hint", "limit")}
    found = await store.database.command("explain", explained, verbosity="executionStats")
    assert (found["executionStats"]["totalDocsExamined"], found["executionStats"]["totalKeysExamined"]) == (0, 10)
    store.commands.sent.clear()
    await store.topics.count_subscribers([topic_id(tenant.name, "news")])
    [command] = store.commands.sent
    explained = {name: command[name] for name in ("aggregate", "pipeline", "cursor")}
    found = await store.database.command("explain", explained, verbosity="executionStats")
    [lookup] = [stage for stage in found["stages"] if "$lookup" in stage]
    assert (lookup["totalDocsExamined"], lookup["totalKeysExamined"]) == (0, len(USERS))
    assert lookup["indexesUsed"] == ["subscribers"]
