"""An API process and two workers with fake channels, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import deployment_with_channels
from tests.client import Tenant
from tests.pause.sends import Running

CONCURRENCY = "5"  # calls of a worker, so most deliveries of a send wait


@pytest.fixture(scope="package")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    mongod, redis = servers
    name = f"pause{uuid4().hex[:8]}"
    async with (
        deployment_with_channels(
            mongod.url, redis.url, workers=2, mongo_database=name, delivery_concurrency=CONCURRENCY
        ) as (deployment, _, fakes),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        yield Running(deployment, fakes, client[name])


@pytest.fixture
async def acme(running: Running) -> AsyncIterator[Tenant]:
    """A new tenant. Its providers respond immediately."""
    running.fakes.set_delay(0)
    async with Tenant(f"t{uuid4().hex[:12]}", running.deployment.urls) as fresh:
        yield fresh
    running.fakes.mail.clear_fault()
