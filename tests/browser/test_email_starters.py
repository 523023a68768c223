"""The email layouts of `hub templates new`, and the built-in layout, in light and dark, at the widths of mail clients.
HUB_PICTURES names a folder for screenshots."""

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec.structs import replace
from playwright.async_api import Browser

from hub import utc_time
from hub.cli.template_files import STARTERS, read_entries
from hub.cli.template_preview import render_channels
from hub.decide.templates.digest_texts import SAMPLE_ITEMS
from hub.model import Channel
from hub.send import email_body
from hub.send.message import DigestItem
from tests.browser.conftest import AXE
from tests.provider_setup import new_message
from tests.test_markdown import BODY

PICTURES = os.environ.get("HUB_PICTURES")
NAMES = ["transactional", "announcement", "layout", "digest", "built-in", "built-in-digest"]
AXE_RULES = ["color-contrast", "image-alt", "link-name", "heading-order", "document-title", "html-has-lang"]


def html_of(name: str) -> str:
    if name == "built-in":
        return email_body.html(new_message(n_body=BODY, n_markdown=True, app_url="https://app.example"))
    if name == "built-in-digest":
        items = [
            DigestItem(new_message(n_title=one.title, n_body=one.body).notification, one.action_url)
            for one in SAMPLE_ITEMS
        ]
        n = {"n_title": "Comments: 7 new notifications", "n_body": "Titles", "n_action_url": "https://app.example"}
        return email_body.html(new_message(**n, items=tuple(items), item_count=7, app_url="https://app.example"))
    entries = read_entries(STARTERS / f"{name}.json")
    if name in {"layout", "digest"}:
        entries = [replace(entry, key=f"_{name}") for entry in entries]
    data = next((entry.sample for entry in entries if isinstance(entry.sample, dict)), {})
    rendered = render_channels([entry.texts() for entry in entries], data, "en", utc_time.now())
    [html] = [one.html for one in rendered if one.channel is Channel.EMAIL]
    assert html
    return html


@pytest.mark.parametrize("width", [600, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
async def test_layout_is_readable_and_fits(
    browser: Browser, name: str, scheme: Literal["light", "dark"], width: int
) -> None:
    page = await browser.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    try:
        await page.set_content(html_of(name))
        if PICTURES:
            await page.screenshot(path=Path(PICTURES, f"email-{name}-{scheme}-{width}.png"), full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, background.removeprefix("rgb(").removesuffix(")").split(", "))) < 64) == (scheme == "dark")
        await page.evaluate(AXE.read_text())
        found: dict[str, Any] = await page.evaluate(
            "(rules) => axe.run(document, {runOnly: {type: 'rule', values: rules}})", AXE_RULES
        )
        assert [(fault["id"], node["target"]) for fault in found["violations"] for node in fault["nodes"]] == []
    finally:
        await page.close()
