"""Subscriptions to sends: the states that readers get, their end, and the queries that they share."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from websockets.exceptions import ConnectionClosed

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.utc_time import rfc3339
from tests.broadcasts import broadcast, create_users
from tests.channel_setup import UPSERT_USERS, deployment_with_channels
from tests.client import GraphQLErrors, Json, Subscription, Tenant, eventually
from tests.conftest import scaled
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment
from tests.provider_setup import SENDER

STATE = "id status recipients counts { channel status count }"
WATCH = f"subscription ($id: ID!) {{ send(id: $id) {{ {STATE} }} }}"
STATUS = "subscription ($id: ID!) { send(id: $id) { status } }"
PAGES = " ".join(f"page{number}: deliveries(first: 1) {{ nodes {{ status }} }}" for number in range(18))
WITH_DELIVERIES = f"subscription ($id: ID!) {{ send(id: $id) {{ status {PAGES} }} }}"
SEND = f"query ($id: ID!) {{ send(id: $id) {{ {STATE} }} }}"
LATER = rfc3339(datetime.now(UTC) + timedelta(days=30))
WAITING = {"ACCEPTED", "HELD", "PROCESSING", "RETRYING"}
USERS = [f"user-{number}" for number in range(scaled(60, 200))]
READERS = 20
DEADLINE_S = 3.0
SERVER_RESTART = 1012

log = logging.getLogger(__name__)


def counts_of(state: Json) -> Counter[tuple[str, str]]:
    return Counter({(row["channel"], row["status"]): row["count"] for row in state["counts"]})


def ended_emails(state: Json) -> int:
    counts = counts_of(state)
    return sum(count for (channel, status), count in counts.items() if channel == "EMAIL" and status not in WAITING)


async def states_of(tenant: Tenant, id: str, url: str, *, over_sse: bool = False, query: str = WATCH) -> list[Json]:
    """Return all states until the subscription completes."""
    if over_sse:
        return [payload["data"]["send"] async for payload in tenant.stream_events(None, query=query, url=url, id=id)]
    async with tenant.socket(url=url) as socket:
        return [state async for state in await socket.subscribe(query, variables={"id": id})]


@pytest.mark.parametrize("over_sse", [False, True])
async def test_subscription_to_an_ended_send_returns_its_state_and_completes(tenant: Tenant, over_sse: bool) -> None:
    id = (await tenant.send("alice", "bob", channels=["IN_APP", "SMS"]))["send"]["id"]
    [state] = await states_of(tenant, id, tenant.next_url(), over_sse=over_sse)
    assert (state["id"], state["status"], state["recipients"]) == (id, "ACCEPTED", 2)
    assert counts_of(state) == {("IN_APP", "DELIVERED"): 2, ("SMS", "SKIPPED"): 2}
    assert state == (await tenant.execute(SEND, id=id))["send"]


async def test_unknown_send_and_the_send_of_another_tenant_are_not_found(
    tenant: Tenant, deployment: Deployment
) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as other, tenant.socket() as socket:
        foreign = (await other.send("alice", sendAt=LATER))["send"]["id"]
        async with other.socket() as owner:  # its state is read for the owner at the same time
            assert (await (await owner.subscribe(WATCH, variables={"id": foreign})).take(1))[0]["status"] == "SCHEDULED"
            for id in (foreign, "no-such-send"):
                with pytest.raises(GraphQLErrors) as refused:
                    await (await socket.subscribe(WATCH, variables={"id": id})).take(1)
                assert refused.value.code == "NOT_FOUND"


async def test_subscription_requires_the_service_role(tenant: Tenant) -> None:
    id = (await tenant.send("alice"))["send"]["id"]
    async with tenant.socket("alice") as socket:
        with pytest.raises(GraphQLErrors) as refused:
            await (await socket.subscribe(WATCH, variables={"id": id})).take(1)
    assert refused.value.code == "FORBIDDEN"


@pytest.mark.parametrize("query", [WATCH, STATUS], ids=["counts", "status"])
async def test_scheduled_send_is_watched_until_it_is_cancelled(tenant: Tenant, query: str) -> None:
    id = (await tenant.send("alice", sendAt=LATER))["send"]["id"]
    async with tenant.socket() as socket:
        states = await socket.subscribe(query, variables={"id": id})
        assert [state["status"] for state in await states.take(1)] == ["SCHEDULED"]
        await tenant.execute("mutation ($id: ID!) { cancelSend(id: $id) { id } }", id=id)
        assert [state["status"] async for state in states] == ["CANCELLED"]


@pytest.mark.parametrize("fields", ["status recipients", "status recipients total"])
async def test_recipients_of_an_expansion_grow_until_its_end(tenant: Tenant, fields: str) -> None:
    await create_users(tenant, USERS)
    id = (await broadcast(tenant))["id"]
    query = f"subscription ($id: ID!) {{ send(id: $id) {{ {fields} }} }}"
    states = await states_of(tenant, id, tenant.next_url(), query=query)
    recipients = [state["recipients"] for state in states]
    assert recipients == sorted(recipients)
    assert (states[-1]["status"], recipients[-1]) == ("ACCEPTED", len(USERS))
    assert all(state["status"] == "EXPANDING" for state in states[:-1])
    assert all(state.get("total", len(USERS)) == len(USERS) for state in states)


async def test_subscription_of_a_recalled_send_ends_with_the_removal(tenant: Tenant) -> None:
    id = (await tenant.send("alice", "bob"))["send"]["id"]
    await tenant.execute("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=id)
    state = (await states_of(tenant, id, tenant.next_url()))[-1]
    assert (state["status"], counts_of(state)) == ("RECALLED", {("IN_APP", "CANCELLED"): 2})


async def test_readers_of_a_send_get_states_in_order_until_its_end(servers: tuple[Mongod, Redis]) -> None:
    """A worker is killed while it sends emails. Half of the readers begin at the start, the others after the kill."""
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, apis=2, workers=1) as (deployment, tenant, fakes):
        await fakes.add_addresses(tenant, *USERS, channels=["EMAIL"])
        fakes.mail.max_delay_s = 0.5
        id = (await tenant.send(*USERS, channels=["IN_APP", "EMAIL"]))["send"]["id"]

        def start_readers() -> list[asyncio.Task[list[Json]]]:
            return [
                asyncio.create_task(states_of(tenant, id, deployment.urls[number % 2], over_sse=number % 4 > 1))
                for number in range(READERS // 2)
            ]

        readers = start_readers()

        async def some_arrived() -> bool:
            return len(fakes.mail.emails) > len(USERS) // 4

        await eventually(some_arrived, 60)
        deployment.workers[0].kill()
        fakes.mail.max_delay_s = 0.0
        readers += start_readers()
        await deployment.workers[0].start()
        async with asyncio.timeout(120):
            sequences = await asyncio.gather(*readers)
        final = (await tenant.execute(SEND, id=id))["send"]
        assert counts_of(final) == {("IN_APP", "DELIVERED"): len(USERS), ("EMAIL", "SENT"): len(USERS)}
        for states in sequences:
            assert states[-1] == final
            ended = [ended_emails(state) for state in states]
            assert ended == sorted(ended)
            assert all(ended_emails(state) < len(USERS) for state in states[:-1])
            assert all(counts_of(state).total() == 2 * len(USERS) for state in states)
        log.info("states per reader: %s", sorted(map(len, sequences)))


@pytest.fixture
async def profiled(servers: tuple[Mongod, Redis]) -> AsyncIterator[tuple[Deployment, Tenant, Database]]:
    """A deployment without workers, so emails wait. Its database records each command."""
    mongod, redis = servers
    name = f"watched{uuid4().hex[:8]}"
    settings = {"mongo_database": name, "redis_prefix": f"{name}:", "tenant_max_send_watchers": str(READERS)}
    settings |= {"smtp_url": "smtp://127.0.0.1:1", "smtp_from": SENDER, "commit_deadline_s": str(DEADLINE_S)}
    async with AsyncMongoClient(mongod.url, tz_aware=True) as client:
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=0, **settings) as deployment,
            Tenant("acme", deployment.urls) as tenant,
        ):
            yield deployment, tenant, client[name]
            assert not find_log_faults(deployment.apis)


async def send_emails(tenant: Tenant, *users: str) -> str:
    """Send an email to users with an address. Return the id of the send."""
    await tenant.execute(UPSERT_USERS, users=[{"id": user, "email": f"{user}@people.example"} for user in users])
    id: str = (await tenant.send(*users, channels=["IN_APP", "EMAIL"]))["send"]["id"]
    return id


async def count_reads(tenant: Tenant, database: Database, readers: int) -> int:
    """Return how many commands read the collections of sends, while that many readers follow a send. Its recipients
    mark it as read, one after another, which ends their emails."""
    id = await send_emails(tenant, *USERS[:5])
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(tenant.socket()) for _ in range(readers)]
        await database.create_collection("system.profile", capped=True, size=64 << 20)
        await database.command("profile", 2)
        subscriptions = await asyncio.gather(*(socket.subscribe(WATCH, variables={"id": id}) for socket in sockets))
        await asyncio.gather(*(subscription.take(1) for subscription in subscriptions))
        if readers == READERS:
            async with tenant.socket() as socket:
                with pytest.raises(GraphQLErrors) as refused:
                    await (await socket.subscribe(WATCH, variables={"id": id})).take(1)
                assert refused.value.code == "RATE_LIMITED"
                assert "HUB_TENANT_MAX_SEND_WATCHERS" in refused.value.errors[0]["message"]
        for number, user in enumerate(USERS[:5], 1):
            await tenant.mark_all(user, "markAllRead")
            await asyncio.gather(*(follow(subscription, number) for subscription in subscriptions))
        for subscription in subscriptions:
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)
        await database.command("profile", 0)
    reads = {"ns": {"$in": [f"{database.name}.{name}" for name in ("sends", "notifications", "deliveries")]}}
    count = await database["system.profile"].count_documents(
        reads | {"$or": [{"command.find": {"$exists": True}}, {"command.aggregate": {"$exists": True}}]}
    )
    await database.drop_collection("system.profile")
    return count


async def follow(subscription: Subscription, read: int) -> None:
    """Return when the state has that many reads and skipped emails."""
    expected = {("IN_APP", "READ"): read, ("EMAIL", "SKIPPED"): read}
    async with asyncio.timeout(60):
        while not expected.items() <= counts_of(await anext(subscription)).items():
            pass


async def test_readers_of_a_send_share_its_queries(profiled: tuple[Deployment, Tenant, Database]) -> None:
    _, tenant, database = profiled
    alone = await count_reads(tenant, database, 1)
    together = await count_reads(tenant, database, READERS)
    log.info("commands that read: %d with one reader, %d with %d readers", alone, together, READERS)
    assert together < 4 * alone


async def test_each_event_has_the_full_time_for_its_reads(profiled: tuple[Deployment, Tenant, Database]) -> None:
    _, tenant, _ = profiled
    id = await send_emails(tenant, "alice")
    async with tenant.socket() as socket:
        states = await socket.subscribe(WITH_DELIVERIES, variables={"id": id})
        assert (await states.take(1))[0]["page0"]["nodes"] == [{"status": "ACCEPTED"}]
        await asyncio.sleep(DEADLINE_S)
        await tenant.mark_all("alice", "markAllRead")
        assert [state["page0"]["nodes"] async for state in states][-1] == [{"status": "SKIPPED"}]


async def test_shutdown_ends_the_subscriptions_to_sends(profiled: tuple[Deployment, Tenant, Database]) -> None:
    deployment, tenant, _ = profiled
    id = await send_emails(tenant, "alice")
    async with tenant.socket() as socket:
        states = await socket.subscribe(WITH_DELIVERIES, variables={"id": id})
        assert [state["status"] for state in await states.take(1)] == ["ACCEPTED"]
        stream = tenant.stream_events(None, query=WATCH, id=id)
        assert (await anext(stream))["data"]["send"]["status"] == "ACCEPTED"
        assert await deployment.apis[0].stop() == 0
        with pytest.raises(AssertionError):  # the stream ended without `complete`
            await anext(stream)
        with pytest.raises(ConnectionClosed) as closed:
            await anext(states)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == SERVER_RESTART
