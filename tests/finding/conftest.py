"""An API process and a worker with fake channels, shared by the tests of this folder. A failed call is not retried."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import FakeChannels, deployment_with_channels
from tests.client import Tenant
from tests.processes import Deployment


class Running(NamedTuple):
    deployment: Deployment
    fakes: FakeChannels
    database: Database


@pytest.fixture(scope="package")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    mongod, redis = servers
    name = f"finding{uuid4().hex[:8]}"
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1, mongo_database=name, retry_schedule="0s") as (
            deployment,
            _,
            fakes,
        ),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        yield Running(deployment, fakes, client[name])


@pytest.fixture
async def acme(running: Running) -> AsyncIterator[Tenant]:
    """A new tenant, whose providers accept every message."""
    async with Tenant(f"t{uuid4().hex[:12]}", running.deployment.urls) as fresh:
        yield fresh
    running.fakes.mail.clear_fault()
