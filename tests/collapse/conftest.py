"""Two API processes and a worker with short times, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant
from tests.collapse.inboxes import DATABASE, SETTINGS
from tests.processes import Deployment


@pytest.fixture(scope="package")
async def deployment(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=2, workers=1, **SETTINGS) as running:
        yield running


@pytest.fixture
async def tenant(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client[DATABASE]
