"""The operator console for the roles viewer, support, and operator."""

import re
from contextlib import suppress
from typing import Any

import pytest
from playwright.async_api import Error, Route, expect

from tests.browser.test_console import ConsoleHub, ConsolePage, hub, open_console, read_csv
from tests.browser.test_demo import PHONE, WITHIN_MS
from tests.cli_commands import run_command
from tests.client import Json
from tests.webhook_receiver import WebhookReceiver

__all__ = ["hub", "open_console"]  # fixtures

expect.set_options(timeout=WITHIN_MS)

AUDIT_LOG = '{ auditLog(filter: {actor: "ann"}) { nodes { action target } } }'
UPSERT_TEMPLATE = "mutation ($input: TemplateInput!) { upsertTemplate(input: $input) { key } }"
UPSERT_RULE = "mutation ($input: RuleInput!) { upsertRule(input: $input) { key } }"
LATER = [{"channels": ["IN_APP"]}, {"channels": ["EMAIL"], "after": "PT1H"}]
NEW_OR_SAVE = re.compile("^(New|Save|Delete)")
ZOE = ("Zoe Zimmer", "zoe@example.org", "Private title", "Plain")


async def sign_in(console: ConsolePage, hub: ConsoleHub, role: str) -> None:
    link = run_command("console", "--data", hub.data, "--role", role, "--user", "ann").stdout.strip()
    assert link.startswith(f"{hub.address}#token=")
    await console.page.goto(link)
    await expect(console.page.locator(".account")).to_contain_text(f"ann, {role}")


async def record_responses(console: ConsolePage) -> list[str]:
    """Return a list to which the texts of all responses of the API are added."""
    received: list[str] = []

    async def record(route: Route) -> None:
        with suppress(Error):  # the page was left in the meantime
            response = await route.fetch()
            received.append(await response.text())
            await route.fulfill(response=response)

    await console.page.route("**/graphql", record)
    return received


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_viewer_sees_no_personal_data(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver, options: Json
) -> None:
    delivery = await hub.fail(receiver, "zoe", "Private title")
    console: ConsolePage = await open_console(**options)
    page = console.page
    await sign_in(console, hub, "viewer")
    received = await record_responses(console)
    for path, present in (
        ("users/zoe", ".timeline > li"),
        ("deliveries?user=zoe", "tr[data-row]"),
        (f"deliveries/{delivery}", ".history"),
        ("sends", "tr[data-row]"),
    ):
        await console.open(path)
        await expect(page.locator(present).first).to_be_visible()
        assert await console.axe_violations() == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await console.open("more")
    await expect(page.get_by_role("link", name="Topics").last).to_be_visible()
    await expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    await expect(page.get_by_text("masked", exact=True)).to_be_visible()
    for path, fields in (("categories", ""), ("categories/reviews", "Name"), ("topics", "")):
        await console.open(path)
        await expect(page.locator("tr[data-row], #field-key").first).to_be_visible()
        await expect(page.get_by_role("button", name=NEW_OR_SAVE)).to_have_count(0)
        await expect(page.get_by_role("link", name=NEW_OR_SAVE)).to_have_count(0)
        if fields:
            await expect(page.get_by_label(fields, exact=True)).to_be_disabled()
    await console.open("users/zoe")
    await expect(page.get_by_text("z***@e***.org")).to_be_visible()
    await console.open(f"deliveries/{delivery}")
    await expect(page.get_by_text("The role viewer does not see the content.")).to_be_visible()
    await expect(page.get_by_role("button", name="Send again now")).to_have_count(0)
    await console.open("deliveries?user=zoe")
    await expect(page.get_by_role("button", name="Replay all that match")).to_have_count(0)
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export CSV").click()
    rows = read_csv(await (await download.value).path())
    assert {row["title"] for row in rows} == {"***"}
    assert len(received) > 5
    for text in ZOE:
        assert text not in "".join(received)


async def test_support_reads_content_that_the_audit_log_records(
    open_console: Any, hub: ConsoleHub, receiver: WebhookReceiver
) -> None:
    delivery = await hub.fail(receiver, "zoe", "Private title")
    send = await hub.send("zoe", "nora", title="For two", channels=["IN_APP", "EMAIL"])
    console: ConsolePage = await open_console()
    page = console.page
    await sign_in(console, hub, "support")
    for path, target in ((f"deliveries/{delivery}", delivery), (f"sends/{send}", send)):
        await console.open(path)
        await expect(page.locator(".content-title")).to_be_visible()
        await expect(page.locator(".content-body")).to_have_count(0)
        await page.get_by_role("button", name="Show content").click()
        await expect(page.locator(".content-body")).to_have_text("<b>Plain</b> text")
        newest = (await hub.execute(AUDIT_LOG))["auditLog"]["nodes"][0]
        assert newest == {"action": "readContent", "target": target}
    await expect(page.locator(".page-heading .actions button")).to_have_count(0)  # of a send to two
    await console.open(f"deliveries/{delivery}")
    await page.get_by_role("button", name="Send again now").click()
    await expect(page.get_by_text("It is being sent again.")).to_be_visible()


async def test_operator_pauses_a_send_and_replays_all(open_console: Any, hub: ConsoleHub) -> None:
    send = await hub.send("zoe", "nora", title="For two", steps=LATER)
    console: ConsolePage = await open_console()
    page = console.page
    await sign_in(console, hub, "operator")
    await console.open(f"sends/{send}")
    await page.get_by_role("button", name="Pause…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause for 2 recipients").click()
    await expect(page.locator(".page-heading .badge")).to_have_text("Paused")
    assert {"action": "pauseSend", "target": send} in (await hub.execute(AUDIT_LOG))["auditLog"]["nodes"]
    await console.open("deliveries?status=FAILED")
    await expect(page.get_by_role("button", name="Replay all that match")).to_be_visible()
    await console.open("queue")
    await expect(page.get_by_role("table", name="Running workers")).to_be_visible()


async def test_support_previews_templates_and_tests_rules_without_saving(open_console: Any, hub: ConsoleHub) -> None:
    await hub.execute(UPSERT_TEMPLATE, input={"key": "greeting", "title": "Hello", "body": "Text"})
    rule = {"key": "greet", "type": "hi", "to": {"users": "data.user"}, "category": "reviews", "template": "greeting"}
    await hub.execute(UPSERT_RULE, input=rule)
    console: ConsolePage = await open_console()
    page = console.page
    await sign_in(console, hub, "support")
    for path in ("templates", "templates/greeting", "rules", "rules/greet"):
        await console.open(path)
        await expect(page.locator("tr[data-row], form.card").first).to_be_visible()
        for found in (page.get_by_role("button", name=NEW_OR_SAVE), page.get_by_role("link", name=NEW_OR_SAVE)):
            await expect(found).to_have_count(0)
    await console.open("templates/greeting")
    await page.get_by_label("Title", exact=True).fill("Good morning")
    await expect(page.locator("template-preview [data-part=title]")).to_have_text("Good morning")
    await page.get_by_role("button", name="Discard changes").click()
    await console.open("rules/greet")
    await page.get_by_label("Event as JSON").fill('{"type": "hi", "source": "/a", "data": {"user": "zoe"}}')
    await page.get_by_role("button", name="Test the rule").click()
    await expect(page.get_by_text("The rule would send.")).to_be_visible()
