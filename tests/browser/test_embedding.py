"""The components on real pages: scripts loaded twice, wrong device clocks, and a language that changes."""

from datetime import datetime, timedelta

from playwright.async_api import Page, Route, expect

from tests.browser.conftest import DIST, Browsers, BrowserUser
from tests.client import Tenant, eventually

TWO_COPIES = """<!doctype html><html lang="en"><meta charset="utf-8"><title>An app</title>
<script type="module" src="/inbox.js?ver=1"></script><script type="module" src="/preferences.js"></script>
<script defer src="/page.js"></script><hub-inbox></hub-inbox><hub-preferences token="{token}"></hub-preferences>"""
SHIFT_CLOCK = """(() => {
  const RealDate = Date;
  const wrong = () => RealDate.now() + %d;
  globalThis.Date = class extends RealDate {
    constructor(...given) { super(...(given.length ? given : [wrong()])); }
    static now() { return wrong(); }
  };
})()"""
"""A device whose clock is off by that many milliseconds."""
HOUR_MS = 3_600_000


async def embed_two_copies(alice: BrowserUser) -> Page:
    """A page that loads `/inbox.js` under two URLs: its own, and the one that `/preferences.js` imports."""

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(f"{alice.origin}/").partition("?")[0]
        if path == "page":
            await route.fulfill(body=TWO_COPIES.format(token=alice.sign()), content_type="text/html")
        else:
            await route.fulfill(path=DIST / path, content_type="text/javascript")

    for path in ("page", "inbox.js*", "inbox-panel.js", "preferences.js"):
        await alice.context.route(f"{alice.origin}/{path}", serve)
    return await alice.context.new_page()


async def test_scripts_loaded_from_two_urls_share_one_connection(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    page = await embed_two_copies(alice)
    errors: list[str] = []
    sockets: list[str] = []
    loaded: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.on("request", lambda request: loaded.append(request.url.removeprefix(alice.origin)))
    await page.goto(f"{alice.origin}/page")
    await expect(page.locator("hub-inbox .badge")).to_have_text("1")
    await expect(page.locator("hub-preferences").get_by_role("switch").first).to_be_visible()
    assert {"/inbox.js", "/inbox.js?ver=1"} <= set(loaded)
    assert errors == []
    assert len(sockets) == 1


async def test_wrong_device_clock_does_not_change_snoozes_or_ages(tenant: Tenant, browsers: Browsers) -> None:
    for offset_ms in (2 * HOUR_MS, -2 * HOUR_MS):
        user = f"user{offset_ms}"
        await tenant.send(user, title="One")
        recipient = await browsers.person(user)
        await recipient.context.add_init_script(SHIFT_CLOCK % offset_ms)
        tab = await (await recipient.tab()).open()
        await tab.wait_until_live()
        await expect(tab.item("One").locator("time")).to_have_text("just now")
        await tab.press("One", "snooze")
        await tab.item("One").locator(".choices button").first.click()

        async def snoozed(user: str = user) -> str | None:
            nodes = (await tenant.inbox(user, view="ALL"))["nodes"]
            return nodes[0]["snoozedUntil"] if nodes else None

        await eventually(snoozed)
        created_at = datetime.fromisoformat((await tenant.inbox(user, view="ALL"))["nodes"][0]["createdAt"])
        until = datetime.fromisoformat(await snoozed() or "")
        assert timedelta(minutes=59) < until - created_at < timedelta(minutes=62)


async def test_inbox_follows_a_language_change_of_the_page(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="One")
    tab = await alice.tab()
    await tab.wait_for_unread(1)
    await tab.page.evaluate("document.documentElement.lang = 'de'")
    await expect(tab.bell).to_have_attribute("aria-label", "Mitteilungen, 1 ungelesen")
    await expect(tab.page.locator("hub-inbox #panel")).to_have_attribute("lang", "de")
    await tab.page.evaluate("document.documentElement.lang = 'ar'")
    await expect(tab.page.locator("hub-inbox #panel")).to_have_attribute("dir", "rtl")
    await tab.page.evaluate("document.querySelector('hub-inbox').locale = 'en'")
    await expect(tab.bell).to_have_attribute("aria-label", "Notifications, 1 unread")
    await tab.page.evaluate("document.documentElement.lang = 'de'")
    await tab.page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    await expect(tab.bell).to_have_attribute("lang", "en")


async def test_preferences_follow_a_language_change_of_the_page(alice: BrowserUser) -> None:
    page = await embed_two_copies(alice)
    await page.goto(f"{alice.origin}/page")
    element = page.locator("hub-preferences div.all")
    await expect(element).to_have_attribute("lang", "en")
    await page.evaluate("document.documentElement.lang = 'ar'")
    await expect(element).to_have_attribute("dir", "rtl")
