"""<hub-preferences> has no axe violation and does not overflow, in each theme and language."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Page

from tests.browser.conftest import AXE, AXE_TAGS
from tests.browser.preferences.preferences_page import DESKTOP, REGISTER_PHONE, PreferencesUser
from tests.quiet_hours.times import set_times
from tests.topics.calls import leave, subscribe, upsert_topic

PICTURES = os.environ.get("HUB_PICTURES")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
NARROW_PHONE = PHONE | {"viewport": {"width": 320, "height": 640}}
LOOKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "desktop-light": (DESKTOP, "light", "en"),
    "desktop-forced-colors": ({**DESKTOP, "forced_colors": "active"}, "light", "en"),
    "desktop-dark-german": (DESKTOP, "dark", "de"),
    "narrow-phone-light-german": (NARROW_PHONE, "light", "de"),
    "phone-dark-arabic": (PHONE, "dark", "ar"),
}
TOPICS = {
    "releases": {"name": "Releases", "description": "New versions of our products."},
    "roadmap": {"name": "Roadmap 2027", "description": "Changes and comments. " * 8},
    **{f"project-{n}": {"name": f"Project {n}"} for n in range(8)},
}


@pytest.mark.parametrize("name", LOOKS)
async def test_page_has_no_axe_violations_and_does_not_overflow(alice: PreferencesUser, name: str) -> None:
    look, scheme, language = LOOKS[name]
    until = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    await alice.tenant.execute(
        "mutation ($until: DateTime!) { updatePreferences(input: {channels: [{channel: EMAIL, enabled: false}], "
        'categories: [{category: "builds", mutedUntil: $until}]}) { channels { channel } } }',
        user="alice",
        until=until,
    )
    night = {"start": "22:00", "end": "07:00", "days": [1, 2, 3, 4, 5], "allow": "HIGH", "timezone": "Europe/Berlin"}
    await set_times(
        alice.tenant,
        "alice",
        quietSchedule=[night, {"start": "00:00", "end": "00:00", "days": [3, 7]}],
        doNotDisturbUntil=until,
        dailyLimit=5,
        categories=[
            {"category": "news", "channel": "EMAIL", "digestAt": "08:00", "digestDays": [1, 2, 3, 4, 5]},
            {"category": "builds", "channel": "WEB_PUSH", "digest": "PT1H"},
        ],
    )
    for key, topic in TOPICS.items():
        await upsert_topic(alice.tenant, key, visible=True, **topic)
        await subscribe(alice.tenant, key, "alice")
    await leave(alice.tenant, "roadmap", "alice")
    await alice.tenant.execute(REGISTER_PHONE % (uuid4().hex, "Pixel 9"), user="alice")
    await alice.tenant.send("alice", title="October", category="news")
    [received] = (await alice.tenant.inbox("alice"))["nodes"]
    page = await alice.page(look, scheme, lang=language)
    await page.locator("hub-push button").wait_for()
    await _look(page, name)
    if "phone" in name:
        lines = page.locator("hub-preferences .line")
        for index in range(await lines.count()):
            await lines.nth(index).click()
        await _look(page, f"{name}-open")
    await page.locator("hub-preferences tbody tr .end button").first.click()
    await _look(page, f"{name}-mute")
    await page.keyboard.press("Escape")
    await page.locator("hub-preferences section[aria-labelledby=quiet] li:nth-child(2) button").first.click()
    await _look(page, f"{name}-quiet")
    await page.keyboard.press("Escape")
    for row, dialog in (("first", "changed"), ("last", "added")):
        await page.locator(f"hub-preferences section[aria-labelledby=collect] li:{row}-child button").first.click()
        await _look(page, f"{name}-collect-{dialog}")
        await page.keyboard.press("Escape")
    await page.locator("hub-preferences section[aria-labelledby=devices] > .button").click()
    await _look(page, f"{name}-chat")
    await page.keyboard.press("Escape")
    await page.evaluate("(id) => document.querySelector('hub-preferences').explain(id)", received["id"])
    await page.locator("dialog dl").wait_for()
    await _look(page, f"{name}-why")


async def test_texts_grow_with_the_font_size_of_the_browser(alice: PreferencesUser) -> None:
    page = await alice.page()
    await page.locator("hub-preferences table").wait_for()
    session = await page.context.new_cdp_session(page)
    await session.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    sizes = await page.evaluate("""() => {
      const texts = [...document.querySelector("hub-preferences").shadowRoot.querySelectorAll("h2, p, th, td, button, label")];
      return texts.filter((text) => text.textContent.trim()).map((text) => parseFloat(getComputedStyle(text).fontSize));
    }""")
    assert min(sizes) >= 24


async def _look(page: Page, name: str) -> None:
    await page.evaluate(AXE.read_text())
    found: dict[str, Any] = await page.evaluate("(tags) => axe.run({runOnly: {type: 'tag', values: tags}})", AXE_TAGS)
    assert not [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if PICTURES:
        await page.screenshot(
            path=Path(PICTURES, f"preferences-{name}.png"), full_page=name.removesuffix("-open") in LOOKS
        )
