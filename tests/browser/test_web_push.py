"""Web push in a real browser: real hub, real worker, real encryption, through Chromium's own push handling.

What is not real is at both ends: its vendor's push service is played by `push_service.py`, and the desktop that shows
its banners, on which people click, by `desktop.py`.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, CDPSession, Page, Worker, async_playwright

from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.conftest import CHROMIUM, QUIET
from tests.browser.desktop import DAEMON, Desktop
from tests.browser.push_service import LocalPushService
from tests.browser.settings_page import SettingsPage
from tests.channel_setup import QUICK, deliveries
from tests.client import Json, Tenant, eventually
from tests.processes import Deployment
from tests.worlds import VAPID_TEXT

BANNERS = """async () => {
  const registration = await navigator.serviceWorker.ready;
  return (await registration.getNotifications()).map(
    ({ title, body, tag, data, renotify, requireInteraction }) => ({ title, body, tag, data, renotify, requireInteraction })
  );
}"""
UNSUBSCRIBED = "navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription()).then((s) => s === null)"
DEVICES = "{ me { devices { id kind label } } }"
WITHIN_S = 30
PUSHED_WITHIN_S = 90
"""Chromium that lost its connection waits for up to 45 s, as measured, before it makes another."""


@dataclass(frozen=True)
class World:
    """A hub with keys for web push, and a browser with a profile and a desktop of its own."""

    tenant: Tenant
    service: LocalPushService
    desktop: Desktop
    context: BrowserContext


class Rig:
    """Somebody there, and an app's pages."""

    def __init__(self, world: World, pages: SettingsPage) -> None:
        self.tenant, self.service, self.desktop, self.context = (
            world.tenant,
            world.service,
            world.desktop,
            world.context,
        )
        self.pages = pages
        self.user = f"u{uuid4().hex[:8]}"

    def address(self, **shown: str) -> str:
        return self.pages.address(self.tenant.urls[0], self.token, **shown)

    @property
    def token(self) -> str:
        return self.tenant.token(self.user)

    async def page(self, **shown: str) -> Page:
        page = await self.context.new_page()
        await page.goto(self.address(**shown))
        return page

    async def subscribed(self, **shown: str) -> Page:
        """A page whose person has turned push on."""
        page = await self.page(**shown)
        await page.get_by_role("button", name="Turn on").click()
        await page.get_by_role("button", name="Turn off").wait_for()
        return page

    async def devices(self) -> list[Json]:
        found: list[Json] = (await self.tenant.ask(DEVICES, user=self.user))["me"]["devices"]
        return found

    async def send(self, **given: Any) -> str:
        """By web push and into the inbox; answers the notification's id."""
        sent = await self.tenant.send(self.user, channels=["IN_APP", "WEB_PUSH"], **given)
        query = "query ($id: ID!) { send(id: $id) { notifications { nodes { id } } } }"
        found = await self.tenant.ask(query, id=sent["send"]["id"])
        return str(found["send"]["notifications"]["nodes"][0]["id"])

    async def delivery(self, notification: str, status: str) -> Json:
        """Its delivery by web push, once that is in this state."""

        async def there() -> Json | None:
            for found in await deliveries(self.tenant, userId=self.user):
                if (found["notificationId"], found["channel"], found["status"]) == (notification, "WEB_PUSH", status):
                    return found
            return None

        found: Json = await eventually(there, PUSHED_WITHIN_S)
        return found

    async def read_at(self, notification: str) -> str | None:
        nodes = (await self.tenant.inbox(self.user, view="ALL"))["nodes"]
        return next(node["readAt"] for node in nodes if node["id"] == notification)

    async def banners(self, page: Page, count: int = 1) -> list[Json]:
        """What this browser shows, once it is so many. It is not asked before the desktop shows them: Chromium on Linux
        forgets a banner that it is asked about between storing and showing it."""

        async def on_the_desktop() -> bool:
            return len(self.desktop.banners) == count

        await eventually(on_the_desktop, PUSHED_WITHIN_S)

        async def known() -> bool:
            return len(await page.evaluate(BANNERS)) == count

        await eventually(known, WITHIN_S)
        found: list[Json] = await page.evaluate(BANNERS)
        return found

    async def clicked(self, title: str, button: str = "") -> None:
        """Somebody clicks on that banner, once it is there; then it is not."""

        async def there() -> bool:
            return title in [shown for shown, _, _ in self.desktop.banners.values()]

        async def gone() -> bool:
            return not await there()

        await eventually(there, PUSHED_WITHIN_S)
        self.desktop.click(title, button)
        await eventually(gone, WITHIN_S)

    async def shows(self, urls: list[str]) -> None:
        """Waits until these pages are open, beside the first one."""

        async def there() -> bool:
            return [page.url for page in self.context.pages[1:]] == urls

        try:
            await eventually(there, WITHIN_S)
        except AssertionError:
            assert [page.url for page in self.context.pages[1:]] == urls

    async def worker(self) -> Worker:
        async def running() -> list[Worker]:
            return [worker for worker in self.context.service_workers if worker.url.startswith(self.pages.url)]

        [worker, *_] = await eventually(running, WITHIN_S)
        return worker


