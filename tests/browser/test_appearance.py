"""Every state of the inbox on phone and desktop, light and dark, left-to-right and right-to-left: axe finds no
violation, and nothing overflows. HUB_PICTURES names a folder for screenshots."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Browsers, Tab
from tests.client import Tenant, eventually

PICTURES = os.environ.get("HUB_PICTURES")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
LOOKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "desktop-light": (DESKTOP, "light", "en"),
    "desktop-dark": (DESKTOP, "dark", "en"),
    "desktop-arabic": (DESKTOP, "light", "ar"),
    "phone-light": (PHONE, "light", "en"),
    "phone-dark-german": (PHONE, "dark", "de"),
    "phone-arabic-dark": (PHONE, "dark", "ar"),
}
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

    await eventually(requested, 15)
    held[0].refuse("No", "BAD_USER_INPUT")
    await failed.page.locator("hub-inbox-panel .state .pill").wait_for()
    await check_state(failed, look, "failed")


async def test_dark_panel_on_a_light_page_keeps_the_bell_in_the_page_color(browsers: Browsers) -> None:
    alice = await browsers.person("alice", page={"attributes": 'theme="dark"'}, color_scheme="light")
    tab = await (await alice.tab()).open()
    colour = "(element) => getComputedStyle(element).color"
    assert await tab.bell.evaluate(colour) == await tab.page.locator("header").evaluate(colour)
    assert await tab.panel.evaluate(colour) == "rgb(236, 238, 242)"


@pytest.mark.parametrize("language", ["en", "de", "ar"])
async def test_tabs_fit_on_the_narrowest_phone(language: str, tenant: Tenant, browsers: Browsers) -> None:
    for n in range(10):
        await tenant.send("alice", title=f"Number {n}")
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    alice = await browsers.person("alice", page=page, viewport={"width": 320, "height": 640})
    tab = await (await alice.tab()).open()
    await tab.tab("UNREAD").locator(".count").wait_for()
    for view in ("ACTIVE", "UNREAD", "ARCHIVED", "SNOOZED"):
        box = await tab.tab(view).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320


async def test_missing_language_falls_back_to_english_unless_the_app_provides_texts(browsers: Browsers) -> None:
    alice = await browsers.person("alice", page={"lang": "fr"})
    tab = await alice.tab()
    await tab.page.locator("hub-inbox #panel[lang=en]").wait_for(state="attached")
    assert await tab.bell.get_attribute("lang") == "en"
    await tab.page.evaluate("document.querySelector('hub-inbox').words = {notifications: 'Avis'}")
    await tab.page.locator("hub-inbox #panel[lang=fr][aria-label=Avis]").wait_for(state="attached")
