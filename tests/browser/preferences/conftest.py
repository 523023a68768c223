"""A hub and a page with <hub-preferences>, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.preferences.preferences_page import Person
from tests.browser.settings_page import SettingsPage
from tests.channel_setup import QUICK
from tests.client import Tenant
from tests.processes import Deployment
from tests.worlds import VAPID_TEXT


@pytest.fixture(scope="package")
async def running(servers: tuple[Mongod, Redis], built: Path) -> AsyncIterator[tuple[Deployment, SettingsPage]]:
    mongod, redis = servers
    name = f"wishes{uuid4().hex[:8]}"
    async with SettingsPage(built) as pages:
        given = {**QUICK, "mongo_database": name, "redis_prefix": f"{name}:", "allowed_origins": pages.url}
        given |= {"vapid_private_key": VAPID_TEXT, "vapid_subject": "mailto:ops@acme.example"}
        async with Deployment(mongod.url, redis.url, apis=1, workers=0, **given) as deployment:
            yield deployment, pages


@pytest.fixture
async def alice(running: tuple[Deployment, SettingsPage], browser: Browser) -> AsyncIterator[Person]:
    deployment, pages = running
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(Tenant(f"t{uuid4().hex[:12]}", deployment.urls))
        await tenant.define("news", "IN_APP", "EMAIL", name="Product news", description="Once a month at most.")
        await tenant.define("builds", "IN_APP", name="Build results")
        await tenant.define("security", "IN_APP", "EMAIL", name="Security alerts", required=True)
        yield Person(tenant, pages, browser, stack)
