"""Users who subscribe, leave, change, or are erased while sends to everyone, to a topic, and to a filter run."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.broadcasts import UPSERTED_AT_ONCE, broadcast, count_recipients, expanded
from tests.channel_setup import UPSERT_USERS
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled
from tests.inbox_watchers import retry_until_answered
from tests.pause.sends import change
from tests.processes import Deployment
from tests.template_sends import store_template
from tests.test_erasure_completeness import ERASE, all_stored_texts
from tests.topics.calls import leave, subscribe, unsubscribe, upsert_topic

GROUP = scaled(25, 600)  # users who change in the same way
STAYING = scaled(150, 5000)
WITHIN_S = 120.0
TOPIC = "releases"
PRO = {"attributes.plan": "pro"}


def names(group: str, count: int = GROUP) -> list[str]:
    """Return user ids that are spread over the order of all ids."""
    return [f"{number:04}-{group}-of-this-test" for number in range(count)]


STAY = names("stays", STAYING)
JOIN, LEAVE, REMOVED = names("joins"), names("leaves"), names("removed")
TO_PRO, FROM_PRO, ERASED = names("to-pro"), names("from-pro"), names("erased")
OUTSIDE = [*JOIN, *TO_PRO]  # at the beginning, neither subscribed nor on the plan
INSIDE = [*STAY, *LEAVE, *REMOVED, *FROM_PRO, *ERASED]


@pytest.fixture
async def acme(servers: tuple[Mongod, Redis]) -> AsyncIterator[tuple[Tenant, Database, RedisClient]]:
    """A tenant on a database of its own, which can be searched as a whole."""
    mongod, redis = servers
    name = f"changing{uuid4().hex[:8]}"
    own = {"mongo_database": name, "redis_prefix": f"{name}:"}
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=2, **own) as deployment,
        Tenant("acme", deployment.urls) as tenant,
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
        RedisClient.from_url(redis.url) as stored,
    ):
        yield tenant, client[name], stored
        await client.drop_database(name)


async def upsert(tenant: Tenant, users: Sequence[str], plan: str) -> None:
    """The texts of a user contain the id."""
    for start in range(0, len(users), UPSERTED_AT_ONCE):
        fields = [
            {"id": user, "name": f"Name of {user}", "attributes": {"plan": plan}}
            for user in users[start : start + UPSERTED_AT_ONCE]
        ]
        await tenant.execute(UPSERT_USERS, users=fields)


async def change_users(tenant: Tenant) -> None:
    """Change every user of the groups, one by one and in random order."""
    changes = [
        *(lambda user=user: subscribe(tenant, TOPIC, user) for user in JOIN),
        *(lambda user=user: unsubscribe(tenant, TOPIC, user) for user in REMOVED),
        *(lambda user=user: leave(tenant, TOPIC, user) for user in LEAVE),
        *(lambda user=user: upsert(tenant, [user], "pro") for user in TO_PRO),
        *(lambda user=user: upsert(tenant, [user], "free") for user in FROM_PRO),
        *(lambda user=user: tenant.execute_as_admin(ERASE, id=user) for user in ERASED),
    ]
    random.shuffle(changes)
    limit = asyncio.Semaphore(8)

    async def run(one: int) -> None:
        async with limit:
            await retry_until_answered(changes[one])

    await asyncio.gather(*map(run, range(len(changes))))


async def test_users_who_change_during_a_broadcast_get_it_at_most_once_and_erased_users_stay_erased(
    acme: tuple[Tenant, Database, RedisClient],
) -> None:
    tenant, database, redis = acme
    await upsert_topic(tenant, TOPIC, visible=True)
    await upsert(tenant, INSIDE, "pro")
    await upsert(tenant, OUTSIDE, "free")
    for start in range(0, len(INSIDE), UPSERTED_AT_ONCE):
        await subscribe(tenant, TOPIC, *INSIDE[start : start + UPSERTED_AT_ONCE])
    await store_template(tenant, "hello", title="Hello {{ user.name }}")
    template: Json = {"content": None, "template": {"key": "hello"}}
    await broadcast(tenant, to={"where": {"id": {"in": [ERASED[0], STAY[0]]}}})
    audiences = {"everyone": {"everyone": True}, "topic": {"topic": TOPIC}, "where": {"where": PRO}}
    sends = {
        name: [(await broadcast(tenant, to=to, **template))["id"] for _ in range(2)] for name, to in audiences.items()
    }
    everything = [id for ids in sends.values() for id in ids]

    async def nothing_names_erased_users() -> bool:
        """The workers may remove the last traces after the transaction of a chunk."""
        return not any("erased-of-this-test" in text for text in await all_stored_texts(database, redis))

    await change_users(tenant)
    for id in everything:
        await change(tenant, "pauseSend", id)
    await eventually(nothing_names_erased_users, WITHIN_S)
    for id in everything:
        await change(tenant, "resumeSend", id)
    for name, ids in sends.items():
        for id in ids:
            assert (await expanded(tenant, id, WITHIN_S))["status"] == "ACCEPTED"
            reached = await count_recipients(tenant, id)
            assert set(reached.values()) == {1}
            sure = {"everyone": [*STAY, *JOIN, *LEAVE, *REMOVED, *TO_PRO, *FROM_PRO]}
            sure |= {"topic": [*STAY, *FROM_PRO], "where": [*STAY, *LEAVE, *REMOVED]}
            maybe = {"everyone": [], "topic": [*JOIN, *LEAVE, *REMOVED], "where": [*TO_PRO, *FROM_PRO]}
            assert set(sure[name]) <= reached.keys() <= {*sure[name], *maybe[name]}
    assert await nothing_names_erased_users()
    for user in ERASED[:: len(ERASED) // 10]:
        assert (await tenant.execute("query ($id: ID!) { user(id: $id) { id } }", id=user))["user"] is None
