"""More of the operator console: sends, the queue, and the audit log."""

import re
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.browser.test_console import CONNECT, ConsoleHub, ConsolePage, hub, open_console
from tests.browser.test_demo import PHONE, WITHIN_MS
from tests.cli_commands import run_command
from tests.client import Json
from tests.webhook_receiver import WebhookReceiver

__all__ = ["hub", "open_console"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

ACKNOWLEDGE = "mutation ($id: ID!) { acknowledge(ids: [$id]) { changed } }"


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_pages_of_operators_are_accessible_and_fit(open_console: Any, hub: ConsoleHub, options: Json) -> None:
    send = await hub.send("zoe", "nora", title="For two", channels=["IN_APP", "EMAIL"])
    console: ConsolePage = await open_console(**options)
    for path, present in (
        ("sends", "tr[data-row]"),
        ("sends?status=RECALLED&category=none", ".empty"),
        (f"sends/{send}", ".bars"),
        ("queue", "text=Workers"),
        ("audit", "tr[data-row]"),
    ):
        await console.open(path)
        await expect(console.page.locator(present).first).to_be_visible()
        assert await console.axe_violations() == [], path
        assert await console.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_send_page_shows_the_progress_and_the_recipients(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    receiver.responses["/zoe"] = lambda *_: web.Response(status=413)
    connected = await hub.execute(CONNECT, user="zoe", to=f"{receiver.url}/zoe")
    receiver.secrets["/zoe"] = connected["connectWebhook"]["secret"]
    send = await hub.send("zoe", "nora", title="Please confirm", channels=["IN_APP", "WEBHOOK"], requireAck=True)
    inbox = await hub.execute("{ inbox(first: 1) { nodes { id } } }", user="nora")
    await hub.execute(ACKNOWLEDGE, user="nora", id=inbox["inbox"]["nodes"][0]["id"])
    console: ConsolePage = await open_console(f"sends/{send}")
    page = console.page
    funnel = page.get_by_role("table", name="How far the send came")
    people = funnel.get_by_role("row", name="Recipients")
    for column, text in enumerate(("2", "not reported", "not reported", "1", "1", "0")):
        await expect(people.get_by_role("cell").nth(column)).to_contain_text(text)
    await expect(funnel.get_by_role("row", name="Inbox").get_by_role("cell").nth(2)).to_have_text(re.compile("2"))
    await expect(page.get_by_text("1 acknowledged it.")).to_be_visible()
    people_list = page.get_by_role("region", name="Recipients")
    rows = people_list.locator(".results > li")
    await expect(rows).to_have_count(2)
    for choice, user in (("Unread", "zoe"), ("Not acknowledged", "zoe"), ("Failed", "zoe")):
        await people_list.get_by_role("link", name=choice, exact=True).press("Enter")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text(user)
    await expect(rows).to_contain_text("webhook: HTTP 413")
    await expect(page).to_have_url(re.compile(rf"/sends/{send}\?who=failed$"))
    assert await console.axe_violations() == []
    await page.reload()
    await rows.get_by_role("link", name="Webhook").click()
    await expect(page.get_by_role("heading", name="History")).to_be_visible()


async def test_causes_of_failures_filter_the_list(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    for user, status in (("amy", 413), ("bea", 413), ("cleo", 422)):
        await hub.fail(receiver, user, f"Answered {status}", status)
    console: ConsolePage = await open_console("deliveries")
    page = console.page
    causes = page.get_by_role("region", name="Why they failed")
    cause = causes.locator("li").filter(has_text="HTTP 422")
    await expect(cause).to_contain_text("1")
    assert await console.axe_violations() == []
    await cause.get_by_role("link").press("Enter")
    rows = page.locator("tr[data-row]")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Answered 422")
    await expect(page.get_by_placeholder("Error")).to_have_value("HTTP 422")
    await expect(page.get_by_role("region", name="Over time")).to_have_count(0)  # errors are not counted over time
    await page.get_by_role("link", name="Clear").click()
    await expect(page.get_by_role("region", name="Over time")).to_be_visible()


async def test_send_is_paused_resumed_and_recalled(open_console: Any, hub: ConsoleHub) -> None:
    title = "An announcement"
    later = [{"channels": ["IN_APP"]}, {"channels": ["EMAIL"], "after": "PT1H"}]
    await hub.send("zoe", "nora", title=title, steps=later)
    console: ConsolePage = await open_console("sends")
    page = console.page
    await page.get_by_role("link", name=title).click()
    status = page.locator(".page-heading .badge")
    await expect(status).to_have_text("Accepted")
    for button, action, expected in (
        ("Pause…", "Pause for 2 recipients", "Paused"),
        ("Resume…", "Resume for 2 recipients", "Accepted"),
        ("Recall…", "Recall for 2 recipients", "Recalled"),
    ):
        await page.get_by_role("button", name=button).click()
        await page.get_by_role("dialog").get_by_role("button", name=action).click()
        await expect(status).to_have_text(expected)
    await expect(page.get_by_role("button", name="Pause…")).to_have_count(0)
    canceled = page.locator(".bars li").filter(has_text="Canceled").filter(has_text="The send was recalled.")
    await expect(canceled.first).to_be_visible()


async def test_send_is_not_recalled_if_the_dialog_is_cancelled(open_console: Any, hub: ConsoleHub) -> None:
    send = await hub.send("zoe", title="Stays")
    console: ConsolePage = await open_console(f"sends/{send}")
    await console.page.get_by_role("button", name="Recall…").click()
    await console.page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
    await expect(console.page.get_by_role("dialog")).to_have_count(0)
    found = await hub.execute("query ($id: ID!) { send(id: $id) { status } }", id=send)
    assert found["send"]["status"] == "ACCEPTED"


async def test_queue_page_shows_providers_and_workers(open_console: Any) -> None:
    console: ConsolePage = await open_console("queue")
    await expect(console.page.get_by_role("heading", name="Due deliveries")).to_be_visible()
    workers = console.page.get_by_role("table", name="Running workers").locator("tbody tr")
    await expect(workers.first).to_be_visible()


async def test_audit_log_is_filtered_and_requires_the_role_admin(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("audit")
    page = console.page
    await page.get_by_placeholder("Target").fill("zoe")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/audit\?target=zoe$"))
    await expect(page.locator("tr[data-row]").first).to_contain_text("upsertUsers")
    await expect(page.locator("tr[data-row]").filter(has_not_text="upsertUsers")).to_have_count(0)
    await page.goto(run_command("console", "--data", hub.data).stdout.strip())
    await expect(page.get_by_role("link", name="Queue")).to_be_visible()
    await expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    await console.open("audit")
    await expect(page.get_by_role("alert")).to_contain_text("Your role or scope does not allow this.")
    await expect(page.get_by_role("alert")).to_contain_text("requires a token with role admin")
    await console.open("queue")
    await expect(page.get_by_text("Problems and workers are shown to the roles operator and admin.")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause a channel…")).to_have_count(0)


async def test_many_deliveries_are_replayed_at_a_rate_stopped_and_cancelled(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    for number in range(3):
        await hub.fail(receiver, "sam", f"Slow {number}")
    console: ConsolePage = await open_console("deliveries?user=sam")
    page, dialog = console.page, console.page.get_by_role("dialog")
    await page.get_by_role("button", name="Replay all that match").click()
    await dialog.get_by_label("At most per minute").fill("1")
    await dialog.get_by_label("Why").fill("The receiver is back.")
    assert await console.axe_violations() == []
    await dialog.get_by_role("button", name="Send 3 deliveries again").click()
    running = page.locator("delivery-batches")
    await expect(running).to_contain_text("A replay runs: 1 of 3 sent again, at most 1 per minute")
    await expect(running).to_contain_text("The receiver is back.")
    assert await console.axe_violations() == []
    await running.get_by_role("button", name="Stop").click()
    await expect(running).to_contain_text("A replay was stopped: 1 of 3 sent again")

    await hub.send("sam", title="Later", channels=["IN_APP"], steps=[{"channels": ["WEBHOOK"], "after": "P1D"}])
    await console.open("deliveries?user=sam")
    await page.get_by_role("button", name="Cancel all that match").click()
    await expect(dialog).to_contain_text("1 delivery waits and would not be sent.")
    await dialog.get_by_role("button", name="Cancel them").click()
    await expect(page.get_by_text("1 delivery is canceled.")).to_be_visible()
    await expect(page.locator("tr[data-row]").filter(has_text="Later")).to_contain_text("Canceled")