@pytest.fixture(scope="module")
async def opened(servers: tuple[Mongod, Redis], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    if not DAEMON:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("dbus-daemon is not on the PATH")
    mongod, redis = servers
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("push")
        service = await LocalPushService().open(folder)
        stack.push_async_callback(service.close)
        name = f"browser{uuid4().hex[:8]}"
        settings = {
            **QUICK,
            "mongo_database": name,
            "redis_prefix": f"{name}:",
            "vapid_private_key": VAPID_TEXT,
            "vapid_subject": "mailto:ops@acme.example",
            "mode": "development",  # pages of any port may call
            "egress_allow": "127.0.0.0/8",
        }
        first = await stack.enter_async_context(Deployment(mongod.url, redis.url, apis=1, workers=0, **settings))
        public = first.urls[0].removesuffix("/graphql")
        settings["public_url"] = public
        await stack.enter_async_context(_worker(mongod, redis, settings))
        tenant = await stack.enter_async_context(Tenant("acme", first.urls))
        desktop = await stack.enter_async_context(Desktop())
        playwright = await stack.enter_async_context(async_playwright())
        context = await playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=CHROMIUM,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": desktop.address},
            ignore_default_args=["--disable-background-networking", "--headless"],
            args=[
                *(argument for argument in QUIET if argument != "--disable-background-networking"),
                "--headless=new",
                *service.arguments,
            ],
        )
        stack.push_async_callback(context.close)
        context.set_default_timeout(WITHIN_S * 1_000)
        await context.add_init_script(service.script)
        yield World(tenant, service, desktop, context)


def _worker(mongod: Mongod, redis: Redis, settings: dict[str, str]) -> Deployment:
    return _Workers(mongod.url, redis.url, apis=0, workers=1, **settings)


class _Workers(Deployment):
    async def __aenter__(self) -> Deployment:
        await asyncio.gather(*(process.start() for process in self.workers))
        return self


@pytest.fixture
async def elsewhere(built: Path) -> AsyncIterator[SettingsPage]:
    """A page of another origin."""
    async with SettingsPage(built) as pages:
        yield pages


@pytest.fixture
async def rig(opened: World, built: Path) -> AsyncIterator[Rig]:
    """Somebody new, on a page of an origin that this browser has not met: no service worker is left there."""
    async with SettingsPage(built) as pages:
        await opened.context.grant_permissions(["notifications"], origin=pages.url)
        yield Rig(opened, pages)
        for page in opened.context.pages[1:]:
            await page.close()
        opened.desktop.banners.clear()


