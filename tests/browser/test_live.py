"""The inbox stays current: in several tabs, after lost connections, and after restarts."""

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import Browsers, BrowserUser, CuttableProxy
from tests.browser.inbox_marks import send_numbered
from tests.client import Tenant, eventually
from tests.conftest import fresh_servers
from tests.processes import Deployment

MISSED_COUNT = 200


async def test_notification_arrives_in_two_tabs_and_is_announced_once(tenant: Tenant, alice: BrowserUser) -> None:
    one, other = await alice.tab(), await alice.tab()
    await one.open()
    await one.wait_until_live()
    await other.wait_until_live()
    await tenant.send("alice", title="First")
    await tenant.send("alice", title="Second")
    await one.wait_for_items("Second", "First")
    await one.wait_for_unread(2)
    await other.wait_for_unread(2)
    assert await other.bell.get_attribute("aria-label") == "Notifications, 2 unread"
    aloud = other.page.locator("hub-inbox > [role=status]").filter(has_text="new notification")
    await aloud.wait_for(state="attached")


async def test_item_shows_the_name_of_its_category_and_its_importance(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.define_category("billing", name="Invoices")
    await tenant.send("alice", title="Loaded", category="billing")
    tab = await (await alice.tab()).open()
    await tab.wait_until_live()
    await tab.wait_for_items("Loaded")
    await tenant.send("alice", title="Told", category="billing", priority="HIGH")
    await tab.wait_for_items("Told", "Loaded")
    for title in ("Told", "Loaded"):
        await tab.item(title).get_by_text("Invoices", exact=True).wait_for()
    assert await tab.page.get_by_text("Important", exact=True).count() == 1
    await tab.item("Told").get_by_text("Important", exact=True).wait_for()


@pytest.mark.parametrize(
    ("language", "count"), [("en", "3 notifications"), ("de", "3 Mitteilungen"), ("ar", "3 إشعارات")]
)
async def test_newer_notification_replaces_the_older_one_and_shows_the_count(
    tenant: Tenant, browsers: Browsers, language: str, count: str
) -> None:
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    tab = await (await (await browsers.person("alice", page=page)).tab()).open()
    await tab.wait_until_live()
    for title in ("One like", "Two likes", "Three likes"):
        await tenant.send("alice", title=title, collapseKey="likes")
        await tab.wait_for_items(title)
    await tab.wait_for_unread(1)
    await tab.item("Three likes").get_by_text(count, exact=True).wait_for()
    assert not await tab.axe_violations()
    assert await tenant.execute('mutation { resolve(collapseKey: "likes") }') == {"resolve": 1}
    await tab.items.first.wait_for(state="detached")
    await tab.wait_for_unread(0)


async def test_mark_in_one_tab_shows_in_the_other_before_the_hub_responds(
    tenant: Tenant, browsers: Browsers, proxy: CuttableProxy
) -> None:
    await send_numbered(tenant, 2)
    alice = await browsers.person("alice", url=proxy.url)
    one, other = await alice.tab(), await alice.tab()
    for tab in (one, other):
        await tab.wait_for_unread(2)
        await tab.wait_until_live()
    await other.open()
    await proxy.cut()
    await one.open()
    await one.press("Number 001", "markRead")
    await other.item("Number 001").locator("[data-tool=markUnread]").wait_for(state="attached")
    await other.wait_for_unread(1)
    assert (await tenant.inbox("alice"))["unread"] == 2
    await proxy.accept_connections()

    async def stored() -> bool:
        return bool((await tenant.inbox("alice"))["unread"] == 1)

    await eventually(stored)
    await one.wait_for_unread(1)
    await other.wait_for_unread(1)


async def test_marks_of_other_devices_show_immediately(tenant: Tenant, alice: BrowserUser) -> None:
    newest, *_ = await send_numbered(tenant, 3)
    tab = await (await alice.tab()).open()
    await tab.wait_for_unread(3)
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice"))["nodes"]}
    await tenant.mark("alice", "markRead", ids[newest])
    await tab.wait_for_unread(2)
    await tenant.mark("alice", "archive", ids[newest])
    await tab.wait_for_items("Number 001", "Number 000")
    await tenant.mark_all("alice", "markAllRead")
    await tab.wait_for_unread(0)
    await tenant.mark_all("alice", "archiveAll")
    await tab.wait_for_items()
    await tab.page.get_by_text("You are all caught up").wait_for()


async def test_notifications_sent_while_offline_appear_once_and_in_order(
    tenant: Tenant, browsers: Browsers, proxy: CuttableProxy
) -> None:
    before = await send_numbered(tenant, 3)
    alice = await browsers.person("alice", url=proxy.url)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items(*before)
    await tab.wait_until_live()
    await alice.context.set_offline(True)
    await proxy.cut()
    await tab.connection_status.filter(has_text="Offline").wait_for()
    missed = await send_numbered(tenant, MISSED_COUNT, first=3)
    assert await tab.titles() == before
    await proxy.accept_connections()
    await alice.context.set_offline(False)

    async def counted() -> bool:
        return bool(await tab.page.evaluate("told.some(([name, count]) => name === 'hub-count' && count >= 203)"))

    await eventually(counted)
    assert await tab.read_list() == [*missed, *before]
    await tab.wait_for_unread("99+")
    assert not await tab.page.evaluate("told.some(([name, count]) => name === 'hub-count' && count > 203)")


async def test_inbox_reconnects_after_the_hub_was_killed(browser: Browser) -> None:
    async with fresh_servers() as (mongod, redis):
        async with Deployment(mongod.url, redis.url, apis=1, workers=0) as deployment:
            async with Tenant("restarted", deployment.urls) as tenant:
                async with BrowserUser(
                    await browser.new_context(locale="en"), tenant, "alice", tenant.urls[0]
                ) as alice:
                    tab = await (await alice.tab()).open()
                    await tenant.send("alice", title="Before")
                    await tab.wait_for_items("Before")
                    await tab.wait_until_live()
                    deployment.apis[0].kill()
                    await tab.connection_status.filter(has_text="Connecting").wait_for()
                    await tab.press("Before", "archive")  # no hub can accept it yet
                    await tab.wait_for_items()
                    await deployment.apis[0].start()
                    await tenant.send("alice", title="After")
                    await tab.wait_for_items("After")
                    await tab.wait_until_live()

                    async def archived() -> bool:
                        return [n["title"] for n in (await tenant.inbox("alice", view="ARCHIVED"))["nodes"]] == [
                            "Before"
                        ]

                    await eventually(archived)


async def test_stored_page_is_shown_before_the_hub_responds(
    tenant: Tenant, browsers: Browsers, proxy: CuttableProxy
) -> None:
    titles = await send_numbered(tenant, 3)
    alice = await browsers.person("alice", url=proxy.url)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items(*titles)

    async def stored() -> bool:
        return "Number 002" in await tab.page.evaluate("JSON.stringify(localStorage)")

    await eventually(stored)
    await proxy.cut()
    await tab.page.reload()
    await tab.wait_for_unread(3)
    await tab.open()
    await tab.wait_for_items(*titles)
    await tab.connection_status.wait_for()
    newer = await send_numbered(tenant, 1, first=3)
    await proxy.accept_connections()
    await tab.wait_for_items(*newer, *titles)


async def test_too_many_missed_changes_reload_the_inbox(
    tenant: Tenant, browsers: Browsers, proxy: CuttableProxy
) -> None:
    await tenant.send("alice", title="Old")
    alice = await browsers.person("alice", url=proxy.url)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("Old")
    await tab.wait_until_live()
    kinds: list[str] = []
    tab.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: kinds.append(str(frame))))
    await proxy.cut()
    await tenant.fill_inbox("alice", 1_000)
    await tenant.fill_inbox("alice", 1)
    await tenant.send("alice", title="New")
    await proxy.accept_connections()
    await tab.wait_for_unread("99+")
    await tab.wait_for_items("New", *["Hello"] * 19)
    assert any('"kind":"RESYNC"' in frame for frame in kinds)
    await tenant.send("alice", title="Newer")
    await tab.item("Newer").wait_for()


