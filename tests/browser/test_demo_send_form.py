"""More of the demo page: templates, steps, and schedules in the send form, their timeline, and events."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import WebSocketRoute, expect

from tests.browser.test_demo import DESKTOP, PHONE, WITHIN_MS, DemoPage, demo, open_demo
from tests.client import Json, eventually
from tests.enrichment_setup import ROTATE
from tests.webhook_receiver import WebhookReceiver

__all__ = ["demo", "open_demo"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

TEMPLATES = '"templates":['
LAYOUT = TEMPLATES + '{"key":"_layout","variables":[]},'
FITS = "(element) => element.scrollWidth <= element.clientWidth"
UPSERT_CATEGORY = "mutation ($i: CategoryInput!) { upsertCategory(input: $i) { key } }"
QUIET = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { quietSchedule { start } } }"
AS_USER = """async ([user, query, variables]) => {
  const { tokens } = await (await fetch("/dev/tokens", { method: "POST" })).json();
  const headers = { authorization: `Bearer ${tokens[user]}`, "content-type": "application/json" };
  const body = JSON.stringify({ query, variables });
  return await (await fetch("/graphql", { method: "POST", headers, body })).json();
}"""


async def set_quiet_hours(demo_page: DemoPage, user: str, windows: list[Json]) -> None:
    output = await demo_page.page.evaluate(AS_USER, [user, QUIET, {"input": {"quietSchedule": windows}}])
    assert "errors" not in output, output


async def open_options(demo_page: DemoPage, group: str) -> None:
    await demo_page.page.locator("summary").filter(has_text=group).click()


async def set_up(demo_page: DemoPage, experiment: str) -> None:
    """Start an experiment of "Try this"."""
    await demo_page.page.get_by_role("radio", name=experiment).check()
    await demo_page.press("Set it up")
    await expect(demo_page.page.get_by_text("✓ Ready")).to_be_visible()


async def send_times(demo_page: DemoPage, times: int) -> None:
    sent = demo_page.page.get_by_text(re.compile("^Sent to "))
    for _ in range(times):
        await demo_page.press("Send")
        await expect(sent).to_be_visible()


async def emails(demo_page: DemoPage, subject: str) -> list[Json]:
    """Return the captured emails with a subject that matches the pattern."""
    output: Json = await demo_page.page.evaluate("async () => (await fetch('/dev/outbox.json')).json()")
    return [
        found for found in output["messages"] if found["channel"] == "EMAIL" and re.search(subject, found["subject"])
    ]


@pytest.fixture
async def quiet_alice(open_demo: Any) -> AsyncIterator[DemoPage]:
    """The page. Alice's quiet hours end in about two hours."""
    demo_page: DemoPage = await open_demo()
    clock = demo_page.page.get_by_role("group", name="The hub's clock").locator("time")
    now = datetime.fromisoformat(await clock.get_attribute("datetime") or "")  # other tests moved it
    start, end = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (-1, 2))
    await set_quiet_hours(demo_page, "alice", [{"start": start, "end": end, "timezone": "UTC"}])
    yield demo_page
    await set_quiet_hours(demo_page, "alice", [])