async def test_encrypted_push_is_shown_and_reported(rig: Rig) -> None:
    page = await rig.subscribed()
    secret = f"Between us {uuid4().hex}"
    id = await rig.send(title=secret, body="Two tests are red.", priority="CRITICAL")
    [banner] = await rig.banners(page)
    assert (banner["title"], banner["body"], banner["tag"]) == (secret, "Two tests are red.", id)
    assert banner["requireInteraction"] is True
    assert [shown[0] for shown in rig.desktop.banners.values()] == [secret]
    [(_, headers, body)] = [push for push in rig.service.pushes if push[1]["authorization"]][-1:]
    assert headers["content-encoding"] == "aes128gcm"
    assert secret.encode() not in body
    await rig.delivery(id, "DELIVERED")


async def test_hidden_and_too_large_is_shown_as_far_as_it_goes(rig: Rig) -> None:
    page = await rig.subscribed()
    content = {"actionUrl": "/codes"}
    await rig.tenant.send(rig.user, title="A code", body="1234 " * 2000, channels=["WEB_PUSH"], content=content)
    [banner] = await rig.banners(page)
    assert banner["body"].startswith("1234 1234")
    assert banner["body"].endswith("\u2026")
    assert banner["data"]["hub"]["urls"][""] == f"{rig.pages.url}/codes"


async def test_click_reports_marks_read_and_opens(rig: Rig, elsewhere: SettingsPage) -> None:
    page = await rig.subscribed()
    actions = [{"key": "log", "label": "Log", "url": f"{elsewhere.url}/log"}, {"key": "later", "label": "Later"}]
    content = {"actionUrl": "/builds/1", "actions": actions}
    for button, leads_to in (
        ("Later", [page.url]),
        ("Log", [page.url, f"{elsewhere.url}/log"]),
        ("", [f"{rig.pages.url}/builds/1", f"{elsewhere.url}/log"]),
    ):
        id = await rig.send(title=f"Build failed {button}", content=content)
        await rig.delivery(id, "DELIVERED")
        assert await rig.read_at(id) is None
        await rig.clicked(f"Build failed {button}", button)
        await rig.shows(leads_to)
        await rig.delivery(id, "READ")
        assert await rig.read_at(id)


async def test_click_leads_a_window_and_no_frame_in_one(rig: Rig) -> None:
    page = await rig.subscribed()
    blank = await rig.context.new_page()
    other = await rig.context.new_page()
    await other.goto(f"{rig.pages.url}/elsewhere")
    await other.evaluate("document.body.append(Object.assign(document.createElement('iframe'), { src: '/inner' }))")
    await other.frame_locator("iframe").locator("html").wait_for(state="attached")
    await other.evaluate("document.querySelector('iframe').focus()")
    await page.close()
    id = await rig.send(title="Build failed", content={"actionUrl": "/builds/1"})
    await rig.delivery(id, "DELIVERED")
    await rig.clicked("Build failed")
    await rig.shows([blank.url, f"{rig.pages.url}/builds/1"])


async def test_without_a_window_a_click_opens_one(rig: Rig) -> None:
    page = await rig.subscribed()
    blank = await rig.context.new_page()
    await page.close()
    id = await rig.send(title="Build failed", content={"actionUrl": "/builds/1"})
    await rig.delivery(id, "DELIVERED")
    await rig.clicked("Build failed")
    await rig.shows([blank.url, f"{rig.pages.url}/builds/1"])


async def test_banner_closes_when_it_is_read_elsewhere(rig: Rig) -> None:
    page = await rig.subscribed(inbox="1")
    first, second = [await rig.send(title=title) for title in ("First", "Second")]
    await rig.banners(page, 2)
    await rig.tenant.mark(rig.user, "markRead", first)
    assert [banner["tag"] for banner in await rig.banners(page, 1)] == [second]
    await rig.tenant.mark_all(rig.user, "markAllRead")
    await rig.banners(page, 0)


async def test_banner_of_what_was_read_meanwhile_closes_at_the_next_visit(rig: Rig) -> None:
    page = await rig.subscribed()
    id = await rig.send(title="First")
    await rig.banners(page)
    await rig.tenant.mark(rig.user, "markRead", id)
    await rig.banners(await rig.page(inbox="1"), 0)


