"""Events through `POST /events` and `publishEvent`, the event log, and the jobs of events."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.events import event_store
from hub.events.cloud_events import BATCH_MAX_EVENTS, EVENT_MAX_BYTES, NewEvent
from hub.events.event_store import DAY_S, LANE, EventQuery, EventStore
from hub.model import EventStatus, Role
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.index_builds import make_indexes
from hub.settings import Settings
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.clocks import hub_now
from tests.conftest import scaled
from tests.event_calls import (
    BATCH,
    ENDED,
    EVENT,
    EVENTS,
    PUBLISH,
    REPLAY,
    STRUCTURED,
    cloud_event,
    list_events,
    post,
    post_until_stored,
)
from tests.processes import SECRET, Deployment
from tests.rule_calls import upsert_rule

FLOOD = scaled(1_500, 100_000)
HANDLED_BEFORE_MAX = 10  # while 30 events of the flood have a slot
SLOW_RULES = 10
SLOW = "length(map(&length([" + ",".join(["`1`"] * 10) + "][?@ == `0`]), data.numbers)) == `0`"
"""A condition that takes about 5 ms with 50 numbers, and is false."""
FIXED = {"title": "An event", "body": ""}
KILLS = scaled(2, 15)
KILLED_EVENTS = scaled(200, 5_000)
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "binary",
    "ce-source": "/shop",
    "ce-type": "com.example.order.shipped",
    "ce-subject": "order%207",
    "ce-time": "2026-11-20T08:15:30Z",
}
ENVELOPE = {
    "version": "0",
    "id": "bridge",
    "detail-type": "Order Shipped",
    "source": "com.example.shop",
    "account": "123456789012",
    "time": "2026-11-20T08:15:30Z",
    "region": "eu-west-1",
    "resources": [],
    "detail": {"order": 7},
}


async def ended(tenant: Tenant, count: int, within_s: float = 60) -> list[Json]:
    """Return the events of the tenant when the rules of all of them have run."""

    async def all_ended() -> list[Json]:
        return await list_events(tenant, statuses=ENDED)

    async def enough() -> list[Json]:
        found = await all_ended()
        return found if len(found) >= count else []

    found: list[Json] = await eventually(enough, within_s)
    return found


async def test_events_of_every_mode_are_stored_once(tenant: Tenant) -> None:
    data = {"order": 7, "total": 12.5}
    more = {"subject": "order 7", "time": "2026-11-20T08:15:30Z", "data": data, "traceid": "t1"}
    calls: list[tuple[Any, ...]] = [
        (cloud_event("structured", **more), STRUCTURED),
        (cloud_event("json", **more), "application/json"),
        (json.dumps(data).encode(), "application/json", BINARY),
        ([cloud_event("batch-1", **more), cloud_event("batch-2", **more)], BATCH),
        (ENVELOPE, "application/json; charset=utf-8"),
    ]
    for body, content_type, *headers in calls:
        status, first = await post(tenant, body, content_type, headers=dict(*headers))
        assert (status, {one["duplicate"] for one in first["events"]}) == (202, {False})
        status, second = await post(tenant, body, content_type, headers=dict(*headers))
        assert (status, {one["duplicate"] for one in second["events"]}) == (200, {True})
        assert [one["id"] for one in second["events"]] == [one["id"] for one in first["events"]]
    status, mixed = await post(tenant, [cloud_event("batch-1"), cloud_event("new"), cloud_event("new")], BATCH)
    assert (status, [one["duplicate"] for one in mixed["events"]]) == (202, [True, False, True])
    published = {"source": "/shop", "type": "a", "id": "p", "data": data}
    event = (await tenant.execute(PUBLISH, input=published))["publishEvent"]
    again = (await tenant.execute(PUBLISH, input={**published, "type": "b"}))["publishEvent"]
    assert (again["id"], again["type"]) == (event["id"], "a")
    found = {event["eventId"]: event for event in await ended(tenant, 8)}
    assert found.keys() == {"structured", "json", "binary", "batch-1", "batch-2", "bridge", "new", "p"}
    for id in ("structured", "json", "binary", "batch-1"):
        event = found[id]
        assert (event["source"], event["type"]) == ("/shop", "com.example.order.shipped")
        assert (event["subject"], event["time"], event["data"]) == ("order 7", "2026-11-20T08:15:30.000Z", data)
        assert (event["status"], event["results"]) == ("UNMATCHED", [])
    assert (found["bridge"]["type"], found["bridge"]["data"]) == ("Order Shipped", {"order": 7})
    assert found["p"]["type"] == "a"


WITHOUT = {name: {key: value for key, value in cloud_event("x").items() if key != name} for name in cloud_event("x")}
LARGE = "x" * EVENT_MAX_BYTES
INVALID: list[tuple[Any, str, int, str | None]] = [
    *((body, STRUCTURED, 400, name) for name, body in WITHOUT.items()),
    (cloud_event("x", specversion="0.3"), STRUCTURED, 400, "specversion"),
    (cloud_event("x", time="yesterday"), STRUCTURED, 400, "time"),
    (cloud_event("x", subject=7), STRUCTURED, 400, "subject"),
    (cloud_event("x", source="a\nb"), STRUCTURED, 400, "source"),
    (cloud_event("x", source="a" * 2000), STRUCTURED, 400, "source"),
    (cloud_event("x", Upper="a"), STRUCTURED, 400, "Upper"),
    (cloud_event("x", extension={"a": 1}), STRUCTURED, 400, "extension"),
    (cloud_event("x", number=2**70), STRUCTURED, 400, "number"),
    (cloud_event("x", data_base64="?"), STRUCTURED, 400, "data_base64"),
    (cloud_event("x", data="\ud800"), STRUCTURED, 400, "body"),
    ([cloud_event("x"), WITHOUT["type"]], BATCH, 400, "1.type"),
    (b"{", STRUCTURED, 400, "body"),
    (b"[" * 100_000, STRUCTURED, 400, "body"),
    (b"[" * 100_000, BATCH, 400, "body"),
    (b'[{"data":' + b"[" * 100_000, BATCH, 400, "body"),
    (b'{"id":"\xed\xa0\x80"}', STRUCTURED, 400, "id"),
    (b'[{"\xed\xa0\x80":1}]', BATCH, 400, "0.body"),
    (cloud_event("x"), BATCH, 400, "body"),
    (cloud_event("x"), "text/plain", 415, "content-type"),
    (cloud_event("x", data=LARGE), STRUCTURED, 413, None),
    ([cloud_event("x"), cloud_event("y", data=LARGE)], BATCH, 413, None),
    ([cloud_event(str(n)) for n in range(BATCH_MAX_EVENTS + 1)], BATCH, 413, None),
]


async def test_invalid_events_are_rejected_with_the_attribute_and_not_stored(tenant: Tenant) -> None:
    for body, content_type, expected, field in INVALID:
        status, result = await post(tenant, body, content_type)
        [error] = result["errors"]
        assert (status, error["extensions"].get("field")) == (expected, field), (body if field else expected, error)
    for header, value in {"ce-type": "", "ce-time": "now", "ce-id": "a" * 2000}.items():
        status, result = await post(tenant, b"{}", "application/json", headers={**BINARY, header: value})
        assert (status, result["errors"][0]["extensions"]["field"]) == (400, header.removeprefix("ce-"))
    status, result = await post(tenant, b"PNG", "image/png", headers=BINARY)
    assert (status, result["errors"][0]["extensions"]["field"]) == (400, "datacontenttype")
    with pytest.raises(GraphQLErrors) as caught:
        await tenant.execute(PUBLISH, input={"source": "", "type": "a"})
    assert caught.value.errors[0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "input.source"}
    with pytest.raises(GraphQLErrors) as caught:
        await tenant.execute(PUBLISH, input={"source": "/a", "type": "a", "data": LARGE})
    assert caught.value.code == "TOO_LARGE"
    assert not await list_events(tenant)


async def test_events_need_a_service_token(tenant: Tenant) -> None:
    assert (await post(tenant, cloud_event("1"), role=Role.ADMIN))[0] == 202
    status, result = await post(tenant, cloud_event("2"), role=Role.USER)
    assert (status, result["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    status, result = await post(tenant, cloud_event("3"), headers={"authorization": "Bearer wrong"})
    assert (status, result["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    for query in (EVENTS, 'query { event(id: "x") { id } }', 'mutation { replayEvents(ids: ["x"]) }'):
        with pytest.raises(GraphQLErrors) as caught:
            await tenant.execute(query, user="alice")
        assert caught.value.code == "FORBIDDEN"
    [event] = await list_events(tenant)
    async with Tenant(f"other{uuid4().hex[:8]}", tenant.urls) as other:
        assert (await post(other, cloud_event("1")))[0] == 202  # no duplicate in another tenant
        assert (await other.execute(f'{{ event(id: "{event["id"]}") {{ id }} }}'))["event"] is None
        assert (await other.execute(REPLAY, ids=[event["id"]]))["replayEvents"] == 0


async def test_event_log_is_filtered_paged_and_replayed(tenant: Tenant) -> None:
    events = [cloud_event(str(n), source=f"/s{n % 2}", type=f"type.{n % 3}") for n in range(12)]
    assert (await post(tenant, events, BATCH))[0] == 202
    found = await ended(tenant, 12)
    assert [event["eventId"] for event in found] == [str(n) for n in reversed(range(12))]
    assert {event["eventId"] for event in await list_events(tenant, source="/s1", types=["type.0"])} == {"3", "9"}
    assert len(await list_events(tenant, types=["type.0", "type.1"], statuses=["UNMATCHED"])) == 8
    assert not await list_events(tenant, statuses=["FAILED", "RECEIVED"])
    assert not await list_events(tenant, until=found[-1]["receivedAt"])
    assert len(await list_events(tenant, since=found[-1]["receivedAt"])) == 12
    page = (await tenant.execute(EVENTS, first=5))["events"]
    rest = (await tenant.execute(EVENTS, first=50, after=page["pageInfo"]["endCursor"]))["events"]
    assert [event["id"] for event in page["nodes"] + rest["nodes"]] == [event["id"] for event in found]
    ids = [event["id"] for event in found]
    assert (await tenant.execute(REPLAY, ids=[*ids, "unknown"]))["replayEvents"] == 12
    assert await ended(tenant, 12) == found
    one = await tenant.execute(f"query ($id: ID!) {{ event(id: $id) {{ {EVENT} }} }}", id=ids[0])
    assert one["event"] == found[0]


async def test_event_log_reads_only_what_it_returns(servers: tuple[Mongod, Redis]) -> None:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        database: Database = client[f"log{uuid4().hex[:8]}"]
        await make_indexes(database, event_store.indexes(Settings(jwt_secret=(SECRET,))))
        store = EventStore(database, hub_now, 3600)
        types = ["rare" if n % 100 == 0 else "common" for n in range(300)]
        new = [NewEvent(event_id=str(n), source="/s", type=type, data="7") for n, type in enumerate(types)]
        stored = await store.insert("acme", new)
        await database.events.update_many({}, {"$set": {"status": "SKIPPED"}})
        await database.events.update_one({"_id": stored[1].id}, {"$set": {"status": "FAILED"}})
        await database.command("profile", 2)
        ended = EventQuery(types=("rare",), statuses=(EventStatus.PROCESSED, EventStatus.UNMATCHED))
        assert [event.data for event in await store.page("acme", ended, 10, None, with_data=False)] == [None] * 3
        failed = EventQuery(types=("common",), statuses=(EventStatus.FAILED,))
        assert [event.data for event in await store.page("acme", failed, 10, None, with_data=True)] == ["7"]
        await database.command("profile", 0)
        reads = await database["system.profile"].find({"ns": f"{database.name}.events", "op": "query"}).to_list()
        assert [read["docsExamined"] for read in reads] == [3, 1]
        await client.drop_database(database.name)


@pytest.mark.timeout(scaled(300, 1800))
async def test_every_stored_event_is_handled_once_although_workers_are_killed(servers: tuple[Mongod, Redis]) -> None:
    """Every event that a rule matches makes its send exactly once."""
    mongod, redis = servers
    own = {"mongo_database": f"killed{uuid4().hex[:8]}", "redis_prefix": f"killed{uuid4().hex}:"}
    times = {
        "lease_margin_s": "1",
        "lease_max_expirations": "50",
        "provider_timeout_s": "3",
        "requeue_after_s": "1",
        "scheduler_interval_s": "0.1",
        "retry_schedule_by_channel": json.dumps({LANE: [0.1] * 50}),
    }
    async with (
        Deployment(mongod.url, redis.url, apis=2, workers=2, **own, **times) as running,
        Tenant("acme", running.urls) as tenant,
    ):
        batches = [
            [cloud_event(f"{n}-{m}", data={"customer": f"user-{m}", "order": n}) for m in range(20)]
            for n in range(KILLED_EVENTS // 20)
        ]
        await upsert_rule(tenant, type="com.example.order.*", condition="data.customer != 'user-0'")

        async def publish() -> None:
            for batch in batches:
                await post_until_stored(tenant, batch)

        async def kill() -> None:
            for n in range(KILLS):
                process = [*running.workers, running.apis[1]][n % 3]
                process.kill()
                await process.start()

        await asyncio.gather(publish(), kill())
        found = await ended(tenant, KILLED_EVENTS, scaled(150, 1200))
        assert {event["eventId"] for event in found} == {event["id"] for batch in batches for event in batch}
        assert len(found) == KILLED_EVENTS
        for event in found:
            assert event["status"] != "FAILED", event
            [result] = event["results"]
            assert (event["status"] == "PROCESSED") == result["matched"] == (event["data"]["customer"] != "user-0")
        made = [event["results"][0]["send"]["id"] for event in found if event["status"] == "PROCESSED"]
        assert len(set(made)) == len(made) == KILLED_EVENTS * 19 // 20
        async with AsyncMongoClient(mongod.url) as client:
            for name in ("sends", "notifications"):
                assert await client[own["mongo_database"]][name].count_documents({}) == len(made), name


async def test_a_flood_of_one_tenant_does_not_delay_the_event_of_another(servers: tuple[Mongod, Redis]) -> None:
    """The events of the flood that are handled before the single event are few, however many wait, although their
    rules take most of the time."""
    mongod, redis = servers
    own = {
        "mongo_database": f"flood{uuid4().hex[:8]}",
        "redis_prefix": f"flood{uuid4().hex}:",
        "requeue_after_s": "3600",
    }
    concurrency = {"delivery_concurrency_by_channel": json.dumps({LANE: 40})}
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=1, **own, **concurrency) as running,
        Tenant("large", running.urls) as large,
        Tenant("small", running.urls) as small,
    ):
        for n in range(SLOW_RULES):
            await upsert_rule(large, f"slow-{n}", type="com.example.order.*", condition=SLOW)
        await upsert_rule(small, type="com.example.order.*", to={"users": "'alice'"}, content=FIXED)
        running.workers[0].kill()
        for start in range(0, FLOOD, BATCH_MAX_EVENTS):
            numbers = {"numbers": list(range(50))}
            events = [cloud_event(str(n), data=numbers) for n in range(start, min(start + BATCH_MAX_EVENTS, FLOOD))]
            assert (await post(large, events, BATCH))[0] == 202
        assert (await post(small, cloud_event("single")))[0] == 202
        await running.workers[0].start()
        assert [event["status"] for event in await ended(small, 1)] == ["PROCESSED"]
        async with AsyncMongoClient(mongod.url, tz_aware=True) as client:
            store = client[own["mongo_database"]].events
            single = await store.find_one({"tenant": "small"})
            assert single
            earlier = {"tenant": "large", "status": "SKIPPED", "updated_at": {"$lt": single["updated_at"]}}
            assert await store.count_documents(earlier) < HANDLED_BEFORE_MAX


async def test_events_about_a_user_are_exported_and_erased(tenant: Tenant) -> None:
    await tenant.send("alice")
    events = [
        cloud_event("about", subject="alice", data={"address": "Main Street"}),
        cloud_event("names", data={"user": "alice"}),
        cloud_event("bob", subject="bob"),
    ]
    assert (await post(tenant, events, BATCH))[0] == 202
    await ended(tenant, 3)
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]
    [about] = exported["events"]
    assert (about["eventId"], about["status"], about["data"]) == ("about", "UNMATCHED", {"address": "Main Street"})
    await tenant.execute_as_admin('mutation { deleteUser(id: "alice") }')
    assert {event["eventId"] for event in await list_events(tenant)} == {"names", "bob"}


async def test_old_events_expire(database: Database) -> None:
    assert (await database.events.index_information())["expiry"]["expireAfterSeconds"] == 30 * DAY_S
