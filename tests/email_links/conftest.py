"""A deployment that sends emails through Amazon SES, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import aioboto3
import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import SHORT_TIMES
from tests.client import Tenant
from tests.email_links.emails import MAX_REQUESTS_PER_LINK, PUBLIC_URL, TOPIC_ARN, EmailRecipient, FakeSes
from tests.fake_providers import FakeAmazon
from tests.fake_sns import FakeSnsTopic
from tests.processes import Deployment
from tests.provider_setup import SENDER


@pytest.fixture(scope="package")
async def ses(moto_url: str) -> AsyncIterator[FakeSes]:
    async with AsyncExitStack() as stack:
        amazon = await stack.enter_async_context(FakeAmazon(moto_url))
        topic = await stack.enter_async_context(FakeSnsTopic(TOPIC_ARN))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_ENDPOINT_URL", amazon.url)
        environment.setenv("AWS_ENDPOINT_URL_SNS", topic.url)
        environment.setenv("AWS_REGION", "eu-west-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        client = await stack.enter_async_context(aioboto3.Session().client("sesv2", region_name="eu-west-1"))
        await client.create_email_identity(EmailIdentity="no-reply@acme.example")
        yield FakeSes(amazon, topic)


@pytest.fixture(scope="package")
async def email_deployment(servers: tuple[Mongod, Redis], ses: FakeSes) -> AsyncIterator[Deployment]:  # noqa: ARG001 - it sets the address of Amazon
    """Two API processes and a worker that sends emails through SES."""
    mongod, redis = servers
    settings = {
        **SHORT_TIMES,
        "mongo_database": "links",
        "redis_prefix": "links:",
        "public_url": f"{PUBLIC_URL}/",
        "app_url": "https://app.example/",
        "ses_from": SENDER,
        "sns_topics": f"{TOPIC_ARN} {TOPIC_ARN}-2",
        "allowed_origins": "https://app.example",
        "rate_limit_per_link": str(MAX_REQUESTS_PER_LINK),
    }
    async with Deployment(mongod.url, redis.url, apis=2, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(email_deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", email_deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis], email_deployment: Deployment) -> AsyncIterator[Database]:  # noqa: ARG001 - it creates the indexes
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["links"]


@pytest.fixture
async def alice(tenant: Tenant, ses: FakeSes) -> EmailRecipient:
    return await EmailRecipient(tenant, ses).create()
