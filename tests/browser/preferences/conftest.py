"""A hub and a page with <hub-preferences>, shared by the tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.preferences.preferences_page import PreferencesUser
from tests.browser.settings_page import SettingsPage
from tests.channel_setup import SHORT_TIMES, UPSERT_USERS
from tests.client import Tenant
from tests.processes import Deployment
from tests.provider_setup import VAPID_TEXT


@pytest.fixture(scope="package")
async def preferences_hub(
    servers: tuple[Mongod, Redis], built_front_end: Path
) -> AsyncIterator[tuple[Deployment, SettingsPage]]:
    mongod, redis = servers
    name = f"wishes{uuid4().hex[:8]}"
    async with SettingsPage(built_front_end) as pages:
        settings = {**SHORT_TIMES, "mongo_database": name, "redis_prefix": f"{name}:", "allowed_origins": pages.url}
        settings |= {"smtp_url": "smtp://127.0.0.1:1", "smtp_from": "a@acme.example"}  # no worker sends
        settings |= {"vapid_private_key": VAPID_TEXT, "vapid_subject": "mailto:ops@acme.example"}
        async with Deployment(mongod.url, redis.url, apis=1, workers=0, **settings) as deployment:
            yield deployment, pages


@pytest.fixture
async def alice(preferences_hub: tuple[Deployment, SettingsPage], browser: Browser) -> AsyncIterator[PreferencesUser]:
    deployment, pages = preferences_hub
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(Tenant(f"t{uuid4().hex[:12]}", deployment.urls))
        await tenant.define_category(
            "news", "IN_APP", "EMAIL", name="Product news", description="Once a month at most."
        )
        await tenant.define_category("builds", "IN_APP", "EMAIL", "WEB_PUSH", "WEBHOOK", name="Build results")
        await tenant.define_category("security", "IN_APP", "EMAIL", name="Security alerts", required=True)
        await tenant.execute(
            UPSERT_USERS, users=[{"id": user, "email": f"{user}@acme.example"} for user in ("alice", "bob")]
        )
        yield PreferencesUser(tenant, pages, browser, stack)