async def test_send_with_a_template_shows_its_text_to_each_user(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page

    def with_layout(socket: WebSocketRoute) -> None:
        socket.connect_to_server().on_message(lambda received: socket.send(str(received).replace(TEMPLATES, LAYOUT)))

    await page.route_web_socket("**/graphql", with_layout)
    await page.reload()
    await page.get_by_role("radio", name="Template").check()
    await expect(demo_page.title).to_have_count(0)
    keys = await page.get_by_label("Stored template").locator("option").all_inner_texts()
    assert "invoice" in keys
    assert not [key for key in keys if key.startswith("_")]
    await page.get_by_label("Stored template").select_option("invoice")
    await page.get_by_label("Category").select_option("billing")
    data = page.get_by_label("Data (JSON)")
    example = json.loads(await data.input_value())
    assert set(example) == {"invoice", "amount", "currency"}

    await data.fill("{")
    await demo_page.press("Send")
    await expect(page.get_by_role("alert")).to_contain_text("The data is not valid JSON")
    await data.fill(json.dumps({**example, "invoice": "T-1"}))
    await demo_page.press("Simulate")
    await expect(page.locator("demo-simulation").get_by_text("“Invoice T-1 is ready”")).to_have_count(2)
    await demo_page.press("Send")
    await expect(page.get_by_text("Sent to alice and bob.")).to_be_visible()
    for index in range(2):
        await demo_page.bell(index).click()
        item = demo_page.device(index).locator("hub-inbox-item").filter(has_text="Invoice T-1 is ready")
        await expect(item).to_contain_text("€84.00, due in 14 days.")


async def test_steps_are_in_the_timeline_in_order(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page
    await open_options(demo_page, "later steps")
    await demo_page.press("Add a step")
    await demo_page.press("Add another step")
    first = page.get_by_role("group", name="Step 1")
    await first.get_by_label("After").select_option("P1D")
    await first.get_by_label("Unless").select_option("SEEN")
    await demo_page.press("Simulate")
    entries = page.locator("demo-simulation").get_by_role("region", name="bob").get_by_role("listitem")
    await expect(entries).to_have_text(
        [
            re.compile(r"Now\s+Inbox"),
            re.compile(r"\d\d:\d\d\s+in 10 min\.\s+Email\s+Step 2, unless read by then"),
            re.compile(r"in 1 day\s+Email\s+Step 1, unless seen by then"),
            re.compile(r"Not\s+Web push, Webhook\s+The user has no address"),
        ]
    )
    acknowledge = page.get_by_role("checkbox", name="Ask recipients to acknowledge it")
    await acknowledge.check()
    value = page.locator("summary").filter(has_text="later steps").locator(".value")
    await expect(value).to_have_text("Required, 2 steps")
    assert await value.evaluate(FITS)
    await expect(first.get_by_label("Unless").locator("option:checked")).to_have_text("acknowledged")
    await expect(first.get_by_label("Unless").locator("option")).to_have_text(["acknowledged", "no condition"])
    await acknowledge.uncheck()
    await expect(first.get_by_label("Unless")).to_have_value("SEEN")
    await demo_page.press("Remove step 1")  # step 2 becomes step 1
    await expect(page.locator("demo-simulation")).to_have_count(0)
    await demo_page.press("Simulate")
    await expect(demo_page.entry("bob", "Step")).to_have_count(1)


async def test_quiet_hours_hold_a_push_in_the_timeline(quiet_alice: DemoPage) -> None:
    await quiet_alice.press("Simulate")
    await expect(quiet_alice.entry("alice", r"Now\s+Inbox")).to_be_visible()
    held = quiet_alice.entry("alice", r"in 2 hr\.\s+Web push\s+Held: The user's quiet hours")
    await expect(held).to_be_visible()
    await expect(held.locator("time")).to_have_text(re.compile(r"\d\d:\d\d$"))
    await expect(quiet_alice.entry("bob", "quiet hours")).to_have_count(0)


async def test_digest_is_in_the_timeline(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    await open_options(demo_page, "Digest")
    await demo_page.page.get_by_label("Digest key").fill("reviews")
    await demo_page.page.get_by_label("Gather for").select_option("PT10M")
    await demo_page.press("Simulate")
    await expect(demo_page.entry("alice", r"in 10 min\.\s+Web push, Webhook\s+Waits for its digest")).to_be_visible()


async def test_every_option_of_the_form_reaches_the_hub(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    page = demo_page.page
    sent: list[Json] = []

    def record(message: str | bytes) -> None:
        if "mutation Send(" in str(message):
            sent.append(json.loads(message)["payload"]["variables"]["input"])

    page.on("websocket", lambda socket: socket.on("framesent", record))
    await page.reload()
    await demo_page.title.fill("Every option")
    await page.get_by_label("Body").fill("This is **important**.")
    await page.get_by_role("checkbox", name="Markdown").check()
    for group in ("Schedule", "later steps", "Digest", "Collapse"):
        await open_options(demo_page, group)
    await page.get_by_label("Expires at").fill("2090-01-02T12:00")
    await page.get_by_role("checkbox", name="Pin it above the others").check()
    await page.get_by_role("checkbox", name="Ask recipients to acknowledge it").check()
    await page.get_by_label("Digest key").fill("all")
    await page.get_by_label("Gather for").select_option("PT1M")
    await page.get_by_label("Window").select_option("SLIDING")
    await page.get_by_label("Longest wait").select_option("PT1H")
    await page.get_by_label("Look back").select_option("P1D")
    await page.get_by_label("Max. items").fill("5")
    await page.get_by_label("Collapse key").fill("build-7")
    await page.get_by_label("Throttle key").fill("builds")
    await page.get_by_label("Limit", exact=True).fill("3")
    await page.get_by_label("Per", exact=True).select_option("P1D")
    await demo_page.press("Send")
    await expect(page.get_by_text("Sent to alice and bob.")).to_be_visible()
    [input] = sent
    assert input["digest"] == {
        "key": "all", "window": "PT1M", "mode": "SLIDING", "max": "PT1H", "lookback": "P1D", "maxItems": 5
    }  # fmt: skip
    assert input["throttle"] == {"key": "builds", "window": "P1D", "limit": 3}
    assert (input["collapseKey"], input["expiresAt"][:10], input["pinned"]) == ("build-7", "2090-01-02", True)
    await demo_page.bell(0).click()
    item = demo_page.device(0).locator("hub-inbox-item").filter(has_text="Every option")
    await expect(item.locator("strong")).to_have_text("important")
    await item.get_by_role("button", name="Acknowledge").click()
    await expect(item).to_contain_text("Acknowledged")


async def test_error_of_an_option_opens_its_group(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    await open_options(demo_page, "Schedule")
    expires = demo_page.page.get_by_label("Expires at")
    await expires.fill("2020-01-02T12:00")
    await open_options(demo_page, "Schedule")
    await expect(expires).to_be_hidden()
    await demo_page.press("Simulate")
    await expect(expires).to_be_focused()
    await expect(expires).to_have_accessible_description(re.compile("`expiresAt` must be in the future"))


async def test_guide_shows_quiet_hours_a_daily_limit_and_a_digest(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    await set_up(demo_page, "Quiet hours")
    await expect(demo_page.device(0).get_by_role("button", name=re.compile("^Change .+"))).to_be_visible()
    await demo_page.press("Simulate")
    await expect(
        demo_page.entry("alice", r"in (49|50) min\.\s+Web push\s+Held: The user's quiet hours")
    ).to_be_visible()

    await set_up(demo_page, "Daily limit")
    await send_times(demo_page, 3)
    await expect(demo_page.row("alice", "WEB_PUSH")).to_contain_text("The user's daily limit was reached")
    await expect(demo_page.row("alice", "IN_APP").locator(".badge")).to_have_text("Delivered")

    await set_up(demo_page, "Digest")
    await send_times(demo_page, 3)
    await demo_page.press("+1 hour")

    async def gathered() -> bool:
        found = await emails(demo_page, "3")
        return sorted(email["user"] for email in found) == ["alice", "bob"]

    await eventually(gathered)


async def test_guide_shows_an_escalation(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo()
    await set_up(demo_page, "Escalation")
    await send_times(demo_page, 1)
    await demo_page.bell(0).click()
    item = demo_page.device(0).locator("hub-inbox-item").filter(has_text="web-9 does not respond")
    await item.get_by_role("button", name="Acknowledge").click()
    await expect(item).to_contain_text("Acknowledged")
    other = demo_page.row("alice", "IN_APP").locator("td").last
    await expect(other).to_have_text("Acknowledged")
    assert await other.evaluate(FITS)
    await demo_page.press("+1 hour")

    async def escalated() -> bool:
        return [email["user"] for email in await emails(demo_page, "web-9 does not respond")] == ["bob"]

    await eventually(escalated)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_progress_shows_what_is_held_until_when(quiet_alice: DemoPage, viewport: Any, scheme: Any) -> None:
    page = quiet_alice.page
    await page.set_viewport_size(viewport)
    await page.emulate_media(color_scheme=scheme)
    await send_times(quiet_alice, 1)
    progress = page.locator("demo-send-progress")
    announced = progress.get_by_role("status")
    deliveries = progress.get_by_role("table", name="Deliveries by channel")
    await expect(deliveries.get_by_role("row", name="Inbox 2 delivered")).to_be_visible()
    await expect(deliveries.get_by_role("row", name=re.compile("Web push .*1 held"))).to_be_visible()
    await expect(
        progress.get_by_text(re.compile(r"1 held until (\w+ )?\d\d:\d\d: Web push \(The user's quiet hours\)"))
    ).to_be_visible()
    held = quiet_alice.row("alice", "WEB_PUSH")
    await expect(held).to_have_text(re.compile(r"Held\s+The user's quiet hours\s+until (\w+ )?\d\d:\d\d"))
    await expect(announced).to_have_text(re.compile(r"^Accepted, 2 recipients\. 1 of \d+ deliveries wait\.$"))
    assert "\n".join(await quiet_alice.axe_violations()) == ""
    assert await page.evaluate("document.documentElement.scrollWidth") == viewport["width"]

    await quiet_alice.press("Pause")
    await expect(announced).to_have_text(re.compile("^Paused, 2 recipients"))
    await quiet_alice.press("Resume")
    await expect(announced).to_have_text(re.compile("^Accepted, 2 recipients"))
    await quiet_alice.press("Recall")
    await expect(deliveries.get_by_role("row", name="Inbox 2 cancelled")).to_be_visible()
    await expect(progress.get_by_text("held until")).to_have_count(0)
    await expect(held.locator(".badge")).to_have_text("Cancelled")
    await expect(announced).to_have_text("Recalled, 2 recipients. No delivery waits.")


async def test_events_show_what_their_rules_did(open_demo: Any) -> None:
    demo_page: DemoPage = await open_demo(viewport=PHONE)
    await demo_page.page.get_by_text("Events: what applications publish").click()
    events = demo_page.page.locator("demo-events")
    rows = events.get_by_role("row")
    await demo_page.press("Publish event")
    shipped = rows.filter(has_text="com.example.order.shipped")
    await expect(shipped.get_by_text("PROCESSED")).to_be_visible()
    await expect(shipped).to_contain_text("order-shipped: Order 7 is on its way")
    await events.get_by_label("Type").fill("com.example.order.lost")
    await demo_page.press("Publish event")
    await expect(rows.nth(1).get_by_text("UNMATCHED")).to_be_visible()
    await expect(rows.nth(1)).to_contain_text("com.example.order.lost")
    await events.get_by_label("Data").fill("{")
    await demo_page.press("Publish event")
    await expect(events.get_by_role("alert")).to_be_visible()
    await expect(rows).to_have_count(3)
    assert "\n".join(await demo_page.axe_violations()) == ""
    assert await demo_page.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


async def test_send_shows_that_it_waits_for_its_enrichment(open_demo: Any, receiver: WebhookReceiver) -> None:
    demo_page: DemoPage = await open_demo()
    answered = asyncio.Event()

    async def answer() -> web.Response:
        await answered.wait()
        return web.json_response({"state": "shipped"})

    receiver.responses["/enrich"] = lambda *_: answer()
    rotated = await demo_page.page.evaluate(AS_USER, ["admin", ROTATE, {}])
    receiver.secrets["/enrich"] = rotated["data"]["rotateEnrichmentSecret"]["secret"]
    enrichment = {"url": f"{receiver.url}/enrich", "timeout": "PT30S"}
    category = {"key": "orders", "name": "Orders", "defaultChannels": ["IN_APP"], "enrichment": enrichment}
    assert "errors" not in await demo_page.page.evaluate(AS_USER, ["admin", UPSERT_CATEGORY, {"i": category}])
    await demo_page.page.reload()
    await demo_page.send("Your order", category="orders")
    progress = demo_page.page.locator("demo-send-progress")
    await expect(progress.locator(".badge").first).to_have_text("Preparing")
    await expect(progress).to_contain_text("2 recipients · waits for the enrichment of its category")
    answered.set()
    await expect(progress.get_by_role("row", name="Inbox 2 delivered")).to_be_visible()
    await expect(progress).not_to_contain_text("waits for")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_options_have_no_axe_violations_and_fit(open_demo: Any, viewport: Any, scheme: str) -> None:
    demo_page: DemoPage = await open_demo(viewport=viewport, color_scheme=scheme, has_touch=viewport is PHONE)
    await demo_page.page.get_by_role("radio", name="Template").check()
    for group in ("Schedule", "later steps", "Digest", "Collapse"):
        await open_options(demo_page, group)
    await demo_page.page.get_by_label("Window").select_option("SLIDING")
    await demo_page.press("Add a step")
    await demo_page.press("Simulate")
    await expect(demo_page.entry("bob", "Step 1")).to_be_visible()
    assert "\n".join(await demo_page.axe_violations()) == ""
    assert await demo_page.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


async def test_scheduled_send_is_later_in_the_timeline(open_demo: Any) -> None:
    """The last test of the module, because the page then shows a send without receipts."""
    demo_page: DemoPage = await open_demo()
    await open_options(demo_page, "Schedule")
    now = demo_page.page.get_by_role("group", name="The hub's clock").locator("time")
    send_at = await now.evaluate(
        "(now) => { const at = new Date(Date.parse(now.dateTime) + 3 * 3600e3 - new Date().getTimezoneOffset() * 6e4);"
        " return at.toISOString().slice(0, 16); }"
    )
    await demo_page.page.get_by_label("Send at").fill(send_at)
    await demo_page.press("Simulate")
    await expect(demo_page.entry("bob", r"in 3 hr\.\s+Inbox")).to_be_visible()
    await expect(demo_page.entry("bob", "Now")).to_have_count(0)
    await demo_page.press("Send")
    await expect(demo_page.page.get_by_text("Scheduled for alice and bob.")).to_be_visible()
    picker = demo_page.page.locator("demo-receipts option:checked")
    await expect(picker).to_contain_text("Carol approved your change · 2 users · for ")
    progress = demo_page.page.locator("demo-send-progress")
    await expect(progress.get_by_role("status")).to_have_text("Scheduled, 2 recipients.")
    await expect(progress.get_by_text(re.compile(r"2 recipients · for (\w+ )?\d\d:\d\d"))).to_be_visible()
    await demo_page.press("Recall")
    await expect(progress.get_by_role("status")).to_have_text("Recalled, 2 recipients.")
