"""The operator console: topics, categories, suppressions, service keys, and new sends."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Route, expect
from pymongo import MongoClient

from hub.model import mailbox_of
from tests.browser.test_console import UPSERT_USERS, ConsoleHub, ConsolePage, hub, open_console
from tests.browser.test_demo import PHONE, WITHIN_MS
from tests.client import Json, eventually

__all__ = ["hub", "open_console"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

HOSTILE = "<img src=x onerror=alert(1)>"
CATEGORY = "{ categories { key name required defaultChannels priority retention digest } }"
TOPICS = "query ($q: String) { topics(search: $q) { nodes { key name description visible subscribers } } }"
SUPPRESSIONS = "{ suppressions { nodes { userId address } } }"
KEYS = "{ serviceKeys { name role scopes revokedAt } }"
SENDS = "query { sends(first: 5) { nodes { title sendAt to { users topic } channels } } }"


def suppress(hub: ConsoleHub, user: str, address: str, reason: str) -> None:
    """Suppress an address, as a bounce does."""
    running = json.loads((Path(hub.data) / "running.json").read_text())
    with MongoClient[Any](running["mongo_url"]) as client:
        update = {"$set": {"suppressed": {address: reason}}}
        assert client["hub"].users.update_one({"_id": mailbox_of("default", user)}, update).matched_count == 1


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_pages_of_the_setup_are_accessible_and_fit(open_console: Any, hub: ConsoleHub, options: Json) -> None:
    await hub.execute(UPSERT_USERS, users=[{"id": "axe", "email": "axe@example.org"}])
    suppress(hub, "axe", "axe@example.org", "bounced")
    console: ConsolePage = await open_console(**options)
    page = console.page
    for path, present in (
        ("topics", "tr[data-row]"),
        ("topics?q=none", ".empty"),
        ("topics?new=1", "#field-key"),
        ("topics/releases", "li[data-row]"),
        ("categories", "tr[data-row]"),
        ("categories/reviews", "#field-key"),
        ("categories/none", ".empty"),
        ("suppressions", "tr[data-row]"),
        ("suppressions?user=none", ".empty"),
        ("keys", ".page-heading + .lead"),
        ("tenant", "#field-name"),
        ("compose", "#field-category"),
    ):
        await console.open(path)
        await expect(page.locator(present).first).to_be_visible()
        assert await console.axe_violations() == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await console.open("keys")
    await page.get_by_role("button", name="New key…").click()
    await expect(page.get_by_label("Name", exact=True)).to_be_visible()
    assert await console.axe_violations() == []


async def test_topic_is_created_and_users_are_subscribed(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("topics")
    page = console.page
    await page.get_by_role("link", name="New topic").click()
    await page.get_by_label("Key", exact=True).fill("beta")
    await page.get_by_label("Name", exact=True).fill(HOSTILE)
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile("/topics/beta$"))
    await page.get_by_label("Description", exact=True).fill("Not saved yet")
    await page.locator("#field-users").fill("zoe\nnora")
    await page.get_by_role("button", name="Subscribe", exact=True).click()
    await expect(page.get_by_text("2 users were subscribed.")).to_be_visible()
    await page.get_by_role("button", name="Unsubscribe nora").click()
    await expect(page.get_by_role("button", name="Unsubscribe nora")).to_have_count(0)
    await expect(page.get_by_label("Description", exact=True)).to_have_value("Not saved yet")
    await page.get_by_label("Users see the topic").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The topic is saved.")).to_be_visible()
    [topic] = (await hub.execute(TOPICS, q="beta"))["topics"]["nodes"]
    assert topic == {"key": "beta", "name": HOSTILE, "description": "Not saved yet", "visible": True, "subscribers": 1}
    await console.open("topics?q=BETA")
    await expect(page.locator("tr[data-row]")).to_contain_text(HOSTILE)
    assert await page.locator("main img").count() == 0


async def test_category_is_created_changed_and_deleted(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("categories")
    page = console.page
    await page.get_by_role("link", name="New category").click()
    await page.get_by_label("Key", exact=True).fill("alerts")
    await page.get_by_label("Name", exact=True).fill("Alerts")
    await page.get_by_label("Email").check()
    await page.get_by_label("Retention", exact=True).fill("a year")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#field-retention")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Retention", exact=True).fill("P90D")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile("/categories/alerts$"))
    await page.get_by_label("Priority").select_option("HIGH")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The category is saved.")).to_be_visible()
    [stored] = [one for one in (await hub.execute(CATEGORY))["categories"] if one["key"] == "alerts"]
    assert stored.pop("retention") == "P90D"
    assert stored.pop("defaultChannels") == ["IN_APP", "EMAIL"]
    assert stored == {"key": "alerts", "name": "Alerts", "required": False, "priority": "HIGH", "digest": None}
    await page.get_by_role("button", name="Delete…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(re.compile("/categories$"))
    assert "alerts" not in [one["key"] for one in (await hub.execute(CATEGORY))["categories"]]


async def test_suppression_is_lifted_after_a_confirmation(open_console: Any, hub: ConsoleHub) -> None:
    suppress(hub, "zoe", "zoe@example.org", "complained")
    console: ConsolePage = await open_console("suppressions")
    page = console.page
    await page.get_by_placeholder("User id").fill("zoe")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"\?user=zoe$"))
    row = page.locator("tr[data-row]").filter(has_text="zoe@example.org")
    await expect(row).to_contain_text("reported as spam")
    await row.get_by_role("button", name="Lift zoe@example.org").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Lift it only if the user asked for it.")
    await dialog.get_by_role("button", name="Cancel").click()
    assert {"userId": "zoe", "address": "zoe@example.org"} in (await hub.execute(SUPPRESSIONS))["suppressions"]["nodes"]
    await row.get_by_role("button", name="Lift zoe@example.org").click()
    await dialog.get_by_role("button", name="Lift").click()
    await expect(page.get_by_text("The suppression is lifted.")).to_be_visible()
    await expect(row).to_have_count(0)
    assert "zoe" not in [one["userId"] for one in (await hub.execute(SUPPRESSIONS))["suppressions"]["nodes"]]


async def test_key_is_shown_once_and_revoked(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("keys")
    page = console.page
    await page.get_by_role("button", name="New key…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name", exact=True).fill(HOSTILE)
    await dialog.get_by_label("Role").select_option("OPERATOR")
    await dialog.get_by_label("READ: queries").check()
    await dialog.get_by_label("Expires").select_option("in 30 days")
    await dialog.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("Secret", exact=True)
    await expect(secret).to_have_value(re.compile("^hub_sk_"))
    value = await secret.input_value()
    await page.get_by_role("button", name="I have stored it").click()
    row = page.locator("tr[data-row]").filter(has_text=HOSTILE)
    await expect(row).to_contain_text("READ")
    assert value not in await page.content()
    await row.get_by_role("button", name="Revoke").click()
    await expect(dialog).to_contain_text("It was never used.")
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text(f"The key {HOSTILE} is revoked.")).to_be_visible()
    [key] = [one for one in (await hub.execute(KEYS))["serviceKeys"] if one["name"] == HOSTILE]
    assert (key["role"], key["scopes"]) == ("OPERATOR", ["READ"])
    assert key["revokedAt"] is not None
    assert await page.locator("main img").count() == 0


async def test_send_is_checked_then_confirmed(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console()
    page = console.page
    await expect(page.locator(".tiles")).to_be_visible()
    await page.keyboard.type("gn")
    await page.get_by_label("User ids").fill("zoe\nnora")
    await page.get_by_label("Category").fill("reviews")
    await page.get_by_label("Title").fill(HOSTILE)
    await page.get_by_label("Link").fill("javascript:alert(1)")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator('[id="field-content.actionUrl-error"]')).to_be_visible()
    await page.get_by_label("Link").fill("/app")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("[data-recipients]")).to_have_text("2")
    await expect(page.get_by_text("2 now").first).to_be_visible()
    await expect(page.locator(".messages .content-title").first).to_have_text(HOSTILE)
    assert HOSTILE not in [one["title"] for one in (await hub.execute(SENDS))["sends"]["nodes"]]
    await page.get_by_role("button", name="Send to 2 recipients…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Send to 2 recipients").click()
    await expect(page).to_have_url(re.compile("/console/sends/"))
    await expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    sent = (await hub.execute(SENDS))["sends"]["nodes"][0]
    assert (sent["title"], sorted(sent["to"]["users"])) == (HOSTILE, ["nora", "zoe"])
    assert await page.locator("main img").count() == 0


async def test_send_to_a_topic_from_a_template_is_scheduled(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("compose", timezone_id="Europe/Berlin")
    page = console.page
    await page.get_by_label("Recipients").select_option("a topic")
    await page.get_by_label("Topic").fill("releases")
    await page.get_by_label("Category").fill("product")
    await page.get_by_label("Texts").select_option("from a template")
    await page.get_by_label("Template", exact=True).fill("deploy-failed")
    await page.get_by_role("button", name="Check").click()
    await expect(page.get_by_text("service")).to_be_visible()  # the name that has no value
    await page.get_by_label("Data of the template").fill('{"service": "web-1", "reason": "A reason."}')
    await page.get_by_text("Delivery", exact=True).click()
    at = (datetime.now(UTC) + timedelta(days=30)).replace(second=0, microsecond=0)
    local = at.astimezone(ZoneInfo("Europe/Berlin"))
    await page.get_by_label("Send at").fill(local.strftime("%Y-%m-%dT%H:%M"))
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("[data-recipients]")).to_have_text("2")
    await expect(page.locator(".messages .content-title").first).to_have_text("Deploy of web-1 failed")
    await page.get_by_role("button", name="Schedule to 2 recipients…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Schedule to 2 recipients").click()
    await expect(page.locator(".page-heading .badge")).to_have_text("Scheduled")
    sent = (await hub.execute(SENDS))["sends"]["nodes"][0]
    assert (sent["to"]["topic"], sent["sendAt"]) == ("releases", at.strftime("%Y-%m-%dT%H:%M:%S.000Z"))


async def test_send_to_many_is_confirmed_by_typing_their_number(open_console: Any) -> None:
    console: ConsolePage = await open_console("compose")
    page = console.page
    sent: list[str] = []

    async def answer(route: Route) -> None:
        query = json.loads(route.request.post_data or "{}")["query"]
        if "mutation" in query:
            sent.append(query)
            await route.fulfill(json={"errors": [{"message": "Nothing was sent."}]})
        elif "Audience" in query:
            await route.fulfill(json={"data": {"audience": {"recipients": 1500, "exact": True, "scans": True}}})
        else:
            await route.continue_()

    await page.route("**/graphql", answer)
    await page.get_by_label("Recipients").select_option("users who match a filter")
    await page.get_by_label("Filter").fill('{"locale": "en"')
    await page.get_by_label("Category").fill("product")
    await page.get_by_label("Title").fill("To many")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("#field-to-error")).to_contain_text("not valid JSON")
    await page.get_by_label("Filter").fill('{"locale": {"near": "en"}}')
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("#field-to-error")).to_contain_text("near")
    await page.get_by_label("Filter").fill('{"locale": "en"}')
    await page.get_by_role("button", name="Check").click()
    await expect(page.get_by_text("No index serves the filter")).to_be_visible()
    await page.get_by_role("button", name="Send to 1,500 recipients…").click()
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Send to 1,500 recipients")
    await expect(confirm).to_be_disabled()
    await dialog.get_by_label("To confirm, type 1,500").fill("1,500")
    assert sent == []
    await confirm.click()
    await expect(page.get_by_text("Nothing was sent.")).to_be_visible()
    assert len(sent) == 1


async def test_look_of_the_tenant_is_changed_and_errors_are_at_the_field(open_console: Any, hub: ConsoleHub) -> None:
    console: ConsolePage = await open_console("tenant")
    page = console.page
    await page.get_by_label("Name").fill("Acme")
    await page.get_by_label("Color").fill("red")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#field-color-error")).to_have_text("A color must have the form #rrggbb.")
    await page.get_by_label("Color").fill("#0b57d0")
    await expect(page.locator(".color-sample rect")).to_have_css("fill", "rgb(11, 87, 208)")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The look is saved.")).to_be_visible()
    tenant = (await hub.execute("{ tenant { id name color logoUrl } }"))["tenant"]
    assert (tenant["name"], tenant["color"], tenant["logoUrl"]) == ("Acme", "#0b57d0", None)
    await page.get_by_label("Name").fill("")
    await page.get_by_role("button", name="Save").click()

    async def named_by_id() -> bool:
        return bool((await hub.execute("{ tenant { name } }"))["tenant"]["name"] == tenant["id"])

    await eventually(named_by_id)
