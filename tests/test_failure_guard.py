"""The failure guard: a large send first goes to a small part of its recipients."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.decide.failure_guard import CALLED_MIN, CANARY_MIN, Canary, Result, canary_below, judge
from hub.model import Channel, DeliveryStatus, Reason, mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status.sends import PAUSE_FIELDS
from tests.broadcasts import broadcast, count_recipients, create_users, expanded, get_send
from tests.channel_setup import UPSERT_USERS, FakeChannels, deployment_with_channels
from tests.cli_commands import Command, base_url
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import scaled
from tests.pause.sends import change, get
from tests.processes import SECRET, Deployment
from tests.quiet_hours.times import quiet_now, set_default_times
from tests.webhook_data import create_endpoint

GUARDED = 110  # recipients
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
DELIVERED, FAILED, HELD = DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.HELD


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
    }
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
async def refusing(running: Guarded) -> AsyncIterator[None]:
    """The mail server refuses connections."""
    await running.fakes.mail.close()
    yield
    await running.fakes.mail.reopen()


async def create_readers(tenant: Tenant, users: Sequence[str]) -> None:
    """Create users with an email address who are in each of MEMBERS."""
    for start in range(0, len(users), 1000):
        part = users[start : start + 1000]
        fields = [{"id": user, "email": f"{user}@people.example", "locale": "de"} for user in part]
        await tenant.execute(UPSERT_USERS, users=fields)
    await tenant.execute(SUBSCRIBE, users=users[:1000])


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
    await create_users(acme, USERS)
    await create_readers(acme, USERS[: CALLED_MIN - 1])
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


def verdict(*counts: tuple[Channel, DeliveryStatus, str | None, int]) -> tuple[Result, bool]:
    found = judge({(channel, status, reason): count for channel, status, reason, count in counts}, 20)
    return found.result, found.is_final


EMAIL, PUSH = Channel.EMAIL, Channel.WEB_PUSH
ACCEPTED, SENT, RETRYING = DeliveryStatus.ACCEPTED, DeliveryStatus.SENT, DeliveryStatus.RETRYING


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], (Result.UNDECIDED, True)),
        ([(EMAIL, SENT, None, 19), (EMAIL, SENT, None, 0)], (Result.UNDECIDED, True)),
        ([(EMAIL, FAILED, Reason.REFUSED, 19)], (Result.UNDECIDED, True)),
        ([(EMAIL, SENT, None, 80), (EMAIL, FAILED, Reason.REFUSED, 20)], (Result.PASSED, True)),
        ([(EMAIL, SENT, None, 79), (EMAIL, RETRYING, None, 21)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 89), (EMAIL, ACCEPTED, None, 11)], (Result.PASSED, False)),
        ([(EMAIL, SENT, None, 90), (EMAIL, HELD, Reason.RATE_LIMITED, 10)], (Result.PASSED, True)),
        ([(EMAIL, SENT, None, 20), (EMAIL, HELD, Reason.QUIET_HOURS, 80)], (Result.PASSED, True)),
        ([(EMAIL, RETRYING, None, 10), (EMAIL, HELD, Reason.PROVIDER_DOWN, 90)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 900), (PUSH, FAILED, Reason.ADDRESS_GONE, 20)], (Result.FAILED, True)),
        ([(EMAIL, FAILED, None, 10), (PUSH, FAILED, None, 10)], (Result.FAILED, True)),
        ([(EMAIL, SENT, None, 30), (EMAIL, DeliveryStatus.SKIPPED, Reason.ALREADY_READ, 70)], (Result.PASSED, True)),
    ],
)
def test_verdict_of_a_canary(counts: Sequence[Any], expected: tuple[Result, bool]) -> None:
    assert verdict(*counts) == expected


def test_channel_that_is_down_fails_the_canary_only_if_it_has_deliveries() -> None:
    counts: dict[tuple[Channel, DeliveryStatus, str | None], int]
    counts = {(EMAIL, RETRYING, None): 3, (PUSH, SENT, None): 90}
    assert judge(counts, 20).result is Result.PASSED
    assert judge(counts, 20, {EMAIL}).result is Result.FAILED
    assert judge(counts, 20, {Channel.MOBILE_PUSH}).result is Result.PASSED


@pytest.mark.parametrize("total", [1, 50, 101, 10_000, 50_000])
def test_canary_is_one_percent_or_a_hundred_users(total: int) -> None:
    canary = Canary("0190b2a3-0000-7000-8000-000000000000", canary_below(total))
    size = sum(canary.includes(f"acme/user-{number}") for number in range(total))
    expected = min(total, max(CANARY_MIN, total // 100))
    assert abs(size - expected) < 0.3 * expected
