"""Expansions with failing recipients, slow templates, and concurrent transactions."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.model import mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.workflows.expansions import SET_ASIDE_MAX
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

    send = await eventually(shown)
    assert (send["status"], send["recipients"]) == ("EXPANDING", len(users) - 1)
    assert "expansion_failed" in send["reason"]
    await database.command({"collMod": "notifications", "validator": {}})
    due = await database.expansion_parts.update_one({"send": id}, {"$set": {"leased_until": utc_time.now()}})
    assert due.matched_count == 1
    assert (await expanded(acme, id))["recipients"] == len(users)
    assert (await acme.execute(REASON, id=id))["send"]["reason"] is None
    assert await count_recipients(acme, id) == Counter(users)


async def test_others_are_reached_although_no_more_recipients_can_be_set_aside(running: Running, acme: Tenant) -> None:
    """The recipients that were set aside can be reached now. The next one still fails."""
    database = running[1]
    users = USERS[: SET_ASIDE_MAX + 2]
    await create_users(acme, users)
    id = await _failing(running, acme, users)
    keys = [mailbox_of(acme.name, user) for user in users]
    await _reject(database, keys[SET_ASIDE_MAX])
    full = {"set_aside": keys[:SET_ASIDE_MAX], "after": keys[SET_ASIDE_MAX - 1], "failures": 8}
    await database.expansion_parts.update_one({"send": id}, {"$set": full})
    await _end_pause(database, id)

    async def last_is_reached() -> bool:
        long = {"send": id, "leased_until": {"$gt": utc_time.now() + timedelta(minutes=1)}}
        await database.expansion_parts.update_one(long, {"$set": {"leased_until": utc_time.now()}})
        return users[-1] in await count_recipients(acme, id)

    await eventually(last_is_reached)
    await _reject(database)


async def test_slices_without_recipients_do_not_wait_after_failures(running: Running, acme: Tenant) -> None:
    """Between the recipients who fail and the last one are other users, who do not match the filter."""
    database = running[1]
    users = [f"user-{number:04}" for number in range(1000)]
    await create_users(acme, users)
    recipients = [*users[:2], users[-1]]
    await create_users(acme, recipients, locale="de")
    id = await _failing(running, acme, users[:2], to={"where": {"id": {"in": users}, "locale": "de"}})
    behind = {"failures": 8, "after": mailbox_of(acme.name, users[1])}
    await database.expansion_parts.update_one({"send": id}, {"$set": behind})
    await _end_pause(database, id)

    async def last_is_reached() -> bool:
        return await count_recipients(acme, id) == Counter(recipients[2:])

    await eventually(last_is_reached)
    await _reject(database)
    await _end_pause(database, id)
    assert (await expanded(acme, id))["recipients"] == len(recipients)


async def test_mark_that_a_killed_worker_left_is_removed(running: Running, acme: Tenant) -> None:
    database = running[1]
    users = USERS[:4]
    await create_users(acme, users)
    id = await _failing(running, acme, users)
    await _reject(database, mailbox_of(acme.name, users[3]))
    left = {"failures": 0, "set_aside": [], "after": mailbox_of(acme.name, "user-")}
    await database.expansion_parts.update_one({"send": id}, {"$set": left})
    await _end_pause(database, id)

    async def unmarked() -> bool:
        send = (await acme.execute(REASON, id=id))["send"]
        return (send["recipients"], send["reason"]) == (3, None)

    await eventually(unmarked)
    await _reject(database)
    await _end_pause(database, id)
    assert (await expanded(acme, id))["recipients"] == len(users)


async def _reject(database: Database, *keys: str) -> None:
    """Reject the notifications of these mailboxes, and of no others."""
    validator = {"mailbox": {"$nin": keys}} if keys else {}
    await database.command({"collMod": "notifications", "validator": validator})


async def _end_pause(database: Database, send: str) -> None:
    await database.expansion_parts.update_one({"send": send}, {"$set": {"leased_until": utc_time.now()}})


async def _failing(running: Running, acme: Tenant, users: list[str], **more: Any) -> str:
    """Return the id of a send that is marked because these users cannot be reached. Its part is paused."""
    await _reject(running[1], *(mailbox_of(acme.name, user) for user in users))
    id: str = (await broadcast(acme, **more))["id"]

    async def marked() -> bool:
        return bool((await acme.execute(REASON, id=id))["send"]["reason"])

    await eventually(marked)
    return id


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
