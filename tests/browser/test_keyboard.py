"""The inbox without a mouse."""

from playwright.async_api import expect

from tests.browser.conftest import BrowserUser, Tab
from tests.browser.inbox_marks import wait_for_marks
from tests.client import Tenant, eventually


async def focused_element(tab: Tab) -> str:
    """Return the tool, id or text of the element that has the focus, inside any shadow root."""
    name: str = await tab.page.evaluate(
        """() => { let at = document.activeElement; while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
        return at.dataset.tool || at.id || at.querySelector("bdi")?.textContent || (at.part.value || at.textContent) }"""
    )
    return name


async def wait_for_focus(tab: Tab, element: str) -> None:
    async def has_focus() -> bool:
        return await focused_element(tab) == element

    try:
        await eventually(has_focus)
    except AssertionError:
        assert await focused_element(tab) == element


async def test_inbox_is_usable_with_the_keyboard_alone(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two", "Three"):
        await tenant.send("alice", title=title)
    tab = await alice.tab()
    await tab.wait_for_unread(3)
    keys = tab.page.keyboard

    async def at(element: str) -> None:
        await wait_for_focus(tab, element)

    await keys.press("Tab")
    await at("bell")
    await keys.press("Enter")
    await at("ACTIVE")
    for key, view in (("ArrowRight", "UNREAD"), ("End", "SNOOZED"), ("ArrowRight", "ACTIVE"), ("ArrowLeft", "SNOOZED")):
        await keys.press(key)
        await at(view)
    await keys.press("Home")
    await tab.wait_for_items("Three", "Two", "One")
    await keys.press("Tab")
    await at("Three")
    await keys.press("ArrowDown")
    await at("Two")
    for tool in ("markRead", "snooze", "archive"):
        await keys.press("Tab")
        await at(tool)
    await keys.press("Enter")
    await tab.wait_for_items("Three", "One")
    await at("One")  # the next item, not the top of the page
    await keys.press("Tab")
    await keys.press("Tab")
    await at("snooze")
    await keys.press("Enter")
    await at("inAnHour")
    await keys.press("Escape")  # closes the choice, not the panel
    await at("snooze")
    await keys.press("Enter")
    await keys.press("Enter")
    await tab.wait_for_items("Three")
    await at("Three")
    await keys.press("Control+z")
    await tab.wait_for_items("Three", "One")
    await keys.press("Escape")
    await tab.panel.wait_for(state="hidden")
    await at("bell")
    await wait_for_marks(tenant, "Two", archivedAt=True)
    await wait_for_marks(tenant, "One", snoozedUntil=False)


async def test_list_is_one_stop_and_keys_act_on_the_notification(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two", "Three"):
        await tenant.send("alice", title=title)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("Three", "Two", "One")
    keys = tab.page.keyboard
    for key, element in (
        *(("Tab", "Three"), ("j", "Two"), ("ArrowDown", "One"), ("k", "Two"), ("End", "One"), ("Home", "Three")),
        *(
            ("j", "Two"),
            ("Tab", "markRead"),
            ("Tab", "snooze"),
            ("Tab", "archive"),
            ("Tab", "pin"),
            ("k", "Three"),
            ("j", "Two"),
        ),
    ):
        await keys.press(key)
        await wait_for_focus(tab, element)
    await keys.press("r")
    await wait_for_marks(tenant, "Two", readAt=True)
    await keys.press("s")
    await wait_for_focus(tab, "inAnHour")
    await keys.press("Escape")
    await wait_for_focus(tab, "snooze")
    await keys.press("e")
    await tab.wait_for_items("Three", "One")
    await wait_for_focus(tab, "One")
    await keys.press("z")
    await tab.wait_for_items("Three", "Two", "One")
    await keys.press("?")
    sheet = tab.page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(sheet).to_contain_text("Mark as read or unread")
    await keys.press("Escape")
    await expect(sheet).to_have_count(0)
    await wait_for_focus(tab, "Two")
    for tool in ("markUnread", "snooze", "archive", "pin"):
        await keys.press("Tab")
        await wait_for_focus(tab, tool)
    await keys.press("Tab")  # the other two notifications are not in the tab order
    await tab.panel.wait_for(state="hidden")


async def test_menu_works_with_the_keyboard(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("One")
    await tab.page.locator("hub-inbox-menu [data-tool=menu]").focus()
    for key, element in (
        *(
            ("ArrowDown", "markAllRead"),
            ("ArrowDown", "archiveAll"),
            ("End", "shortcuts"),
            ("ArrowDown", "markAllRead"),
        ),
        *(("Escape", "menu"), ("Enter", "markAllRead"), ("ArrowUp", "shortcuts"), ("Home", "markAllRead")),
    ):
        await tab.page.keyboard.press(key)
        await wait_for_focus(tab, element)
    await tab.page.keyboard.press("Enter")
    await wait_for_focus(tab, "menu")
    await wait_for_marks(tenant, "One", readAt=True)


async def test_caps_lock_does_not_change_the_shortcuts(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two", "Three"):
        await tenant.send("alice", title=title)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("Three", "Two", "One")
    await tab.item("Three").locator(".open").focus()
    with_shift = """(row) => row.shadowRoot.querySelector(".open").dispatchEvent(
      new KeyboardEvent("keydown", { key: "e", code: "KeyE", shiftKey: true, bubbles: true, composed: true }))"""
    await tab.item("Three").evaluate(with_shift)  # Shift with Caps Lock: "e", which is not a shortcut
    await tab.page.keyboard.press("J")  # Caps Lock without Shift
    await wait_for_focus(tab, "Two")
    await tab.page.keyboard.press("E")
    await tab.wait_for_items("Three", "One")
    await wait_for_marks(tenant, "Two", archivedAt=True)
    await wait_for_marks(tenant, "Three", archivedAt=False)
    await tab.page.keyboard.press("Z")
    await tab.wait_for_items("Three", "Two", "One")


async def test_down_and_j_enter_the_list_from_the_rest_of_the_panel(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two", "Three"):
        await tenant.send("alice", title=title)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("Three", "Two", "One")
    keys = tab.page.keyboard
    for key, element in (("ArrowDown", "Three"), ("ArrowDown", "Two"), ("End", "One"), ("ArrowDown", "One")):
        await keys.press(key)
        await wait_for_focus(tab, element)
    await tab.leave_the_list()
    await keys.press("j")
    await wait_for_focus(tab, "One")  # where the user was
    await keys.press("/")
    await expect(tab.page.locator("hub-inbox-panel .search input")).to_be_focused()
    for key, element in (("Escape", "search"), ("ArrowDown", "One"), ("k", "Two")):
        await keys.press(key)
        await wait_for_focus(tab, element)


async def test_arrows_move_between_the_choices_of_a_snooze(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two"):
        await tenant.send("alice", title=title)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("Two", "One")
    keys = tab.page.keyboard
    steps = (
        *(("ArrowDown", "Two"), ("s", "inAnHour"), ("ArrowDown", "tomorrow"), ("ArrowRight", "nextWeek")),
        *(("ArrowUp", "tomorrow"), ("ArrowLeft", "inAnHour"), ("ArrowLeft", "snoozeUntil"), ("ArrowRight", "inAnHour")),
        *(("Escape", "snooze"), ("ArrowDown", "One")),
    )
    for key, element in steps:
        await keys.press(key)
        await wait_for_focus(tab, element)


async def test_undo_moves_the_focus_to_the_notification_that_is_restored(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("One", "Two", "Three"):
        await tenant.send("alice", title=title)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("Three", "Two", "One")
    keys = tab.page.keyboard
    for key, element in (("ArrowDown", "Three"), ("j", "Two"), ("e", "One"), ("z", "Two")):
        await keys.press(key)
        await wait_for_focus(tab, element)
    for key, element in (("j", "One"), ("s", "inAnHour"), ("Enter", "Two"), ("Control+z", "One")):
        await keys.press(key)
        await wait_for_focus(tab, element)
    await wait_for_marks(tenant, "Two", archivedAt=False)
    await wait_for_marks(tenant, "One", snoozedUntil=False)
