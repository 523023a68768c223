"""The menu of the panel: actions for all notifications of the tab that is shown, and their undo."""

from tests.browser.conftest import BrowserUser
from tests.browser.inbox_marks import open_panel, stored_notification, wait_for_marks
from tests.client import Tenant

UNTIL = "2090-01-02T08:00:00.000Z"


async def test_archiving_all_of_a_tab_can_be_undone(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("Later", "Old", "New", "Newest"):
        await tenant.send("alice", title=title)
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "snooze", ids["Later"], until=UNTIL)
    await tenant.mark("alice", "markRead", ids["Old"])
    tab = await open_panel(alice, "Newest", "New", "Old")
    await tab.tab("UNREAD").click()
    await tab.wait_for_items("Newest", "New")
    await tab.choose("archiveAll")
    await tab.wait_for_items()
    await tab.wait_for_unread(0)
    await tab.tab("ACTIVE").click()
    await tab.wait_for_items("Old")
    await wait_for_marks(tenant, "New", archivedAt=True, readAt=False)
    await tab.toast.get_by_text("Undo").click()
    await tab.wait_for_items("Newest", "New", "Old")
    await tab.wait_for_unread(2)
    await wait_for_marks(tenant, "New", archivedAt=False, readAt=False)
    await tab.tab("SNOOZED").click()
    await tab.wait_for_items("Later")
    await tab.choose("archiveAll")
    await tab.wait_for_items()
    await wait_for_marks(tenant, "Later", archivedAt=True)
    assert not (await stored_notification(tenant, "New"))["archivedAt"]
    await tab.toast.get_by_text("Undo").click()
    await tab.wait_for_items("Later")
    assert (await stored_notification(tenant, "Later"))["snoozedUntil"] == UNTIL
    await tab.tab("ARCHIVED").click()
    await tab.page.locator("hub-inbox-menu [data-tool=menu]").click()
    entries = tab.page.locator("hub-inbox-menu [role=menuitem]")
    assert await entries.all_inner_texts() == ["Keyboard shortcuts"]


async def test_undo_of_mark_all_keeps_what_other_devices_changed(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("Kept", "Archived", "Read"):
        await tenant.send("alice", title=title)
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "markRead", ids["Read"])
    tab = await open_panel(alice, "Read", "Archived", "Kept")
    await tab.wait_for_unread(2)
    await tab.choose("markAllRead")
    await tab.wait_for_unread(0)
    await wait_for_marks(tenant, "Kept", readAt=True)
    await tenant.mark("alice", "archive", ids["Archived"])
    await tab.wait_for_items("Read", "Kept")
    await tab.toast.get_by_text("Undo").click()
    await tab.wait_for_unread(1)
    await wait_for_marks(tenant, "Kept", readAt=False, seenAt=True)
    await wait_for_marks(tenant, "Archived", readAt=True, archivedAt=True)
    await wait_for_marks(tenant, "Read", readAt=True)


async def test_read_item_stays_in_unread_until_another_tab_is_shown(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two"):
        await tenant.send("alice", title=title)
    tab = await open_panel(alice, "Two", "One")
    await tab.tab("UNREAD").click()
    await tab.press("Two", "markRead")
    await tab.wait_for_unread(1)
    await tab.item("Two").locator("[data-tool=markUnread]").wait_for()
    await tab.wait_for_items("Two", "One")
    await tab.press("One", "archive")
    await tab.wait_for_items("Two")
    await tab.tab("ACTIVE").click()
    await tab.tab("UNREAD").click()
    await tab.wait_for_items()
