"""Clicks in the inbox: opening, marking, undoing, and following links."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import BrowserUser
from tests.browser.inbox_marks import open_panel, stored_notification, wait_for_marks
from tests.browser.test_keyboard import wait_for_focus
from tests.client import Tenant, eventually

COUNT_POSTS = """const send = window.fetch;
window.fetch = (...given) => ((localStorage.posts = Number(localStorage.posts ?? 0) + 1), send(...given));"""


async def test_opening_the_panel_marks_seen_and_opening_an_item_marks_read(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await alice.tab()
    await tab.wait_for_unread(1)
    assert not await tab.bell.locator(".badge.seen").count()
    assert not (await stored_notification(tenant, "One"))["seenAt"]
    await tab.open()
    await wait_for_marks(tenant, "One", seenAt=True, readAt=False)
    await tab.bell.locator(".badge.seen").wait_for()
    await tab.item("One").locator(".open").click()
    await wait_for_marks(tenant, "One", readAt=True)
    await tab.wait_for_unread(0)


async def test_panel_of_a_moved_bell_is_closed(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await (await alice.tab()).open()
    await tab.wait_until_live()
    bell = tab.page.locator("hub-inbox")
    await bell.evaluate("(bell) => document.querySelector('main').append(bell)")
    await tab.panel.wait_for(state="hidden")
    await tenant.send("alice", title="News")
    await tab.page.locator("hub-inbox > [role=status]").filter(has_text="News").wait_for(state="attached")
    assert await bell.evaluate("(bell) => bell._inbox.unseen") == 1
    await tab.open()
    await wait_for_marks(tenant, "News", seenAt=True)


async def test_app_can_open_the_panel_of_a_bell_that_it_has_just_created(alice: BrowserUser) -> None:
    tab = await alice.tab()
    await tab.wait_until_live()
    await tab.page.evaluate("""() => {
      const bell = document.createElement("hub-inbox");
      document.querySelector("main").append(bell);
      bell.open();
    }""")
    await tab.page.locator("main > hub-inbox #panel").wait_for(state="visible")


async def test_mark_of_a_clicked_link_arrives_although_the_page_unloads(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="Go", content={"actionUrl": "/elsewhere?1"})
    tab = await alice.tab()
    await tab.hold("markAllSeen")  # marks are sent one after another, so the next one has not been sent yet
    await tab.wait_for_unread(1)
    await tab.open()
    await tab.item("Go").locator(".open").click()
    await tab.page.wait_for_url("**/elsewhere?1")
    await wait_for_marks(tenant, "Go", readAt=True)


async def test_app_with_a_router_handles_links_itself(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send(
        "alice",
        title="Go",
        content={"actionUrl": "/elsewhere?1", "actions": [{"key": "later", "label": "Later"}]},
    )
    tab = await open_panel(alice, "Go")
    await tab.page.evaluate("window.stay = true")
    await tab.item("Go").locator(".open").click()
    await tab.open()
    await tab.item("Go").get_by_text("Later").click()
    received = [entry for entry in await tab.page.evaluate("told") if entry[0] != "hub-count"]
    assert received == [["hub-open", "/elsewhere?1"], ["hub-action", "later"]]
    await wait_for_marks(tenant, "Go", readAt=True)
    assert await tab.page.evaluate("location.href") == f"{alice.origin}/page"


async def test_app_with_a_router_gets_absolute_urls_of_other_origins(tenant: Tenant, alice: BrowserUser) -> None:
    """A path with two slashes would be another site for a browser."""
    for title, url in (("Away", "https://other.example.org/a"), ("Slashes", f"{alice.origin}//b.example.org/")):
        await tenant.send("alice", title=title, content={"actionUrl": url})
    tab = await open_panel(alice, "Slashes", "Away")
    await tab.page.evaluate("window.stay = true")
    await tab.item("Away").locator(".open").click()
    await tab.open()
    await tab.item("Slashes").locator(".open").click()
    received = [url for name, url in await tab.page.evaluate("told") if name == "hub-open"]
    assert received == ["https://other.example.org/a", f"{alice.origin}//b.example.org/"]


async def test_panel_closes_when_the_app_follows_a_link_itself(tenant: Tenant, alice: BrowserUser) -> None:
    """On a phone the panel covers the page, so it closes even if the app asks to keep it."""
    view, later = {"key": "view", "label": "View", "url": "/elsewhere?2"}, {"key": "later", "label": "Later"}
    await tenant.send("alice", title="Go", content={"actionUrl": "/elsewhere?1", "actions": [view, later]})
    tab = await alice.tab()
    await tab.wait_for_unread(1)
    await tab.page.evaluate("""window.stay = true;
      addEventListener("hub-action", (event) => event.preventDefault())""")
    for width, keep_open in ((1280, False), (1280, True), (390, False), (390, True)):
        await tab.page.set_viewport_size({"width": width, "height": 800})
        await tab.page.locator("hub-inbox").evaluate("(bell, on) => bell.toggleAttribute('keep-open', on)", keep_open)
        stays = keep_open and width > 520
        for name in ("View", "Go"):
            if not await tab.panel.is_visible():
                await tab.open()
            await tab.item("Go").get_by_text("Later").click()
            assert await tab.panel.is_visible()
            await tab.item("Go").get_by_text(name, exact=True).click()
            assert await tab.panel.is_visible() is stays, (width, keep_open, name)
    assert await tab.page.evaluate("location.href") == f"{alice.origin}/page"
    await wait_for_focus(tab, "bell")
    await tab.open()
    await tab.page.evaluate("location.hash = '#builds'")  # a link of an app whose routes are in the fragment
    await tab.panel.wait_for(state="hidden")


async def test_mark_all_read_marks_every_item(tenant: Tenant, alice: BrowserUser) -> None:
    for title in "ABC":
        await tenant.send("alice", title=title)
    tab = await open_panel(alice, "C", "B", "A")
    await tab.choose("markAllRead")
    await tab.wait_for_unread(0)
    for title in "ABC":
        await wait_for_marks(tenant, title, readAt=True)
    await tab.tab("UNREAD").click()
    await tab.page.get_by_text("No unread notifications").wait_for()
    await tenant.send("alice", title="D")
    await tab.wait_for_items("D")
    await tab.wait_for_unread(1)


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
async def test_archiving_can_be_undone(how: str, tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    await tenant.send("alice", title="Two")
    tab = await open_panel(alice, "Two", "One")
    await tab.press("Two", "archive")
    await tab.wait_for_items("One")
    if how == "mouse":  # the undo offer ends; the hub is asked afterwards
        await tab.toast.get_by_text("Undo").click()
    else:
        await tab.item("One").locator(".open").focus()
        await tab.page.keyboard.press("Control+z")
    await tab.wait_for_items("Two", "One")
    await wait_for_marks(tenant, "Two", archivedAt=False)
    await tab.press("Two", "archive")
    await wait_for_marks(tenant, "Two", archivedAt=True)
    await tab.tab("ARCHIVED").click()
    await tab.wait_for_items("Two")
    await tab.press("Two", "unarchive")
    await tab.wait_for_items()
    await tab.tab("ACTIVE").click()
    await tab.wait_for_items("Two", "One")


async def test_snoozing_can_be_undone_and_ended(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    await tenant.send("alice", title="Two")
    tab = await open_panel(alice, "Two", "One")
    for again in (False, True):
        await tab.press("One", "snooze")
        await tab.item("One").get_by_text("Tomorrow").click()
        await tab.wait_for_items("Two")
        await tab.wait_for_unread(1)
        if not again:
            await tab.toast.get_by_text("Undo").click()
            await tab.wait_for_items("Two", "One")
            await wait_for_marks(tenant, "One", snoozedUntil=False)
            await tab.wait_for_items("Two", "One")
    await wait_for_marks(tenant, "One", snoozedUntil=True)
    await tab.tab("SNOOZED").click()
    await tab.wait_for_items("One")
    await tab.press("One", "unsnooze")
    await tab.wait_for_items()
    await wait_for_marks(tenant, "One", snoozedUntil=False)
    await tab.wait_for_unread(2)


async def test_snooze_shows_its_times_and_accepts_any_time(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await open_panel(alice, "One")
    await tab.press("One", "snooze")
    choices = tab.item("One").locator(".choices")
    for choice in ("inAnHour", "tomorrow", "nextWeek"):
        await expect(choices.locator(f"[data-tool={choice}]")).to_have_text(re.compile(r"\d:\d\d"))
    until = await tab.page.evaluate("new Date('2040-05-06T07:08').toISOString()")
    moment = choices.get_by_label("Date and time")
    await moment.fill("2020-05-06T07:08")
    await choices.locator("[data-tool=snoozeUntil]").click()  # the browser explains that the time has passed
    assert not await moment.evaluate("input => input.validity.valid")
    await moment.fill("2040-05-06T07:08")
    await choices.locator("[data-tool=snoozeUntil]").click()
    await tab.wait_for_items()
    await wait_for_marks(tenant, "One", snoozedUntil=True)
    assert (await stored_notification(tenant, "One"))["snoozedUntil"] == until


async def test_pending_marks_are_sent_in_order_when_the_page_unloads(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    await tenant.send("alice", title="Two")
    tab = await alice.tab()
    await tab.page.add_init_script(COUNT_POSTS)
    await tab.hold("markAllSeen")
    await tab.wait_for_unread(2)
    await tab.open()
    await tab.press("One", "markRead")
    await tab.press("One", "markUnread")
    await tab.press("Two", "archive")
    await tab.wait_for_items("One")
    await tab.page.goto(f"{alice.origin}/elsewhere")
    await wait_for_marks(tenant, "Two", archivedAt=True)
    await wait_for_marks(tenant, "One", seenAt=True, readAt=False)
    assert await tab.page.evaluate("localStorage.posts") == "1"


async def test_restored_page_does_not_send_its_marks_again(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await alice.tab()
    await tab.page.add_init_script(COUNT_POSTS)
    await tab.hold("markAllSeen")
    await tab.wait_for_unread(1)
    await tab.open()
    await tab.press("One", "markRead")
    leave = "dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))"
    await tab.page.evaluate(leave)
    await wait_for_marks(tenant, "One", readAt=True)
    ids = [n["id"] for n in (await tenant.inbox("alice"))["nodes"]]
    await tenant.mark("alice", "markUnread", *ids)
    await tab.wait_for_unread(1)
    await tab.page.evaluate(leave)
    await tab.press("One", "archive")  # the next mark does not wait for the posted ones
    await wait_for_marks(tenant, "One", archivedAt=True, readAt=False)
    assert await tab.page.evaluate("localStorage.posts") == "1"


async def test_nothing_is_posted_without_a_token(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await alice.tab()
    await tab.wait_for_unread(1)
    await tab.page.add_init_script(COUNT_POSTS)
    await tab.page.add_init_script("""const give = window.giveToken;
      let first = true;
      window.giveToken = (refused) => first ? ((first = false), give(refused)) : new Promise(() => {})""")
    await tab.page.reload()  # so it is stored
    await tab.open()
    await tab.press("One", "markRead")
    await tab.wait_for_unread(0)
    await tab.page.goto(f"{alice.origin}/elsewhere")
    assert not await tab.page.evaluate("localStorage.posts")


async def test_list_and_badge_agree_while_marks_are_pending(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("Ant", "Bee", "Cat"):
        await tenant.send("alice", title=title)
    tab = await alice.tab()
    held = await tab.hold("markAllRead")

    async def requested() -> bool:
        return bool(held)

    await tab.open()
    await tab.wait_for_unread(3)
    await tab.choose("markAllRead")
    await tab.wait_for_unread(0)
    await tab.press("Bee", "markUnread")
    await tab.wait_for_unread(1)
    await tab.press("Ant", "archive")
    await tab.wait_for_unread(1)
    await tab.leave_the_list()
    await tenant.send("alice", title="Dog")
    await tab.wait_for_items("Dog", "Cat", "Bee")
    await tab.wait_for_unread(2)
    await tab.tab("UNREAD").click()
    await tab.wait_for_items("Dog", "Bee")
    await eventually(requested)
    held[0].refuse("No more today")
    await tab.wait_for_items("Dog", "Cat", "Bee")
    await tab.wait_for_unread(3)
    await wait_for_marks(tenant, "Ant", archivedAt=True)


async def test_mark_all_applies_to_the_items_of_the_view(tenant: Tenant, alice: BrowserUser) -> None:
    for title in ("Old", "Older"):
        await tenant.send("alice", title=title)
    await tenant.fill_inbox("alice", 30)
    nodes = (await tenant.inbox("alice", first=30))["nodes"]
    await tenant.mark("alice", "markRead", *(n["id"] for n in nodes))
    tab = await alice.tab()
    await tab.hold("markAllRead")
    await tab.open()
    await tab.tab("UNREAD").click()
    await tab.wait_for_items("Older", "Old")
    await tab.choose("markAllRead")
    await tab.wait_for_unread(0)
    await tab.wait_for_items()


async def test_item_that_arrived_in_an_open_panel_is_seen_when_the_page_is_visible_again(
    tenant: Tenant, alice: BrowserUser
) -> None:
    tab = await (await alice.tab()).open()
    await tab.wait_until_live()
    show = """(state) => {
      Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
      document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
    }"""
    await tab.page.evaluate(show, "hidden")
    await tenant.send("alice", title="News")
    await tab.wait_for_items("News")
    output = tab.page.locator("hub-inbox > [role=status]").filter(has_text="News")
    await output.wait_for(state="attached")
    assert not (await stored_notification(tenant, "News"))["seenAt"]
    await tab.page.evaluate(show, "visible")
    await wait_for_marks(tenant, "News", seenAt=True)


async def test_notification_that_requires_it_is_acknowledged(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="Evacuate", requireAck=True)
    tab = await open_panel(alice, "Evacuate")
    await tab.item("Evacuate").get_by_text("Acknowledge").click()
    await tab.item("Evacuate").get_by_text("✓ Acknowledged").wait_for()
    await wait_for_marks(tenant, "Evacuate", acknowledgedAt=True, readAt=True)


async def test_panel_closes_on_click_or_focus_outside(alice: BrowserUser) -> None:
    tab = await (await alice.tab()).open()
    await tab.page.get_by_text("Your work").click()
    await tab.panel.wait_for(state="hidden")
    await tab.open()
    for _ in range(6):
        await tab.page.keyboard.press("Tab")
    await tab.panel.wait_for(state="hidden")
