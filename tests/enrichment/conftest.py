"""A deployment that enriches sends, shared by the tests of this folder."""

from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Json
from tests.enrichment_setup import Enriched, enriching
from tests.processes import Deployment
from tests.webhook_receiver import WebhookReceiver


@pytest.fixture(scope="package")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    async with enriching(servers) as deployment:
        yield deployment


@pytest.fixture
async def store(servers: tuple[Mongod, Redis], running: Deployment) -> AsyncIterator[Database]:
    """The database of that deployment."""
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        yield client[running.apis[0].environment["HUB_MONGO_DATABASE"]]


@pytest.fixture
async def shop(running: Deployment, receiver: WebhookReceiver) -> AsyncIterator[Enriched]:
    async with Enriched(running, receiver) as tenant:
        yield tenant
