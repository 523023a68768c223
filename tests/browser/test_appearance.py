"""Every state of the inbox on phone and desktop, light and dark, left-to-right and right-to-left: axe finds no
violation, and nothing overflows. HUB_PICTURES names a folder for screenshots."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute

from tests.browser.conftest import Browsers, Tab
from tests.client import Tenant, eventually

PICTURES = os.environ.get("HUB_PICTURES")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
LOOKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "desktop-light": (DESKTOP, "light", "en"),
    "desktop-dark": (DESKTOP, "dark", "en"),
    "desktop-arabic": (DESKTOP, "light", "ar"),
    "desktop-forced-colors": ({**DESKTOP, "forced_colors": "active"}, "light", "en"),
    "phone-light": (PHONE, "light", "en"),
    "phone-dark-german": (PHONE, "dark", "de"),
    "phone-arabic-dark": (PHONE, "dark", "ar"),
}
FACTS_MAX_PX = 30  # less than two lines
READ_FACTS_HEIGHTS = """(items) => items.map(({ shadowRoot }) => {
  const facts = [...shadowRoot.querySelector(".facts").children].map((fact) => fact.getBoundingClientRect());
  return Math.max(...facts.map(({ bottom }) => bottom)) - Math.min(...facts.map(({ top }) => top)); })"""
SAMPLES: list[dict[str, object]] = [
    {"title": "Your report is ready", "body": "The numbers of October, as a spreadsheet.", "category": "reports"},
    {
        "title": "Ada invited you to “Launch plan”",
        "body": "You can comment and edit.",
        "category": "sharing",
        "content": {
            "actions": [{"key": "accept", "label": "Accept", "primary": True}, {"key": "no", "label": "Decline"}]
        },
    },
    {
        "title": "New sign-in from Lisbon",
        "body": "Firefox on Linux, at 09:41. Was that you?",
        "category": "security",
        "priority": "CRITICAL",
        "requireAck": True,
    },
    {
        "title": "Deploy of api to production has finished after a long while, and this title is long enough to wrap",
        "body": "All checks are green.\n" + "It took 14 minutes, of which the tests took twelve. " * 5,
        "category": "deploys",
        "content": {"actionUrl": "/elsewhere"},
    },
    {
        "title": "Release 4.2",
        "body": "Released **api 4.2** to [production](/elsewhere):\n- `web` is *next*\n- the docs follow\n  1. guides",
        "category": "deploys",
        "content": {"markdown": True},
    },
    {"title": "Build failed", "body": "Two tests are red on main.", "category": "builds", "priority": "HIGH"},
    {"title": "وصلت فاتورتك", "body": "فاتورة شهر أكتوبر متاحة الآن.", "category": "billing"},
]


async def send_samples(tenant: Tenant) -> None:
    for sample in SAMPLES:
        await tenant.send("alice", **sample)  # type: ignore[arg-type]
    page = await tenant.inbox("alice")
    read = [n["id"] for n in page["nodes"] if n["title"].startswith(("Your report", "Deploy"))]
    await tenant.mark("alice", "markRead", *read)


async def check_state(tab: Tab, look: str, state: str) -> None:
    faults = await tab.axe_violations()
    if PICTURES:
        await tab.page.screenshot(path=Path(PICTURES, f"{look}-{state}.png"))
    assert not faults, "\n".join([f"{look} {state}", *faults])
    assert await tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{look} {state} runs over"


@pytest.mark.parametrize("look", LOOKS)
async def test_every_state_is_accessible_and_fits(look: str, tenant: Tenant, browsers: Browsers) -> None:
    device, scheme, language = LOOKS[look]
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    await send_samples(tenant)
    alice = await browsers.person("alice", page=page, color_scheme=scheme, reduced_motion="reduce", **device)
    tab = await alice.tab()
    await tab.bell.locator(".badge").wait_for()
    await check_state(tab, look, "closed")
    await tab.open()
    await tab.wait_until_live()
    await tab.items.nth(5).wait_for()
    await check_state(tab, look, "open")
    await tab.page.locator("hub-inbox-menu [data-tool=menu]").click()
    await tab.page.locator("hub-inbox-menu [role=menu]").wait_for()
    await check_state(tab, look, "menu")
    await tab.page.locator("hub-inbox-menu [data-tool=shortcuts]").click()
    await tab.page.locator("hub-inbox-panel dialog[open]").wait_for()
    await check_state(tab, look, "shortcuts")
    await tab.page.keyboard.press("Escape")
    await tab.choose("select")
    await tab.page.locator(".check").nth(1).click()
    await tab.page.locator(".bar [data-tool=snooze]").click()
    await check_state(tab, look, "selection")
    await tab.page.locator(".bar [data-tool=clear]").click()
    await tab.item("Build failed").hover()
    await tab.press("Build failed", "snooze")
    await tab.item("Build failed").locator(".choices").wait_for()
    await check_state(tab, look, "snooze")
    await tab.item("Build failed").locator(".choices button").nth(1).click()
    await tab.toast.hover()  # to keep it visible
    await check_state(tab, look, "toast")
    await tab.press("Your report", "archive")
    for view in ("UNREAD", "ARCHIVED", "SNOOZED"):
        await tab.tab(view).click()
        await tab.items.first.wait_for()
        await check_state(tab, look, view.lower())


@pytest.mark.parametrize("look", ["desktop-light", "desktop-arabic", "phone-dark-german"])
async def test_facts_of_a_row_are_on_one_line(look: str, tenant: Tenant, browsers: Browsers) -> None:
    device, scheme, language = LOOKS[look]
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    await send_samples(tenant)
    alice = await browsers.person("alice", page=page, color_scheme=scheme, **device)
    tab = await (await alice.tab()).open()
    await tab.items.nth(5).wait_for()
    for title in ("Build failed", "New sign-in"):
        await tab.item(title).hover()  # the tools are next to the facts
        assert max(await tab.items.evaluate_all(READ_FACTS_HEIGHTS)) < FACTS_MAX_PX


@pytest.mark.parametrize("look", ["desktop-light", "phone-dark-german"])
async def test_empty_states_are_accessible(look: str, browsers: Browsers) -> None:
    device, scheme, language = LOOKS[look]
    alice = await browsers.person(
        "alice", page={"lang": language}, color_scheme=scheme, reduced_motion="reduce", **device
    )
    tab = await (await alice.tab()).open()
    for view in ("ACTIVE", "UNREAD", "ARCHIVED", "SNOOZED"):
        await tab.tab(view).click()
        await tab.page.locator("hub-inbox-panel .state").wait_for()
        await check_state(tab, look, f"empty-{view.lower()}")
    waiting = await alice.tab()
    await waiting.hold("query Inbox")
    await waiting.open()
    await waiting.page.locator("hub-inbox-panel .skeleton").first.wait_for()
    await check_state(waiting, look, "loading")
    alice.token = "none"
    await waiting.page.reload()
    await waiting.open()
    await waiting.page.get_by_text({"en": "You are signed out", "de": "Sie sind abgemeldet"}[language]).wait_for()
    await check_state(waiting, look, "signed-out")
    alice.token = None
    failed = await alice.tab()
    held = await failed.hold("query Inbox")
    await failed.open()

    async def requested() -> bool:
        return bool(held)

    await eventually(requested)
    held[0].refuse("No", "BAD_USER_INPUT")
    await failed.page.locator("hub-inbox-panel .state .pill").wait_for()
    await check_state(failed, look, "failed")


async def test_dark_panel_on_a_light_page_keeps_the_bell_in_the_page_color(browsers: Browsers) -> None:
    alice = await browsers.person("alice", page={"attributes": 'theme="dark"'}, color_scheme="light")
    tab = await (await alice.tab()).open()
    colour = "(element) => getComputedStyle(element).color"
    assert await tab.bell.evaluate(colour) == await tab.page.locator("header").evaluate(colour)
    assert await tab.panel.evaluate(colour) == "rgb(236, 238, 242)"


@pytest.mark.parametrize(
    ("language", "days"), [("en", ["Today", "Yesterday"]), ("de", ["Heute", "Gestern"]), ("ar", ["اليوم", "أمس"])]
)
async def test_headings_separate_the_days(language: str, days: list[str], tenant: Tenant, browsers: Browsers) -> None:
    for title in ("Old", "Yesterday's", "Returned", "New"):
        await tenant.send("alice", title=title)
    alice = await browsers.person("alice", page={"lang": language, "dir": "rtl" if language == "ar" else "ltr"})
    tab = await alice.blank()
    ages = {"Old": timedelta(days=60), "Yesterday's": timedelta(days=1), "Returned": timedelta(days=3)}
    now = datetime.now(UTC)

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def make_older(message: str | bytes) -> None:
            received = json.loads(message)
            for node in received.get("payload", {}).get("data", {}).get("inbox", {}).get("nodes", []):
                node["createdAt"] = (now - ages.get(node["title"], timedelta())).isoformat()
            socket.send(json.dumps(received))

        server.on_message(make_older)

    await tab.page.route_web_socket("**/graphql", between)
    await tab.load()
    await tab.open()
    await tab.wait_for_items("New", "Returned", "Yesterday's", "Old")
    headings = await tab.page.locator("hub-inbox-panel h3").all_inner_texts()
    assert headings[:2] == days  # a returned item is listed with the newer ones below it
    assert len(headings) == 3
    await check_state(tab, f"days-{language}", "open")