async def test_it_asks_only_when_pressed_and_can_be_turned_off(rig: Rig) -> None:
    page = await rig.context.new_page()
    await page.add_init_script(
        "{ const ask = Notification.requestPermission; Notification.requestPermission = () => "
        "((window.asked = (window.asked ?? 0) + 1), ask.call(Notification)); }"
    )
    await page.goto(rig.address())
    turn_on = page.get_by_role("button", name="Turn on")
    await turn_on.wait_for()
    assert await page.evaluate("window.asked") is None
    assert await rig.devices() == []
    await turn_on.click()
    await page.get_by_role("button", name="Turn off").click()
    await turn_on.wait_for()
    assert await page.evaluate("window.asked") == 1

    async def none() -> bool:
        return await rig.devices() == []

    await eventually(none, WITHIN_S)
    assert await page.evaluate(UNSUBSCRIBED) is True


async def test_it_stays_on_at_the_next_visit_and_off_for_another_person(rig: Rig) -> None:
    await rig.subscribed()
    [device] = await rig.devices()
    again = await rig.page()
    await again.get_by_role("button", name="Turn off").wait_for()
    assert await rig.devices() == [device]
    await again.get_by_text("This browser", exact=True).wait_for()
    rig.user = f"other{uuid4().hex[:8]}"
    other = await rig.page()
    await other.get_by_role("button", name="Turn on").wait_for()


async def test_removed_elsewhere_it_is_off(rig: Rig) -> None:
    await rig.subscribed()
    [device] = await rig.devices()
    await rig.tenant.ask("mutation ($id: ID!) { removeDevice(id: $id) }", user=rig.user, id=device["id"])
    page = await rig.page()
    await page.get_by_role("button", name="Turn on").wait_for()


async def test_who_signs_out_after_turning_it_off_is_not_reached_here_any_more(rig: Rig) -> None:
    page = await rig.subscribed()
    assert await rig.devices()
    await page.evaluate(
        """async () => {
          const preferences = document.querySelector("hub-preferences");
          await preferences.shadowRoot.querySelector("hub-push").turnOff();
          preferences.token = "";
        }"""
    )
    assert await page.evaluate(UNSUBSCRIBED) is True

    async def none() -> bool:
        return await rig.devices() == []

    await eventually(none, WITHIN_S)
    await page.get_by_role("button", name="Turn o").wait_for(state="detached")
    await page.locator("hub-preferences").evaluate("(element, token) => (element.token = token)", rig.token)
    await page.get_by_role("button", name="Turn on").wait_for()


async def test_who_takes_the_browser_over_keeps_it_when_the_first_one_visits(rig: Rig) -> None:
    first = rig.user
    await rig.subscribed()
    rig.user = second = f"other{uuid4().hex[:8]}"
    await rig.subscribed()
    rig.user = first
    page = await rig.page()
    await page.get_by_role("button", name="Turn on").wait_for()
    rig.user = second
    await rig.send(title="Still here")
    [banner] = await rig.banners(page)
    assert banner["title"] == "Still here"


async def test_subscription_of_the_app_itself_is_left_alone(rig: Rig) -> None:
    page = await rig.context.new_page()
    await page.goto(f"{rig.pages.url}/elsewhere")
    endpoint = await page.evaluate(
        """async () => {
          await navigator.serviceWorker.register("/own.js");
          const registration = await navigator.serviceWorker.ready;
          const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
          const applicationServerKey = await crypto.subtle.exportKey("raw", pair.publicKey);
          return (await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey })).endpoint;
        }"""
    )
    await page.goto(rig.address(attributes="worker=/own.js"))
    await page.get_by_role("button", name="Turn on").click()
    await page.get_by_text("This site sends its own banners here: both at once don't go.").wait_for()
    current = "navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription()).then((s) => s.endpoint)"
    assert await page.evaluate(current) == endpoint
    assert await rig.devices() == []


