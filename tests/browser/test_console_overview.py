"""The first page of the operator console: charts, failures, and what waits. Pausing a channel."""

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from hub.utc_time import now, rfc3339
from tests.browser.test_console import ConsoleHub, ConsolePage, hub, open_console
from tests.browser.test_demo import PHONE, WITHIN_MS
from tests.client import Json, eventually
from tests.webhook_receiver import WebhookReceiver

__all__ = ["hub", "open_console"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

COUNTED_MS = 60_000  # each process writes its counts every few seconds
ACTIVITY = "query ($since: DateTime!) { activity(since: $since) { channel status count } }"
PAUSED = "{ pausedChannels { channel reason } }"
PIXELS = """(canvas) => {
  const { width, height } = canvas;
  const colors = new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, width, height).data.buffer));
  return colors.size;
}"""


def total(page: Page, chart: str, name: str) -> Locator:
    return page.get_by_role("table", name=f"{chart}, totals").get_by_role("row", name=name).get_by_role("cell")


async def wait_until_counted(hub: ConsoleHub, channel: str, status: str) -> None:
    async def counted() -> bool:
        rows = (await hub.execute(ACTIVITY, since=rfc3339(now() - timedelta(hours=1))))["activity"]
        return any((row["channel"], row["status"]) == (channel, status) for row in rows)

    await eventually(counted, COUNTED_MS / 1000)


@pytest.fixture(scope="module")
async def failed(hub: ConsoleHub) -> str:
    """Return the id of a delivery that failed and was counted."""
    async with WebhookReceiver() as receiver:
        delivery = await hub.fail(receiver, "zoe", "Rejected")
    await hub.send("zoe", title="In the inbox and by email", channels=["IN_APP", "EMAIL"])
    for channel, status in (("WEBHOOK", "FAILED"), ("EMAIL", "DELIVERED"), ("IN_APP", "DELIVERED")):
        await wait_until_counted(hub, channel, status)
    return delivery


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_overview_is_accessible_and_fits(open_console: Any, options: Json) -> None:
    console: ConsolePage = await open_console(**options)
    page = console.page
    await expect(page.locator("activity-chart canvas")).to_have_count(2)
    for canvas in await page.locator("activity-chart canvas").all():
        assert await canvas.evaluate(PIXELS) > 3  # axes, grid, and lines
    for summary in await page.locator(".values > summary").all():
        await summary.click()
    assert await console.axe_violations() == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.usefixtures("failed")
async def test_figures_of_the_overview_lead_to_the_deliveries(open_console: Any) -> None:
    console: ConsolePage = await open_console()
    page = console.page
    await total(page, "Deliveries by status", "Failed").get_by_role("link").click()
    await expect(page).to_have_url(re.compile(r"/deliveries\?status=FAILED&time=failed&since=.*&until="))
    await expect(page.locator("tr[data-row]").filter(has_text="Rejected").first).to_be_visible()
    await page.go_back()
    cell = page.get_by_role("table", name="Deliveries by status by hour").get_by_role("link").last
    await page.locator(".values > summary").first.click()
    await cell.click()
    await expect(page.locator("tr[data-row]").first).to_be_visible()
    await page.go_back()
    await page.get_by_role("link", name="Failed", exact=True).click()
    await expect(page.get_by_role("combobox", name="Time")).to_have_value("failed 24h")
    await expect(page.locator("tr[data-row]").filter(has_text="Rejected").first).to_be_visible()


@pytest.mark.usefixtures("failed")
async def test_period_and_choices_are_in_the_address(open_console: Any) -> None:
    console: ConsolePage = await open_console("?range=7d&channel=WEBHOOK&status=FAILED")
    page = console.page
    await expect(page.get_by_role("link", name="Last 7 days")).to_have_attribute("aria-current", "true")
    by_status = page.get_by_role("table", name="Deliveries by status, totals")
    await expect(by_status.get_by_role("row").filter(has_text="Failed")).to_be_visible()
    await expect(by_status.get_by_role("row").filter(has_text="Sent")).to_have_count(0)  # of webhooks, only receipts
    by_channel = page.get_by_role("table", name="Deliveries by channel, totals")
    await expect(by_channel.get_by_role("row")).to_have_text([re.compile("Webhook")])
    await page.get_by_role("combobox", name="Status").select_option("Sent or delivered")
    await expect(by_channel.get_by_role("row").filter(has_text="Inbox")).to_be_visible()
    await expect(by_channel.get_by_role("row").filter(has_text="Inbox").get_by_role("link")).to_have_count(0)
    await page.get_by_role("link", name="Last hour").press("Enter")
    await expect(page).to_have_url(re.compile(r"/console/\?range=1h&channel=WEBHOOK$"))
    await expect(page.locator(".values > summary").first).to_have_text("Table by minute")
    await page.reload()
    await expect(page.get_by_role("combobox", name="Channel")).to_have_value("WEBHOOK")


async def test_channel_is_paused_and_resumed(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("queue")
    page = console.page
    await page.get_by_role("button", name="Pause a channel…").press("Enter")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("combobox", name="Channel").select_option("Teams")
    await expect(dialog).to_contain_text("What becomes due will be held. No delivery fails because of the pause.")
    assert await console.axe_violations() == []
    await dialog.get_by_role("button", name="Pause Teams").click()  # the reason is missing
    await expect(dialog).to_be_visible()
    await dialog.get_by_label("Reason").fill("<b>Wrong</b> app")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Teams is paused.")
    notice = page.locator(".paused").filter(has_text="Teams is paused")
    await expect(notice).to_contain_text("<b>Wrong</b> app")
    assert (await hub.execute(PAUSED))["pausedChannels"] == [{"channel": "TEAMS", "reason": "<b>Wrong</b> app"}]
    await notice.get_by_role("button", name="Resume Teams…").click()
    await dialog.get_by_role("button", name="Resume Teams").click()
    await expect(notice).to_have_count(0)
    assert (await hub.execute(PAUSED))["pausedChannels"] == []


async def test_error_of_a_pause_is_shown(open_console: Any) -> None:
    console: ConsolePage = await open_console("queue")
    page = console.page
    await page.get_by_role("button", name="Pause a channel…").click()

    async def refuse(route: Any) -> None:
        if "pauseChannel" in (route.request.post_data or ""):
            error = {"message": "The hub is overloaded.", "extensions": {"code": "UNAVAILABLE"}}
            await route.fulfill(json={"data": None, "errors": [error]})
        else:
            await route.continue_()

    await page.route("**/graphql", refuse)
    await page.get_by_label("Reason").fill("Try")
    await page.get_by_role("dialog").get_by_role("button", name="Pause Email").click()
    await expect(page.get_by_role("alert")).to_have_text("The channel was not changed. The hub is overloaded.")
    await page.get_by_role("button", name="Pause a channel…").click()
    await expect(page.get_by_label("Reason")).to_have_value("Try")
