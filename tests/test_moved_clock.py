"""`hub clock`: the hub's clock is moved forward in development, and only what is scheduled becomes due."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from hub import ids, utc_time
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.hub_clock import COLLECTION, ID, HubClock, _Advance
from hub.utc_time import RealTime, elapsed
from tests.channel_setup import (
    CONNECT_WEBHOOK,
    REGISTER_MOBILE_DEVICE,
    connect_webhook,
    list_all_deliveries,
    wait_for_deliveries,
    wait_until_settled,
)
from tests.cli_commands import base_url, run_command
from tests.client import FEED, GraphQLErrors, Tenant, eventually
from tests.clocks import advance, request_clock
from tests.processes import SECRET, Deployment, Process
from tests.webhook_receiver import WebhookReceiver

DAY = timedelta(days=1)
ADVANCES = 5
PEOPLE = [f"user-{number}" for number in range(20)]
RECEIPTS = "subscription ($send: ID!) { receipts(sendId: $send) { kind status channel at } }"
SET_QUIET_HOURS = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { dailyLimit } }"
SETTINGS: dict[str, Any] = {
    "mode": "development",
    "egress_allow": "127.0.0.0/8",
    "provider_timeout_s": "30",
    "scheduler_interval_s": "0.25",
}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_advancing_the_clock_expires_no_lease_and_makes_due_what_is_scheduled(
    servers: tuple[Mongod, Redis],
) -> None:
    """Calls are under way in two workers while the clock is advanced five times by a day, through two API processes."""
    mongod, redis = servers
    database = f"clock{uuid4().hex[:8]}"
    async with (
        WebhookReceiver() as receiver,
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
        Deployment(
            mongod.url, redis.url, apis=2, workers=2, mongo_database=database, redis_prefix=f"{database}:", **SETTINGS
        ) as running,
        Tenant("default", running.urls) as tenant,
    ):
        await connect_webhook(tenant, receiver, *PEOPLE)
        answer = asyncio.Event()
        receiver.default_response = lambda *_: answer
        now = datetime.now(UTC)
        sends = [(await tenant.send(*PEOPLE, channels=["WEBHOOK", "IN_APP"], idempotencyKey="first"))["send"]]
        await tenant.send("alice", title="Expires", expiresAt=(now + 2 * DAY).isoformat())
        await tenant.send("alice", title="Snoozed")
        [snoozed, _] = (await tenant.inbox("alice"))["nodes"]
        await tenant.mark("alice", "snooze", snoozed["id"], until=(now + 4 * DAY).isoformat())
        await eventually(lambda: all_called(receiver, len(PEOPLE)), 30)
        cursor = (await tenant.inbox("alice"))["position"]
        for number in range(1, ADVANCES + 1):
            shown = await advance(tenant, running.urls[number % 2], "P1D")
            assert abs(instant(shown["now"]) - datetime.now(UTC) - number * DAY) < timedelta(minutes=1)
            assert shown["aheadMs"] == number * DAY // timedelta(milliseconds=1)
            repeated = await tenant.send(*PEOPLE, channels=["WEBHOOK", "IN_APP"], idempotencyKey="first")
            assert (repeated["duplicate"], repeated["send"]["id"]) == (True, sends[0]["id"])
            for url in running.urls:  # both processes have moved
                sends.append((await tenant.send("alice", title=f"{number}", url=url))["send"])
                ahead = ids.id_time(sends[-1]["id"]) - datetime.now(UTC)
                assert abs(ahead - number * DAY) < timedelta(minutes=1)
        assert [send["id"] for send in sends] == sorted({send["id"] for send in sends})

        await eventually(lambda: has_titles(tenant, {"Snoozed", *map(str, range(1, ADVANCES + 1))}), 20)
        async with tenant.feed("alice", cursor) as feed:
            kinds = [event["kind"] for event in await feed.take(2 * ADVANCES + 2)]
        assert kinds.count("ADDED") == 2 * ADVANCES + 1, "the sends, and the end of the snooze; no RESYNC"
        assert kinds.count("REMOVED") == 1, "the expired notification"

        held = await list_all_deliveries(tenant, statuses=["PROCESSING"])
        assert len(held) == len(PEOPLE), "every call is still under way"
        answer.set()
        found = await wait_until_settled(tenant, len(PEOPLE), 30)
        assert {(delivery["status"], len(delivery["attempts"])) for delivery in found} == {("DELIVERED", 1)}
        assert {len(times) for times in receiver.received_at.values()} == {1}
        assert receiver.invalid_signatures == 0, "signatures contain real time"
        stored = client[database]
        assert await stored.deliveries.count_documents({"lease_expirations": {"$exists": True}}) == 0
        assert await stored.deliveries.count_documents({"leased_until": {"$exists": True}}) == 0

        later = await tenant.send("user-1", channels=["WEBHOOK"])
        await wait_until_settled(tenant, len(PEOPLE) + 1, 30)
        assert receiver.invalid_signatures == 0
        for send in (sends[0], later["send"]):  # from before and after the advances
            await find_delivered_receipt(tenant, send["id"])
        await client.drop_database(database)


async def find_delivered_receipt(tenant: Tenant, send: str) -> None:
    """Wait for the receipt of a webhook in a stream that begins with the send."""
    async with tenant.socket() as socket:
        receipts = await socket.subscribe(RECEIPTS, send=send)
        async with asyncio.timeout(60):
            async for receipt in receipts:
                if (receipt["channel"], receipt["status"]) == ("WEBHOOK", "DELIVERED"):
                    return


async def all_called(receiver: WebhookReceiver, count: int) -> bool:
    return len(receiver.received_at) == count


async def has_titles(tenant: Tenant, titles: set[str]) -> bool:
    page = await tenant.inbox("alice", first=50)
    return {node["title"] for node in page["nodes"]} == titles


async def test_retry_of_hours_is_made_after_an_advance(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    database = f"clock{uuid4().hex[:8]}"
    settings = {**SETTINGS, "retry_schedule": "36000s,36000s"}
    async with (
        WebhookReceiver() as receiver,
        AsyncMongoClient(mongod.url) as client,
        Deployment(
            mongod.url, redis.url, apis=1, workers=1, mongo_database=database, redis_prefix=f"{database}:", **settings
        ) as running,
        Tenant("default", running.urls) as tenant,
    ):
        created = (await tenant.execute(CONNECT_WEBHOOK, user="alice", to=f"{receiver.url}/alice"))["connectWebhook"]
        await tenant.send("alice", channels=["WEBHOOK"])  # the receiver does not have the secret yet

        async def retrying() -> bool:
            return bool(await list_all_deliveries(tenant, statuses=["RETRYING"]))

        await eventually(retrying)
        receiver.secrets["/alice"] = created["secret"]
        await advance(tenant, running.urls[0], "PT20H")
        [delivery] = await wait_until_settled(tenant, 1, 20)
        assert delivery["status"] == "DELIVERED"
        first, second = (instant(attempt["at"]) for attempt in delivery["attempts"])
        assert second - first >= timedelta(hours=20)
        await client.drop_database(database)


async def test_quiet_hours_end_after_an_advance(servers: tuple[Mongod, Redis]) -> None:
    """In development, the worker captures the message of the channel that has no provider."""
    mongod, redis = servers
    database = f"clock{uuid4().hex[:8]}"
    now = datetime.now(UTC)
    window = {
        "start": f"{now - timedelta(hours=1):%H:%M}",
        "end": f"{now + timedelta(hours=2):%H:%M}",
        "timezone": "UTC",
    }
    async with (
        AsyncMongoClient(mongod.url) as client,
        Deployment(
            mongod.url, redis.url, apis=1, workers=1, mongo_database=database, redis_prefix=f"{database}:", **SETTINGS
        ) as running,
        Tenant("default", running.urls) as tenant,
    ):
        await tenant.execute(REGISTER_MOBILE_DEVICE, user="alice", input={"platform": "fcm", "token": "t" * 20})
        await tenant.execute(SET_QUIET_HOURS, user="alice", input={"quietHours": window})
        await tenant.send("alice", channels=["MOBILE_PUSH"])
        held, other = await wait_for_deliveries(tenant, "HELD", 2)
        assert {held["reason"], other["reason"]} == {"QUIET_HOURS"}, "the delivery and its briefing"
        await advance(tenant, running.urls[0], "PT1H")
        assert [delivery["status"] for delivery in await list_all_deliveries(tenant)] == ["HELD"] * 2
        await advance(tenant, running.urls[0], "PT2H")
        found = await wait_until_settled(tenant, 2, 20)
        assert [delivery["status"] for delivery in found] == ["DELIVERED"] * 2
        [attempt] = [attempt for delivery in found for attempt in delivery["attempts"]]
        assert instant(attempt["at"]) >= instant(held["dueAt"])
        await client.drop_database(database)


async def test_open_clients_receive_the_moved_time(servers: tuple[Mongod, Redis]) -> None:
    """In a ping of every API process, and in the acknowledgment of a later connection."""
    mongod, redis = servers
    database = f"clock{uuid4().hex[:8]}"
    async with (
        AsyncMongoClient(mongod.url) as client,
        Deployment(
            mongod.url, redis.url, apis=2, workers=0, mongo_database=database, redis_prefix=f"{database}:", **SETTINGS
        ) as running,
        Tenant("default", running.urls) as tenant,
        tenant.socket("alice", url=running.urls[0]) as one,
        tenant.socket("bob", url=running.urls[1]) as other,
    ):
        await advance(tenant, running.urls[0], "PT1H")
        for socket in (one, other):
            async with asyncio.timeout(60):
                message = await socket.read()
            assert (message["type"], message["payload"]["clockAheadMs"]) == ("ping", 3_600_000)
            ahead = instant(message["payload"]["serverTime"]) - datetime.now(UTC)
            assert abs(ahead - timedelta(hours=1)) < timedelta(minutes=1)
            await socket.write({"type": "pong", "payload": message["payload"]})
        cursor = (await tenant.inbox("alice"))["position"]
        await tenant.send("alice")
        feed = await one.subscribe(FEED, after=cursor)
        [event] = await feed.take(1)
        assert event["kind"] == "ADDED", "the socket stays open"
        await client.drop_database(database)


async def test_invalid_requests_do_not_move_the_clock(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    database = f"clock{uuid4().hex[:8]}"
    async with (
        AsyncMongoClient(mongod.url) as client,
        Deployment(
            mongod.url, redis.url, apis=1, workers=0, mongo_database=database, redis_prefix=f"{database}:",
            rate_limit_per_user="5", rate_limit_window_s="3600", **SETTINGS,
        ) as running,
        Tenant("default", running.urls) as tenant,
    ):  # fmt: skip
        [url] = running.urls
        for by in ("24h", "PT0S", "-PT1H", "P1Y", "P4000D", 5, None, ["PT1H"]):
            status, body = await request_clock(tenant, "POST", url, advance=by)
            assert (status, "such as PT24H" in body["errors"][0]["message"]) == (400, True), by
        assert (await request_clock(tenant, "POST", url))[0] == 400
        assert (await request_clock(tenant, "POST", url, token="x", advance="PT1H"))[0] == 401
        assert (await request_clock(tenant, "POST", url, token=tenant.token("alice"), advance="PT1H"))[0] == 403
        status, body = await request_clock(tenant, "POST", url, "/reset")
        assert (status, "an empty database" in body["errors"][0]["message"]) == (409, True)
        status, shown = await request_clock(tenant, "GET", url)
        assert (status, shown["aheadMs"]) == (200, 0)
        for _ in range(5):
            await tenant.inbox("alice")
        await advance(tenant, url, "P3600D")
        with pytest.raises(GraphQLErrors) as refused:
            await tenant.inbox("alice")
        assert refused.value.code == "RATE_LIMITED", "rate limits keep real time"
        assert (await request_clock(tenant, "POST", url, advance="P100D"))[0] == 400, "too far ahead in total"
        assert await running.apis[0].stop() == 0
        await running.apis[0].start()
        status, shown = await request_clock(tenant, "GET", url)
        assert (status, shown["aheadMs"]) == (200, 3600 * DAY // timedelta(milliseconds=1)), "after a restart"
        await client.drop_database(database)


async def test_production_has_no_clock_to_move_and_refuses_a_moved_one(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    database = f"clock{uuid4().hex[:8]}"
    async with AsyncMongoClient(mongod.url) as client:
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=0, mongo_database=database) as running,
            Tenant("default", running.urls) as tenant,
        ):
            for method in ("GET", "POST"):
                assert (await request_clock(tenant, method, running.urls[0], advance="PT1H"))[0] == 404
            done = run_command("clock", "advance", "1h", "--url", base_url(running), jwt_secret=SECRET)
            assert done.returncode == 1
            assert "is in production: its clock is real time and cannot be moved" in done.stderr
            assert COLLECTION not in await client[database].list_collection_names()
        moved = {"_id": ID, "advances": [{"at": utc_time.now(), "ahead_ms": 3_600_000}]}
        await client[database][COLLECTION].insert_one(moved)
        for command in ("serve", "work"):
            process = Process(command, mongod.url, redis.url, mongo_database=database)
            with pytest.raises(AssertionError, match=r"was moved with `hub clock`, which is for development only"):
                await process.start()
            assert "Traceback" not in process.log
        await client.drop_database(database)


STARTED = RealTime(datetime(2026, 11, 20, 8, tzinfo=UTC))


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**8)), max_size=6),
    st.integers(0, 10**8),
    st.integers(0, 10**8),
)
def test_hub_time_never_goes_back_and_converts_to_real_time(
    steps: list[tuple[int, int]], first_ms: int, second_ms: int
) -> None:
    """`steps`: the wait before each advance and its length, in milliseconds."""
    advances, at, ahead_ms = [], STARTED, 0
    for wait_ms, by_ms in steps:
        at = RealTime(at + timedelta(milliseconds=wait_ms))
        ahead_ms += by_ms
        advances.append(_Advance(at=at, ahead_ms=ahead_ms))
    real = STARTED
    storage: Any = {COLLECTION: None}
    clock = HubClock(storage, lambda: real, movable=True)
    clock._advances = tuple(advances)
    times = []
    for ms in sorted((first_ms, second_ms)):
        real = RealTime(STARTED + timedelta(milliseconds=ms))
        times.append(clock.now())
        assert elapsed(real, clock.now()) == clock.ahead >= timedelta()
        assert clock.to_real_time(clock.now()) == real
    assert times[0] <= times[1]
    if times[1] > times[0]:
        between = times[0] + (times[1] - times[0]) / 2
        assert STARTED + timedelta(milliseconds=min(first_ms, second_ms)) <= clock.to_real_time(between) <= real


def test_ids_of_a_moved_clock_are_uuids_of_its_time() -> None:
    at = datetime.now(UTC) + 5 * DAY
    assert UUID(ids.new_id(at)).version == 7
    assert abs(ids.id_time(ids.new_id(at)) - at) < timedelta(seconds=2)
