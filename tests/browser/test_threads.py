"""The notifications of one thread are one row, which opens."""

from playwright.async_api import expect

from tests.browser.conftest import Browsers
from tests.browser.inbox_marks import open_panel, wait_for_marks
from tests.browser.test_appearance import check_state
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant


async def test_thread_is_one_row_that_opens(tenant: Tenant, browsers: Browsers) -> None:
    for title, thread in (("Old", None), ("A1", "a"), ("B1", "b"), ("A2", "a"), ("A3", "a")):
        await tenant.send("alice", title=title, threadKey=thread)
    alice = await browsers.person("alice", page={"attributes": "group-threads"})
    tab = await open_panel(alice, "A3", "B1", "Old")
    more = tab.page.get_by_role("button", name="2 more (unread): A3")
    await expect(more).to_have_attribute("aria-expanded", "false")
    await check_state(tab, "desktop-light", "threads-closed")
    await tab.item("A3").locator(".open").focus()
    for tool in ("markRead", "snooze", "archive", "pin", "thread"):
        await tab.page.keyboard.press("Tab")
        await wait_for_focus(tab, tool)
    await tab.page.keyboard.press("Enter")
    await tab.wait_for_items("A3", "A2", "A1", "B1", "Old")
    await expect(more).to_have_attribute("aria-expanded", "true")
    await check_state(tab, "desktop-light", "threads-open")
    await tab.press("A2", "archive")  # only this one
    await tab.wait_for_items("A3", "A1", "B1", "Old")
    await wait_for_marks(tenant, "A2", archivedAt=True)
    await wait_for_marks(tenant, "A3", archivedAt=False)
    await tab.page.locator("[data-tool=thread]").click()
    await tab.wait_for_items("A3", "B1", "Old")
    await tenant.send("alice", title="B2", threadKey="b")
    await tab.leave_the_list()
    await tab.wait_for_items("B2", "A3", "Old")
    await tab.item("A3").locator(".open").focus()
    await tab.page.keyboard.press("e")  # the whole thread
    await tab.wait_for_items("B2", "Old")
    await wait_for_marks(tenant, "A1", archivedAt=True)
    await tab.toast.get_by_text("Undo").click()
    await tab.wait_for_items("B2", "A3", "Old")
    await wait_for_marks(tenant, "A1", archivedAt=False)
    await tab.item("B2").locator(".open").focus()
    await tab.page.keyboard.press("x")
    await expect(tab.page.get_by_role("group", name="Select notifications")).to_contain_text("2 selected")
    await tab.page.keyboard.press("r")
    await wait_for_marks(tenant, "B1", readAt=True)
    await wait_for_marks(tenant, "Old", readAt=False)


async def test_row_of_a_thread_offers_what_its_unread_notifications_need(tenant: Tenant, browsers: Browsers) -> None:
    for title in ("A1", "A2", "A3"):
        await tenant.send("alice", title=title, threadKey="a")
    ids = [n["id"] for n in (await tenant.inbox("alice"))["nodes"]]
    await tenant.mark("alice", "markRead", *ids[:2])
    alice = await browsers.person("alice", page={"attributes": "group-threads"})
    tab = await open_panel(alice, "A3")
    await expect(tab.item("A3").locator("[data-tool=markUnread]")).to_have_count(0)
    await tab.press("A3", "markRead")
    await wait_for_marks(tenant, "A1", readAt=True)
    await tab.press("A3", "markUnread")
    await wait_for_marks(tenant, "A1", readAt=False)
    await tenant.mark("alice", "markRead", *ids[:2])
    await tab.item("A3").locator(".open").click()
    await wait_for_marks(tenant, "A1", readAt=True)
