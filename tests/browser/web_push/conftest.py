"""A hub with VAPID keys, a browser with a profile, and a fake desktop, shared by the tests of this folder."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import async_playwright

from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.browser.desktop import DAEMON, Desktop
from tests.browser.push_service import LocalPushService
from tests.browser.settings_page import SettingsPage
from tests.browser.web_push.push_page import WITHIN_S, PushSetup, PushUser
from tests.channel_setup import SHORT_TIMES
from tests.client import Tenant
from tests.processes import Deployment
from tests.provider_setup import VAPID_TEXT


@pytest.fixture(scope="package")
async def push_setup(
    servers: tuple[Mongod, Redis], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PushSetup]:
    if not DAEMON:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("dbus-daemon is not on the PATH")
    mongod, redis = servers
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("push")
        service = await LocalPushService().open(folder)
        stack.push_async_callback(service.close)
        name = f"browser{uuid4().hex[:8]}"
        settings = {
            **SHORT_TIMES,
            "mongo_database": name,
            "redis_prefix": f"{name}:",
            "vapid_private_key": VAPID_TEXT,
            "vapid_subject": "mailto:ops@acme.example",
            "mode": "development",  # pages of any port may call
            "egress_allow": "127.0.0.0/8",
        }
        first = await stack.enter_async_context(Deployment(mongod.url, redis.url, apis=1, workers=0, **settings))
        public = first.urls[0].removesuffix("/graphql")
        settings["public_url"] = public
        await stack.enter_async_context(_worker(mongod, redis, settings))
        tenant = await stack.enter_async_context(Tenant("acme", first.urls))
        desktop = await stack.enter_async_context(Desktop())
        playwright = await stack.enter_async_context(async_playwright())
        context = await playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=CHROMIUM,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": desktop.address},
            ignore_default_args=["--disable-background-networking", "--headless"],
            args=[
                *(argument for argument in CHROMIUM_FLAGS if argument != "--disable-background-networking"),
                "--headless=new",
                *service.arguments,
            ],
        )
        stack.push_async_callback(context.close)
        context.set_default_timeout(WITHIN_S * 1_000)
        await context.add_init_script(service.script)
        yield PushSetup(tenant, service, desktop, context)


def _worker(mongod: Mongod, redis: Redis, settings: dict[str, str]) -> Deployment:
    return _Workers(mongod.url, redis.url, apis=0, workers=1, **settings)


class _Workers(Deployment):
    async def __aenter__(self) -> Deployment:
        await asyncio.gather(*(process.start() for process in self.workers))
        return self


@pytest.fixture
async def foreign_pages(built_front_end: Path) -> AsyncIterator[SettingsPage]:
    """A page of another origin."""
    async with SettingsPage(built_front_end) as pages:
        yield pages


@pytest.fixture
async def push_user(push_setup: PushSetup, built_front_end: Path) -> AsyncIterator[PushUser]:
    """A new user, on a page whose origin is new to this browser, so no service worker is registered."""
    async with SettingsPage(built_front_end) as pages:
        await push_setup.context.grant_permissions(["notifications"], origin=pages.url)
        yield PushUser(push_setup, pages)
        for page in push_setup.context.pages[1:]:
            await page.close()
        push_setup.desktop.banners.clear()
