"""Workers with special settings: rate limits, retry schedules, crashes and metrics."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from redis.asyncio import Redis as RedisClient

from hub.outbox.lanes import Lanes
from hub.platform.embedded_servers import Mongod, Redis
from hub.send.poison_isolation import IsolationLock
from hub.send.worker import Dispatcher
from hub.send.worker_resources import DispatchPolicy, WorkerResources
from tests.channel_setup import SHORT_TIMES, connect_webhook, wait_for_deliveries
from tests.cli_commands import run_command
from tests.client import Json, Tenant, eventually
from tests.clocks import hub_now
from tests.processes import SECRET, Deployment, Process
from tests.telemetry import metric_value, scrape_metrics
from tests.webhook_receiver import WebhookReceiver


async def test_delivery_over_the_rate_limit_is_held_and_costs_no_attempt(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver
) -> None:
    mongod, redis = servers
    limits = {"delivery_limit_per_user": "2", "delivery_limit_window_s": "2"}
    apart = {"mongo_database": "paced", "redis_prefix": "paced:"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **SHORT_TIMES, **limits, **apart) as running:
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
            await connect_webhook(tenant, receiver, "alice", "bob")
            for n in range(6):
                await tenant.send("alice", title=str(n), channels=["WEBHOOK"])
            await tenant.send("bob", channels=["WEBHOOK"])
            [held, *_] = await wait_for_deliveries(tenant, "HELD")
            assert (held["reason"], held["attempts"]) == ("RATE_LIMITED", [])
            assert held["dueAt"]
            delivered = await wait_for_deliveries(tenant, "DELIVERED", 7)
            assert all(len(delivery["attempts"]) == 1 for delivery in delivered)
            times = sorted(at for delivery in delivered for at in receiver.received_at[delivery["id"]])
    assert times[-1] - times[0] >= 2, "not all in one window"


async def test_webhook_endpoints_can_have_their_own_retry_schedule(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver
) -> None:
    mongod, redis = servers
    own = {
        "retry_schedule_by_channel": '{"WEBHOOK_ENDPOINT": [0.1]}',
        "delivery_concurrency_by_channel": '{"WEBHOOK_ENDPOINT": 7, "EMAIL": 3}',
    }
    apart = {"mongo_database": "endpoints", "redis_prefix": "endpoints:"}
    create = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **SHORT_TIMES, **own, **apart) as running:
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
            created = await tenant.execute_as_admin(create, input={"url": f"{receiver.url}/events"})
            receiver.secrets["/events"] = created["createWebhook"]["secret"]
            receiver.responses["/events"] = lambda *_: web.Response(status=500)
            await tenant.send("alice")
            query = "{ webhooks { calls(statuses: [FAILED]) { nodes { attempts { error } } } } }"

            async def failed() -> list[Json]:
                [endpoint] = (await tenant.execute_as_admin(query))["webhooks"]
                nodes: list[Json] = endpoint["calls"]["nodes"]
                return nodes

            [call] = await eventually(failed)
            assert len(call["attempts"]) == 2


async def test_worker_with_a_crashed_component_exits_and_logs_it(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    prefix = f"broken{uuid4().hex[:8]}:"
    worker = Process("work", mongod.url, redis.url, **SHORT_TIMES, mongo_database="broken", redis_prefix=prefix)
    try:
        await worker.start()
        async with RedisClient.from_url(redis.url) as client:
            invalid: Any = b"\xff"
            await Lanes(client, prefix, 10).put([("WEBHOOK/HIGH/acme", invalid)])

        async def removed() -> bool:
            return not worker.running

        await eventually(removed)
        assert await worker.stop() != 0
        received = [json.loads(line) for line in worker.log.splitlines() if '"event": "component_crashed"' in line]
        assert received, worker.log
        for event in received:
            assert (event["level"], event["part"]) == ("critical", "Dispatcher.run")
    finally:
        worker.kill()


async def test_dispatcher_with_failing_settlement_stops(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = None
    policy = DispatchPolicy(concurrency=1, lease_s=1, schedule=(), retry_after_max_s=1, lease_max_expirations=5)
    async with RedisClient.from_url(servers[1].url) as client:
        lanes = Lanes(client, f"lanes{uuid4().hex}:", 10)
        resources = WorkerResources(lanes, nothing, nothing, nothing, IsolationLock(), nothing, hub_now)
        dispatcher: Any = Dispatcher("EMAIL", nothing, nothing, resources, policy)
        monkeypatch.setattr(dispatcher._settler, "_settle_next", lambda: 1 / 0)
        dispatcher._settler._results.append(nothing)
        async with asyncio.timeout(60):
            with pytest.raises(ZeroDivisionError):
                await dispatcher.run()


async def test_metrics_and_doctor_report_waiting_deliveries_and_open_breakers(
    servers: tuple[Mongod, Redis], receiver: WebhookReceiver
) -> None:
    mongod, redis = servers
    settings = {"mongo_database": "waiting", "redis_prefix": "waiting:"}
    own = {"work_port": "0", "delivery_concurrency": "1", "provider_timeout_s": "2", "circuit_breaker_open_s": "60"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **{**SHORT_TIMES, **settings, **own}) as running:
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
            await connect_webhook(tenant, receiver, "alice")
            receiver.responses["/alice"] = lambda *_: (
                5.0
            )  # so the breaker opens after 20 s, and due deliveries are counted before
            for _ in range(30):
                await tenant.send("alice", channels=["WEBHOOK"], priority="HIGH")
            url = f"http://127.0.0.1:{running.workers[0].port}/metrics"
            lane = {"channel": "WEBHOOK", "priority": "HIGH"}

            async def waiting() -> bool:
                found = await scrape_metrics(url)
                return (
                    metric_value(found, "hub_lane_waiting", **lane) > 0
                    and metric_value(found, "hub_due_oldest_seconds", **lane) > 0
                )

            await eventually(waiting, 60)

            async def context() -> bool:
                return metric_value(await scrape_metrics(url), "hub_breakers_open", provider="webhook") == 1

            await eventually(context, 60)
            received = run_command(
                "doctor", mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET, **settings
            ).stdout
            assert f"webhook/{tenant.name}/" in received
            assert "(open circuit breaker)" in received
