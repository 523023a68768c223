"""`<hub-inbox-list>` shows the inbox as a part of a page, without the bell."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import FRONT, Browsers, BrowserUser
from tests.browser.inbox_marks import send_numbered, wait_for_marks
from tests.browser.test_appearance import LOOKS, check_state
from tests.client import Tenant

REPLACE_BELL = """(bell) => {
  const list = document.createElement("hub-inbox-list");
  list.getToken = bell.getToken;
  bell.remove();
  document.querySelector("main").append(list);
}"""
ADD_LIST = """(styles) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(styles);
  document.adoptedStyleSheets.push(sheet);
  document.querySelector("main").prepend(document.createElement("hub-inbox-list"));
}"""


@pytest.mark.parametrize("look", ["desktop-light", "phone-arabic-dark"])
async def test_list_shows_the_inbox_without_a_bell(look: str, tenant: Tenant, browsers: Browsers) -> None:
    device, scheme, language = LOOKS[look]
    titles = await send_numbered(tenant, 3)
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    alice = await browsers.person("alice", page=page, color_scheme=scheme, reduced_motion="reduce", **device)
    tab = await alice.tab()
    await tab.page.locator("hub-inbox").evaluate(REPLACE_BELL)
    await tab.wait_for_items(*titles)
    await wait_for_marks(tenant, titles[0], seenAt=True, readAt=False)
    await tab.wait_until_live("hub-inbox-list")
    await expect(tab.page.locator("hub-inbox-list [data-tool=close]")).to_have_count(0)
    await check_state(tab, look, "list")
    newer = await send_numbered(tenant, 1, first=3)
    await tab.wait_for_items(*newer, *titles)
    await wait_for_marks(tenant, newer[0], seenAt=True)
    await tab.page.evaluate("window.stay = true")
    await tab.item(newer[0]).locator(".open").click()
    await wait_for_marks(tenant, newer[0], readAt=True)
    assert await tab.titles() == [*newer, *titles]


async def test_notifications_are_seen_when_the_list_is_in_view(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await alice.tab()
    await tab.wait_until_live()
    await tab.page.evaluate("document.querySelector('main').hidden = true")
    await tab.page.locator("hub-inbox").evaluate(REPLACE_BELL)
    await tab.wait_until_live("hub-inbox-list")
    await tenant.send("alice", title="News")
    await tab.page.locator("hub-inbox-list > [role=status]").filter(has_text="News").wait_for(state="attached")
    assert await tab.page.locator("hub-inbox-list").evaluate("(list) => list._inbox.unseen") == 1
    await tab.page.evaluate("document.querySelector('main').hidden = false")
    await wait_for_marks(tenant, "News", seenAt=True)


async def test_times_follow_the_clock_in_a_list_that_was_moved(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await alice.blank()
    await tab.page.clock.install()
    await tab.load()
    await tab.page.locator("hub-inbox").evaluate(REPLACE_BELL)
    await tab.wait_for_items("One")
    await tab.wait_until_live("hub-inbox-list")
    await tab.page.locator("hub-inbox-list").evaluate("(list) => document.body.append(list)")
    await expect(tab.item("One").locator("time")).to_have_text("just now")
    await tab.page.clock.fast_forward("10:00")
    await expect(tab.item("One").locator("time")).to_have_text(re.compile("10 min"))


async def test_list_has_its_size_before_its_script_has_loaded(alice: BrowserUser) -> None:
    async def measure() -> Any:
        page = await alice.context.new_page()
        await page.goto(f"{alice.origin}/page")
        await page.evaluate(ADD_LIST, (FRONT / "packages" / "inbox" / "hub-inbox.css").read_text())
        return await page.locator("hub-inbox-list").bounding_box()

    after = await measure()
    await alice.context.route("**/inbox.js", lambda route: route.abort())
    assert await measure() == after
