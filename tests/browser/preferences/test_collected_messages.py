"""<hub-preferences>: the categories whose messages are collected, with the mouse and with the keyboard."""

import re
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.preferences.preferences_page import WITHIN_S, PreferencesUser, expect_escape_returns_focus
from tests.channel_setup import REGISTER_WEB_PUSH
from tests.client import Json, eventually
from tests.fake_providers import FakeBrowser

DIGESTS = "{ preferences { categories { category { key } channels { channel digest digestAt digestDays } } } }"
UPDATE_DEFAULTS = "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
UPDATE = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { dailyLimit } }"


async def wait_for_digests(alice: PreferencesUser, **expected: tuple[str | None, str | None, list[int] | None]) -> None:
    """Wait until these channels of the category `news`, and no other channels, have these digests."""

    async def as_expected() -> bool:
        rows: list[Json] = (await alice.tenant.execute(DIGESTS, user=alice.user))["preferences"]["categories"]
        found = {
            (row["category"]["key"], cell["channel"]): (cell["digest"], cell["digestAt"], cell["digestDays"])
            for row in rows
            for cell in row["channels"]
        }
        set_digests = {key: digest for key, digest in found.items() if digest != (None, None, None)}
        return set_digests == {("news", channel): digest for channel, digest in expected.items()}

    await eventually(as_expected, WITHIN_S)


async def choose(alice: PreferencesUser, **fields: Any) -> None:
    await alice.tenant.execute(UPDATE, user=alice.user, input={"categories": [{"category": "news", **fields}]})


async def test_choice_is_added_changed_and_removed(alice: PreferencesUser) -> None:
    page = await alice.page()
    section = page.get_by_role("region", name="Collected messages")
    await expect(section).to_contain_text("The sender decides what is collected.")
    await section.get_by_role("button", name="Collect messages").click()
    dialog = page.get_by_role("dialog", name="Collect messages")
    await expect(dialog.get_by_label("Category").locator("option")).to_have_text(["Product news", "Build results"])
    await dialog.get_by_label("At", exact=True).fill("18:30")
    for day in ("Saturday", "Sunday"):
        await dialog.get_by_role("checkbox", name=day).uncheck()
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    weekdays = (None, "18:30", [1, 2, 3, 4, 5])
    await wait_for_digests(alice, EMAIL=weekdays, WEB_PUSH=weekdays, WEBHOOK=weekdays)
    name = "Product news, Email, Browser, Webhook: Monday to Friday at 6:30 PM"
    await expect(section.get_by_role("listitem").first).to_contain_text("Product news · Email, Browser, Webhook")

    await section.get_by_role("button", name=f"Change {name}").click()
    dialog = page.get_by_role("dialog", name="Collect messages of Product news")
    await expect(dialog.get_by_label("At", exact=True)).to_have_value("18:30")
    await expect(dialog.get_by_role("checkbox", name="Sunday")).not_to_be_checked()
    for channel in ("Email", "Webhook"):
        await dialog.get_by_role("checkbox", name=channel).uncheck()
    await dialog.get_by_label("When to send them").select_option("Collect for 15 minutes")
    await expect(dialog.get_by_label("At", exact=True)).to_be_hidden()
    await dialog.get_by_role("button", name="Save").click()
    await wait_for_digests(alice, WEB_PUSH=("PT15M", None, None))
    await expect(section).to_contain_text("Collect for 15 minutes")

    await section.get_by_role("button", name="Remove Product news, Browser: Collect for 15 minutes").click()
    await expect(section.get_by_role("heading", name="Collected messages")).to_be_focused()
    await wait_for_digests(alice)


async def test_choice_is_made_with_the_keyboard(alice: PreferencesUser) -> None:
    page = await alice.page()
    add = page.get_by_role("button", name="Collect messages")
    await add.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Collect messages")
    await expect(dialog.get_by_label("Category")).to_be_focused()
    for name in ("Browser", "Webhook"):
        channel = dialog.get_by_role("checkbox", name=name)
        await channel.focus()
        await page.keyboard.press("Space")
        await expect(channel).not_to_be_checked()
    await page.keyboard.press("Enter")
    await wait_for_digests(alice, EMAIL=(None, "08:00", None))
    await expect_escape_returns_focus(add, dialog)


