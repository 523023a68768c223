"""The recipients in the send form of the demo page: topics, filters, and everyone, and how many users they are.
HUB_PICTURES names a folder for screenshots."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.test_demo import DESKTOP, PHONE, WITHIN_MS, DemoPage, demo, open_demo
from tests.client import eventually

__all__ = ["demo", "open_demo"]  # fixtures

PICTURES = os.environ.get("HUB_PICTURES")

expect.set_options(timeout=WITHIN_MS)


async def choose_recipients(demo_page: DemoPage, kind: str) -> None:
    await demo_page.page.get_by_role("group", name="Recipients").get_by_role("radio", name=kind).check()


async def test_send_to_everyone_counts_and_shows_its_recipients(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page
    await choose_recipients(demo_page, "Everyone")
    count = page.locator("demo-audience-count").get_by_role("status")
    await expect(count).to_have_text("2 users.")
    await page.get_by_label("Except").fill("bob, zoe")
    await expect(count).to_have_text("2 users, including those in Except.")
    await demo_page.press("Simulate")
    await expect(page.get_by_text("This is what would happen to 1 user:")).to_be_visible()
    await expect(demo_page.entry("alice", r"Now\s+Inbox")).to_be_visible()
    await expect(demo_page.entry("bob", "Inbox")).to_have_count(0)
    await page.get_by_label("Except").fill("")
    await demo_page.press("Send")
    await expect(page.get_by_text("Sent to everyone.")).to_be_visible()
    progress = page.locator("demo-send-progress")
    await expect(progress.get_by_role("status")).to_have_text("Accepted, 2 recipients. No delivery waits.")
    await expect(page.locator("demo-receipts option:checked")).to_contain_text("· 2 users ·")


async def test_send_to_a_topic_reaches_its_subscribers(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page
    await page.keyboard.press("Tab")  # the group works without a mouse
    await page.get_by_role("radio", name="Users").focus()
    await page.keyboard.press("ArrowRight")
    topic = page.get_by_label("Topic", exact=True).and_(page.get_by_role("combobox"))
    await expect(topic.locator("option")).to_have_text(
        ["Incidents (incidents)", "Releases (releases)", "Roadmap 2027 (roadmap)"]
    )
    await topic.select_option("roadmap")
    await expect(page.locator("demo-audience-count")).to_have_text("1 user.")
    await demo_page.press("Simulate")
    await expect(demo_page.entry("alice", r"Now\s+Inbox")).to_be_visible()
    await demo_page.press("Send")
    await expect(page.get_by_text("Sent to the topic roadmap.")).to_be_visible()
    await expect(demo_page.row("alice", "IN_APP")).to_be_visible()
    await expect(demo_page.row("bob", "IN_APP")).to_have_count(0)


async def test_send_to_a_filter_shows_its_error_and_its_users(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page
    await choose_recipients(demo_page, "Filter")
    filter, count = page.get_by_label("Filter (JSON)"), page.locator("demo-audience-count").get_by_role("status")
    await expect(count).to_have_text("2 users. No index serves this filter, so all users are read.")
    for text, error in (
        ('{ "locale": ', "The filter is not valid JSON: "),
        ("[]", "The filter must be a JSON object."),
        ('{ "and": [{ "age": 3 }] }', "and[0].age: `age` is not a field. Use id, "),
    ):
        await filter.fill(text)
        await expect(filter).to_have_accessible_description(re.compile(re.escape(error)))
        await expect(filter).to_be_focused()  # an error that appears while typing moves nothing
        await expect(count).to_have_text("")
    await page.get_by_label("Title").focus()
    await demo_page.press("Send")
    await expect(filter).to_be_focused()
    await filter.fill('{ "locale": "fr" }')
    await expect(count).to_have_text("No user matches.")
    await demo_page.press("Simulate")
    await expect(page.get_by_text("Nothing was sent. Nobody would get it.")).to_be_visible()
    await filter.fill('{ "id": "bob" }')
    await expect(count).to_have_text("1 user.")
    await demo_page.press("Send")
    await expect(page.get_by_text("Sent to the users who match the filter.")).to_be_visible()
    await expect(demo_page.row("bob", "IN_APP")).to_be_visible()
    await expect(demo_page.row("alice", "IN_APP")).to_have_count(0)


async def test_recipients_are_counted_and_topics_load_and_may_be_missing(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page
    held: list[tuple[WebSocketRoute, str]] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def to_server(message: str | bytes) -> None:
            if "query Topics" in str(message) or "query CountAudience" in str(message):
                held.append((server, str(message)))
            else:
                server.send(message)

        socket.on_message(to_server)
        server.on_message(
            lambda received: socket.send(re.sub(r'"topics":\{"nodes":\[.*?\]', '"topics":{"nodes":[]', str(received)))
        )

    await page.route_web_socket("**/graphql", between)
    await page.reload()
    await choose_recipients(demo_page, "Topic")
    await expect(page.get_by_text("Loading topics…")).to_be_visible()
    await choose_recipients(demo_page, "Everyone")
    await expect(page.get_by_text("Counting…")).to_be_visible()
    assert "\n".join(await demo_page.axe_violations()) == ""
    await choose_recipients(demo_page, "Topic")

    async def requested() -> bool:
        return sum("query Topics" in message for _, message in held) == 2

    await eventually(requested)
    for server, message in held:
        server.send(message)
    await expect(page.get_by_text("There are no topics yet.")).to_be_visible()
    await demo_page.press("Send")
    await expect(page.get_by_role("alert")).to_have_text("Choose a topic.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_recipients_have_no_axe_violations_and_fit(open_demo: Any, viewport: Any, scheme: str) -> None:
    demo_page: DemoPage = await open_demo(viewport=viewport, color_scheme=scheme, has_touch=viewport is PHONE)
    count = demo_page.page.locator("demo-audience-count")
    for kind in ("Topic", "Filter", "Everyone"):
        await choose_recipients(demo_page, kind)
        await expect(count).to_contain_text("user")
        await demo_page.press("Simulate")
        await expect(demo_page.page.locator("demo-simulation")).to_be_visible()
        if PICTURES:
            name = f"recipients-{kind.lower()}-{viewport['width']}-{scheme}.png"
            await demo_page.page.locator("demo-send-form").screenshot(path=Path(PICTURES, name))
        assert "\n".join(await demo_page.axe_violations()) == ""
        assert await demo_page.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
