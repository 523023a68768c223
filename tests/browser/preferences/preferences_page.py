"""A user with their preferences page, and the decisions of the hub for that user."""

from contextlib import AsyncExitStack
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.settings_page import SettingsPage
from tests.client import Json, Tenant

WITHIN_S = 30
expect.set_options(timeout=WITHIN_S * 1_000)
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
MATRIX = "{ preferences { channels { channel enabled } categories { category { key } mutedUntil channels { channel enabled } } } }"
REGISTER_PHONE = 'mutation { registerMobileDevice(input: {platform: "fcm", token: "%s", label: "%s"}) { id } }'
SIMULATE = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome reason } } }"


class PreferencesUser:
    """A user of a tenant with three categories, and their browser."""

    def __init__(self, tenant: Tenant, pages: SettingsPage, browser: Browser, stack: AsyncExitStack) -> None:
        self.tenant, self.pages, self._browser, self._stack = tenant, pages, browser, stack
        self.user = "alice"

    async def page(self, look: dict[str, Any] | None = None, scheme: Any = "light", **displayed: str) -> Page:
        context = await self._browser.new_context(**(look or DESKTOP), color_scheme=scheme, locale="en-GB")
        self._stack.push_async_callback(context.close)
        context.set_default_timeout(WITHIN_S * 1_000)
        page = await context.new_page()
        await page.goto(self.address(**displayed))
        return page

    def address(self, **displayed: str) -> str:
        return self.pages.address(self.tenant.urls[0], self.tenant.token(self.user), **displayed)

    async def matrix(self) -> Json:
        """Return cells by category and channel. `ALL` contains the channels, `mutes` the mutes by category."""
        found = (await self.tenant.execute(MATRIX, user=self.user))["preferences"]
        rows = {row["category"]["key"]: row for row in found["categories"]}
        return {
            "ALL": {one["channel"]: one["enabled"] for one in found["channels"]},
            "mutes": {key: row["mutedUntil"] for key, row in rows.items() if row["mutedUntil"]},
            **{key: {one["channel"]: one["enabled"] for one in row["channels"]} for key, row in rows.items()},
        }

    async def simulated_decision(self, category: str, channel: str) -> str:
        """Return the simulated reason or outcome of a send."""
        fields = {"to": {"users": [self.user]}, "category": category, "content": {"title": "x", "body": ""}}
        [simulation] = (await self.tenant.execute(SIMULATE, input={**fields, "channels": [channel]}))["simulate"]
        [found] = [one for one in simulation["decisions"] if one["channel"] == channel]
        return str(found["reason"] or found["outcome"])


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name, exact=True)


async def expect_escape_returns_focus(opener: Locator, dialog: Locator) -> None:
    """Open a dialog with the keyboard and close it with Escape. The focus returns to the button that opened it."""
    await opener.press("Enter")
    await dialog.wait_for()
    await dialog.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(opener).to_be_focused()