async def test_choice_without_a_channel_or_a_day_is_refused(alice: PreferencesUser) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Collect messages").click()
    dialog = page.get_by_role("dialog", name="Collect messages")
    channels = [dialog.get_by_role("checkbox", name=name) for name in ("Email", "Browser", "Webhook")]
    for channel in channels:
        await channel.uncheck()
    await dialog.get_by_role("button", name="Save").click()
    message = "(input) => input.validationMessage"
    assert await channels[0].evaluate(message) == "Choose at least one channel."
    await channels[1].check()
    for day in ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"):
        await dialog.get_by_role("checkbox", name=f"{day}day").uncheck()
    await dialog.get_by_role("button", name="Save").click()
    assert await dialog.get_by_role("checkbox", name="Monday").evaluate(message) == "Choose at least one day."
    await dialog.get_by_label("At", exact=True).fill("")
    await dialog.get_by_label("When to send them").select_option("Send immediately")
    await dialog.get_by_role("button", name="Save").click()
    await wait_for_digests(alice, WEB_PUSH=("PT0S", None, None))


async def test_default_of_the_organization_can_be_replaced(alice: PreferencesUser) -> None:
    cells = [{"category": "news", "channel": "EMAIL", "digest": "P1DT12H"}]
    await alice.tenant.execute_as_admin(UPDATE_DEFAULTS, input={"preferences": {"categories": cells}})
    page = await alice.page()
    name = "Product news, Email: Collect for 1 day, 12 hours"
    await page.get_by_role("button", name=f"Remove {name}").click()
    await expect(page.locator(".toast")).to_contain_text("Your organization set this.")
    await page.get_by_role("button", name=f"Change {name}").click()
    dialog = page.get_by_role("dialog", name="Collect messages of Product news")
    await expect(dialog.get_by_label("When to send them")).to_have_value("P1DT12H")
    await dialog.get_by_label("When to send them").select_option("Send immediately")
    await dialog.get_by_role("button", name="Save").click()
    await wait_for_digests(alice, EMAIL=("PT0S", None, None))


async def register_browser(alice: PreferencesUser) -> None:
    browser = FakeBrowser("https://push.example/1")
    fields = {"endpoint": browser.endpoint, "p256dh": browser.p256dh_text, "auth": browser.auth_text}
    await alice.tenant.execute(REGISTER_WEB_PUSH, user=alice.user, input=fields)


async def explanation(alice: PreferencesUser, **look: Any) -> Page:
    """Send to the browser of the user, and return a page with the explanation."""
    await alice.tenant.send(alice.user, title="October", channels=["IN_APP", "WEB_PUSH"])
    [received] = (await alice.tenant.inbox(alice.user))["nodes"]
    page = await alice.page(look)
    await page.locator("hub-preferences table").wait_for()
    await page.evaluate("(id) => document.querySelector('hub-preferences').explain(id)", received["id"])
    return page


async def test_explanation_says_that_the_user_chose_it(alice: PreferencesUser) -> None:
    await register_browser(alice)
    await choose(alice, channel="WEB_PUSH", digest="PT2H")
    page = await explanation(alice)
    await expect(page.locator("dialog dl")).to_contain_text("On hold · expected")
    await expect(page.locator("dialog dl")).to_contain_text("It is collected with others, as you chose.")


async def test_times_name_the_zone_that_is_not_the_expected_one(alice: PreferencesUser) -> None:
    await alice.tenant.execute(UPSERT, users=[{"id": alice.user, "timezone": "Asia/Kolkata"}])
    await register_browser(alice)
    await choose(alice, channel="WEB_PUSH", digestAt="08:00")
    page = await explanation(alice, timezone_id="Europe/Berlin")  # digests leave up to two minutes later
    await expect(page.locator("dialog dl")).to_contain_text(re.compile(r"expected .*[34]:3[0-2].AM \(Europe/Berlin\)"))
    await expect(page.locator("#collect + p + ul")).to_contain_text(
        re.compile(r"every day at 8:00.AM \(Asia/Kolkata\)")
    )
