"""The tour of the demo page. HUB_PICTURES names a folder for screenshots."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.test_demo import DESKTOP, PHONE, WITHIN_MS, DemoPage, demo, open_demo

__all__ = ["demo", "open_demo"]  # fixtures

PICTURES = os.environ.get("HUB_PICTURES")
TARGETS = ["demo-send-form", ".devices", ".devices", ".devices", "demo-guide", "demo-receipts"]

expect.set_options(timeout=WITHIN_MS)


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
async def test_tour_is_offered_once_and_works_with_the_keyboard(open_demo: Any, viewport: Any, scheme: str) -> None:
    demo_page: DemoPage = await open_demo(viewport=viewport, color_scheme=scheme)
    page = demo_page.page
    offer = page.get_by_role("button", name="Start the tour")
    await offer.press("Enter")
    step = page.locator("demo-tour [role=dialog]")
    for number, target in enumerate(TARGETS, 1):
        await expect(step).to_contain_text(f"Step {number} of 6")
        await expect(step.get_by_role("heading")).to_be_focused()
        await expect(page.locator(f"{target}.toured")).to_be_in_viewport()
        if number == 3:
            await expect(page.get_by_label("Buttons")).to_have_value("Approve, Request changes")
        if number == 4:
            await expect(demo_page.device(0).get_by_role("heading", name="What you receive")).to_be_visible()
        assert "\n".join(await demo_page.axe_violations()) == ""
        if PICTURES:
            await page.screenshot(path=Path(PICTURES, f"tour-{scheme}-{number}.png"))
        await page.keyboard.press("Tab")
        await page.keyboard.press("Shift+Tab")
        await step.get_by_role("button", name="Next" if number < len(TARGETS) else "Done").press("Enter")
    await expect(step).to_have_count(0)
    await expect(page.get_by_role("link", name="Tour")).to_be_focused()
    await page.reload()
    await expect(demo_page.bell(0).locator(".badge")).to_be_visible()
    await expect(offer).to_have_count(0)
    await page.keyboard.press("Tab")
    await page.get_by_role("link", name="Tour").press("Enter")
    await expect(step).to_contain_text("Step 1 of 6")
    await page.keyboard.press("Escape")
    await expect(step).to_have_count(0)
