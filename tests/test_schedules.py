"""Sends that are scheduled for later with `sendAt`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub import utc_time
from hub.platform import hub_clock
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import FakeChannels, deployment_with_channels
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import fresh_servers, scaled
from tests.processes import Deployment
from tests.telemetry import log_lines
from tests.template_sends import DELETE, send_template, store_template
from tests.test_moved_clock import SETTINGS

SEND = "id status sendAt recipients reason title counts { channel status count }"
GET = f"query ($id: ID!) {{ send(id: $id) {{ {SEND} }} }}"
LIST = "query ($statuses: [SendStatus!]) { sends(statuses: $statuses) { nodes { id status } } }"
CANCEL = "mutation ($id: ID!) { cancelSend(id: $id) { status } }"
RECALL = "mutation ($id: ID!) { recallSend(id: $id) { status title } }"
DELETE_USER = "mutation ($id: ID!) { deleteUser(id: $id) }"
USER = "query ($id: ID!) { user(id: $id) { id } }"
MUTE = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { channels { channel } } }"
SIMULATE = "query ($i: SendInput!) { simulate(input: $i) { decisions { channel outcome reason dueAt } } }"
KILLS = scaled(4, 30)

Running = tuple[Tenant, FakeChannels]


@pytest.fixture(scope="module")
async def started(servers: tuple[Mongod, Redis]) -> AsyncIterator[tuple[Deployment, Tenant, FakeChannels]]:
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, workers=2) as running:
        yield running


@pytest.fixture(scope="module")
async def running(started: tuple[Deployment, Tenant, FakeChannels]) -> Running:
    return started[1:]


def after(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def schedule(tenant: Tenant, *users: str, at: str, **more: Any) -> str:
    """Return the id of the scheduled send."""
    id: str = (await tenant.send(*users, sendAt=at, **more))["send"]["id"]
    return id


async def get(tenant: Tenant, id: str, *, url: str | None = None) -> Json:
    send: Json = (await tenant.execute(GET, id=id, url=url))["send"]
    return send


async def published(tenant: Tenant, id: str) -> Json:
    """Wait until a send is no longer scheduled."""

    async def found() -> Json | None:
        send = await get(tenant, id)
        return send if send["status"] != "SCHEDULED" else None

    send: Json = await eventually(found)
    return send


async def test_scheduled_send_uses_the_preferences_and_addresses_of_its_time(running: Running) -> None:
    tenant, fakes = running
    at = after(seconds=2)
    id = await schedule(tenant, "ann", "new", at=at, title="Later", channels=["IN_APP", "EMAIL", "WEBHOOK"])
    send = await get(tenant, id)
    assert (send["status"], send["recipients"], send["title"], send["counts"]) == ("SCHEDULED", 2, "Later", [])
    assert datetime.fromisoformat(send["sendAt"]) == datetime.fromisoformat(at).replace(
        microsecond=datetime.fromisoformat(at).microsecond // 1000 * 1000
    )
    assert (await tenant.execute(USER, id="new"))["user"] is None
    assert [row["id"] for row in (await tenant.execute(LIST, statuses=["SCHEDULED"]))["sends"]["nodes"]] == [id]
    await fakes.add_addresses(tenant, "ann", channels=["EMAIL"])
    await tenant.execute(MUTE, user="ann", input={"channels": [{"channel": "WEBHOOK", "enabled": False}]})
    send = await published(tenant, id)
    assert (send["status"], send["recipients"], send["sendAt"] is not None) == ("ACCEPTED", 2, True)

    async def counted() -> bool:
        rows = {(row["channel"], row["status"]): row["count"] for row in (await get(tenant, id))["counts"]}
        return rows == {
            ("IN_APP", "DELIVERED"): 2,
            ("EMAIL", "SENT"): 1,
            ("EMAIL", "SKIPPED"): 1,
            ("WEBHOOK", "SKIPPED"): 2,
        }

    await eventually(counted)
    for user in ("ann", "new"):
        [n] = (await tenant.inbox(user))["nodes"]
        assert datetime.fromisoformat(n["createdAt"]) >= datetime.fromisoformat(send["sendAt"])
    assert not (await tenant.execute(LIST, statuses=["SCHEDULED"]))["sends"]["nodes"]
    assert id in [row["id"] for row in (await tenant.execute(LIST, statuses=["ACCEPTED"]))["sends"]["nodes"]]


async def test_idempotency_key_stores_a_scheduled_send_once(running: Running) -> None:
    tenant, _ = running
    more: Json = {"sendAt": after(seconds=2), "idempotencyKey": "later"}
    first = await tenant.send("bob", **more)
    again = await tenant.send("bob", **more)
    assert (again["duplicate"], again["send"]["id"]) == (True, first["send"]["id"])
    await published(tenant, first["send"]["id"])
    again = await tenant.send("bob", **more)
    assert (again["duplicate"], again["send"]["status"]) == (True, "ACCEPTED")
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.send("bob", **more, title="Another")
    assert refused.value.code == "CONFLICT"
    assert len((await tenant.inbox("bob"))["nodes"]) == 1


async def test_cancelled_schedule_leaves_no_trace(running: Running) -> None:
    tenant, _ = running
    ids = [await schedule(tenant, user, at=after(seconds=1.5)) for user in ("cay", "cem", "cid")]
    assert (await tenant.execute(CANCEL, id=ids[0]))["cancelSend"]["status"] == "CANCELLED"
    assert (await tenant.execute(RECALL, id=ids[1]))["recallSend"] == {"status": "RECALLED", "title": None}
    await published(tenant, ids[2])
    for id, user, status in zip(ids, ("cay", "cem"), ("CANCELLED", "RECALLED"), strict=False):
        assert (await get(tenant, id))["status"] == status
        assert (await tenant.execute(USER, id=user))["user"] is None


async def test_erased_user_is_left_out(running: Running) -> None:
    """A send without users is cancelled."""
    tenant, _ = running
    for user in ("dan", "dia"):
        await tenant.send(user)
    both, alone = [await schedule(tenant, *users, at=after(seconds=2)) for users in (("dan", "dia"), ("dan",))]
    await tenant.execute_as_admin(DELETE_USER, id="dan")
    assert (await get(tenant, alone))["status"] == "CANCELLED"
    send = await published(tenant, both)
    assert (send["status"], send["recipients"]) == ("ACCEPTED", 1)
    assert len((await tenant.inbox("dia"))["nodes"]) == 2
    assert (await tenant.execute(USER, id="dan"))["user"] is None


async def test_resolve_cancels_what_is_scheduled_under_the_key(running: Running) -> None:
    tenant, _ = running
    id = await schedule(tenant, "eli", at=after(hours=1), collapseKey="build")
    await tenant.execute('mutation { resolve(collapseKey: "build") }')
    assert ((await get(tenant, id))["status"], (await get(tenant, id))["reason"]) == ("CANCELLED", "RESOLVED")


async def test_simulate_shows_when_a_scheduled_send_leaves(running: Running) -> None:
    tenant, _ = running
    at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    fields = {"to": {"users": ["fin"]}, "category": "news", "content": {"title": "Hello", "body": ""}}
    [simulation] = (await tenant.execute(SIMULATE, i={**fields, "sendAt": at.isoformat()}))["simulate"]
    [row] = [row for row in simulation["decisions"] if row["channel"] == "IN_APP"]
    assert (row["outcome"], row["reason"]) == ("HELD", "SCHEDULED")
    assert datetime.fromisoformat(row["dueAt"]) == at


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"sendAt": "2090-01-01T00:00:00Z"}, "input.sendAt"),
        ({"sendAt": after(hours=2), "expiresAt": after(hours=1)}, "input.expiresAt"),
    ],
)
async def test_invalid_schedule_is_refused(tenant: Tenant, more: Json, field: str) -> None:
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.send("ann", **more)
    assert refused.value.errors[0]["extensions"]["field"] == field


async def test_time_in_the_past_sends_at_once(tenant: Tenant) -> None:
    id = await schedule(tenant, "gil", at=after(hours=-1))
    assert (await get(tenant, id))["status"] == "ACCEPTED"


async def test_schedules_half_a_year_ahead_survive_restarts_and_a_redis_flush() -> None:
    """MongoDB, Redis, and all processes are killed. The sends become due while no process runs, and each goes out once
    although workers are killed. One has expired."""
    name = f"later{uuid4().hex[:8]}"
    users = [f"user-{number}" for number in range(20)]
    async with fresh_servers() as (mongod, redis):
        options: Any = {**SETTINGS, "mongo_database": name, "redis_prefix": f"{name}:"}
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=2, **options) as running,
            Tenant("default", running.urls) as tenant,
        ):
            at = after(days=180)
            ids = [await schedule(tenant, *users, at=at, title=f"{number}") for number in range(10)]
            expired = await schedule(tenant, "late", at=at, expiresAt=after(days=181))
            async with RedisClient.from_url(redis.url) as client:
                await client.flushall()
            for process in [*running.apis, *running.workers]:
                process.kill()
            for server in (mongod, redis):
                server.kill()
                await server.start()
            await running.apis[0].start()
            for id in ids:
                assert (await get(tenant, id))["status"] == "SCHEDULED"
            running.apis[0].kill()
            async with AsyncMongoClient(mongod.url) as store:
                moved = {"at": utc_time.now(), "ahead_ms": timedelta(days=182) // timedelta(milliseconds=1)}
                await store[name][hub_clock.COLLECTION].insert_one({"_id": hub_clock.ID, "advances": [moved]})
            for kill in range(KILLS):
                worker = running.workers[kill % 2]
                await worker.start()
                await asyncio.sleep(0.05 * kill)
                worker.kill()
            await asyncio.gather(*(process.start() for process in [*running.apis, *running.workers]))
            for id in ids:
                send = await published(tenant, id)
                assert (send["status"], send["counts"]) == (
                    "ACCEPTED",
                    [{"channel": "IN_APP", "status": "DELIVERED", "count": len(users)}],
                )
            assert (await published(tenant, expired))["status"] == "EXPIRED"
            for user in users[:3]:
                page = await tenant.inbox(user, first=50)
                assert sorted(n["title"] for n in page["nodes"]) == sorted(str(number) for number in range(10))
                assert page["unread"] == 10


async def test_scheduled_send_uses_the_template_of_its_time_and_fails_without_it(running: Running) -> None:
    """A late step uses the version that the send recorded when it was published."""
    tenant, fakes = running
    await fakes.add_addresses(tenant, "hue", channels=["EMAIL"])
    for key in ("changed", "deleted"):
        await store_template(tenant, key, title="Old")
    steps = [{"channels": ["EMAIL"], "after": "PT2S"}]
    more: Json = {"sendAt": after(seconds=2), "channels": ["IN_APP"], "steps": steps}
    changed, deleted = [
        (await send_template(tenant, "hue", key=key, **more))["send"]["id"] for key in ("changed", "deleted")
    ]
    assert (await get(tenant, changed))["title"] == "Old"
    await store_template(tenant, "changed", title="New")
    await tenant.execute_as_admin(DELETE, key="deleted")
    assert (await published(tenant, changed))["title"] == "New"
    await store_template(tenant, "changed", title="Newest")
    failed = await published(tenant, deleted)
    assert failed["status"] == "FAILED"
    assert "deleted" in failed["reason"]
    [n] = (await tenant.inbox("hue"))["nodes"]
    assert n["title"] == "New"

    async def sent() -> bool:
        return any(row["status"] == "SENT" for row in (await get(tenant, changed))["counts"])

    await eventually(sent)
    subjects = [message["Subject"] for message in fakes.mail.emails if "hue@people.example" in str(message["To"])]
    assert subjects == ["New"]


async def test_now_in_a_template_is_the_time_of_publication_on_every_channel(running: Running) -> None:
    tenant, fakes = running
    await fakes.add_addresses(tenant, "ida", channels=["EMAIL"])
    await store_template(tenant, "clock", title="{{ 'now' | date: '%H:%M:%S' }}")
    more: Json = {"sendAt": after(seconds=3), "channels": ["IN_APP", "EMAIL"]}
    await published(tenant, (await send_template(tenant, "ida", key="clock", **more))["send"]["id"])
    [n] = (await tenant.inbox("ida"))["nodes"]

    async def subjects() -> list[str]:
        return [message["Subject"] for message in fakes.mail.emails if "ida@people.example" in str(message["To"])]

    assert await eventually(subjects) == [n["title"]]


async def test_schedule_that_fails_is_logged(started: tuple[Deployment, Tenant, FakeChannels]) -> None:
    deployment, tenant, _ = started
    await store_template(tenant, "gone", title="Old")
    id = (await send_template(tenant, "jo", key="gone", sendAt=after(seconds=1.5)))["send"]["id"]
    await tenant.execute_as_admin(DELETE, key="gone")
    assert (await published(tenant, id))["status"] == "FAILED"
    [line] = log_lines(*deployment.workers, event="waiting_send_rejected", send=id)
    assert (line["level"], line["code"]) == ("warning", "NOT_FOUND")
