"""The failure guard: a large send first goes to a small part of its recipients."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub import utc_time
from hub.decide.failure_guard import CALLED_MIN, CANARY_MIN, Canary
from hub.model import mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status.expansion_parts import ExpansionParts
from hub.status.sends import PAUSE_FIELDS
from hub.workflows.failure_guard import INTERVAL
from tests.broadcasts import broadcast, count_recipients, create_users, expanded, get_send
from tests.channel_setup import UPSERT_USERS, FakeChannels, deployment_with_channels
from tests.cli_commands import Command, base_url
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import scaled
from tests.hub_process import CONSTANTS
from tests.pause.sends import States, change, email_counts, get
from tests.processes import SECRET, Deployment
from tests.quiet_hours.times import quiet_now, set_default_times
from tests.template_sends import store_template
from tests.webhook_data import create_endpoint

GUARDED = 110  # recipients
SHORT_TIMES = {"hub.status.expansion_parts.FAILED_PAUSE": 1, "hub.workflows.expansions.FAILED_PAUSE": 1}
USERS = [f"user-{number:03}" for number in range(GUARDED + 10)]
STRANGERS = [f"stranger-{number}" for number in range(20)]  # only in `everyone`
LATE = [f"late-{number}" for number in range(10)]
CROWD = scaled(2000, 20_000)
KILLS = scaled(4, 20)
UNREACHABLE = ["IN_APP", "WEBHOOK"]  # no user has a webhook, so there are no calls
MEMBERS: dict[str, Json] = {
    "everyone": {"everyone": True},
    "topic": {"topic": "releases"},
    "filter": {"where": {"locale": "de"}},
}
SUBSCRIBE = 'mutation ($users: [ID!]!) { subscribeToTopic(topic: "releases", users: $users) }'
DELETE_USER = "mutation ($id: ID!) { deleteUser(id: $id) }"


class Guarded(NamedTuple):
    deployment: Deployment
    fakes: FakeChannels
    database: Database


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Guarded]:
    """A deployment that guards sends to more than GUARDED users. A retry takes long enough to be seen."""
    mongod, redis = servers
    name = f"guard{uuid4().hex[:8]}"
    settings: dict[str, Any] = {
        "guard_recipients": str(GUARDED),
        "retry_schedule": "5s,5s,5s,5s,5s",
        "mongo_database": name,
        "redis_prefix": f"{name}:",
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(CONSTANTS, json.dumps(SHORT_TIMES))
        async with (
            deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (deployment, _, fakes),
            AsyncMongoClient(mongod.url, tz_aware=True) as client,
        ):
            yield Guarded(deployment, fakes, client[name])


@pytest.fixture
async def acme(running: Guarded) -> AsyncIterator[Tenant]:
    """A new tenant, whose category `news` also has emails. At the end, its deliveries are canceled."""
    async with Tenant(f"t{uuid4().hex[:12]}", running.deployment.urls) as tenant:
        await tenant.define_category("news", "IN_APP", "EMAIL")
        yield tenant
        for send in (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"]:
            await change(tenant, "cancelSend", send["id"])


@pytest.fixture
async def refusing(running: Guarded, servers: tuple[Mongod, Redis]) -> AsyncIterator[None]:
    """The mail server refuses connections. At the end, its circuit breaker is closed."""
    await running.fakes.mail.close()
    yield
    await running.fakes.mail.reopen()
    async with RedisClient.from_url(servers[1].url) as client:
        breaker = f"{running.database.name}:breaker:smtp"
        await client.delete(breaker, f"{breaker}:results", f"{breaker}:probe")


async def create_readers(tenant: Tenant, users: Sequence[str]) -> None:
    """Create users with an email address who are in each of MEMBERS."""
    for start in range(0, len(users), 1000):
        part = users[start : start + 1000]
        fields = [{"id": user, "email": f"{user}@people.example", "locale": "de"} for user in part]
        await tenant.execute(UPSERT_USERS, users=fields)
    await tenant.execute(SUBSCRIBE, users=users[:1000])


async def is_down(tenant: Tenant, id: str) -> bool:
    """Wait until the emails of a send wait for another try. Return True if a circuit breaker holds them."""

    async def found() -> States:
        states = await email_counts(tenant, id)
        return Counter() if {"ACCEPTED", "PROCESSING"} & {status for status, _ in states} else states

    states: States = await eventually(found)
    return ("HELD", "PROVIDER_DOWN") in states


async def paused(tenant: Tenant, id: str) -> Json:
    """Wait until a send is PAUSED."""

    async def found() -> Json | None:
        send = await get(tenant, id)
        return send if send["status"] == "PAUSED" else None

    send: Json = await eventually(found, 60)
    return send


@pytest.mark.usefixtures("refusing")
async def test_refused_connections_pause_the_send_after_its_canary(running: Guarded, acme: Tenant) -> None:
    """The deliveries are not FAILED: they are tried again later."""
    await create_readers(acme, [f"user-{number:05}" for number in range(CROWD)])
    await create_endpoint(acme, f"{running.fakes.receiver.url}/none", ["send.paused"])
    id = (await broadcast(acme))["id"]
    shown = await paused(acme, id)
    assert shown["reason"] == shown["pausedReason"]
    [call] = await running.database.webhook_calls.find({"tenant": acme.name}).to_list()
    assert orjson.loads(call["payload"])["data"]["reason"] == shown["pausedReason"]
    assert shown["pausedReason"].startswith("Paused by the failure guard: ")
    assert re.search(r"EMAIL deliveries .*failed or must be tried again", shown["pausedReason"])
    send = await get_send(acme, id)
    assert 0 < send["recipients"] < 1.5 * max(CANARY_MIN, CROWD // 100)  # chosen by hashes
    assert {row["status"] for row in send["counts"] if row["channel"] == "EMAIL"} <= {"RETRYING", "HELD", "PROCESSING"}
    options = ["--send", id, "--url", base_url(running.deployment), "--tenant", acme.name]
    async with Command("watch", *options, jwt_secret=SECRET) as follow:
        await follow.wait_for_output(r"PAUSED \(Paused by the failure guard: .+ must be tried again")
    assert (await change(acme, "cancelSend", id))["status"] == "CANCELLED"
    assert (await get_send(acme, id))["recipients"] == send["recipients"]


async def test_recipients_of_the_canary_who_fail_do_not_stop_the_others(running: Guarded, acme: Tenant) -> None:
    """They are tried again with the other parts."""
    database, failing = running.database, USERS[40:42]
    await create_users(acme, USERS)
    rejected = {"mailbox": {"$nin": [mailbox_of(acme.name, user) for user in failing]}}
    await database.command({"collMod": "notifications", "validator": rejected})
    id = (await broadcast(acme, channels=UNREACHABLE))["id"]

    async def others_reached() -> bool:
        return bool((await get_send(acme, id))["recipients"] == len(USERS) - len(failing))

    try:
        await eventually(others_reached, 60)
        assert (await get_send(acme, id))["status"] == "EXPANDING"
    finally:
        await database.command({"collMod": "notifications", "validator": {}})
    waiting = {"send": id, "leased_until": {"$exists": True}}
    await database.expansion_parts.update_many(waiting, {"$set": {"leased_until": utc_time.now()}})
    assert (await expanded(acme, id, within_s=60))["status"] == "ACCEPTED"
    assert await count_recipients(acme, id) == Counter(USERS)


@pytest.mark.usefixtures("refusing")
async def test_provider_that_is_down_pauses_the_send_although_few_users_have_an_address(acme: Tenant) -> None:
    readers = USERS[: CALLED_MIN - 1]
    await create_users(acme, USERS)
    await create_readers(acme, readers)
    while not await is_down(acme, (await acme.send(*readers, channels=["IN_APP", "EMAIL"]))["send"]["id"]):
        pass
    shown = await paused(acme, (await broadcast(acme))["id"])
    assert "EMAIL deliveries (the provider is down) failed or must be tried again" in shown["reason"]


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("members", MEMBERS)
async def test_resumed_send_reaches_everyone_else_once_although_calls_still_fail(
    running: Guarded, acme: Tenant, members: str
) -> None:
    """In between, users join, leave, and are erased."""
    await create_readers(acme, USERS)
    await create_users(acme, STRANGERS, locale="fr")
    id = (await broadcast(acme, to=MEMBERS[members]))["id"]
    await paused(acme, id)
    first = await count_recipients(acme, id)
    assert 0 < len(first) < len(USERS)
    rest = [user for user in USERS if user not in first]
    erased = [min(first), rest[0]]
    for user in erased:
        await acme.execute_as_admin(DELETE_USER, id=user)
    await create_readers(acme, LATE)
    assert (await change(acme, "resumeSend", id))["reason"] is None
    assert (await expanded(acme, id))["status"] == "ACCEPTED"
    strangers = STRANGERS if members == "everyone" else []
    assert await count_recipients(acme, id) == Counter({*USERS, *LATE, *strangers} - {*erased})
    stored = await running.database.sends.find_one({"_id": id})
    assert stored
    assert {"canary_below", "guarded", "guard_due_at", "guard_until", "paused_by_guard"}.isdisjoint(stored)


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("unguarded", [{"priority": "CRITICAL"}, {"guard": False}, {"channels": ["IN_APP"]}], ids=str)
async def test_send_is_not_guarded(acme: Tenant, unguarded: Json) -> None:
    await create_readers(acme, USERS)
    ended = await expanded(acme, (await broadcast(acme, **unguarded))["id"])
    assert (ended["status"], ended["recipients"]) == ("ACCEPTED", len(USERS))


async def test_deliveries_that_quiet_hours_hold_do_not_block_a_send_whose_calls_succeed(
    running: Guarded, acme: Tenant
) -> None:
    await create_readers(acme, USERS)
    await running.fakes.add_addresses(acme, *USERS[:40], channels=["WEB_PUSH", "WEBHOOK"])
    await set_default_times(acme, quietHours=quiet_now())
    send = await broadcast(acme, channels=["WEBHOOK", "WEB_PUSH"])
    ended = await expanded(acme, send["id"])
    assert (ended["status"], ended["recipients"]) == ("ACCEPTED", len(USERS))
    assert await count_recipients(acme, send["id"]) == Counter(USERS)
    pushes = {row["status"]: row["count"] for row in ended["counts"] if row["channel"] == "WEB_PUSH"}
    assert pushes == {"HELD": 40, "SKIPPED": len(USERS) - 40}


async def test_send_whose_deliveries_are_all_held_continues(acme: Tenant) -> None:
    await create_readers(acme, USERS)
    digest = {"key": "k", "window": "PT1H"}
    ended = await expanded(acme, (await broadcast(acme, digest=digest))["id"])
    assert (ended["status"], ended["recipients"]) == ("ACCEPTED", len(USERS))


async def test_texts_that_fail_in_the_inbox_pause_the_send_although_its_emails_arrive(acme: Tenant) -> None:
    await create_readers(acme, USERS)
    await store_template(acme, "order", body="{{ user.attributes.plan }}")
    await store_template(acme, "order", channel="EMAIL", body="In the mail")
    shown = await paused(acme, (await broadcast(acme, content=None, template={"key": "order"}))["id"])
    assert re.search(r": (\d+) of the first \1 IN_APP deliveries failed", shown["reason"])


@pytest.mark.usefixtures("refusing")
async def test_send_that_expires_while_the_guard_waits_is_complete(running: Guarded, acme: Tenant) -> None:
    """The request of a paused send gets an earlier end."""
    database, now = running.database, utc_time.now()
    await create_readers(acme, USERS)
    id = (await broadcast(acme, expiresAt=(now + timedelta(hours=1)).isoformat()))["id"]
    await paused(acme, id)
    reached = await count_recipients(acme, id)
    stored = await database.sends.find_one({"_id": id})
    assert stored
    request = orjson.loads(stored["scheduled"]["request"]) | {"expires_at": now.isoformat()}
    look = {
        "status": "EXPANDING",
        "guarded": True,
        "guard_due_at": now,
        "scheduled.request": orjson.dumps(request).decode(),
    }
    await database.sends.update_one({"_id": id}, {"$set": look, "$unset": dict.fromkeys(PAUSE_FIELDS, "")})
    ended = await expanded(acme, id)
    assert (ended["status"], ended["recipients"]) == ("ACCEPTED", len(reached))
    assert await count_recipients(acme, id) == reached


async def test_guard_is_part_of_the_idempotent_request(acme: Tenant) -> None:
    first = await broadcast(acme, idempotencyKey="k")
    assert (await broadcast(acme, idempotencyKey="k", guard=True))["id"] == first["id"]
    with pytest.raises(GraphQLErrors) as rejected:
        await broadcast(acme, idempotencyKey="k", guard=False)
    assert rejected.value.code == "CONFLICT"


async def turns(database: Database, id: str) -> Counter[bool]:
    """Count the parts of a send that may be claimed, by whether they are the canary."""
    found = await database.expansion_parts.find({"send": id, "turn_at": {"$exists": True}}).to_list()
    return Counter(part.get("canary", False) for part in found)


async def test_guard_remains_although_the_send_was_paused_and_resumed_before(running: Guarded, acme: Tenant) -> None:
    database, [worker] = running.database, running.deployment.workers
    await create_readers(acme, USERS)
    worker.kill()
    id = (await broadcast(acme, channels=UNREACHABLE))["id"]
    assert await turns(database, id) == {True: 1}
    await change(acme, "pauseSend", id)
    assert await turns(database, id) == {}
    await ExpansionParts(database, utc_time.now, INTERVAL).resume(id, guarded=False)  # began before the pause
    assert await turns(database, id) == {}
    await change(acme, "resumeSend", id)
    assert await turns(database, id) == {True: 1}
    await worker.start()
    assert (await expanded(acme, id))["status"] == "ACCEPTED"
    assert await count_recipients(acme, id) == Counter(USERS)


@pytest.mark.usefixtures("refusing")
async def test_other_parts_begin_although_the_process_that_decided_was_killed(running: Guarded, acme: Tenant) -> None:
    await create_readers(acme, USERS)
    id = (await broadcast(acme))["id"]
    await paused(acme, id)
    passed = {"status": "EXPANDING", "guard_due_at": utc_time.now()}
    await running.database.sends.update_one({"_id": id}, {"$set": passed, "$unset": dict.fromkeys(PAUSE_FIELDS, "")})
    assert (await expanded(acme, id))["status"] == "ACCEPTED"
    assert await count_recipients(acme, id) == Counter(USERS)


async def test_guarded_send_reaches_everyone_once_although_workers_are_killed(running: Guarded, acme: Tenant) -> None:
    [worker] = running.deployment.workers
    await create_readers(acme, USERS)
    ids = [(await broadcast(acme, title, channels=UNREACHABLE))["id"] for title in ("One", "Two")]
    for _ in range(KILLS):
        await asyncio.sleep(random.uniform(0, 0.5))
        worker.kill()
        await worker.start()
    for id in ids:
        assert (await expanded(acme, id, within_s=60))["status"] == "ACCEPTED"
        assert await count_recipients(acme, id) == Counter(USERS)


@pytest.mark.usefixtures("refusing")
async def test_guard_waits_for_a_backlog_and_counts_deliveries_that_could_not_be_prepared(
    running: Guarded, acme: Tenant
) -> None:
    """The deliveries of a paused send get the states that they have behind another broadcast."""
    database, now = running.database, utc_time.now()
    await create_readers(acme, USERS)
    id = (await broadcast(acme))["id"]
    await paused(acme, id)
    waiting = {"status": "ACCEPTED", "due_at": now + timedelta(hours=1)}
    others = ("reason", "tries", "lease_expirations", "enqueue_count", "claim", "leased_until")
    await database.deliveries.update_many({"send": id}, {"$set": waiting, "$unset": dict.fromkeys(others, "")})
    look = {"status": "EXPANDING", "guarded": True, "guard_due_at": now, "guard_until": now - timedelta(minutes=1)}
    await database.sends.update_one({"_id": id}, {"$set": look, "$unset": dict.fromkeys(PAUSE_FIELDS, "")})

    async def was_looked_at() -> Json | None:
        return await database.sends.find_one({"_id": id, "guard_due_at": {"$gt": utc_time.now() + INTERVAL / 2}})

    async def looked_twice() -> Json | None:
        later = {"guard_due_at": {"$gt": first["guard_due_at"] + INTERVAL / 2}}
        return await database.sends.find_one({"_id": id, "$or": [later, {"guarded": {"$exists": False}}]})

    first = await eventually(was_looked_at)
    assert (await eventually(looked_twice))["guarded"]
    await database.deliveries.update_many({"send": id}, {"$set": {"lease_expirations": 1}})
    assert "EMAIL deliveries" in (await paused(acme, id))["reason"]


async def test_recipient_of_a_canary_whose_inbox_is_busy_gets_the_send_with_the_others(
    running: Guarded, acme: Tenant
) -> None:
    """A transaction of the test holds the mailbox, so each transaction with this user conflicts."""
    database, [worker] = running.database, running.deployment.workers
    await create_readers(acme, USERS)
    worker.kill()
    id = (await broadcast(acme, channels=UNREACHABLE))["id"]
    stored = await database.sends.find_one({"_id": id})
    assert stored
    canary = Canary(id, stored["canary_below"])
    key = next(key for user in USERS if canary.includes(key := f"{acme.name}/{user}"))
    async with database.client.start_session() as session, await session.start_transaction():
        await database.mailboxes.update_one({"_id": key}, {"$inc": {"locks": 1}}, upsert=True, session=session)
        await worker.start()

        async def all_others() -> bool:
            return bool((await get_send(acme, id))["recipients"] == len(USERS) - 1)

        await eventually(all_others)
        await session.abort_transaction()
    assert (await expanded(acme, id))["status"] == "ACCEPTED"
    assert await count_recipients(acme, id) == Counter(USERS)
