"""A deployment that sends SMS and WhatsApp messages through Twilio, shared by the tests of this folder."""

import itertools
import random
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiohttp import web
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import SHORT_TIMES
from tests.client import Tenant
from tests.fake_providers import FakeHTTPServer
from tests.fake_twilio import ACCOUNT, TOKEN, FakeTwilio
from tests.processes import Deployment
from tests.text_messages.twilio_requests import PUBLIC_URL, SENDER


@pytest.fixture(scope="package")
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio((SENDER,)) as fake:
        yield fake


class FakeSns(FakeHTTPServer):
    """Accepts all messages."""

    async def respond(self, request: web.Request, body: bytes) -> web.Response:  # noqa: ARG002 - an interface
        answer = f"<PublishResponse><PublishResult><MessageId>{uuid4()}</MessageId></PublishResult></PublishResponse>"
        return web.Response(text=answer, content_type="text/xml")


@pytest.fixture(scope="package")
async def amazon() -> AsyncIterator[FakeSns]:
    """The fallback of Twilio."""
    environment = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}
    async with FakeSns() as fake:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**environment, "AWS_ENDPOINT_URL": fake.url}.items():
                patch.setenv(name, value)
            yield fake


@pytest.fixture(scope="package")
async def deployment(servers: tuple[Mongod, Redis], twilio: FakeTwilio, amazon: FakeSns) -> AsyncIterator[Deployment]:  # noqa: ARG001 - it sets the address of Amazon
    """Two API processes and two workers that send SMS and WhatsApp messages."""
    mongod, redis = servers
    settings = {
        **SHORT_TIMES,
        "mode": "development",
        "mongo_database": "texts",
        "redis_prefix": "texts:",
        "public_url": PUBLIC_URL,
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": TOKEN,
        "twilio_url": twilio.url,
        "sms_from": SENDER,
        "whatsapp_from": SENDER,
        "sns_sms_from": "ACME",
    }
    async with Deployment(mongod.url, redis.url, apis=2, workers=2, **settings) as running:
        yield running


@pytest.fixture
async def tenant(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:8]}", deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis], deployment: Deployment) -> AsyncIterator[Database]:  # noqa: ARG001 - it creates the indexes
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["texts"]


numbers = itertools.count(random.randrange(100_000))


@pytest.fixture
def number() -> str:
    return f"+4915112{next(numbers):06}"