async def test_renewed_subscription_is_registered_again(rig: Rig) -> None:
    page = await rig.subscribed()
    [before] = await rig.devices()
    await (await rig.worker()).evaluate(
        """async () => {
          const old = await self.registration.pushManager.getSubscription();
          const { options } = old;
          await old.unsubscribe();
          const done = [];
          const event = new Event("pushsubscriptionchange");
          Object.assign(event, { oldSubscription: { options }, waitUntil: (promise) => done.push(promise) });
          self.dispatchEvent(event);
          await Promise.all(done);
        }"""
    )

    async def registered_again() -> bool:
        devices = await rig.devices()
        return len(devices) == 1 and devices != [before]

    await eventually(registered_again, WITHIN_S)
    id = await rig.send(title="After the change")
    [banner] = await rig.banners(page)
    assert banner["tag"] == id


# ---------------------------------------------------------------- what no hub would send, handed to the worker in plain


async def deliveries_to(rig: Rig, page: Page) -> Any:
    """Hands a payload to the service worker of that page, as if decrypted."""
    cdp: CDPSession = await rig.context.new_cdp_session(page)
    registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def told(event: Json) -> None:
        for one in event["registrations"]:
            if one["scopeURL"].startswith(rig.pages.url) and not one["isDeleted"] and not registered.done():
                registered.set_result(one["registrationId"])

    cdp.on("ServiceWorker.workerRegistrationUpdated", told)
    await cdp.send("ServiceWorker.enable")
    id = await asyncio.wait_for(registered, WITHIN_S)

    async def hand(data: str) -> Page:
        given = {"origin": rig.pages.url, "registrationId": id, "data": data}
        await cdp.send("ServiceWorker.deliverPushMessage", given)
        return page

    return hand


@pytest.fixture
async def deliver(rig: Rig) -> Any:
    return await deliveries_to(rig, await rig.subscribed())


async def test_worker_of_the_app_takes_this_one_in_and_keeps_its_own_pushes(rig: Rig) -> None:
    page = await rig.subscribed(attributes="worker=/own.js")
    deliver = await deliveries_to(rig, page)
    id = await rig.send(title="From the hub")
    [banner] = await rig.banners(page)
    assert banner["tag"] == id
    await deliver('{"mine": "From the app"}')
    assert {banner["title"] for banner in await rig.banners(page, 2)} == {"From the app", "From the hub"}
    assert await page.evaluate("navigator.serviceWorker.controller") is None


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "not JSON",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"title": 5, "body": {}, "tag": [], "data": 1, "createdAt": "yesterday"}',
        '{"actions": {"action": "a"}, "icon": "javascript:alert(1)", "url": "javascript:alert(1)", "receipt": "x:y"}',
        '{"actions": [null, 5, {}, {"action": "a"}, {"action": "a", "title": "A", "url": "data:text/html,x"}]}',
    ],
)
async def test_malformed_push_shows_something_and_leads_nowhere(rig: Rig, deliver: Any, payload: str) -> None:
    page = await deliver(payload)
    [banner] = await rig.banners(page)
    assert banner["title"] == "New notification"
    assert set(banner["data"]["hub"]["urls"].values()) == {""}
    await rig.clicked("New notification")
    await rig.banners(page, 0)
    await rig.shows([page.url])


async def test_same_tag_takes_the_place_and_is_heard_only_if_it_is_another(rig: Rig, deliver: Any) -> None:
    for id, tag, renotified in (("1", "build", False), ("1", "build", False), ("2", "build", True)):
        before = rig.desktop.shown
        page = await deliver(json.dumps({"id": id, "tag": tag, "title": f"Build {id}"}))

        async def shown(before: int = before) -> bool:
            return rig.desktop.shown > before

        await eventually(shown, PUSHED_WITHIN_S)
        [banner] = await rig.banners(page)
        assert (banner["data"]["hub"]["id"], banner["renotify"]) == (id, renotified)
    page = await deliver(json.dumps({"id": "3", "title": "Another"}))
    assert {banner["tag"] for banner in await rig.banners(page, 2)} == {"build", "3"}
