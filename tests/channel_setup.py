"""A fake server for every channel, users who are reachable on each of them, and the deliveries that arrived."""

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.client import Json, Tenant, eventually
from tests.fake_providers import FakeMailServer, FakePushService, FastFakeAmazon
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment
from tests.provider_setup import SENDER, VAPID_KEY, VAPID_TEXT
from tests.webhook_receiver import WebhookReceiver

CHANNELS = ("EMAIL", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK")
WORKER_DIED = "its worker died"

CONNECT_WEBHOOK = "mutation ($to: String!) { connectWebhook(url: $to) { secret device { id } } }"
REGISTER_WEB_PUSH = "mutation ($input: WebPushInput!) { registerWebPush(input: $input) { id } }"
REGISTER_MOBILE_DEVICE = "mutation ($input: MobileDeviceInput!) { registerMobileDevice(input: $input) { id } }"
UPSERT_USERS = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
DELIVERY = (
    "id notificationId sendId userId channel deviceId status reason dueAt providerId createdAt "
    "attempts { at ok provider error durationMs }"
)
DELIVERIES = (
    "query ($f: DeliveryFilter, $a: String) { deliveries(filter: $f, first: 100, after: $a) { "
    f"nodes {{ {DELIVERY} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)
SHORT_TIMES = {
    "egress_allow": "127.0.0.0/8",
    "provider_timeout_s": "2",
    "lease_margin_s": "1",
    "requeue_after_s": "2",
    "scheduler_interval_s": "0.5",
    "retry_schedule": "1s,1s,1s",
    "circuit_breaker_open_s": "2",
}


class FakeChannels:
    """`settings`: the settings with which hub processes reach the fake servers."""

    async def __aenter__(self) -> "FakeChannels":
        self._stack = AsyncExitStack()
        self.mail = await self._stack.enter_async_context(FakeMailServer())
        self.push: FakePushService = await self._stack.enter_async_context(FakePushService(VAPID_KEY.public_key()))
        self.amazon: FastFakeAmazon = await self._stack.enter_async_context(FastFakeAmazon())
        self.receiver = await self._stack.enter_async_context(WebhookReceiver())
        environment = self._stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_ENDPOINT_URL", self.amazon.url)
        environment.setenv("AWS_REGION", "eu-west-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        self._devices: dict[str, str] = {}  # device id by path of a push subscription, or by token
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def settings(self) -> dict[str, str]:
        return {
            "smtp_url": f"smtp://127.0.0.1:{self.mail.port}",
            "smtp_from": SENDER,
            "vapid_private_key": VAPID_TEXT,
            "vapid_subject": "mailto:ops@acme.example",
            "sns_platform_fcm": self.amazon.application,
        }

    def set_delay(self, seconds: float) -> None:
        """Delay every response by up to that many seconds."""
        self.mail.max_delay_s = self.push.max_delay_s = self.amazon.max_delay_s = seconds
        self.receiver.default_response = lambda *_: random.uniform(0, seconds)

    async def add_addresses(self, tenant: Tenant, *users: str, channels: Iterable[str] = CHANNELS) -> None:
        """Make each user reachable on each of these channels."""
        chosen = set(channels)
        if "EMAIL" in chosen:
            people = [{"id": user, "email": f"{user}@people.example"} for user in users]
            await tenant.execute(UPSERT_USERS, users=people)
        for user in users:
            if "WEB_PUSH" in chosen:
                await self.add_browser(tenant, user)
            if "MOBILE_PUSH" in chosen:
                await self.add_phone(tenant, user)
            if "WEBHOOK" in chosen:
                await connect_webhook(tenant, self.receiver, user)

    async def add_browser(self, tenant: Tenant, user: str) -> str:
        """Register one more browser. Return its path at the push service."""
        browser = self.push.subscribe()
        fields = {"endpoint": browser.endpoint, "p256dh": browser.p256dh_text, "auth": browser.auth_text}
        device = (await tenant.execute(REGISTER_WEB_PUSH, user=user, input=fields))["registerWebPush"]["id"]
        path = browser.endpoint.removeprefix(self.push.url)
        self._devices[path] = device
        return path

    @property
    def phones(self) -> list[str]:
        """The tokens of the phones."""
        return [address for address in self._devices if not address.startswith("/")]

    async def add_phone(self, tenant: Tenant, user: str) -> str:
        """Register one more phone. Return its token."""
        token = uuid4().hex
        fields = {"platform": "fcm", "token": token}
        self._devices[token] = (await tenant.execute(REGISTER_MOBILE_DEVICE, user=user, input=fields))[
            "registerMobileDevice"
        ]["id"]
        return token

    def arrivals(self) -> dict[str, list[float]]:
        """Return when each delivery arrived, by delivery id."""
        pushed = {
            **self.push.received_at,
            **{key: at for key, at in self.amazon.received_at.items() if key[0] in self._devices},
        }
        mailed = {
            **self.mail.received_at,
            **{id: at for (to, id), at in self.amazon.received_at.items() if to not in self._devices},
        }
        return {
            **{id.removeprefix("<").partition("@")[0]: at for id, at in mailed.items()},
            **{f"{id}-{self._devices[address]}": at for (address, id), at in pushed.items()},
            **self.receiver.received_at,
        }


async def connect_webhook(tenant: Tenant, receiver: WebhookReceiver, *users: str) -> None:
    """Connect a webhook at `/user` for each user."""
    for user in users:
        created = (await tenant.execute(CONNECT_WEBHOOK, user=user, to=f"{receiver.url}/{user}"))["connectWebhook"]
        receiver.secrets[f"/{user}"] = created["secret"]


async def list_deliveries(tenant: Tenant, **filter: Any) -> list[Json]:
    """Return the newest hundred deliveries."""
    found: list[Json] = (await tenant.execute(DELIVERIES, f=filter or None))["deliveries"]["nodes"]
    return found


async def list_all_deliveries(tenant: Tenant, **filter: Any) -> list[Json]:
    found: list[Json] = []
    cursor = None
    while True:
        page = (await tenant.execute(DELIVERIES, f=filter or None, a=cursor))["deliveries"]
        found += page["nodes"]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


async def wait_for_deliveries(tenant: Tenant, status: str, count: int = 1, within_s: float = 60) -> list[Json]:
    """Return the deliveries with that status once there are `count` of them."""

    async def exists() -> list[Json] | None:
        found = await list_deliveries(tenant, statuses=[status])
        return found if len(found) >= count else None

    found: list[Json] = await eventually(exists, within_s)
    return found


async def wait_until_settled(tenant: Tenant, count: int, within_s: float) -> list[Json]:
    """Return all `count` deliveries of the tenant once none waits and none is being processed."""
    ends = {"SENT", "DELIVERED", "READ", "FAILED", "SKIPPED", "CANCELLED", "EXPIRED"}
    open_ones = ["ACCEPTED", "HELD", "RETRYING", "PROCESSING"]

    async def none_waits() -> bool:
        return not await list_deliveries(tenant, statuses=open_ones)

    await eventually(none_waits, within_s)
    found = await list_all_deliveries(tenant)
    assert len(found) == count
    assert {delivery["status"] for delivery in found} <= ends
    return found


@asynccontextmanager
async def deployment_with_channels(
    mongo_url: str, redis_url: str, *, apis: int = 1, workers: int, **settings: str
) -> AsyncIterator[tuple[Deployment, Tenant, FakeChannels]]:
    """Open fake channels and a deployment with its own database. At the end, no process may have logged an error."""
    name = f"fakes{uuid4().hex[:8]}"
    async with FakeChannels() as fakes:
        options = {**SHORT_TIMES, **fakes.settings, "mongo_database": name, "redis_prefix": f"{name}:", **settings}
        async with Deployment(mongo_url, redis_url, apis=apis, workers=workers, **options) as deployment:
            async with Tenant("acme", deployment.urls) as tenant:
                yield deployment, tenant, fakes
            assert not find_log_faults([*deployment.apis, *deployment.workers])
