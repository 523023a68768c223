"""The scaling rule, evaluated on the metrics of a hub whose queue fills and becomes empty again.

With HUB_TEST_SCALE=full, 20,000 deliveries are due."""

import asyncio
import logging
from pathlib import Path

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import UPSERT_USERS, deployment_with_channels
from tests.client import Tenant, eventually
from tests.conftest import scaled
from tests.infra.prometheus_server import PrometheusServer
from tests.infra.test_rules import RULES_FILE
from tests.processes import Process

USERS = 1000
SENDS = scaled(3, 20)
WORKERS_MAX = 4  # that are started
WITHIN_S = scaled(300, 1500)
CONCURRENCY = 4

log = logging.getLogger(__name__)


async def fill_queue(tenant: Tenant) -> None:
    """Send SENDS emails to each of USERS users."""
    users = [f"user{number}" for number in range(USERS)]
    await tenant.define_category("news", "EMAIL")
    await tenant.execute(UPSERT_USERS, users=[{"id": user, "email": f"{user}@people.example"} for user in users])
    for _ in range(SENDS):
        await tenant.send(*users)


async def wanted(prometheus: PrometheusServer, condition: str) -> int:
    """Return the number of workers that the rule wants, once it meets the condition, such as `>= 6`."""
    samples = await eventually(lambda: prometheus.query(f"hub:workers_wanted {condition}"), WITHIN_S)
    return int(samples[0]["value"][1])


@pytest.mark.timeout(4 * WITHIN_S)  # on a busy machine, each of four waits can take minutes
async def test_rule_wants_workers_for_what_waits_and_fewer_when_it_is_sent(
    servers: tuple[Mongod, Redis], tmp_path: Path
) -> None:
    mongod, redis = servers
    slow = str(CONCURRENCY)
    setup = deployment_with_channels(
        mongod.url, redis.url, workers=1, work_port="0", delivery_concurrency=slow, smtp_max_connections=slow
    )
    async with setup as (deployment, tenant, fakes):
        fakes.set_delay(1)  # one worker would need more than five minutes
        target = f"127.0.0.1:{deployment.workers[0].port}"
        async with PrometheusServer(tmp_path, {"hub-work": [target]}, RULES_FILE) as prometheus:
            assert await wanted(prometheus, "== 2") == 2
            await fill_queue(tenant)
            number = await wanted(prometheus, f">= {SENDS}")
            environment = deployment.workers[0].environment
            for _ in range(min(number, WORKERS_MAX) - len(deployment.workers)):
                more = Process("work", mongod.url, redis.url)
                more.environment = {**environment, "HUB_WORK_PORT": "0"}
                deployment.workers.append(more)
            await asyncio.gather(*(worker.start() for worker in deployment.workers[1:]))
            fakes.set_delay(0)
            log.info("%d workers are wanted for %d deliveries; %d run", number, SENDS * USERS, len(deployment.workers))
            assert await wanted(prometheus, "== 2") == 2
            await eventually(lambda: prometheus.query("hub:waiting == 0"), WITHIN_S)
