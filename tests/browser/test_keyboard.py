"""The inbox without a mouse."""

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
        await eventually(has_focus, 5)
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
    await at("In 1 hour")
    await keys.press("Escape")  # closes the choice, not the panel
    await at("snooze")
    await keys.press("Enter")
    await keys.press("Enter")
    await tab.wait_for_items("Three")
    await at("Three")
    await keys.press("Control+z")
    await tab.wait_for_items("One", "Three")
    await keys.press("Escape")
    await tab.panel.wait_for(state="hidden")
    await at("bell")
    await wait_for_marks(tenant, "Two", archivedAt=True)
    await wait_for_marks(tenant, "One", snoozedUntil=False)
