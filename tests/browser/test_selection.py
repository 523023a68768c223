"""Several notifications are selected, and marked together."""

from playwright.async_api import expect

from tests.browser.conftest import Browsers, BrowserUser, Tab
from tests.browser.inbox_marks import open_panel, send_numbered, wait_for_marks
from tests.browser.test_appearance import LOOKS
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant


async def expect_selected(tab: Tab, *titles: str) -> None:
    await expect(tab.page.locator("hub-inbox-panel li:has(.check :checked)")).to_have_count(len(titles))
    for title in titles:
        await expect(tab.page.get_by_role("checkbox", name=f"Select: {title}")).to_be_checked()


async def test_selection_with_the_keyboard_is_marked_together(tenant: Tenant, alice: BrowserUser) -> None:
    four, three, two, one, zero = titles = await send_numbered(tenant, 5)
    tab = await open_panel(alice, *titles)
    keys = tab.page.keyboard
    announced = tab.page.locator("hub-inbox-panel > .hidden[role=status]")
    await tab.item(four).locator(".open").focus()
    for key in ("j", "x", "Shift+ArrowDown", "Shift+ArrowDown"):
        await keys.press(key)
    await expect_selected(tab, three, two, one)
    await expect(announced).to_have_text("3 selected")
    await wait_for_focus(tab, one)
    await keys.press("Escape")
    await expect(announced).to_have_text("")
    await expect(tab.page.locator(".check")).to_have_count(0)
    await wait_for_focus(tab, one)
    await keys.press("x")
    await tab.page.locator("hub-inbox-panel .check").nth(1).click(modifiers=["Shift"])
    await expect_selected(tab, three, two, one)
    await keys.press("r")
    await expect(tab.toast).to_contain_text("3 notifications marked as read")
    await tab.wait_for_unread(2)
    await wait_for_marks(tenant, one, readAt=True)
    await wait_for_focus(tab, three)
    for key in ("x", "k", "x", "e"):
        await keys.press(key)
    await tab.wait_for_items(two, one, zero)
    await wait_for_focus(tab, two)
    await keys.press("z")
    await tab.wait_for_items(*titles)
    await wait_for_marks(tenant, four, archivedAt=False, readAt=False)
    await tab.tab("ARCHIVED").click()
    await tab.wait_for_items()


async def test_selection_from_a_tool_keeps_the_focus_in_the_row(tenant: Tenant, alice: BrowserUser) -> None:
    one, zero = titles = await send_numbered(tenant, 2)
    tab = await open_panel(alice, *titles)
    keys = tab.page.keyboard
    await tab.item(one).locator(".open").focus()
    for key in ("Tab", "x"):  # the tool is hidden
        await keys.press(key)
    await expect_selected(tab, one)
    await wait_for_focus(tab, one)
    for key in ("Escape", "j", "s", "Escape", "x"):
        await keys.press(key)
    await expect_selected(tab, zero)
    await wait_for_focus(tab, zero)


async def test_rows_are_selected_by_touch(tenant: Tenant, browsers: Browsers) -> None:
    two, one, zero = titles = await send_numbered(tenant, 3)
    alice = await browsers.person("alice", **LOOKS["phone-light"][0])
    tab = await open_panel(alice, *titles)
    await tab.choose("select")
    bar = tab.page.get_by_role("group", name="Select notifications")
    await expect(bar.locator("[data-tool=archive]")).to_be_disabled()
    for title in (two, zero):
        await tab.item(title).locator(".title").tap(force=True)  # anywhere in the row
    await expect_selected(tab, two, zero)
    newer = await send_numbered(tenant, 1, first=3)
    await tab.page.get_by_role("button", name="1 new notification").wait_for()
    assert await tab.titles() == titles
    await bar.get_by_role("checkbox").tap()
    await expect_selected(tab, *titles)
    await bar.locator("[data-tool=snooze]").tap()
    await tab.page.keyboard.press("Escape")  # closes the choices
    await wait_for_focus(tab, "snooze")
    await bar.locator("[data-tool=snooze]").tap()
    await bar.locator("[data-tool=tomorrow]").tap()
    await tab.wait_for_items(*newer)
    await tab.toast.get_by_text("Undo").tap()
    await tab.wait_for_items(*newer, *titles)
    await wait_for_marks(tenant, one, snoozedUntil=False)
