"""The operator console: templates, their preview, versions, and tests. Also the navigation to all pages."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.test_console import ConsoleHub, ConsolePage, hub, open_console
from tests.browser.test_demo import PHONE, WITHIN_MS
from tests.client import Json, eventually

__all__ = ["hub", "open_console"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

HOSTILE = "<img src=x onerror=alert(1)>"
UPSERT = "mutation ($input: TemplateInput!) { upsertTemplate(input: $input) { version } }"
TEXTS = "query ($key: String!) { template(key: $key) { title body version } }"
SENDS = "query { sends(first: 5) { nodes { id template category to { users } } } }"
EMAIL = """<html><head><style>h1 { color: rgb(1, 2, 3) }
@media (prefers-color-scheme: dark) { h1 { color: rgb(4, 5, 6) !important } }
</style></head><body><h1>{{ name | safe }}</h1><p style="color: rgb(7, 8, 9)">{{ name }}</p>
<img src="https://elsewhere.example/pixel.png" alt=""><a href="https://elsewhere.example/">A link</a>
<script>document.title = "ran"</script><iframe src="https://elsewhere.example/"></iframe></body></html>"""
READ = """() => {
  const page = document.querySelector("preview-frame iframe")?.contentDocument;
  const [heading, text] = ["h1", "p"].map((name) => page?.querySelector(name));
  return heading && text && {
    colors: [heading, text].map((element) => getComputedStyle(element).color),
    images: heading.querySelectorAll("img").length,
    text: text.textContent,
    title: page.title,
  };
}"""
"""What the email contains. The frame cannot run scripts, so the page reads it."""


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_template_pages_are_accessible_and_fit(open_console: Any, hub: ConsoleHub, options: Json) -> None:
    for body in ("Hello {{ name }}", "Hello {{ name }}!"):
        texts = {"key": "axe", "title": "Hello", "body": body, "html": "<h1>{{ name }}</h1>", "note": "A reason"}
        await hub.execute(UPSERT, input=texts)
    console: ConsolePage = await open_console(**options)
    for path, present in (
        ("more", ".results"),
        ("templates", "tr[data-row]"),
        ("templates?q=nothing", ".empty"),
        ("templates?new=1", "#field-body"),
        ("templates/axe", ".difference"),
        ("templates/nowhere", ".empty"),
    ):
        await console.open(path)
        await expect(console.page.locator(present).first).to_be_visible()
        assert await console.axe_violations() == [], path
        assert await console.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await console.open("templates/axe")
    await console.page.get_by_role("button", name="Send a test…").click()
    await expect(console.page.get_by_label("User id")).to_be_visible()
    assert await console.axe_violations() == []


async def test_template_is_written_with_a_preview_and_saved(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("templates")
    page = console.page
    await page.get_by_role("link", name="New template").click()
    await page.get_by_label("Key", exact=True).fill("order")
    await page.get_by_label("Title", exact=True).fill("Order {{ order.id }}")
    await page.get_by_label("Text", exact=True).fill("It arrives on {{ day }}.\nThank you.")
    await page.get_by_role("link", name="Categories").click()
    await page.get_by_role("link", name="New category").wait_for()
    await page.get_by_role("link", name="Templates").click()
    await page.get_by_role("link", name="New template").click()
    await expect(page.get_by_label("Title", exact=True)).to_have_value("Order {{ order.id }}")
    await page.get_by_label("Sample data").fill('{"order": {"id": 7}}')
    error = page.locator("#field-body-error")
    await expect(error).to_contain_text("`body`, line 1")
    await expect(error).to_contain_text("day")
    await expect(page.get_by_label("Text", exact=True)).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Sample data").fill('{"order": {"id": 7}, "day": "Monday"')
    await expect(page.locator("#field-sample-error")).to_contain_text("not valid JSON")
    await page.get_by_label("Sample data").fill('{"order": {"id": 7}, "day": "Monday"}')
    await expect(error).to_have_count(0)
    preview = page.locator("template-preview")
    await expect(preview.locator("[data-part=title]")).to_have_text("Order 7")
    await expect(preview.locator("[data-part=body]")).to_have_text("It arrives on Monday.\nThank you.")
    await preview.get_by_label("Channel of the preview").select_option("SMS")
    await expect(preview.locator("[data-part=title]")).to_have_count(0)
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile(r"/templates/order\?locale=en$"))
    await expect(page.get_by_text("version 1", exact=True)).to_be_visible()
    stored = (await hub.execute(TEXTS, key="order"))["template"]
    assert stored == {"title": "Order {{ order.id }}", "body": "It arrives on {{ day }}.\nThank you.", "version": 1}


async def test_unsaved_texts_are_kept_and_an_error_of_the_hub_is_at_its_field(
    open_console: Any, hub: ConsoleHub
) -> None:
    await hub.execute(UPSERT, input={"key": "kept", "title": "Kept", "body": "One"})
    await hub.execute(UPSERT, input={"key": "kept", "locale": "de", "title": "Behalten", "body": "Eins"})
    console: ConsolePage = await open_console("templates/kept?locale=en")
    page = console.page
    await page.get_by_label("Text", exact=True).fill("Changed")
    await page.get_by_role("link", name="de", exact=True).click()
    await expect(page.get_by_label("Text", exact=True)).to_have_value("Eins")
    await page.get_by_role("link", name="en", exact=True).click()
    await expect(page.get_by_label("Text", exact=True)).to_have_value("Changed")
    await expect(page.get_by_text("unsaved changes")).to_be_visible()
    await page.get_by_label("Text", exact=True).fill("{% if %}")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#field-body-error")).to_contain_text("line 1")
    await page.get_by_role("button", name="Discard changes").click()
    await expect(page.get_by_label("Text", exact=True)).to_have_value("One")
    assert (await hub.execute(TEXTS, key="kept"))["template"]["body"] == "One"
    await page.get_by_role("link", name="Add a language or channel").click()
    await page.get_by_label("Language", exact=True).fill("fr")
    await page.get_by_label("Text", exact=True).fill("Un")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("link", name="fr", exact=True)).to_have_attribute("aria-current", "page")


async def test_email_is_shown_without_scripts_and_without_other_sites(open_console: Any, hub: ConsoleHub) -> None:
    await hub.execute(UPSERT, input={"key": "email", "channel": "EMAIL", "subject": "S", "body": "B", "html": EMAIL})
    console: ConsolePage = await open_console("templates/email")
    page = console.page
    requested: list[str] = []
    await page.route("https://elsewhere.example/**", lambda route: requested.append(route.request.url))
    await page.get_by_label("Sample data").fill(json.dumps({"name": HOSTILE}))

    async def shown(color: str) -> bool:
        found = await page.evaluate(READ)
        return bool(found and found["text"] == HOSTILE and found["colors"][0] == color)

    await eventually(lambda: shown("rgb(1, 2, 3)"), 60)
    assert (await page.evaluate(READ))["colors"][1] == "rgb(7, 8, 9)"
    assert (await page.evaluate(READ))["images"] == 1  # the filter `safe` prints HTML
    wide = await page.locator("preview-frame iframe").bounding_box()
    await page.get_by_role("button", name="Phone").click()
    narrow = await page.locator("preview-frame iframe").bounding_box()
    assert wide is not None
    assert narrow is not None
    assert narrow["width"] <= 375 < wide["width"]
    await page.evaluate("document.querySelector('preview-frame iframe').contentDocument.querySelector('a').click()")
    await page.get_by_role("button", name="Dark").click()
    await eventually(lambda: shown("rgb(4, 5, 6)"), 60)
    assert (await page.evaluate(READ))["title"] != "ran"
    assert requested == []
    # Chromium reports what the policy of the frame blocks, and does not request it.
    blocked = re.compile("Blocked script execution|Content Security Policy")
    assert not [error for error in console.errors if error.startswith("dialog")]
    console.errors[:] = [
        error for error in console.errors if not blocked.search(error) and "elsewhere.example" not in error
    ]


async def test_versions_are_compared_and_reverted(open_console: Any, hub: ConsoleHub) -> None:
    for body in ("One\nsame", f"Two {HOSTILE}\nsame", "Three\nsame"):
        await hub.execute(UPSERT, input={"key": "history", "title": "T", "body": body, "note": f"Note {HOSTILE}"})
    console: ConsolePage = await open_console("templates/history")
    page = console.page
    difference = page.get_by_label("Difference: Text")
    await expect(difference.locator("del")).to_have_text(f"- Two {HOSTILE}")
    await expect(difference.locator("ins")).to_have_text("+ Three")
    await expect(difference).to_contain_text("same")
    await page.get_by_role("button", name="Compare version 1").click()
    await expect(difference.locator("del")).to_have_text("- One")
    await page.get_by_label("Compare to version").select_option("2")
    await expect(difference.locator("ins")).to_have_text(f"+ Two {HOSTILE}")
    await expect(page).to_have_url(re.compile("from=1&to=2"))
    await page.get_by_role("button", name="Revert to version 1").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revert").click()
    await expect(page.get_by_text("Version 4 has the texts of version 1.")).to_be_visible()
    await expect(page.get_by_label("Text", exact=True)).to_have_value("One\nsame")
    assert await page.locator("main img").count() == 0


async def test_test_is_sent_to_a_user_after_a_confirmation(open_console: Any, hub: ConsoleHub) -> None:
    await hub.execute(UPSERT, input={"key": "tested", "title": "Test {{ word }}", "body": "B"})
    console: ConsolePage = await open_console("templates/tested")
    page = console.page
    await page.get_by_label("Sample data").fill('{"word": "one"}')
    await page.get_by_role("button", name="Send a test…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("User id").fill("zoe")
    await dialog.get_by_label("Category").select_option("reviews")
    await dialog.get_by_label("Inbox").check()
    await dialog.get_by_role("button", name="Check").click()
    await expect(dialog).to_contain_text("It would be in the inbox now.")
    assert "tested" not in [one["template"] for one in (await hub.execute(SENDS))["sends"]["nodes"]]
    await dialog.get_by_role("button", name="Send to zoe").click()
    await page.get_by_role("link", name="Open the send").click()
    await expect(page.get_by_text("From the template tested, version 1.")).to_be_visible()
    sent = (await hub.execute(SENDS))["sends"]["nodes"][0]
    assert (sent["template"], sent["category"], sent["to"]["users"]) == ("tested", "reviews", ["zoe"])


async def test_pages_are_reached_by_keyboard_and_on_a_phone(open_console: Any, hub: ConsoleHub) -> None:
    await hub.execute(UPSERT, input={"key": "aaa", "title": "First", "body": "B"})
    console: ConsolePage = await open_console()
    page = console.page
    await expect(page.locator(".tiles")).to_be_visible()
    await page.keyboard.type("gt")
    await expect(page.locator("tr[data-row]").first).to_be_visible()
    await page.keyboard.type("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/templates/aaa$"))
    small: ConsolePage = await open_console(viewport=PHONE)
    await expect(small.page.get_by_role("link", name="Templates")).to_be_hidden()
    await small.page.get_by_role("link", name="More").click()
    await small.page.get_by_role("link", name="Templates").click()
    await expect(small.page.locator("tr[data-row]").first).to_be_visible()
    await expect(small.page.get_by_role("link", name="More")).to_have_attribute("aria-current", "page")


async def test_page_whose_code_cannot_be_loaded_says_so(open_console: Any) -> None:
    console: ConsolePage = await open_console()
    page = console.page
    await page.route("**/console/pages-*.js", lambda route: route.abort())
    await page.get_by_role("link", name="Templates").click()
    await expect(page.get_by_role("alert")).to_contain_text("This page could not be loaded.")
    await page.get_by_role("link", name="Sends", exact=True).click()
    await expect(page.get_by_role("heading", name="Sends")).to_be_visible()
    console.errors[:] = [error for error in console.errors if "Failed to load resource" not in error]
