"""A user with web push, and the pages and banners of their browser.

The hub, its worker, the encryption and Chromium's push handling are real. Two parts are fake: the vendor's push service
(`push_service.py`), and the desktop that shows banners and on which users click (`desktop.py`)."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from playwright.async_api import BrowserContext, Page, Worker

from tests.browser.desktop import Desktop
from tests.browser.push_service import LocalPushService
from tests.browser.settings_page import SettingsPage
from tests.channel_setup import list_deliveries
from tests.client import Json, Tenant, eventually

BANNERS = """async () => {
  const registration = await navigator.serviceWorker.ready;
  return (await registration.getNotifications()).map(
    ({ title, body, tag, data, renotify, requireInteraction }) => ({ title, body, tag, data, renotify, requireInteraction })
  );
}"""
UNSUBSCRIBED = "navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription()).then((s) => s === null)"
DEVICES = "{ me { devices { id kind label } } }"
WITHIN_S = 30
PUSHED_WITHIN_S = 90
"""Chromium needs up to 45 s (measured) to reconnect after it lost its connection."""


@dataclass(frozen=True)
class PushSetup:
    """A hub with VAPID keys, and a browser with its own profile and desktop."""

    tenant: Tenant
    service: LocalPushService
    desktop: Desktop
    context: BrowserContext


class PushUser:
    """A user, and the pages of an app."""

    def __init__(self, fakes: PushSetup, pages: SettingsPage) -> None:
        self.tenant, self.service, self.desktop, self.context = (
            fakes.tenant,
            fakes.service,
            fakes.desktop,
            fakes.context,
        )
        self.pages = pages
        self.user = f"u{uuid4().hex[:8]}"

    def address(self, **displayed: str) -> str:
        return self.pages.address(self.tenant.urls[0], self.token, **displayed)

    @property
    def token(self) -> str:
        return self.tenant.token(self.user)

    async def page(self, **displayed: str) -> Page:
        page = await self.context.new_page()
        await page.goto(self.address(**displayed))
        return page

    async def subscribed(self, **displayed: str) -> Page:
        """Return a page whose user has turned push on."""
        page = await self.page(**displayed)
        await page.get_by_role("button", name="Turn on").click()
        await page.get_by_role("button", name="Turn off").wait_for()
        return page

    async def devices(self) -> list[Json]:
        found: list[Json] = (await self.tenant.execute(DEVICES, user=self.user))["me"]["devices"]
        return found

    async def send(self, **fields: Any) -> str:
        """Send by web push and to the inbox. Return the notification's id."""
        sent = await self.tenant.send(self.user, channels=["IN_APP", "WEB_PUSH"], **fields)
        query = "query ($id: ID!) { send(id: $id) { notifications { nodes { id } } } }"
        found = await self.tenant.execute(query, id=sent["send"]["id"])
        return str(found["send"]["notifications"]["nodes"][0]["id"])

    async def delivery(self, notification: str, status: str) -> Json:
        """Return its web push delivery once it has this status."""

        async def exists() -> Json | None:
            for found in await list_deliveries(self.tenant, userId=self.user):
                if (found["notificationId"], found["channel"], found["status"]) == (notification, "WEB_PUSH", status):
                    return found
            return None

        found: Json = await eventually(exists, PUSHED_WITHIN_S)
        return found

    async def read_at(self, notification: str) -> str | None:
        nodes = (await self.tenant.inbox(self.user, view="ALL"))["nodes"]
        return next(node["readAt"] for node in nodes if node["id"] == notification)

    async def banners(self, page: Page, count: int = 1) -> list[Json]:
        """Return the banners once there are that many. The browser is asked only after the desktop shows them, because
        Chromium on Linux forgets a banner that it is asked about between storing and showing it."""

        async def on_the_desktop() -> bool:
            return len(self.desktop.banners) == count

        await eventually(on_the_desktop, PUSHED_WITHIN_S)

        async def existing() -> bool:
            return len(await page.evaluate(BANNERS)) == count

        await eventually(existing, WITHIN_S)
        found: list[Json] = await page.evaluate(BANNERS)
        return found

    async def click_banner(self, title: str, button: str = "") -> None:
        """Click the banner once it is visible, and wait until it is closed."""

        async def exists() -> bool:
            return title in [displayed for displayed, _, _ in self.desktop.banners.values()]

        async def removed() -> bool:
            return not await exists()

        await eventually(exists, PUSHED_WITHIN_S)
        self.desktop.click(title, button)
        await eventually(removed, WITHIN_S)

    async def wait_for_pages(self, urls: list[str]) -> None:
        """Wait until these pages are open, besides the first one."""

        async def exists() -> bool:
            return [page.url for page in self.context.pages[1:]] == urls

        try:
            await eventually(exists, WITHIN_S)
        except AssertionError:
            assert [page.url for page in self.context.pages[1:]] == urls

    async def worker(self) -> Worker:
        async def running() -> list[Worker]:
            return [worker for worker in self.context.service_workers if worker.url.startswith(self.pages.url)]

        [worker, *_] = await eventually(running, WITHIN_S)
        return worker
