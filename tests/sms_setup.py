"""Providers of SMS and WhatsApp, each with its fake server."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from hub.send.channels import sms, whatsapp
from hub.send.message import Provider
from hub.settings import Settings
from tests.channel_setup import SHORT_TIMES
from tests.client import Tenant
from tests.fake_providers import FakeAmazon, FastFakeAmazon
from tests.fake_twilio import ACCOUNT, TOKEN, FakeTwilio, error
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment
from tests.provider_setup import (
    PRIVATE_VALUES,
    FakeServers,
    ProviderCase,
    http_fault_setter,
    new_message,
    provider_settings,
)

TWILIO_NUMBER, MESSAGING_SERVICE = "+15550001111", f"MG{'2' * 32}"


async def open_twilio(fakes: FakeServers) -> FakeTwilio:
    server: FakeTwilio = await fakes.stack.enter_async_context(FakeTwilio((TWILIO_NUMBER, MESSAGING_SERVICE)))
    return server


def twilio_settings(server: FakeTwilio, **fields: Any) -> Settings:
    account = {"twilio_url": server.url, "twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN}
    return provider_settings(**account, **fields)


def twilio_case(server: FakeTwilio, provider: Provider) -> ProviderCase:
    refused = f"The 'To' number {PRIVATE_VALUES['phone']} is refused"
    faults = {
        "slow_down": error(429, 20429, "Too Many Requests", **{"Retry-After": "2"}),
        "down": error(503, 20503),
        "permanent": error(400, 21612, refused),
        "gone": error(400, 21211, refused),
    }
    set_fault = http_fault_setter(server, faults)
    return ProviderCase(provider, server, new_message, set_fault, lambda: server.calls, lambda: len(server.messages))


async def twilio_sms_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    server = await open_twilio(fakes)
    fields = twilio_settings(server, sms_from=TWILIO_NUMBER, provider_timeout_s=timeout_s)
    [provider] = await sms.create_providers(fakes.resources(fields))
    return twilio_case(server, provider)


async def twilio_whatsapp_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    server = await open_twilio(fakes)
    fields = twilio_settings(server, whatsapp_from=TWILIO_NUMBER, provider_timeout_s=timeout_s)
    [provider] = await whatsapp.create_providers(fakes.resources(fields))
    return twilio_case(server, provider)


async def sns_sms_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    amazon = await fakes.amazon()
    fields = provider_settings(sns_sms_from="Acme", provider_timeout_s=timeout_s)
    [provider] = await sms.create_providers(fakes.resources(fields))
    not_a_number = f"Invalid parameter: PhoneNumber Reason: {PRIVATE_VALUES['phone']} is not valid to publish to"
    faults = {
        "slow_down": FakeAmazon.xml_error(429, "Throttling", **{"Retry-After": "2"}),
        "down": FakeAmazon.xml_error(500, "InternalError"),
        "permanent": FakeAmazon.xml_error(400, "InvalidParameter", f"Message to {PRIVATE_VALUES['phone']}"),
        "gone": FakeAmazon.xml_error(400, "InvalidParameter", not_a_number),
    }
    set_fault = http_fault_setter(amazon, faults)
    return ProviderCase(provider, amazon, new_message, set_fault, lambda: amazon.calls, lambda: len(amazon.requests))


TEXT_MESSAGE_CASES = {
    "twilio_sms": twilio_sms_case,
    "sns_sms": sns_sms_case,
    "twilio_whatsapp": twilio_whatsapp_case,
}


@asynccontextmanager
async def sms_deployment(
    mongo_url: str, redis_url: str, **settings: str
) -> AsyncIterator[tuple[Deployment, Tenant, FakeTwilio, FastFakeAmazon]]:
    """Open a deployment with its own database that sends SMS through Twilio and SNS, and WhatsApp messages. At the end,
    no process may have logged an error."""
    name = f"sms{uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        twilio: FakeTwilio = await stack.enter_async_context(FakeTwilio((TWILIO_NUMBER,)))
        amazon: FastFakeAmazon = await stack.enter_async_context(FastFakeAmazon())
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_ENDPOINT_URL", amazon.url)
        environment.setenv("AWS_REGION", "eu-west-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        options = {
            **SHORT_TIMES,
            "mongo_database": name,
            "redis_prefix": f"{name}:",
            "twilio_url": twilio.url,
            "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": TOKEN,
            "sms_from": TWILIO_NUMBER,
            "whatsapp_from": TWILIO_NUMBER,
            "sns_sms_from": "Acme",
            "public_url": "https://hub.example.org",
            "sms_limit_per_user": "0",
            **settings,
        }
        deployment = await stack.enter_async_context(Deployment(mongo_url, redis_url, apis=1, workers=1, **options))
        async with Tenant("acme", deployment.urls) as tenant:
            yield deployment, tenant, twilio, amazon
        assert not find_log_faults([*deployment.apis, *deployment.workers])
