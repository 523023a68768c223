"""The counts of `activity`, and how they are written."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.model import Channel, Delivery, DeliveryStatus, Priority, Role
from hub.platform import metrics
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status import activity
from hub.status.activity import COLLECTION, Activity, ActivityCounts, Interval
from hub.utc_time import HubTime, rfc3339
from tests.channel_setup import FakeChannels, deployment_with_channels, list_all_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.processes import SECRET, Deployment

WITHIN_S = 60
ACTIVITY = """query ($since: DateTime!, $until: DateTime, $by: Duration, $category: String) {
  activity(since: $since, until: $until, by: $by, category: $category) { at channel status count }
}"""
Running = tuple[Deployment, Tenant, FakeChannels]


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, apis=2, workers=2) as found:
        yield found


def ago(**times: float) -> str:
    return rfc3339(utc_time.floor_ms(datetime.now(UTC) - timedelta(**times)))


def hub_now() -> HubTime:
    return HubTime(utc_time.now())


async def read(tenant: Tenant, **arguments: Any) -> list[Json]:
    rows: list[Json] = (await tenant.execute(ACTIVITY, **{"since": ago(hours=1), **arguments}))["activity"]
    return rows


async def wait_for_counts(tenant: Tenant, expected: dict[tuple[str, str], int], **arguments: Any) -> list[Json]:
    """Return the rows once their sums by channel and status are those."""
    rows: list[Json] = []
    sums: Counter[tuple[str, str]] = Counter()

    async def reached() -> bool:
        nonlocal rows, sums
        rows, sums = await read(tenant, **arguments), Counter()
        for row in rows:
            sums[row["channel"], row["status"]] += row["count"]
        return sums == Counter(expected)

    try:
        await eventually(reached, WITHIN_S)
    except AssertionError:
        assert sums == Counter(expected)
    return rows


async def wait_for_status(tenant: Tenant, send: str, status: str) -> Json:
    async def reached() -> Json | None:
        [one] = await list_all_deliveries(tenant, sendId=send)
        return one if one["status"] == status else None

    found: Json = await eventually(reached, WITHIN_S)
    return found


async def test_each_status_is_counted_by_time_channel_and_category(running: Running) -> None:
    deployment, _, fakes = running
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
        await fakes.add_addresses(tenant, "ann", "ben", channels=["EMAIL"])
        read_later = (await tenant.send("ann", "cay", category="news", channels=["IN_APP", "EMAIL"]))["send"]["id"]
        await wait_for_status(tenant, read_later, "SENT")  # cay has no address
        [n] = (await tenant.inbox("ann"))["nodes"]
        await tenant.mark("ann", "markRead", n["id"])
        fakes.mail.replies["RCPT"] = "450 4.2.1 try later"
        retried = (await tenant.send("ben", category="builds", channels=["EMAIL"]))["send"]["id"]
        await wait_for_status(tenant, retried, "RETRYING")
        fakes.mail.clear_fault()
        sent = await wait_for_status(tenant, retried, "SENT")
        fakes.mail.replies["DATA"] = "554 5.7.1 not from you"
        failed = (await tenant.send("ben", category="builds", channels=["EMAIL"]))["send"]["id"]
        await wait_for_status(tenant, failed, "FAILED")
        fakes.mail.clear_fault()
        later = [{"channels": ["EMAIL"], "after": "P1D"}]
        cancelled = (await tenant.send("ben", category="builds", steps=later))["send"]["id"]
        await tenant.execute("mutation ($id: ID!) { cancelSend(id: $id) { id } }", id=cancelled)
        builds = {
            ("EMAIL", "RETRYING"): len(sent["attempts"]) - 1,
            ("EMAIL", "SENT"): 1,
            ("EMAIL", "FAILED"): 1,
            ("EMAIL", "CANCELLED"): 1,
        }
        news = {("IN_APP", "DELIVERED"): 2, ("IN_APP", "READ"): 1, ("EMAIL", "SENT"): 1, ("EMAIL", "SKIPPED"): 1}
        everything = dict(Counter(news) + Counter(builds))
        for by in ("PT1M", "PT1H", "P1D"):
            await wait_for_counts(tenant, everything, by=by)
        await wait_for_counts(tenant, news, category="news")
        rows = await wait_for_counts(tenant, builds, by="PT1M", category="builds")
        assert {row["at"][16:] for row in rows} == {":00.000Z"}
        assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
        assert await read(tenant, category="other") == await read(tenant, until=ago(minutes=30), by="PT1M") == []
        options = ["--tenant", tenant.name, "--url", base_url(deployment)]
        printed = run_command("activity", "--since", "1h", "--by", "1d", *options, jwt_secret=SECRET)
        assert orjson.loads(printed.stdout) == await read(tenant, by="P1D"), printed.stderr
        table = run_command("activity", "--by", "1d", "--output", "table", *options, jwt_secret=SECRET).stdout
        assert [line.split()[1:] for line in table.splitlines()][1] == ["IN_APP", "DELIVERED", "2"]
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as other:
        assert await read(other) == []


async def test_stored_counts_are_the_same_after_a_worker_was_killed(running: Running) -> None:
    deployment, _, fakes = running
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
        users = [f"user-{number}" for number in range(20)]
        await fakes.add_addresses(tenant, *users, channels=["EMAIL"])
        await tenant.send(*users, channels=["EMAIL"])
        await wait_for_counts(tenant, {("EMAIL", "SENT"): 20})
        for worker in deployment.workers:
            worker.kill()
            await worker.start()
        await tenant.send(*users, channels=["EMAIL"])
        await wait_for_counts(tenant, {("EMAIL", "SENT"): 40})


async def test_queries_are_limited(running: Running) -> None:
    deployment, tenant, _ = running
    for arguments, field, text in (
        ({"by": "PT5M"}, "by", "PT1M, PT1H, or P1D"),
        ({"since": ago(minutes=1600), "by": "PT1M"}, "by", "1,601 times PT1M. At most 1,500"),
        ({"since": "1970-01-01T00:00:00Z"}, "by", "At most 1,500"),
        ({"until": ago(hours=2)}, "until", "later than `since`"),
    ):
        with pytest.raises(GraphQLErrors) as refused:
            await read(tenant, **arguments)
        assert (refused.value.code, refused.value.errors[0]["extensions"]["field"]) == ("BAD_USER_INPUT", field)
        assert text in refused.value.errors[0]["message"]
    await read(tenant, since=ago(hours=24), by="PT1M")
    user = {"authorization": f"Bearer {tenant.token('ann', role=Role.USER)}"}
    response = await tenant.execute_raw(ACTIVITY, headers=user, since=ago(hours=1))
    assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    printed = run_command("activity", "--since", "soon", "--url", base_url(deployment), jwt_secret=SECRET)
    assert (printed.returncode, "--since soon: use a duration ago such as 2h" in printed.stderr) == (2, True)


def delivery(tenant: str, category: str) -> Delivery:
    now = utc_time.now()
    return Delivery(
        id=uuid4().hex,
        tenant=tenant,
        status=DeliveryStatus.PROCESSING,
        priority=Priority.MEDIUM,
        created_at=now,
        updated_at=now,
        mailbox=f"{tenant}/ann",
        channel=Channel.EMAIL,
        category=category,
    )


async def test_processes_add_to_the_same_documents(database: Database) -> None:
    """They create them at the same time. The query and the updates use the index."""
    name = f"t{uuid4().hex[:12]}"
    processes = [ActivityCounts(database, hub_now) for _ in range(20)]
    since = hub_now()
    for process in processes:
        process.count_deliveries([(delivery(name, f"c{n % 3}"), DeliveryStatus.SENT) for n in range(30)])
    await asyncio.gather(*(process.flush() for process in processes))
    reader, until = Activity(database), hub_now() + timedelta(days=1)
    for category, expected in ((None, 600), ("c1", 200)):
        for interval in Interval:
            rows = await reader.read(name, interval, since, until, category)
            assert sum(row.count for row in rows) == expected
    docs = await database[COLLECTION].find({"tenant": name}).to_list()
    assert {doc["expires_at"] - doc["at"] for doc in docs if doc["interval"] == "PT1M"} == {timedelta(days=3)}
    match = {"tenant": name, "interval": "PT1M", "category": "", "at": {"$gte": since}}
    plan = str(await database[COLLECTION].find(match).sort("at", 1).explain())
    assert "'indexName': 'bucket'" in plan
    assert "'stage': 'SORT'" not in plan


async def test_counts_in_memory_are_limited_and_an_outage_loses_them(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "COUNTERS_MAX", 10)
    lost = metrics.activity_lost._value
    before = lost.get()
    async with (
        AsyncMongoClient(servers[0].url, tz_aware=True) as client,
        AsyncMongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=100) as unavailable,
    ):
        counts = ActivityCounts(client[f"activity{uuid4().hex[:8]}"], hub_now)
        counts.count_deliveries([(delivery("acme", f"c{n}"), DeliveryStatus.SENT) for n in range(15)])
        assert lost.get() - before == 5
        writing = asyncio.create_task(counts.run())

        async def written() -> bool:
            doc = await counts._activity.find_one({"interval": "P1D", "category": ""})
            return doc is not None and doc["counts"] == {"EMAIL": {"SENT": 10}}

        await eventually(written, WITHIN_S)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await client.drop_database(counts._activity.database.name)
        gone = ActivityCounts(unavailable["hub"], hub_now)
        gone.count_deliveries([(delivery("acme", "news"), DeliveryStatus.SENT)])
        await gone.flush()
        assert lost.get() - before == 6
