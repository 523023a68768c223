"""Arrivals outside the panel: toasts, the event `hub-arrived`, the title of the page, and the icon of the app."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Browsers, BrowserUser, Tab
from tests.browser.inbox_marks import send_numbered, wait_for_marks
from tests.browser.test_appearance import LOOKS, check_state
from tests.browser.test_swipe import press_row
from tests.client import Tenant, eventually

BADGES = """window.badges = [];
navigator.setAppBadge = async (count) => { badges.push(count); };"""
EVENTS = """window.arrived = [];
addEventListener("hub-arrived", (event) => {
  const { title } = event.detail.notification;
  arrived.push(title);
  if (title === "Without a toast") event.preventDefault();
});"""


async def wait_for_toasts(tab: Tab, *titles: str) -> None:
    shown = tab.page.locator("hub-inbox-toasts .open bdi")

    async def check() -> bool:
        return await shown.all_inner_texts() == list(titles)

    await eventually(check)


async def open_with_toasts(alice: BrowserUser) -> Tab:
    tab = await alice.blank()
    await tab.page.clock.install()
    await tab.page.add_init_script(EVENTS)
    await tab.load()
    await tab.wait_until_live()

    async def loaded() -> bool:
        """Return True if the first page is loaded, too: a notification in it has not arrived."""
        names = ["hub-inbox-toasts", "hub-inbox-item"]
        elements = await tab.page.evaluate("(names) => names.every((name) => customElements.get(name))", names)
        return bool(elements) and await tab.page.locator("hub-inbox").evaluate(
            "(bell) => bell._inbox?.list('ACTIVE').state === 'ready'"
        )

    await eventually(loaded)
    return tab


@pytest.mark.parametrize("look", ["desktop-light", "desktop-forced-colors", "phone-arabic-dark"])
async def test_toasts_show_the_three_newest_arrivals_until_they_are_read(
    look: str, tenant: Tenant, browsers: Browsers
) -> None:
    device, scheme, language = LOOKS[look]
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr", "attributes": "toasts"}
    alice = await browsers.person("alice", page=page, color_scheme=scheme, reduced_motion="reduce", **device)
    tab = await open_with_toasts(alice)
    titles = await send_numbered(tenant, 4)
    await tenant.send("alice", title="Without a toast")
    await tab.wait_for_unread(5)
    await wait_for_toasts(tab, *titles[:3])
    assert await tab.page.evaluate("arrived") == [*titles[::-1], "Without a toast"]
    await check_state(tab, look, "toasts")
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "markRead", ids[titles[0]])  # on another device
    await wait_for_toasts(tab, *titles[1:3])
    await tab.page.evaluate("window.stay = true")
    await tab.page.locator("hub-inbox-toasts .open").first.click()
    await wait_for_toasts(tab, titles[2])
    await wait_for_marks(tenant, titles[1], readAt=True)
    dismiss = tab.page.locator("hub-inbox-toasts [part=dismiss]")
    await dismiss.focus()
    await tab.page.clock.fast_forward(20_000)
    await wait_for_toasts(tab, titles[2])  # the focus keeps it
    await tab.page.keyboard.press("Enter")
    await wait_for_toasts(tab)
    await expect(tab.bell).to_be_focused()
    await wait_for_marks(tenant, titles[2], readAt=False)


async def test_toasts_wait_for_the_pointer_and_are_not_shown_with_the_panel(tenant: Tenant, browsers: Browsers) -> None:
    tab = await open_with_toasts(await browsers.person("alice", page={"attributes": "toasts"}))
    await tenant.send("alice", title="First")
    await wait_for_toasts(tab, "First")
    await tab.page.locator("hub-inbox-toasts .toast").hover()
    await tab.page.clock.fast_forward(20_000)
    await wait_for_toasts(tab, "First")
    await tab.page.mouse.move(1, 1)
    await tab.page.clock.fast_forward(20_000)
    await wait_for_toasts(tab)
    await tenant.send("alice", title="Second")
    await wait_for_toasts(tab, "Second")
    await tab.open()
    await wait_for_toasts(tab)
    await tenant.send("alice", title="Third")
    await tab.wait_for_items("Third", "Second", "First")
    await wait_for_toasts(tab)


async def test_toast_cannot_be_swiped(tenant: Tenant, browsers: Browsers) -> None:
    """The tools of the swipe, and its undo, are in the panel."""
    alice = await browsers.person("alice", page={"attributes": "toasts"}, **LOOKS["phone-light"][0])
    tab = await open_with_toasts(alice)
    await tenant.send("alice", title="One")
    await wait_for_toasts(tab, "One")
    for distance in (150, -150):
        finger = await (await press_row(tab, "One")).move(distance)
        await expect(tab.page.locator("hub-inbox-toasts .swipe")).to_have_count(0)
        await finger.lift()
    await wait_for_toasts(tab, "One")
    await expect(tab.page.locator("hub-inbox-toasts .choices")).to_have_count(0)


async def test_title_and_app_icon_show_the_unread_count(tenant: Tenant, browsers: Browsers) -> None:
    alice = await browsers.person("alice", page={"attributes": "title-count app-badge"})
    await send_numbered(tenant, 2)
    tab = await alice.blank()
    await tab.page.add_init_script(BADGES)
    await tab.load()
    await expect(tab.page).to_have_title("(2) An app")
    await tab.wait_until_live()
    await tab.page.evaluate("document.title = 'Another page'")
    await expect(tab.page).to_have_title("(2) Another page")
    await send_numbered(tenant, 1, first=2)
    await expect(tab.page).to_have_title("(3) Another page")
    assert await tab.page.evaluate("badges.at(-1)") == 3
    await tenant.mark_all("alice", "markAllRead")
    await expect(tab.page).to_have_title("Another page")
    assert await tab.page.evaluate("badges.at(-1)") == 0
    await send_numbered(tenant, 1, first=3)
    await expect(tab.page).to_have_title("(1) Another page")
    await tab.page.locator("hub-inbox").evaluate("(bell) => bell.remove()")
    await expect(tab.page).to_have_title("Another page")
    assert await tab.page.evaluate("badges.at(-1)") == 0
