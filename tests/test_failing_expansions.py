"""Expansions with recipients who fail, with slow templates, and beside other transactions."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.model import mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.broadcasts import broadcast, count_recipients, create_users, expanded
from tests.channel_setup import deployment_with_channels
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.processes import Deployment
from tests.template_sends import store_template
from tests.test_broadcasts import EVERYONE, SEND_MANY

USERS = [f"user-{number:03}" for number in range(120)]
SLOW = "{% for j in (1..7) %}{% for i in (1..900) %}{% assign x = i | times: 2 %}{% endfor %}{% endfor %}{{ user.id }}"
REASON = "query ($id: ID!) { send(id: $id) { status recipients reason } }"

Running = tuple[Deployment, Database]


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    """A deployment with one worker."""
    mongod, redis = servers
    name = f"failing{uuid4().hex[:8]}"
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1, mongo_database=name, commit_deadline_s="2") as (
            deployment,
            _,
            _,
        ),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        yield deployment, client[name]


@pytest.fixture
async def acme(running: Running) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", running[0].urls) as fresh:
        yield fresh


async def test_recipient_who_fails_is_tried_again_and_the_others_are_reached(running: Running, acme: Tenant) -> None:
    database = running[1]
    users = USERS[:20]
    await create_users(acme, users)
    rejected = {"mailbox": {"$ne": mailbox_of(acme.name, users[5])}}
    await database.command({"collMod": "notifications", "validator": rejected})
    id = (await broadcast(acme))["id"]

    async def shown() -> Json | None:
        send = (await acme.execute(REASON, id=id))["send"]
        return send if send["reason"] else None

    send = await eventually(shown, 30)
    assert (send["status"], send["recipients"]) == ("EXPANDING", len(users) - 1)
    assert "expansion_failed" in send["reason"]
    await database.command({"collMod": "notifications", "validator": {}})
    due = await database.expansion_parts.update_one({"send": id}, {"$set": {"leased_until": utc_time.now()}})
    assert due.matched_count == 1
    assert (await expanded(acme, id))["recipients"] == len(users)
    assert (await acme.execute(REASON, id=id))["send"]["reason"] is None
    assert await count_recipients(acme, id) == Counter(users)


async def test_expansion_with_a_slow_template_is_completed(acme: Tenant) -> None:
    """All texts take twice as long as those of one chunk may take, and longer than the lease of a part."""
    await create_users(acme, USERS)
    await store_template(acme, "slow", title="Slow", body=SLOW)
    send = await broadcast(acme, content=None, template={"key": "slow"})
    assert (await expanded(acme, send["id"], within_s=120))["recipients"] == len(USERS)
    assert await count_recipients(acme, send["id"]) == Counter(USERS)


async def test_checkpoint_that_is_not_a_recipient_locks_its_user(running: Running, acme: Tenant) -> None:
    """Otherwise the checkpoint could name a user who was erased during the transaction."""
    users = [f"user-{number:03}" for number in range(501)]  # one more than are read at once
    await create_users(acme, users)
    await create_users(acme, users[:1], locale="de")
    send = await broadcast(acme, to={"where": {"id": {"in": users}, "locale": "de"}})
    assert (await expanded(acme, send["id"]))["recipients"] == 1
    last = await running[1].users.find_one({"_id": mailbox_of(acme.name, users[499])})
    assert last
    assert last["locks"] == 1


async def test_call_waits_for_another_process_that_starts_the_last_expansion(running: Running, acme: Tenant) -> None:
    """A transaction of the test starts an expansion like another process."""
    deployment, database = running
    deployment.workers[0].kill()  # so the sends stay EXPANDING
    for count in (10, 10, 10, 10, 9):
        await acme.execute(SEND_MANY, inputs=[EVERYONE] * count)
    other = await database.sends.find_one({"tenant": acme.name})
    assert other
    async with database.client.start_session() as session:
        async with await session.start_transaction():
            await database.tenants.update_one({"_id": acme.name}, {"$inc": {"locks": 1}}, session=session)
            await database.sends.insert_one(other | {"_id": "another"}, session=session)
            call = asyncio.create_task(broadcast(acme))
            await asyncio.wait([call], timeout=0.5)
    with pytest.raises(GraphQLErrors) as rejected:
        await call
    assert rejected.value.code == "RATE_LIMITED"
    await deployment.workers[0].start()
