"""New items wait while the user is in the list, because they would move the rows."""

import pytest

from tests.browser.conftest import Browsers, BrowserUser, Tab
from tests.browser.inbox_marks import open_panel, send_numbered, wait_for_marks
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant, eventually

SCROLLER = "hub-inbox-panel .scroll"


async def top_of(tab: Tab, title: str) -> float:
    box = await tab.item(title).bounding_box()
    assert box
    return box["y"]


async def test_arrivals_wait_while_the_pointer_is_in_the_list(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 3)
    tab = await open_panel(alice, *titles)
    await tab.item(titles[1]).hover()
    before = await top_of(tab, titles[1])
    newer = await send_numbered(tenant, 2, first=3)
    await tab.page.get_by_role("button", name="2 new notifications").wait_for()
    await tab.wait_for_unread(5)
    assert await tab.titles() == titles
    assert await top_of(tab, titles[1]) == before
    assert not await tab.axe_violations()
    await tab.page.locator("hub-inbox > [role=status]").filter(has_text="2 new").wait_for(state="attached")
    await tab.press(titles[0], "archive")
    await tab.wait_for_items(*titles[1:])
    await wait_for_marks(tenant, titles[0], archivedAt=True)  # marks are sent in order
    await wait_for_marks(tenant, newer[0], seenAt=False)
    await tab.page.keyboard.press("Control+z")  # items that the user moves do not wait
    await tab.wait_for_items(*titles)
    await tab.leave_the_list()
    await tab.wait_for_items(*newer, *titles)
    await wait_for_marks(tenant, newer[0], seenAt=True)


async def test_arrivals_wait_while_the_focus_is_in_the_list(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 2)
    tab = await open_panel(alice, *titles)
    await tab.page.keyboard.press("Tab")
    await wait_for_focus(tab, titles[0])
    newer = await send_numbered(tenant, 1, first=2)
    await tab.page.get_by_role("button", name="1 new notification").wait_for()
    assert await tab.titles() == titles
    await tab.page.keyboard.press("Shift+Tab")
    await wait_for_focus(tab, "newer")
    await tab.page.keyboard.press("Enter")
    await tab.wait_for_items(*newer, *titles)
    await wait_for_focus(tab, newer[0])


@pytest.mark.parametrize("language", ["en", "ar"])
async def test_arrivals_wait_while_the_list_is_scrolled(language: str, tenant: Tenant, browsers: Browsers) -> None:
    titles = await send_numbered(tenant, 15)
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    alice = await browsers.person("alice", page=page, viewport={"width": 390, "height": 700})
    tab = await open_panel(alice, *titles)
    scroller = tab.page.locator(SCROLLER)
    await scroller.evaluate("(scroller) => (scroller.scrollTop = 300)")
    await tenant.send("alice", title="Another user reads this later")
    button = scroller.locator("[data-tool=newer]")
    await button.wait_for()
    assert await scroller.evaluate("(scroller) => scroller.scrollTop") == 300
    assert await tab.titles() == titles
    box, around = await button.bounding_box(), await scroller.bounding_box()
    assert box
    assert around
    assert abs(box["x"] + box["width"] / 2 - around["x"] - around["width"] / 2) < 10
    assert around["y"] <= box["y"] < around["y"] + 20
    await button.click()
    await tab.wait_for_items("Another user reads this later", *titles)

    async def at_the_top() -> bool:
        return bool(await scroller.evaluate("(scroller) => scroller.scrollTop === 0"))

    await eventually(at_the_top)
