"""Two API processes and a worker with fake channels, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import SHORT_TIMES, FakeChannels
from tests.client import Tenant
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment


@pytest.fixture(scope="package")
async def channels() -> AsyncIterator[FakeChannels]:
    async with FakeChannels() as fakes:
        yield fakes


@pytest.fixture(scope="package")
async def quiet_deployment(
    servers: tuple[Mongod, Redis], channels: FakeChannels
) -> AsyncIterator[tuple[Deployment, str]]:
    """The processes, and the name of their database."""
    mongod, redis = servers
    name = f"quiet{uuid4().hex[:8]}"
    options = {**SHORT_TIMES, **channels.settings, "mongo_database": name, "redis_prefix": f"{name}:"}
    async with Deployment(mongod.url, redis.url, apis=2, workers=1, **options) as running:
        yield running, name
        assert not find_log_faults([*running.apis, *running.workers])


@pytest.fixture
async def acme(quiet_deployment: tuple[Deployment, str]) -> AsyncIterator[Tenant]:
    """A new tenant."""
    async with Tenant(f"t{uuid4().hex[:12]}", quiet_deployment[0].urls) as fresh:
        yield fresh


@pytest.fixture
async def alice(acme: Tenant, channels: FakeChannels) -> str:
    """A user with a browser and an email address."""
    await channels.add_addresses(acme, "alice", channels=["WEB_PUSH", "EMAIL"])
    return "alice"


@pytest.fixture
async def database(servers: tuple[Mongod, Redis], quiet_deployment: tuple[Deployment, str]) -> AsyncIterator[Database]:
    """The database of the deployment."""
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client[quiet_deployment[1]]
