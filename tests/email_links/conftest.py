"""A deployment that sends emails through Amazon SES, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import aioboto3
import pytest
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import QUICK
from tests.client import Tenant
from tests.email_links.emails import ARN, PER_LINK, PUBLIC, Person, Post
from tests.fake_providers import Amazon
from tests.fake_sns import Topic
from tests.processes import Deployment
from tests.worlds import SENDER


@pytest.fixture(scope="package")
async def post(moto_url: str) -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        amazon = await stack.enter_async_context(Amazon(moto_url))
        topic = await stack.enter_async_context(Topic(ARN))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_ENDPOINT_URL", amazon.url)
        environment.setenv("AWS_ENDPOINT_URL_SNS", topic.url)
        environment.setenv("AWS_REGION", "eu-west-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        client = await stack.enter_async_context(aioboto3.Session().client("sesv2", region_name="eu-west-1"))
        await client.create_email_identity(EmailIdentity="no-reply@acme.example")
        yield Post(amazon, topic)


@pytest.fixture(scope="package")
async def mailing(servers: tuple[Mongod, Redis], post: Post) -> AsyncIterator[Deployment]:  # noqa: ARG001 - it says where Amazon is
    """Two API processes and a worker that mails through SES."""
    mongod, redis = servers
    settings = {
        **QUICK,
        "mongo_database": "links",
        "redis_prefix": "links:",
        "public_url": f"{PUBLIC}/",
        "app_url": "https://app.example/",
        "ses_from": SENDER,
        "sns_topics": f"{ARN} {ARN}-2",
        "allowed_origins": "https://app.example",
        "rate_limit_per_link": str(PER_LINK),
    }
    async with Deployment(mongod.url, redis.url, apis=2, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(mailing: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", mailing.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis], mailing: Deployment) -> AsyncIterator[Database]:  # noqa: ARG001 - it makes the indexes
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["links"]


@pytest.fixture
async def alice(tenant: Tenant, post: Post) -> Person:
    return await Person(tenant, post).arrive()
