"""Tabs of the page: filters with labels, and the number of unread notifications of each tab."""

import json
from html import escape

from playwright.async_api import Page, expect

from tests.browser.conftest import Browsers, Tab
from tests.browser.inbox_marks import wait_for_marks
from tests.browser.test_appearance import check_state
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant

BUILDS = {"label": "Builds", "filter": {"categories": ["builds"]}}
URGENT = {"label": "Urgent", "filter": {"view": "UNREAD", "priorities": ["HIGH", "CRITICAL"], "tags": ["ops"]}}
TABS = escape(json.dumps(["ACTIVE", BUILDS, URGENT]))


def count_queries(page: Page) -> list[str]:
    """Return a list to which each query for a page of the inbox is added."""
    queries: list[str] = []

    def add(frame: str | bytes) -> None:
        if "query Inbox" in str(frame):
            queries.append(str(frame))

    page.on("websocket", lambda socket: socket.on("framesent", add))
    return queries


async def expect_tabs(tab: Tab, *labels: str) -> None:
    await expect(tab.page.locator("hub-inbox-panel [role=tab]")).to_have_text(labels)


async def test_tabs_of_the_page_list_and_count_what_matches_their_filters(tenant: Tenant, browsers: Browsers) -> None:
    for title in ("Red", "Green"):
        await tenant.send("alice", title=title, category="builds")
    await tenant.send("alice", title="Disk full", priority="HIGH", tags=["ops"])
    await tenant.send("alice", title="Important", priority="HIGH")
    await tenant.fill_inbox("alice", 20)  # the builds are not on the first page
    alice = await browsers.person("alice", page={"attributes": f'tabs="{TABS}"'})
    tab = await alice.blank()
    queries = count_queries(tab.page)
    await tab.load()
    await tab.open()
    await expect_tabs(tab, "All", "Builds2", "Urgent1")
    await tab.page.get_by_role("tab", name="Builds 2 unread", exact=True).wait_for()
    await tab.page.keyboard.press("ArrowRight")
    await wait_for_focus(tab, "tab-1")
    await tab.wait_for_items("Green", "Red")
    await check_state(tab, "desktop-light", "tabs")
    asked = len(queries)
    await tenant.send("alice", title="Yellow", category="builds", priority="CRITICAL", tags=["ops"])
    await tenant.send("alice", title="Something else")
    await expect_tabs(tab, "All", "Builds3", "Urgent2")
    await tab.wait_for_items("Yellow", "Green", "Red")
    red = next(n["id"] for n in (await tenant.inbox("alice", categories=["builds"]))["nodes"] if n["title"] == "Red")
    await tenant.mark("alice", "markRead", red)
    await expect_tabs(tab, "All", "Builds2", "Urgent2")
    await tab.page.locator("#tab-2").click()
    await tab.wait_for_items("Yellow", "Disk full")
    assert len(queries) == asked  # all that matches is loaded


async def test_actions_for_all_of_a_tab_change_what_matches_its_filter(tenant: Tenant, browsers: Browsers) -> None:
    for title, category in (("Red", "builds"), ("Other", "news"), ("Green", "builds")):
        await tenant.send("alice", title=title, category=category)
    alice = await browsers.person("alice", page={"attributes": f'tabs="{TABS}"'})
    tab = await (await alice.tab()).open()
    await tab.page.locator("#tab-1").click()
    await tab.wait_for_items("Green", "Red")
    await tab.choose("markAllRead")
    await expect_tabs(tab, "All", "Builds", "Urgent")
    await wait_for_marks(tenant, "Red", readAt=True)
    await wait_for_marks(tenant, "Other", readAt=False)
    await tab.toast.get_by_text("Undo").click()
    await expect_tabs(tab, "All", "Builds2", "Urgent")
    await wait_for_marks(tenant, "Red", readAt=False)
    await tab.choose("archiveAll")
    await tab.wait_for_items()
    await wait_for_marks(tenant, "Green", archivedAt=True)
    await wait_for_marks(tenant, "Other", archivedAt=False)
    await tab.page.locator("hub-inbox").evaluate(
        "(bell) => (bell.tabs = [{ label: 'Old', filter: { view: 'ARCHIVED' } }])"
    )
    await expect_tabs(tab, "Old")
    await tab.wait_for_items("Green", "Red")
