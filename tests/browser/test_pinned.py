"""Pinned notifications are above the others, in every tab and on every device."""

from playwright.async_api import expect

from tests.browser.conftest import Browsers, BrowserUser, Tab
from tests.browser.inbox_marks import open_panel, send_numbered, wait_for_marks
from tests.browser.test_appearance import LOOKS, check_state, send_samples
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant, eventually

PINNED_MAX = 20


async def wait_for_first(tab: Tab, *titles: str) -> None:
    """Wait until the list begins with these titles."""

    async def check() -> bool:
        return (await tab.titles())[: len(titles)] == list(titles)

    try:
        await eventually(check, 60)
    except AssertionError:
        assert (await tab.titles())[: len(titles)] == list(titles)


async def headings(tab: Tab) -> list[str]:
    return await tab.page.locator("hub-inbox-panel h3").all_inner_texts()


async def test_old_pinned_notification_is_above_the_first_day(tenant: Tenant, browsers: Browsers) -> None:
    await tenant.send("alice", title="Outage", pinned=True)
    await tenant.send("alice", title="Archived", pinned=True)
    await tenant.mark("alice", "archive", (await tenant.inbox("alice"))["nodes"][0]["id"])
    titles = await send_numbered(tenant, 25)  # the pinned ones are not on the first page
    alice = await browsers.person("alice")
    tab = await (await alice.tab()).open()
    await wait_for_first(tab, "Outage", *titles[:3])
    assert await headings(tab) == ["Pinned", "Today"]
    await expect(tab.item("Outage").get_by_role("img", name="Pinned", exact=True)).to_be_visible()
    await expect(tab.item(titles[0]).get_by_role("img", name="Pinned", exact=True)).to_have_count(0)
    assert await tab.read_list() == ["Outage", *titles]  # once, although the list loads its older place
    await tab.tab("ARCHIVED").click()
    await tab.wait_for_items("Archived")
    assert await headings(tab) == ["Today"]


async def test_pin_shows_in_other_tabs_and_on_other_devices(tenant: Tenant, browsers: Browsers) -> None:
    titles = await send_numbered(tenant, 3)
    alice, device = await browsers.person("alice"), await browsers.person("alice")
    tabs = [await open_panel(person, *titles) for person in (alice, alice, device)]
    await tabs[0].press(titles[2], "pin")
    for tab in tabs:
        await tab.wait_for_items(titles[2], titles[0], titles[1])
        assert await headings(tab) == ["Pinned", "Today"]
    await wait_for_marks(tenant, titles[2], pinned=True, readAt=False)
    await tabs[2].press(titles[2], "unpin")
    for tab in tabs:
        await tab.wait_for_items(*titles)
        assert await headings(tab) == ["Today"]


async def test_refused_pin_is_reverted(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 2)
    tab = await alice.tab()
    held = await tab.hold("mutation Pin")
    await tab.open()
    await tab.wait_for_items(*titles)
    await tab.press(titles[1], "pin")
    await tab.wait_for_items(titles[1], titles[0])

    async def is_held() -> bool:
        return bool(held)

    await eventually(is_held, 60)
    held[0].refuse("No more today")
    await tab.wait_for_items(*titles)
    await expect(tab.toast).to_contain_text("No more today")


async def test_pin_with_the_keyboard_keeps_the_focus_on_the_notification(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 3)
    tab = await open_panel(alice, *titles)
    keys = tab.page.keyboard
    await tab.item(titles[2]).locator(".open").focus()
    await keys.press("p")
    await tab.wait_for_items(titles[2], titles[0], titles[1])
    await wait_for_focus(tab, titles[2])
    for tool in ("markRead", "snooze", "archive", "unpin"):
        await keys.press("Tab")
        await wait_for_focus(tab, tool)
    await expect(tab.page.get_by_role("button", name=f"Unpin: {titles[2]}")).to_be_focused()
    await keys.press("Enter")
    await tab.wait_for_items(*titles)
    await wait_for_focus(tab, titles[2])
    await keys.press("?")
    sheet = tab.page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(sheet.locator("dt", has_text="P")).to_have_count(1)


async def test_pins_in_the_tabs_of_the_page_in_searches_and_of_threads(tenant: Tenant, browsers: Browsers) -> None:
    await tenant.send("alice", title="Plan", category="builds", threadKey="t", pinned=True)
    for title, thread in (("Comment", "t"), ("Reply", "t"), ("Deploy", None)):
        await tenant.send("alice", title=title, category="builds", threadKey=thread)
    await tenant.send("alice", title="Outage", pinned=True)
    tabs = """[{"label": "Builds", "filter": {"categories": ["builds"]}},
      {"label": "Pinned ones", "filter": {"pinned": true}}]"""
    alice = await browsers.person("alice", page={"attributes": f"group-threads tabs='{tabs}'"})
    tab = await open_panel(alice, "Plan", "Deploy", "Reply")  # the rest of the thread is one row
    await tab.page.get_by_role("button", name="1 more (unread): Reply").wait_for()
    await tab.page.locator("#tab-1").click()
    await tab.wait_for_items("Outage", "Plan")
    await tab.page.locator("#tab-0").click()
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("l")
    await tab.wait_for_items("Deploy", "Reply")
    await tab.page.get_by_role("button", name="1 more (unread): Reply").wait_for()


async def test_at_most_20_pinned_notifications_are_above_the_others(tenant: Tenant, alice: BrowserUser) -> None:
    pinned = [f"Pin {number:02}" for number in range(PINNED_MAX + 1)]
    for title in pinned:
        await tenant.send("alice", title=title, pinned=True)
    titles = await send_numbered(tenant, 2)
    tab = await (await alice.tab()).open()
    newest = pinned[::-1]
    assert await tab.read_list() == [*newest[:PINNED_MAX], *titles, newest[-1]]


async def test_pinned_arrival_waits_while_the_user_is_in_the_list(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 2)
    tab = await open_panel(alice, *titles)
    await tab.item(titles[1]).hover()
    await tenant.send("alice", title="Outage", pinned=True)
    newer = tab.page.locator("hub-inbox-panel .newer button")
    await expect(newer).to_have_text("1 new notification")
    await tab.wait_for_items(*titles)
    await newer.click()
    await tab.wait_for_items("Outage", *titles)


async def test_pinned_notifications_are_accessible_and_fit(tenant: Tenant, browsers: Browsers) -> None:
    await send_samples(tenant)
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "pin", ids["New sign-in from Lisbon"], ids["Build failed"])
    for look, (device, scheme, language) in LOOKS.items():
        page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
        alice = await browsers.person("alice", page=page, color_scheme=scheme, reduced_motion="reduce", **device)
        tab = await (await alice.tab()).open()
        await wait_for_first(tab, "Build failed", "New sign-in from Lisbon")
        await tab.item("Build failed").hover()
        await check_state(tab, look, "pinned")
