"""The operator console: webhook endpoints and their calls."""

import re
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.browser.test_console import ConsoleHub, ConsolePage, hub, open_console
from tests.browser.test_demo import PHONE, WITHIN_MS
from tests.client import Json, eventually
from tests.webhook_receiver import WebhookReceiver

__all__ = ["hub", "open_console"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

CREATE = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret endpoint { id } } }"
DELETE = "mutation ($id: ID!) { deleteWebhook(id: $id) }"
ENDPOINTS = "{ webhooks { id url events enabled calls { nodes { event status payload } } } }"


async def create_endpoint(hub: ConsoleHub, receiver: WebhookReceiver, status: int = 204) -> str:
    """Create an endpoint that gets `notification.created`, and respond with `status`. Return its id."""
    path = f"/tenant-{status}"
    receiver.responses[path] = lambda *_: web.Response(status=status)
    given = {"url": receiver.url + path, "events": ["notification.created"]}
    created = (await hub.execute(CREATE, input=given))["createWebhook"]
    receiver.secrets[path] = created["secret"]
    id: str = created["endpoint"]["id"]
    return id


async def wait_for_call(hub: ConsoleHub, endpoint: str, status: str) -> None:
    async def ended() -> bool:
        [found] = [one for one in (await hub.execute(ENDPOINTS))["webhooks"] if one["id"] == endpoint]
        return [call["status"] for call in found["calls"]["nodes"]] == [status]

    await eventually(ended, 60)


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_webhook_pages_are_accessible_and_fit(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver, options: Json
) -> None:
    endpoint = await create_endpoint(hub, receiver, 413)
    await hub.send("nora", title="For axe")
    await wait_for_call(hub, endpoint, "FAILED")
    console: ConsolePage = await open_console(**options)
    page = console.page
    for path, present in (
        ("webhooks", "tr[data-row]"),
        (f"webhooks/{endpoint}", "tr[data-row]"),
        ("webhooks/none", ".empty"),
    ):
        await console.open(path)
        await expect(page.locator(present).first).to_be_visible()
        if path.endswith(endpoint):
            await page.locator("tr[data-row] summary").first.click()
        assert await console.axe_violations() == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await console.open("webhooks")
    await page.get_by_role("button", name="New endpoint…").click()
    await expect(page.get_by_label("URL")).to_be_visible()
    assert await console.axe_violations() == []
    await hub.execute(DELETE, id=endpoint)


async def test_endpoint_is_created_changed_and_deleted(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    console: ConsolePage = await open_console("webhooks")
    page = console.page
    await page.get_by_role("button", name="New endpoint…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("URL").fill("ftp://nowhere")
    await dialog.get_by_role("button", name="Create").click()
    await expect(page.locator("#field-url-error")).to_be_visible()
    await dialog.get_by_label("URL").fill(f"{receiver.url}/<b>new</b>")
    await dialog.get_by_label("delivery.failed").check()
    await dialog.get_by_role("button", name="Create").click()
    secret = page.get_by_label("Secret", exact=True)
    await expect(secret).to_have_value(re.compile("^whsec_"))
    first = await secret.input_value()
    await page.get_by_role("button", name="I have stored it").click()
    await expect(secret).to_have_count(0)
    await page.get_by_role("link", name="<b>new</b>").click()
    await expect(page.locator("main")).to_contain_text("delivery.failed")
    await page.get_by_role("button", name="New secret…").click()
    await dialog.get_by_role("button", name="Create secret").click()
    await expect(secret).to_have_value(re.compile("^whsec_"))
    assert await secret.input_value() != first
    await page.get_by_role("button", name="I have stored it").click()
    await page.get_by_role("button", name="Disable").click()
    await expect(page.get_by_text("disabled", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Enable").click()
    await expect(page.get_by_text("enabled", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Change…").click()
    await dialog.get_by_label("delivery.failed").uncheck()
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The endpoint is changed.")).to_be_visible()
    [endpoint] = [one for one in (await hub.execute(ENDPOINTS))["webhooks"] if "new" in one["url"]]
    assert (endpoint["events"], endpoint["enabled"]) == ([], True)
    await page.get_by_role("button", name="Delete…").click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(re.compile("/webhooks$"))
    assert [one for one in (await hub.execute(ENDPOINTS))["webhooks"] if "new" in one["url"]] == []


async def test_failed_call_is_shown_with_request_and_response_and_replayed(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    endpoint = await create_endpoint(hub, receiver, 415)
    send = await hub.send("zoe", title="Told to the endpoint")
    await wait_for_call(hub, endpoint, "FAILED")
    console: ConsolePage = await open_console("webhooks")
    page = console.page
    row = page.locator("tr[data-row]").filter(has_text="tenant-415")
    await expect(row).to_contain_text("0")
    await expect(row).to_contain_text("of 1")
    await row.get_by_role("link").click()
    call = page.locator("tr[data-row]")
    await expect(call).to_contain_text("notification.created")
    await expect(call).to_contain_text("HTTP 415")
    await call.locator("summary").click()
    await expect(call.get_by_label("Request")).to_contain_text(f'"sendId": "{send}"')
    await page.get_by_label("Status").select_option("Accepted")
    await expect(page.get_by_text("No call matches.")).to_be_visible()
    await page.get_by_label("Status").select_option("Failed")
    receiver.responses["/tenant-415"] = lambda *_: web.Response(status=204)
    await page.get_by_role("button", name="Replay 1 failed call of this page").click()
    await expect(page.get_by_text("1 call is being sent again.")).to_be_visible()
    await wait_for_call(hub, endpoint, "DELIVERED")
    await hub.execute(DELETE, id=endpoint)


async def test_test_event_is_sent_and_its_response_appears(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    endpoint = await create_endpoint(hub, receiver, 418)
    await hub.execute("mutation ($id: ID!) { updateWebhook(id: $id, enabled: false) { id } }", id=endpoint)
    console: ConsolePage = await open_console(f"webhooks/{endpoint}?status=DELIVERED")
    page = console.page
    button = page.get_by_role("button", name="Send a test event")
    await expect(button).to_be_disabled()
    await page.get_by_role("button", name="Enable").click()
    await expect(button).to_be_enabled()
    await button.click()
    await expect(page.get_by_text("A test event is being sent.")).to_be_visible()
    await expect(page).to_have_url(re.compile(f"/webhooks/{endpoint}$"))
    call = page.locator("tr[data-row]")
    await call.locator("summary").click()
    await expect(call).to_contain_text("HTTP 418")  # the list refreshes, and the details stay open
    await expect(call.get_by_label("Request")).to_contain_text('"type": "webhook.test"')
    await expect(call.get_by_label("Request")).to_be_visible()
    await hub.execute(DELETE, id=endpoint)
