"""<hub-preferences> in a real browser: what is pressed there is what the hub does."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.conftest import AXE, STANDARD
from tests.browser.settings_page import SettingsPage
from tests.channel_setup import QUICK
from tests.client import Json, Tenant, eventually
from tests.processes import Deployment
from tests.worlds import VAPID_TEXT

WITHIN_S = 30
expect.set_options(timeout=WITHIN_S * 1_000)
PICTURES = os.environ.get("HUB_PICTURES")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
LOOKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "desktop-light": (DESKTOP, "light", "en"),
    "desktop-dark-german": (DESKTOP, "dark", "de"),
    "phone-light": (PHONE, "light", "en"),
    "phone-dark-arabic": (PHONE, "dark", "ar"),
}
MATRIX = "{ preferences { channels { channel enabled } categories { category { key } mutedUntil channels { channel enabled } } } }"
PHONE_OF = 'mutation { registerMobileDevice(input: {platform: "fcm", token: "%s", label: "%s"}) { id } }'
DEVICES = "{ me { devices { label } } }"
SIMULATE = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome reason } } }"


class Person:
    """Somebody of a tenant with three categories, and their browser."""

    def __init__(self, tenant: Tenant, pages: SettingsPage, browser: Browser, stack: AsyncExitStack) -> None:
        self.tenant, self.pages, self._browser, self._stack = tenant, pages, browser, stack
        self.user = "alice"

    async def page(self, look: dict[str, Any] | None = None, scheme: Any = "light", **shown: str) -> Page:
        context = await self._browser.new_context(**(look or DESKTOP), color_scheme=scheme, locale="en-GB")
        self._stack.push_async_callback(context.close)
        context.set_default_timeout(WITHIN_S * 1_000)
        page = await context.new_page()
        await page.goto(self.address(**shown))
        return page

    def address(self, **shown: str) -> str:
        return self.pages.address(self.tenant.urls[0], self.tenant.token(self.user), **shown)

    async def matrix(self) -> Json:
        """Cells by category and channel; `ALL` for the channels; `mutes` by category."""
        found = (await self.tenant.ask(MATRIX, user=self.user))["preferences"]
        rows = {row["category"]["key"]: row for row in found["categories"]}
        return {
            "ALL": {one["channel"]: one["enabled"] for one in found["channels"]},
            "mutes": {key: row["mutedUntil"] for key, row in rows.items() if row["mutedUntil"]},
            **{key: {one["channel"]: one["enabled"] for one in row["channels"]} for key, row in rows.items()},
        }

    async def decided(self, category: str, channel: str) -> str:
        """What would become of a send."""
        given = {"to": {"users": [self.user]}, "category": category, "content": {"title": "x", "body": ""}}
        [simulation] = (await self.tenant.ask(SIMULATE, input={**given, "channels": [channel]}))["simulate"]
        [found] = [one for one in simulation["decisions"] if one["channel"] == channel]
        return str(found["reason"] or found["outcome"])


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name, exact=True)


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis], built: Path) -> AsyncIterator[tuple[Deployment, SettingsPage]]:
    mongod, redis = servers
    name = f"wishes{uuid4().hex[:8]}"
    async with SettingsPage(built) as pages:
        given = {**QUICK, "mongo_database": name, "redis_prefix": f"{name}:", "allowed_origins": pages.url}
        given |= {"vapid_private_key": VAPID_TEXT, "vapid_subject": "mailto:ops@acme.example"}
        async with Deployment(mongod.url, redis.url, apis=1, workers=0, **given) as deployment:
            yield deployment, pages


@pytest.fixture
async def alice(running: tuple[Deployment, SettingsPage], browser: Browser) -> AsyncIterator[Person]:
    deployment, pages = running
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(Tenant(f"t{uuid4().hex[:12]}", deployment.urls))
        await tenant.define("news", "IN_APP", "EMAIL", name="Product news", description="Once a month at most.")
        await tenant.define("builds", "IN_APP", name="Build results")
        await tenant.define("security", "IN_APP", "EMAIL", name="Security alerts", required=True)
        yield Person(tenant, pages, browser, stack)


async def test_switches_change_what_the_hub_does_and_back(alice: Person) -> None:
    page = await alice.page()
    cell = switch(page, "E-mail for Product news")
    await expect(cell).to_be_checked()
    await cell.click()
    await expect(cell).not_to_be_checked()

    async def off() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(off, WITHIN_S)
    assert (await alice.matrix())["builds"]["EMAIL"] is True
    assert await alice.decided("news", "EMAIL") == "PREFERENCE"

    await switch(page, "Inbox for Everything").click()

    async def all_off() -> bool:
        return (await alice.matrix())["ALL"]["IN_APP"] is False

    await eventually(all_off, WITHIN_S)
    builds = switch(page, "Inbox for Build results")
    await expect(builds).not_to_be_checked()
    await expect(builds).to_have_attribute("aria-disabled", "true")
    await expect(builds).to_have_attribute("title", "Inbox is off for everything")
    await expect(switch(page, "Inbox for Security alerts")).to_be_checked()

    await page.reload()
    await expect(cell).not_to_be_checked()
    await cell.click()
    await switch(page, "Inbox for Everything").click()

    async def as_before() -> bool:
        found = await alice.matrix()
        return bool(found["news"]["EMAIL"] and found["ALL"]["IN_APP"])

    await eventually(as_before, WITHIN_S)
    await expect(builds).to_be_checked()


async def test_locked_cell_says_why_and_stays(alice: Person) -> None:
    page = await alice.page()
    cell = switch(page, "E-mail for Security alerts")
    await expect(cell).to_have_attribute("aria-disabled", "true")
    row = page.get_by_role("row").filter(has_text="Security alerts")
    await expect(row.get_by_role("rowheader")).to_contain_text("Required: it can't be switched off")
    await expect(row.get_by_role("button")).to_have_count(0)
    await cell.focus()
    await page.keyboard.press("Space")
    await expect(page.locator(".toast")).to_have_text("Required: it can't be switched off")
    await expect(cell).to_be_checked()
    assert (await alice.matrix())["security"]["EMAIL"] is True


@pytest.mark.parametrize(("choice", "hours"), [("For 1 hour", 1), ("For 8 hours", 8)])
async def test_mute_has_an_end_and_can_be_taken_back(alice: Person, choice: str, hours: int) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Mute Product news").click()
    await page.get_by_role("dialog", name="Mute Product news").get_by_role("button", name=choice).click()

    async def muted() -> str | None:
        found: str | None = (await alice.matrix())["mutes"].get("news")
        return found

    until = datetime.fromisoformat(await eventually(muted, WITHIN_S))
    assert timedelta(minutes=-5) < until - datetime.now(UTC) - timedelta(hours=hours) < timedelta(minutes=5)
    assert await alice.decided("news", "IN_APP") == "MUTED"
    listed = page.get_by_role("region", name="Muted now")
    await expect(listed).to_contain_text("Muted until")
    await listed.get_by_role("button", name="Unmute Product news").click()
    await expect(listed).to_have_count(0)

    async def over() -> bool:
        return not (await alice.matrix())["mutes"]

    await eventually(over, WITHIN_S)


async def test_mute_for_ever_and_until_tomorrow(alice: Person) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Mute Product news").click()
    await page.get_by_role("button", name="For ever").click()
    await page.get_by_role("button", name="Mute Build results").click()
    await page.get_by_role("button", name="Until tomorrow").click()
    await expect(page.get_by_role("region", name="Muted now").get_by_role("listitem")).to_have_count(2)
    await expect(page.get_by_role("row").filter(has_text="Product news")).to_contain_text("Muted for ever")

    async def both() -> Json | None:
        found = (await alice.matrix())["mutes"]
        return found if len(found) == 2 else None

    found: Json = await eventually(both, WITHIN_S)
    assert datetime.fromisoformat(found["news"]).year == 9999
    morning = await page.evaluate("(at) => new Date(at).getHours()", found["builds"])
    assert morning == 8


async def test_why_tells_channels_and_reasons_and_mutes_at_a_touch(alice: Person) -> None:
    await alice.tenant.send("alice", title="<b>October</b>", category="news")
    [told] = (await alice.tenant.inbox("alice"))["nodes"]
    page = await alice.page(attributes="only-why")
    await page.locator("hub-preferences").wait_for(state="attached")
    heard = await page.evaluate(
        """async (id) => {
          await customElements.whenDefined("hub-preferences");
          const ask = new CustomEvent("hub-why", { detail: { id }, bubbles: true, composed: true, cancelable: true });
          return !document.body.dispatchEvent(ask);
        }""",
        told["id"],
    )
    assert heard is True
    dialog = page.get_by_role("dialog", name="Why did I get this?")
    await expect(dialog).to_contain_text("<b>October</b>")
    await expect(dialog).to_contain_text("You were named by the sender.")
    await expect(dialog).to_contain_text("Product news")
    await expect(dialog.get_by_role("definition")).to_have_text(["Delivered", "Not sent: not set up on this server"])
    await dialog.get_by_role("button", name="Mute Product news for ever").click()
    await expect(dialog).to_have_count(0)

    async def silent() -> bool:
        return await alice.decided("news", "IN_APP") == "MUTED"

    await eventually(silent, WITHIN_S)


async def test_reason_that_says_the_same_as_the_status_is_not_said_twice(alice: Person) -> None:
    page = await alice.page(attributes="only-why")
    await page.wait_for_function("document.querySelector('hub-preferences')?.hub")
    await page.evaluate(
        """() => {
          const element = document.querySelector("hub-preferences");
          const deliveries = [
            { id: "1", channel: "EMAIL", status: "CANCELLED", reason: "CANCELLED" },
            { id: "2", channel: "SMS", status: "CANCELLED", reason: "RECALLED" },
          ];
          const notification = { title: "x", because: "y", category: "news", createdAt: "2026-01-01T00:00:00Z", deliveries };
          element.hub.query = async () => ({ notification });
          element.explain("any");
        }"""
    )
    said = page.get_by_role("dialog").get_by_role("definition")
    await expect(said).to_have_text(["Called off", "Called off: the sender took it back"])


async def test_item_of_the_inbox_asks_why(alice: Person) -> None:
    await alice.tenant.send("alice", title="October", category="news")
    page = await alice.page(inbox="1")
    await page.locator("hub-preferences table").wait_for()
    await page.locator("hub-inbox button.bell").click()
    await page.locator("hub-inbox-item").hover()
    await page.locator("hub-inbox-item [data-tool=why]").click()
    await expect(page.get_by_role("dialog", name="Why did I get this?")).to_contain_text("October")


async def test_change_without_a_connection_is_told_when_it_is_back(alice: Person) -> None:
    page = await alice.page()
    cell = switch(page, "E-mail for Product news")
    await expect(cell).to_be_checked()
    await page.context.set_offline(True)
    await cell.click()
    await expect(cell).not_to_be_checked()
    waiting = page.get_by_text("No connection. Changes are saved when it is back.")
    await waiting.wait_for()
    assert (await alice.matrix())["news"]["EMAIL"] is True
    await page.context.set_offline(False)

    async def told() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(told, WITHIN_S)
    await expect(waiting).to_have_count(0)
    await expect(cell).not_to_be_checked()


async def test_why_of_what_is_not_there_says_so(alice: Person) -> None:
    page = await alice.page()
    await page.evaluate("document.querySelector('hub-preferences').setAttribute('why', 'unknown')")
    await expect(page.get_by_role("dialog")).to_contain_text("It is not in your inbox any more.")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_device_is_removed_after_asking(alice: Person) -> None:
    for label in ("Pixel", "Old phone"):
        await alice.tenant.ask(PHONE_OF % (uuid4().hex, label), user="alice")
    page = await alice.page()
    remove = page.get_by_role("button", name="Remove Old phone?")
    await remove.click()
    dialog = page.get_by_role("dialog", name="Remove Old phone?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(remove).to_be_focused()
    await remove.click()
    await dialog.get_by_role("button", name="Remove").click()
    await expect(remove).to_have_count(0)

    async def removed() -> bool:
        return (await alice.tenant.ask(DEVICES, user="alice"))["me"]["devices"] == [{"label": "Pixel"}]

    await eventually(removed, WITHIN_S)
    await expect(page.get_by_role("heading", name="Devices")).to_be_focused()


async def test_push_without_a_service_worker_is_said_and_its_developer_told_why(alice: Person) -> None:
    page = await alice.page(attributes="worker=/none.js")
    await page.context.grant_permissions(["notifications"])
    async with page.expect_console_message(lambda said: "/none.js" in said.text) as told:
        await page.get_by_role("button", name="Turn on").click()
    assert "see docs/frontend/web-push.md of the hub: SecurityError" in (await told.value).text
    await expect(page.locator("hub-push [role=status]")).to_have_text(
        "This page can't receive them: its service worker can't be loaded."
    )
    await expect(page.locator("hub-push button")).to_have_count(0)


async def test_refused_change_is_rolled_back_and_said(alice: Person) -> None:
    page = await alice.page()
    cell = switch(page, "E-mail for Product news")
    await expect(cell).to_be_checked()
    await page.evaluate(
        "() => void (document.querySelector('hub-preferences').hub.mutate = () => Promise.reject(new Error('no')))"
    )
    await cell.click()
    await expect(page.locator(".toast")).to_have_text("That could not be saved. It is as it was.")
    await expect(cell).to_be_checked()
    assert (await alice.matrix())["news"]["EMAIL"] is True


async def test_what_one_page_changes_another_shows(alice: Person) -> None:
    page = await alice.page()
    other = await page.context.new_page()
    await other.goto(alice.address())
    await expect(switch(other, "E-mail for Product news")).to_be_checked()
    await switch(page, "E-mail for Product news").click()
    await expect(switch(other, "E-mail for Product news")).not_to_be_checked()


async def test_device_that_one_page_removes_leaves_the_other(alice: Person) -> None:
    await alice.tenant.ask(PHONE_OF % (uuid4().hex, "Pixel"), user="alice")
    page = await alice.page()
    other = await page.context.new_page()
    await other.goto(alice.address())
    listed = other.get_by_role("button", name="Remove Pixel?")
    await listed.wait_for()
    await page.get_by_role("button", name="Remove Pixel?").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(listed).to_have_count(0)


async def test_visits_without_a_connection_ask_once_when_it_is_back(alice: Person) -> None:
    page = await alice.page()
    cell = switch(page, "E-mail for Product news")
    await cell.wait_for()
    await page.evaluate(
        """() => {
          const { hub } = document.querySelector("hub-preferences");
          const query = hub.query;
          const back = new Promise((resolve) => (window.comeBack = resolve));
          window.asked = 0;
          hub.query = async (...given) => (window.asked++, await back, query.apply(hub, given));
          for (let visit = 0; visit < 5; visit++) document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await page.wait_for_function("asked === 1")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await cell.click()  # it is told after what waits
    await page.evaluate("comeBack()")

    async def told() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(told, WITHIN_S)
    assert await page.evaluate("asked") == 3  # the first, the one that waited, and the change


async def test_who_signs_out_or_hands_over_leaves_nothing_behind(alice: Person) -> None:
    await alice.tenant.ask(PHONE_OF % (uuid4().hex, "Alice's Pixel"), user="alice")
    page = await alice.page()
    element = page.locator("hub-preferences")
    await element.get_by_text("Alice's Pixel").wait_for()
    await page.get_by_role("button", name="Mute Product news").click()
    await element.evaluate("(element) => element.removeAttribute('token')")
    for what in (page.get_by_role("table"), element.get_by_text("Alice's Pixel"), page.get_by_role("dialog")):
        await expect(what).to_have_count(0)
    await expect(page.get_by_role("button", name="Turn on")).to_have_count(0)
    await element.evaluate("(element, token) => element.setAttribute('token', token)", alice.tenant.token("alice"))
    await element.get_by_text("Alice's Pixel").wait_for()
    bob = alice.tenant.token("bob")
    await element.evaluate("(element, token) => element.setAttribute('token', token)", bob)
    await expect(element.get_by_text("Alice's Pixel")).to_have_count(0)
    await switch(page, "E-mail for Product news").wait_for()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_new_function_for_tokens_is_no_new_connection_and_its_end_is_a_sign_out(alice: Person) -> None:
    page = await alice.page()
    await switch(page, "E-mail for Product news").wait_for()
    element = page.locator("hub-preferences")
    same: bool = await element.evaluate(
        """async (element) => {
          const { hub, token } = element;
          for (let rendering = 0; rendering < 3; rendering++) {
            element.getToken = () => token;
            await element.updateComplete;
          }
          element.removeAttribute("token");
          await element.updateComplete;
          return element.hub === hub;
        }"""
    )
    assert same
    await switch(page, "E-mail for Product news").click()

    async def told() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(told, WITHIN_S)
    await element.evaluate("(element) => (element.getToken = undefined)")
    await expect(page.get_by_role("table")).to_have_count(0)
    await expect(page.get_by_text("You are signed out")).to_be_visible()


async def test_whose_token_is_refused_is_shown_nothing_until_there_is_a_good_one(alice: Person) -> None:
    page = await alice.page()
    cell = switch(page, "E-mail for Product news")
    await cell.wait_for()
    element = page.locator("hub-preferences")
    forged = alice.tenant.token("alice")[:-4] + "AAAA"
    await element.evaluate("(element, token) => element.setAttribute('token', token)", forged)
    await cell.click()
    await expect(page.get_by_role("table")).to_have_count(0)
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    good = alice.tenant.token("alice", expires_in_s=1800)
    await element.evaluate("(element, token) => element.setAttribute('token', token)", good)
    await cell.wait_for()


async def test_quick_changes_end_where_the_person_left_them(alice: Person) -> None:
    page = await alice.page()
    cells = [switch(page, f"E-mail for {name}") for name in ("Product news", "Build results")]
    for _ in range(5):
        for cell in cells:
            await cell.click()
    for cell in cells:
        await expect(cell).not_to_be_checked()

    async def told() -> bool:
        found = await alice.matrix()
        return not found["news"]["EMAIL"] and not found["builds"]["EMAIL"]

    await eventually(told, WITHIN_S)
    for cell in cells:
        await expect(cell).not_to_be_checked()


async def test_failed_load_is_said_and_tried_again(alice: Person) -> None:
    page = await alice.page()
    await switch(page, "E-mail for Product news").wait_for()
    alice.user = "bob"
    await page.goto(alice.address())
    await switch(page, "E-mail for Product news").wait_for()
    await page.evaluate(
        """async () => {
          const element = document.querySelector("hub-preferences");
          const query = element.hub.query;
          element.hub.query = () => Promise.reject(new Error("no"));
          element.entered(element.hub);
          await new Promise((resolve) => setTimeout(resolve));
          element.hub.query = query;
        }"""
    )
    await page.get_by_role("alert").get_by_role("button", name="Try again").click()
    await switch(page, "E-mail for Product news").wait_for()


@pytest.mark.parametrize("name", LOOKS)
async def test_axe_finds_nothing_and_nothing_runs_over(alice: Person, name: str) -> None:
    look, scheme, language = LOOKS[name]
    until = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    await alice.tenant.ask(
        "mutation ($until: DateTime!) { updatePreferences(input: {channels: [{channel: EMAIL, enabled: false}], "
        'categories: [{category: "builds", mutedUntil: $until}]}) { channels { channel } } }',
        user="alice",
        until=until,
    )
    await alice.tenant.ask(PHONE_OF % (uuid4().hex, "Pixel 9"), user="alice")
    await alice.tenant.send("alice", title="October", category="news")
    [told] = (await alice.tenant.inbox("alice"))["nodes"]
    page = await alice.page(look, scheme, lang=language)
    await page.locator("hub-push button").wait_for()
    await _look(page, name)
    await page.locator("hub-preferences tbody tr .end button").first.click()
    await _look(page, f"{name}-mute")
    await page.keyboard.press("Escape")
    await page.evaluate("(id) => document.querySelector('hub-preferences').explain(id)", told["id"])
    await page.locator("dialog dl").wait_for()
    await _look(page, f"{name}-why")


async def _look(page: Page, name: str) -> None:
    await page.evaluate(AXE.read_text())
    found: Json = await page.evaluate("(tags) => axe.run({runOnly: {type: 'tag', values: tags}})", STANDARD)
    assert not [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if PICTURES:
        await page.screenshot(path=Path(PICTURES, f"preferences-{name}.png"), full_page=name in LOOKS)