async def test_scrolling_loads_older_pages(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 65)
    tab = await (await alice.tab()).open()
    await tab.items.nth(19).wait_for()
    assert await tab.items.count() < 65
    assert await tab.read_list() == titles


@pytest.mark.parametrize("tool", ["markRead", "archive"])
async def test_rejected_mark_rolls_back_in_every_tab_with_a_message(
    tool: str, tenant: Tenant, alice: BrowserUser
) -> None:
    titles = await send_numbered(tenant, 2)
    tab, other = await alice.tab(), await alice.tab()
    held = await tab.hold(f"{tool}(")
    await other.open()
    await tab.open()
    await tab.wait_for_items(*titles)
    await tab.press(titles[0], tool)
    await tab.wait_for_unread(1)
    await other.wait_for_unread(1)

    async def requested() -> bool:
        return bool(held)

    await eventually(requested)
    held[0].refuse("No more today")
    await tab.toast.filter(has_text="No more today").wait_for()
    for each in (tab, other):
        await each.wait_for_unread(2)
        await each.wait_for_items(*titles)


async def test_bell_removed_right_after_connecting_leaves_nothing_behind(alice: BrowserUser) -> None:
    tab = await alice.tab()
    await tab.wait_until_live()
    left = await tab.page.evaluate("""async () => {
      const bell = document.createElement("hub-inbox");
      bell.getToken = () => giveToken(null);
      const {removeEventListener} = document;
      const gone = new Promise((resolve) => {
        document.removeEventListener = function (...given) { // the last that joining does
          document.removeEventListener = removeEventListener;
          removeEventListener.apply(document, given);
          bell.remove();
          setTimeout(() => resolve(!bell.hub && !bell._inbox), 0);
        };
      });
      document.body.append(bell);
      return gone;
    }""")
    assert left


