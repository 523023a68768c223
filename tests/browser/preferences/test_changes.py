"""<hub-preferences>: each change in the page changes what the hub does."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.browser.preferences.preferences_page import REGISTER_PHONE, WITHIN_S, PreferencesUser, switch
from tests.client import Json, eventually

DEVICES = "{ me { devices { label } } }"


async def test_switch_changes_the_preference_and_changes_it_back(alice: PreferencesUser) -> None:
    page = await alice.page()
    cell = switch(page, "Email for Product news")
    await expect(cell).to_be_checked()
    await cell.click()
    await expect(cell).not_to_be_checked()

    async def off() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(off, WITHIN_S)
    assert (await alice.matrix())["builds"]["EMAIL"] is True
    assert await alice.simulated_decision("news", "EMAIL") == "PREFERENCE"

    await switch(page, "Inbox for All notifications").click()

    async def all_off() -> bool:
        return (await alice.matrix())["ALL"]["IN_APP"] is False

    await eventually(all_off, WITHIN_S)
    builds = switch(page, "Inbox for Build results")
    await expect(builds).not_to_be_checked()
    await expect(builds).to_have_attribute("aria-disabled", "true")
    await expect(builds).to_have_attribute("title", "Inbox is turned off for all notifications.")
    await expect(switch(page, "Inbox for Security alerts")).to_be_checked()

    await page.reload()
    await expect(cell).not_to_be_checked()
    await cell.click()
    await switch(page, "Inbox for All notifications").click()

    async def as_before() -> bool:
        found = await alice.matrix()
        return bool(found["news"]["EMAIL"] and found["ALL"]["IN_APP"])

    await eventually(as_before, WITHIN_S)
    await expect(builds).to_be_checked()


async def test_locked_cell_explains_why_and_does_not_change(alice: PreferencesUser) -> None:
    page = await alice.page()
    cell = switch(page, "Email for Security alerts")
    await expect(cell).to_have_attribute("aria-disabled", "true")
    row = page.get_by_role("row").filter(has_text="Security alerts")
    await expect(row.get_by_role("rowheader")).to_contain_text("Required. You can't turn this off.")
    await expect(row.get_by_role("button")).to_have_count(0)
    await cell.focus()
    await page.keyboard.press("Space")
    await expect(page.locator(".toast")).to_have_text("Required. You can't turn this off.")
    await expect(cell).to_be_checked()
    assert (await alice.matrix())["security"]["EMAIL"] is True


@pytest.mark.parametrize(
    ("choice", "hours"), [("For 1 hour", 1), ("For 8 hours", 8), ("For 1 day", 24), ("For a week", 168)]
)
async def test_mute_has_an_end_and_can_be_removed(alice: PreferencesUser, choice: str, hours: int) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Mute Product news").click()
    await page.get_by_role("dialog", name="Mute Product news").get_by_role("button", name=choice).click()

    async def muted() -> str | None:
        found: str | None = (await alice.matrix())["mutes"].get("news")
        return found

    until = datetime.fromisoformat(await eventually(muted, WITHIN_S))
    assert timedelta(minutes=-5) < until - datetime.now(UTC) - timedelta(hours=hours) < timedelta(minutes=5)
    assert await alice.simulated_decision("news", "IN_APP") == "MUTED"
    listed = page.get_by_role("region", name="Muted categories")
    await expect(listed).to_contain_text("Muted until")
    await listed.get_by_role("button", name="Unmute Product news").click()
    await expect(listed).to_have_count(0)

    async def over() -> bool:
        return not (await alice.matrix())["mutes"]

    await eventually(over, WITHIN_S)


async def test_mute_without_end_and_until_tomorrow(alice: PreferencesUser) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Mute Product news").click()
    await page.get_by_role("button", name="Forever").click()
    await page.get_by_role("button", name="Mute Build results").click()
    await page.get_by_role("button", name="Until tomorrow").click()
    await expect(page.get_by_role("region", name="Muted categories").get_by_role("listitem")).to_have_count(2)
    await expect(page.get_by_role("row").filter(has_text="Product news")).to_contain_text("Muted forever")

    async def both() -> Json | None:
        found = (await alice.matrix())["mutes"]
        return found if len(found) == 2 else None

    found: Json = await eventually(both, WITHIN_S)
    assert datetime.fromisoformat(found["news"]).year == 9999
    morning = await page.evaluate("(at) => new Date(at).getHours()", found["builds"])
    assert morning == 8


async def test_explanation_lists_channels_and_reasons_and_offers_mute(alice: PreferencesUser) -> None:
    await alice.tenant.send("alice", title="<b>October</b>", category="news", channels=["IN_APP", "SMS"])
    [received] = (await alice.tenant.inbox("alice"))["nodes"]
    page = await alice.page(attributes="only-why")
    await page.locator("hub-preferences").wait_for(state="attached")
    titles = await page.evaluate(
        """async (id) => {
          await customElements.whenDefined("hub-preferences");
          const ask = new CustomEvent("hub-why", { detail: { id }, bubbles: true, composed: true, cancelable: true });
          return !document.body.dispatchEvent(ask);
        }""",
        received["id"],
    )
    assert titles is True
    dialog = page.get_by_role("dialog", name="Why did I get this?")
    await expect(dialog).to_contain_text("<b>October</b>")
    await expect(dialog).to_contain_text("You were named by the sender.")
    await expect(dialog).to_contain_text("Product news")
    await expect(dialog.get_by_role("definition")).to_have_text(
        ["Delivered", "Not sent It is not set up on this server."]
    )
    await dialog.get_by_role("button", name="Mute Product news").press("Enter")
    await expect(dialog).to_have_count(0)
    dialog = page.get_by_role("dialog", name="Mute Product news")
    await expect(dialog.get_by_role("button", name="For 1 hour")).to_be_focused()
    for choice in ("For 1 day", "For a week", "Forever"):
        await expect(dialog.get_by_role("button", name=choice)).to_be_visible()
    date = dialog.get_by_label("Until a date")
    await dialog.get_by_role("button", name="Mute", exact=True).click()
    assert await date.evaluate("(input) => input.validity.valueMissing")
    await date.fill("2090-02-03")
    await date.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("status").filter(has_text="Product news is muted.")).to_be_visible()

    async def muted() -> str | None:
        found: str | None = (await alice.matrix())["mutes"].get("news")
        return found

    until = await eventually(muted, WITHIN_S)
    assert await page.evaluate("(at) => new Date(at).toString().slice(4, 21)", until) == "Feb 03 2090 08:00"


async def test_explanation_joins_channels_with_the_same_reason_and_shows_the_time_of_a_held_delivery(
    alice: PreferencesUser,
) -> None:
    page = await alice.page(attributes="only-why")
    await page.wait_for_function("document.querySelector('hub-preferences')?.hub")
    await page.evaluate(
        """() => {
          const element = document.querySelector("hub-preferences");
          const deliveries = [
            { id: "0", channel: "DISCORD", status: "SKIPPED", reason: "NOT_REQUESTED" },
            { id: "1", channel: "EMAIL", status: "CANCELLED", reason: "CANCELLED" },
            { id: "4", channel: "SLACK", status: "CANCELLED", reason: "CANCELLED" },
            { id: "2", channel: "SMS", status: "CANCELLED", reason: "RECALLED" },
            { id: "3", channel: "WEB_PUSH", status: "HELD", reason: "QUIET_HOURS", dueAt: "2090-01-02T12:00:00Z" },
          ];
          const notification = { title: "x", because: "y", category: "news", createdAt: "2026-01-01T00:00:00Z", deliveries };
          element.hub.query = async () => ({ notification });
          element.explain("any");
        }"""
    )
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("term")).to_have_text(["Email, Slack", "SMS", "Browser", "Discord"])
    await expect(dialog.get_by_role("definition")).to_have_text(
        [
            "Canceled The sender canceled it.",
            "Canceled The sender recalled it.",
            "On hold · expected Jan 2, 2090 You have quiet hours at this time.",
            "Not sent The sender did not choose it for this notification.",
        ]
    )


async def test_inbox_item_opens_its_explanation(alice: PreferencesUser) -> None:
    await alice.tenant.send("alice", title="October", category="news")
    page = await alice.page(inbox="1")
    await page.locator("hub-preferences table").wait_for()
    await page.locator("hub-inbox button.bell").click()
    await page.locator("hub-inbox-item").hover()
    await page.locator("hub-inbox-item [data-tool=why]").click()
    dialog = page.get_by_role("dialog", name="Why did I get this?")
    await expect(dialog).to_contain_text("October")
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.locator("hub-inbox-item [data-tool=why]")).to_be_focused()  # in the panel, which is open again


async def test_explanation_of_a_missing_notification_says_not_found(alice: PreferencesUser) -> None:
    page = await alice.page()
    await page.evaluate("document.querySelector('hub-preferences').setAttribute('why', 'unknown')")
    await expect(page.get_by_role("dialog")).to_contain_text("This notification is no longer in your inbox.")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_device_is_removed_after_confirmation(alice: PreferencesUser) -> None:
    for label in ("Pixel", "Old phone"):
        await alice.tenant.execute(REGISTER_PHONE % (uuid4().hex, label), user="alice")
    page = await alice.page()
    remove = page.get_by_role("button", name="Remove Old phone?")
    await remove.click()
    dialog = page.get_by_role("dialog", name="Remove Old phone?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(remove).to_be_focused()
    await remove.click()
    await dialog.get_by_role("button", name="Remove").click()
    await expect(remove).to_have_count(0)

    async def removed() -> bool:
        return (await alice.tenant.execute(DEVICES, user="alice"))["me"]["devices"] == [{"label": "Pixel"}]

    await eventually(removed, WITHIN_S)
    await expect(page.get_by_role("heading", name="Devices")).to_be_focused()


async def test_push_without_a_service_worker_shows_an_error_and_logs_the_cause(alice: PreferencesUser) -> None:
    page = await alice.page(attributes="worker=/none.js")
    await page.context.grant_permissions(["notifications"])
    async with page.expect_console_message(lambda output: "/none.js" in output.text) as received:
        await page.get_by_role("button", name="Turn on").click()
    assert "see docs/frontend/web-push.md of the hub: SecurityError" in (await received.value).text
    await expect(page.locator("hub-push [role=status]")).to_have_text(
        "Not available on this page: its service worker could not be loaded."
    )
    await expect(page.locator("hub-push button")).to_have_count(0)


async def test_rejected_change_is_rolled_back_with_a_message(alice: PreferencesUser) -> None:
    page = await alice.page()
    cell = switch(page, "Email for Product news")
    await expect(cell).to_be_checked()
    await page.evaluate(
        "() => void (document.querySelector('hub-preferences').hub.mutate = () => Promise.reject(new Error('no')))"
    )
    await cell.click()
    await expect(page.locator(".toast")).to_have_text("Your change could not be saved.")
    await expect(cell).to_be_checked()
    assert (await alice.matrix())["news"]["EMAIL"] is True
