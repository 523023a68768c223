"""The state that the hub reports: `health`, `queues`, `providers` and `hub doctor`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.outbox.due_counts import queued_for
from hub.platform.connections import Database, redis
from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.health_reader import health_reader
from hub.status.undelivered_counts import UndeliveredCounts
from hub.status.workers import ALIVE_S
from tests.channel_setup import SHORT_TIMES, list_deliveries, wait_for_deliveries
from tests.cli_commands import run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.clocks import hub_now
from tests.fake_providers import FakeMailServer
from tests.processes import SECRET, Deployment
from tests.provider_setup import SENDER, provider_settings

HEALTH = """{ health {
  ok problems deadLetters failureRate oldestDueSeconds
  providers { provider channel open failureRate since } queues { channel priority waiting oldestSeconds }
  workers { id host version startedAt heartbeatAt calls }
} }"""
PEOPLE = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
DATABASE = "health"


@pytest.fixture
async def mail() -> AsyncIterator[FakeMailServer]:
    async with FakeMailServer() as server:
        yield server


@pytest.fixture
async def running(servers: tuple[Mongod, Redis], mail: FakeMailServer) -> AsyncIterator[Deployment]:
    mongod, redis_server = servers
    own = {"mongo_database": DATABASE, "redis_prefix": f"health{uuid4().hex[:8]}:", "retry_schedule": "1s"}
    sender = {
        "smtp_url": f"smtp://127.0.0.1:{mail.port}",
        "smtp_from": SENDER,
        "circuit_breaker_open_s": "60",
        "chats": "",
    }
    async with AsyncMongoClient(mongod.url) as client:
        await client.drop_database(DATABASE)
    async with Deployment(
        mongod.url, redis_server.url, apis=1, workers=1, **{**SHORT_TIMES, **own, **sender}
    ) as deployment:
        yield deployment


@pytest.fixture
async def tenant(running: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant("acme", running.urls) as created:
        users = [{"id": f"u{n}", "email": f"u{n}@people.example"} for n in range(12)]
        await created.execute(PEOPLE, users=users)
        yield created


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client[DATABASE]


async def health(tenant: Tenant) -> Json:
    found: Json = (await tenant.execute_as_admin(HEALTH))["health"]
    return found


async def doctor(tenant: Tenant, *arguments: str, **environment: str) -> tuple[int, str]:
    fields = ["doctor", "--tenant", tenant.name, *arguments]
    done = await asyncio.to_thread(run_command, *fields, jwt_secret=SECRET, **environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


async def test_health_of_a_working_hub_is_ok_also_in_doctor(
    tenant: Tenant, running: Deployment, store: Database, servers: tuple[Mongod, Redis]
) -> None:
    """The running hub counts: a shell without HUB_SMTP_URL does not mean that the hub has no email."""
    await tenant.send("u1", channels=["EMAIL"])
    await wait_for_deliveries(tenant, "SENT")

    async def recounted() -> Json | None:
        found = await health(tenant)
        return found if found["workers"] and found["workers"][0]["calls"] == 1 else None

    found = await eventually(recounted)
    assert (found["ok"], found["problems"], found["deadLetters"], found["failureRate"]) == (True, [], 0, 0)
    assert (found["queues"], found["oldestDueSeconds"]) == ([], 0)
    state = {"open": False, "failureRate": 0, "since": None}
    assert found["providers"] == [
        {"provider": "smtp", "channel": "EMAIL", **state},
        {"provider": "webhook", "channel": "WEBHOOK", **state},
    ]
    assert (await tenant.execute("{ providers { provider } queues { waiting } }"))["queues"] == []
    for query in ("{ health { ok } }", "{ queues { waiting } }", "{ providers { provider } }"):
        with pytest.raises(GraphQLErrors, match="FORBIDDEN"):
            await tenant.execute(query, user="u1" if "health" not in query else None)
    url = running.urls[0].removesuffix("/graphql")
    code, output = await doctor(tenant, "--url", url)
    assert code == 0, output
    assert output.endswith("All is well.\n")
    assert "ok     EMAIL is sent through smtp" in output
    assert "EMAIL is not set up" not in output
    stores = {"mongo_url": servers[0].url, "redis_url": servers[1].url, "mongo_database": DATABASE}
    code, output = await doctor(tenant, **stores)
    assert "EMAIL is not set up in this environment; running workers send it through smtp" in output
    assert "no running hub was queried" in output
    code, output = await doctor(tenant, "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "wrong  Nothing responds at http://127.0.0.1:1" in output
    running.workers[0].kill()
    stale = datetime.now(UTC) - timedelta(seconds=ALIVE_S + 1)
    await store["workers"].update_many({}, {"$set": {"heartbeat_at": stale}})
    await tenant.send("u1", channels=["EMAIL"], priority="HIGH")

    async def only_queue_is_reported() -> Json | None:
        found = await health(tenant)
        return found if found["queues"] and found["oldestDueSeconds"] > 0 else None

    found = await eventually(only_queue_is_reported)
    assert found["problems"][0].startswith("No worker runs")
    assert (found["workers"], found["providers"]) == ([], [])
    [queue] = found["queues"]
    assert (queue["channel"], queue["priority"], queue["waiting"]) == ("EMAIL", "HIGH", 1)
    async with Tenant("other", running.urls) as other:
        found = await health(other)
        assert (found["queues"], found["deadLetters"]) == ([], 0), "of one tenant only"


async def test_health_with_failed_emails_is_not_ok_and_doctor_exits_with_1(
    tenant: Tenant, running: Deployment, mail: FakeMailServer
) -> None:
    mail.replies = {"DATA": "554 5.7.1 not from you"}
    await tenant.send(*(f"u{n}" for n in range(12)), channels=["EMAIL"])
    await wait_for_deliveries(tenant, "FAILED", 12)

    async def recounted() -> Json | None:
        found = await health(tenant)
        return found if found["failureRate"] == 1 else None

    found = await eventually(recounted)
    assert (found["ok"], found["deadLetters"]) == (False, 12)
    assert found["problems"][0] == "EMAIL through smtp fails: 12 of 12 calls in the last 15 minutes."
    assert found["problems"][1].startswith("12 deliveries are FAILED, 12 of them within a day")
    code, output = await doctor(tenant, "--url", running.urls[0].removesuffix("/graphql"))
    assert code == 1
    assert "All is well" not in output
    assert "wrong  12 deliveries are FAILED" in output


async def test_lost_address_is_no_problem(tenant: Tenant, mail: FakeMailServer) -> None:
    """Nobody can correct it with a replay."""
    mail.replies = {"RCPT": "550 5.1.1 no such mailbox"}
    await tenant.send("u1", channels=["EMAIL"])
    [failed] = await wait_for_deliveries(tenant, "FAILED")
    assert failed["reason"] == "ADDRESS_GONE"
    found = await health(tenant)
    assert (found["ok"], found["problems"], found["deadLetters"]) == (True, [], 1)


async def test_provider_with_an_open_breaker_is_named(tenant: Tenant, mail: FakeMailServer) -> None:
    mail.replies = {"MAIL": "451 4.3.2 later"}
    await tenant.send(*(f"u{n}" for n in range(12)), channels=["EMAIL"])

    async def context() -> Json | None:
        found = await health(tenant)
        return found if any(provider["open"] for provider in found["providers"]) else None

    found = await eventually(context)
    assert found["problems"][0].startswith("EMAIL through smtp is on hold since ")
    [smtp, webhook] = found["providers"]
    assert smtp["since"]
    assert not webhook["open"]
    assert await list_deliveries(tenant, channels=["EMAIL"])


async def test_health_without_redis_and_workers_reports_both(
    tenant: Tenant, running: Deployment, store: Database
) -> None:
    """A worker that stops normally disappears immediately. Unknown providers are left out."""
    fields = provider_settings(redis_url="redis://127.0.0.1:1")
    strange = {"$push": {"providers": {"channel": "FAX", "provider": "fax"}}}
    async with redis(fields) as client:
        reader = health_reader(store, client, fields, hub_now, utc_time.now, None)
        await eventually(lambda: store["workers"].find_one({}), 20)
        assert await running.workers[0].stop() == 0
        await store["workers"].update_one({}, {"$set": {"stopped": False}, **strange})
        found = await reader.read(tenant.name)
        assert [provider.provider for provider in found.providers] == ["smtp", "webhook"]
        assert found.problems == [problem for problem in found.problems if problem.startswith("Redis is unavailable")]
        assert found.redis_unavailable
        await store["workers"].update_one({}, {"$set": {"stopped": True}})
        assert (await reader.read(tenant.name)).problems[0].startswith("No worker runs")
    stages = UndeliveredCounts(store, hub_now, 60)._overdue_on("EMAIL/HIGH/acme")
    explain = {"aggregate": "deliveries", "pipeline": stages, "cursor": {}}
    plan = str(await store.command("explain", explain, verbosity="queryPlanner"))
    assert "'indexName': 'due'" in plan
    assert "COLLSCAN" not in plan


def test_lane_wait_time_is_the_sum_over_its_turns() -> None:
    """The first turn lasts `requeue_after_s`, later ones two and four times that."""
    assert [queued_for(times, 60).total_seconds() for times in (0, 1, 2, 3, 4)] == [0, 60, 180, 420, 660]