async def test_stored_page_of_another_version_is_ignored(tenant: Tenant, alice: BrowserUser) -> None:
    titles = await send_numbered(tenant, 2)
    tab = await (await alice.tab()).open()
    await tab.wait_for_items(*titles)
    await tab.page.add_init_script("""window.found = Object.keys(localStorage);
      for (const key of found) localStorage[key] = JSON.stringify({items: 7, unread: 1, unseen: 1, at: Date.now()})""")
    await tab.page.reload()
    assert await tab.page.evaluate("found.length") == 1
    await tab.open()
    await tab.wait_for_items(*titles)
    await tab.wait_until_live()


BANNERS = """window.banners = {looks: 0, open: []};
Object.defineProperty(navigator, "serviceWorker", {value: {getRegistration: async () => ({getNotifications: async () => {
  banners.looks++;
  return banners.open.map((id) => ({data: {hub: {id}}, close: () => (banners.open = banners.open.filter((one) => one !== id))}));
}})}})"""


async def test_banners_close_when_read_on_another_device(
    tenant: Tenant, browsers: Browsers, proxy: CuttableProxy
) -> None:
    await send_numbered(tenant, 25)
    ids = {n["title"]: n["id"] for n in (await tenant.inbox("alice", first=25))["nodes"]}
    alice = await browsers.person("alice", url=proxy.url)
    tab = await alice.blank()
    await tab.page.add_init_script(BANNERS)
    await tab.load()
    await tab.wait_for_unread(25)
    await tab.wait_until_live()

    async def show(*expected: str) -> None:
        await tab.page.evaluate("(ids) => { banners.open = ids }", list(expected))

    async def shows(*expected: str) -> None:
        async def check() -> bool:
            return bool(await tab.page.evaluate("banners.open") == list(expected))

        await eventually(check)

    newest, deep = ids["Number 024"], ids["Number 000"]
    await show(newest, deep)
    looks = await tab.page.evaluate("banners.looks")
    await tenant.mark("alice", "markRead", *list(ids.values())[:20])
    await tab.wait_for_unread(5)
    await shows(deep)
    assert await tab.page.evaluate("banners.looks") - looks < 20, "once for each"
    await proxy.cut()
    await tenant.send("alice", title="Read before it came")
    [read, *_] = (await tenant.inbox("alice"))["nodes"]
    await tenant.mark("alice", "markRead", read["id"])
    await show(read["id"], deep)
    await proxy.accept_connections()
    await shows(deep)
    await tenant.send("alice", title="Unread")
    await tab.wait_for_unread(6)
    await tenant.mark_all("alice", "markAllRead")
    await shows()


async def test_identical_news_is_announced_each_time(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await alice.tab()
    await tab.wait_until_live()
    await tab.page.evaluate("""() => {
      window.announced = [];
      const output = document.querySelector("hub-inbox").shadowRoot.querySelector("div[role=status]");
      const tell = (changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach((node) => announced.push(node.textContent)));
      new MutationObserver(tell).observe(output, { childList: true, subtree: true });
    }""")
    for count in (1, 2):
        await tenant.send("alice", title="Same")

        async def announced(count: int = count) -> bool:
            texts = [text for text in await tab.page.evaluate("announced") if text.strip()]
            return bool(texts == ["1 new notification: Same"] * count)

        await eventually(announced)


async def test_lost_network_shows_immediately_and_in_tabs_that_are_not_loaded(
    tenant: Tenant, browsers: Browsers, proxy: CuttableProxy
) -> None:
    await send_numbered(tenant, 1)
    tab = await (await (await browsers.person("alice", url=proxy.url)).tab()).open()
    await tab.wait_for_items("Number 000")
    await tab.wait_until_live()
    label = await tab.page.evaluate("""async () => {
      const bell = document.querySelector("hub-inbox");
      const panel = bell.shadowRoot.querySelector("hub-inbox-panel");
      Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
      dispatchEvent(new Event("offline"));
      await bell.updateComplete;
      await panel.updateComplete;
      return panel.shadowRoot.querySelector(".status").textContent.trim();
    }""")
    assert label == "Offline"
    await tab.wait_until_live()  # the hub responded, as one on this machine does
    await proxy.cut()
    await tab.tab("ARCHIVED").click()
    await tab.page.get_by_text("You are offline").wait_for()
    await proxy.accept_connections()
    await tab.page.get_by_text("No archived notifications").wait_for()
