"""The operator console: rules, and the log of events."""

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
PUBLISH = "mutation ($input: EventInput!) { publishEvent(input: $input) { id } }"
EVENT = "query ($id: ID!) { event(id: $id) { status results { rule send { id } } } }"
UPSERT = "mutation ($input: RuleInput!) { upsertRule(input: $input) { key } }"
RULE = "query ($key: String!) { rule(key: $key) { condition to { users } steps { channels after } enabled } }"
DELETE = "mutation ($key: String!) { deleteRule(key: $key) }"


async def publish(hub: ConsoleHub, type: str, **data: Any) -> str:
    """Publish an event. Return its id when its rules have run."""
    given = {"source": "/shop", "type": type, "subject": HOSTILE, "data": data}
    id: str = (await hub.execute(PUBLISH, input=given))["publishEvent"]["id"]

    async def processed() -> bool:
        return bool((await hub.execute(EVENT, id=id))["event"]["status"] != "RECEIVED")

    await eventually(processed, 60)
    return id


def rule(key: str, type: str, **fields: Any) -> Json:
    content = {"title": "Order {{ data.order }}", "body": ""}
    return {"key": key, "type": type, "to": {"users": "data.user"}, "category": "reviews", "content": content, **fields}


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_pages_of_rules_and_events_are_accessible_and_fit(
    open_console: Any, hub: ConsoleHub, options: Json
) -> None:
    await hub.execute(UPSERT, input=rule("axe", "axe.done"))
    event = await publish(hub, "axe.done", user="zoe", order=1)
    console: ConsolePage = await open_console(**options)
    for path, present in (
        ("rules", "tr[data-row]"),
        ("rules?new=1", "#field-key"),
        (f"rules/axe?event={event}", "rule-test textarea"),
        ("rules/none", ".empty"),
        ("events", "tr[data-row]"),
        ("events?type=none", ".empty"),
        (f"events/{event}", ".results"),
        ("events/none", ".empty"),
    ):
        await console.open(path)
        await expect(console.page.locator(present).first).to_be_visible()
        assert await console.axe_violations() == [], path
        assert await console.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_rule_is_written_and_tested_with_a_stored_event(open_console: Any, hub: ConsoleHub) -> None:
    event = await publish(hub, "order.paid", user="zoe", order=7, total=50)
    console: ConsolePage = await open_console(f"events/{event}")
    page = console.page
    await expect(page.get_by_text("No rule has this type of event.")).to_be_visible()
    await page.get_by_role("link", name="Create one").click()
    await expect(page.get_by_label("Event as JSON")).to_have_value(re.compile(r'"order": 7'))
    await page.get_by_label("Key", exact=True).fill("paid")
    await page.get_by_label("Event type").fill("order.paid")
    await page.get_by_label("Condition").fill("data.total >")
    await page.get_by_label("Which").fill("data.user")
    await page.get_by_label("Category").fill("reviews")
    await page.get_by_label("Title").fill("Order {{ data.order }}")
    await page.get_by_role("button", name="Test the rule").click()
    await expect(page.locator("#field-condition-error")).to_be_visible()
    await page.get_by_label("Condition").fill("data.total > `100`")
    await page.get_by_role("button", name="Test the rule").click()
    await expect(page.get_by_text("The rule does not match.")).to_be_visible()
    await page.get_by_label("Condition").fill("data.total > `10`")
    await page.get_by_text("Delivery", exact=True).click()
    await page.get_by_label("Steps").fill('[{"channels": ["IN_APP"]}, {"channels": ["EMAIL"], "after": "PT1H"}]')
    await page.get_by_role("button", name="Test the rule").click()
    await expect(page.get_by_text("The rule would send.")).to_be_visible()
    outcome = page.locator("rule-test [role=status]")
    await expect(outcome.get_by_role("link", name="zoe")).to_be_visible()
    await expect(outcome).to_contain_text("It would be in the inbox now.")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile("/rules/paid$"))
    stored = (await hub.execute(RULE, key="paid"))["rule"]
    assert (stored["condition"], stored["to"]["users"]) == ("data.total > `10`", "data.user")
    assert [step["channels"] for step in stored["steps"]] == [["IN_APP"], ["EMAIL"]]
    await page.get_by_label("Enabled").uncheck()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("disabled", exact=True)).to_be_visible()
    assert (await hub.execute(RULE, key="paid"))["rule"]["steps"] == stored["steps"]  # nothing else was changed
    await page.get_by_role("button", name="Delete…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(re.compile("/rules$"))
    assert (await hub.execute(RULE, key="paid"))["rule"] is None


async def test_event_shows_results_and_is_replayed(open_console: Any, hub: ConsoleHub) -> None:
    first = await publish(hub, "order.late", user="zoe", order=8, note=HOSTILE)
    await hub.execute(UPSERT, input=rule("late", "order.*"))
    console: ConsolePage = await open_console("events")
    page = console.page
    await page.get_by_placeholder("Type").fill("order.late")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("type=order.late$"))
    row = page.locator("tr[data-row]")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("No rule matched")
    await expect(row).to_contain_text(HOSTILE)
    await row.get_by_role("link").first.click()
    await expect(page.get_by_label("Data of the event")).to_contain_text(json.dumps(HOSTILE))
    await page.get_by_role("button", name="Replay…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    await expect(page.get_by_text("The event is being processed again.")).to_be_visible()

    async def sent() -> bool:
        results = (await hub.execute(EVENT, id=first))["event"]["results"]
        return [one["rule"] for one in results if one["send"]] == ["late"]

    await eventually(sent, 60)
    await page.reload()
    await page.get_by_role("link", name="Open the send").click()
    await expect(page.get_by_role("heading", name="Order 8")).to_be_visible()
    assert await page.locator("main img").count() == 0
    await hub.execute(DELETE, key="late")
