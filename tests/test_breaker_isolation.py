"""Unrelated users share a host: a failing URL does not block other URLs of the host."""

import socket

from aiohttp import web
from redis.asyncio import Redis as RedisClient

from hub.platform.circuit_breaker import KEY_TTL_S, Breakers, breaker_names
from hub.platform.embedded_servers import Mongod, Redis
from hub.send.outcome import Dead, Delivered, Gone, Retry, breaker_results
from tests.channel_setup import CONNECT_WEBHOOK, SHORT_TIMES, list_all_deliveries
from tests.client import Tenant, eventually
from tests.processes import Deployment
from tests.webhook_receiver import WebhookReceiver

ENDPOINT = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret endpoint { id } } }"
CALLS = "{ webhooks { calls(first: 100) { nodes { status attempts { ok } } } } }"
BREAKER_SETTINGS = {
    "mongo_database": "breakers",
    "redis_prefix": "breakers:",
    "circuit_breaker_open_s": "600",
    "retry_schedule": "600s",
}


async def connect(tenant: Tenant, receiver: WebhookReceiver, user: str) -> None:
    created = (await tenant.execute(CONNECT_WEBHOOK, user=user, to=f"{receiver.url}/{user}"))["connectWebhook"]
    receiver.secrets[f"/{user}"] = created["secret"]


async def test_failing_url_does_not_block_other_urls_of_its_host(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver
) -> None:
    """Failures of one user's webhook (4xx, 5xx, timeouts) concern only that URL. Another user's webhook and the
    tenant's
    endpoint on the same host are still called."""
    mongod, redis = servers
    own = {**SHORT_TIMES, **BREAKER_SETTINGS, "provider_timeout_s": "0.3", "lease_margin_s": "2"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **own) as running:
        async with Tenant("breakers", running.urls) as tenant:
            for user in ("dead", "broken", "silent", "good"):
                await connect(tenant, receiver, user)
            receiver.responses["/dead"] = lambda *_: web.Response(status=404)
            receiver.responses["/broken"] = lambda *_: web.Response(status=503)
            receiver.responses["/silent"] = lambda *_: 3.0
            for _ in range(14):
                await tenant.send("dead", "broken", "silent", channels=["WEBHOOK"])

            async def held() -> bool:
                found = await list_all_deliveries(tenant, statuses=["HELD", "RETRYING"])
                return len(found) == 42

            await eventually(held)
            await tenant.send("dead", "broken", "silent", "good", channels=["WEBHOOK"])

            async def left_alone() -> bool:
                found = await list_all_deliveries(tenant, statuses=["HELD"])
                return len({d["userId"] for d in found if d["reason"] == "PROVIDER_DOWN"}) == 3

            await eventually(left_alone)
            created = (await tenant.execute_as_admin(ENDPOINT, input={"url": f"{receiver.url}/tenant"}))[
                "createWebhook"
            ]
            receiver.secrets["/tenant"] = created["secret"]
            for _ in range(3):
                await tenant.send("good", channels=["IN_APP", "WEBHOOK"])

            async def arrived() -> bool:
                return len(receiver.bodies["/good"]) == 4 and len(receiver.bodies["/tenant"]) >= 3

            await eventually(arrived)
            assert not [d for d in await list_all_deliveries(tenant, statuses=["HELD"]) if d["userId"] == "good"]


async def test_unreachable_host_blocks_all_its_urls(servers: tuple[Mongod, Redis], receiver: WebhookReceiver) -> None:
    """A refused connection proves that the host is down, so also URLs that were never called wait."""
    mongod, redis = servers
    own = {**SHORT_TIMES, **BREAKER_SETTINGS, "mongo_database": "breakers2", "redis_prefix": "breakers2:"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with Deployment(mongod.url, redis.url, apis=1, workers=1, **own) as running:
            async with Tenant("breakers2", running.urls) as tenant:
                for user in ("alice", "bob"):
                    await tenant.execute(CONNECT_WEBHOOK, user=user, to=f"{closed}/{user}")
                await connect(tenant, receiver, "good")
                for _ in range(12):
                    await tenant.send("alice", channels=["WEBHOOK"])

                async def tried() -> bool:
                    return len(await list_all_deliveries(tenant, statuses=["HELD", "RETRYING"])) == 12

                await eventually(tried)
                await tenant.send("bob", "good", channels=["WEBHOOK"])

                async def held() -> bool:
                    found = await list_all_deliveries(tenant, statuses=["HELD"])
                    return "bob" in {d["userId"] for d in found if d["reason"] == "PROVIDER_DOWN"}

                await eventually(held)
                await eventually(lambda: _received_ids(receiver, "/good"), 20)


async def _received_ids(receiver: WebhookReceiver, path: str) -> bool:
    return bool(receiver.bodies[path])


def test_outcome_counts_for_the_host_only_if_the_host_is_unreachable() -> None:
    """A configured provider has one breaker, which counts all failures except those about one recipient."""
    both, one = ("host", "address"), ("smtp",)
    for fine in (Delivered(), Dead("HTTP 405"), Gone("HTTP 410")):
        assert breaker_results(both, fine) == [("host", True), ("address", True)]
    assert breaker_results(both, Retry("HTTP 503")) == [("host", True), ("address", False)]
    assert breaker_results(both, Retry("Connection refused", shared=True)) == [("host", False), ("address", False)]
    assert breaker_results(one, Retry("421 closing")) == [("smtp", False)]
    assert breaker_results(one, Retry("450 greylisted", shared=False)) == [("smtp", True)]


async def test_url_breakers_store_nothing_on_success_and_expire(servers: tuple[Mongod, Redis]) -> None:
    """Redis has keys only of URLs that failed recently, however many URLs users register."""
    async with RedisClient.from_url(servers[1].url) as client:
        breakers = Breakers(client, "sparse:", 30)
        called = [name for n in range(100) for name in breaker_names("webhook", "a", f"https://h{n}.example/", str(n))]
        await breakers.record({name: [True] * 3 for name in called})
        assert [key async for key in client.scan_iter("sparse:*")] == []
        await breakers.record({called[0]: [False], called[1]: [False] * 10})
        keys = [key async for key in client.scan_iter("sparse:*")]
        assert len(keys) == 3, "also the names of the open breakers"
        assert all([0 < await client.ttl(key) <= KEY_TTL_S for key in keys])
        assert set(await breakers.list_open()) == {called[1]}
        await client.unlink(*keys)


async def test_unused_probe_is_granted_again(servers: tuple[Mongod, Redis]) -> None:
    """A call has two breakers: the probe of one is returned if the other rejects the call."""
    async with RedisClient.from_url(servers[1].url) as client:
        breakers = Breakers(client, "probes:", 0.05)
        await breakers.record({"host": [False] * 10})

        async def granted() -> bool:
            return (await breakers.check(["host"]))["host"] == 0

        await eventually(granted)
        assert (await breakers.check(["host"]))["host"] > 0
        await breakers.release_probes(["host"])
        assert (await breakers.check(["host"]))["host"] == 0
