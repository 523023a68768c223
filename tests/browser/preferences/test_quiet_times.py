"""<hub-preferences>: quiet hours, do-not-disturb, and the daily limit, with the mouse and with the keyboard."""

import re
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, expect

from tests.browser.preferences.preferences_page import WITHIN_S, PreferencesUser, expect_escape_returns_focus
from tests.client import Json, eventually
from tests.quiet_hours.times import set_times

EVERY_DAY = [1, 2, 3, 4, 5, 6, 7]
NIGHT = {"start": "22:00", "end": "07:00", "days": EVERY_DAY, "allow": "CRITICAL"}
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


async def wait_for_times(alice: PreferencesUser, **expected: object) -> Json:
    """Return the times of the user once they are as expected."""

    async def as_expected() -> Json | None:
        found = await set_times(alice.tenant, alice.user)
        return found if {name: found[name] for name in expected} == expected else None

    found: Json = await eventually(as_expected, WITHIN_S)
    return found


async def zone_of(page: Page) -> str:
    return str(await page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone"))


async def test_quiet_hours_are_added_changed_and_removed(alice: PreferencesUser) -> None:
    page = await alice.page()
    section = page.get_by_role("region", name="Interruptions")
    await expect(section).to_contain_text("You have no quiet hours.")
    await section.get_by_role("button", name="Add quiet hours").click()
    dialog = page.get_by_role("dialog", name="Add quiet hours")
    await dialog.get_by_label("From").fill("21:30")
    await dialog.get_by_label("To").fill("06:45")
    for day in ("Saturday", "Sunday"):
        await dialog.get_by_role("checkbox", name=day).uncheck()
    await dialog.get_by_label("What may interrupt you").select_option("HIGH")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    night = {"start": "21:30", "end": "06:45", "timezone": await zone_of(page), "days": EVERY_DAY[:5], "allow": "HIGH"}
    await wait_for_times(alice, quietSchedule=[night])
    await expect(section).to_contain_text(re.compile("9:30.PM.+6:45.AM"))
    await expect(section).to_contain_text("Monday to Friday · Lets through: Important notifications")

    await section.get_by_role("button", name=re.compile("^Change 9:30.+6:45.+, Monday to Friday$")).click()
    dialog = page.get_by_role("dialog", name="Change quiet hours")
    await expect(dialog.get_by_label("From")).to_have_value("21:30")
    await expect(dialog.get_by_role("checkbox", name="Sunday")).not_to_be_checked()
    await dialog.get_by_label("To").fill("07:00")
    await dialog.get_by_role("button", name="Save").click()
    await wait_for_times(alice, quietSchedule=[night | {"end": "07:00"}])

    await section.get_by_role("button", name=re.compile("^Remove 9:30.+7:00.+, Monday to Friday$")).click()
    await expect(section.get_by_role("heading", name="Interruptions")).to_be_focused()
    await wait_for_times(alice, quietSchedule=[])


async def test_quiet_hours_are_set_with_the_keyboard(alice: PreferencesUser) -> None:
    page = await alice.page()
    add = page.get_by_role("button", name="Add quiet hours")
    await add.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Add quiet hours")
    await expect(dialog.get_by_label("From")).to_be_focused()
    monday = dialog.get_by_role("checkbox", name="Monday")
    await monday.focus()
    await page.keyboard.press("Space")
    await expect(monday).not_to_be_checked()
    await page.keyboard.press("Enter")
    await wait_for_times(
        alice,
        quietSchedule=[
            {
                "start": "22:00",
                "end": "07:00",
                "timezone": await zone_of(page),
                "days": EVERY_DAY[1:],
                "allow": "CRITICAL",
            }
        ],
    )
    await expect_escape_returns_focus(add, dialog)


async def test_quiet_hours_without_a_day_or_without_free_time_are_refused(alice: PreferencesUser) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Add quiet hours").click()
    dialog = page.get_by_role("dialog", name="Add quiet hours")
    days = dialog.get_by_role("checkbox")
    for index in range(7):
        await days.nth(index).uncheck()
    await dialog.get_by_role("button", name="Save").click()
    assert await days.first.evaluate("(input) => input.validationMessage") == "Choose at least one day."
    for index in range(7):
        await days.nth(index).check()
    await dialog.get_by_label("To").fill("22:00")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).to_contain_text(
        "leave no free time in the week. Make one of them shorter"
    )
    await expect(dialog.get_by_label("From")).to_have_value("22:00")
    await expect(dialog.get_by_label("To")).to_have_value("22:00")
    await dialog.get_by_label("To").fill("06:00")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    await wait_for_times(alice, quietSchedule=[NIGHT | {"end": "06:00", "timezone": await zone_of(page)}])
    await expect(page.locator(".toast")).to_have_count(0)


async def test_new_quiet_hours_are_in_the_zone_of_the_user_which_is_named(alice: PreferencesUser) -> None:
    await alice.tenant.execute(UPSERT, users=[{"id": alice.user, "timezone": "Asia/Kolkata"}])
    page = await alice.page({"timezone_id": "Europe/Berlin"})
    await page.get_by_role("button", name="Add quiet hours").click()
    dialog = page.get_by_role("dialog", name="Add quiet hours")
    await expect(dialog.get_by_label("Time zone")).to_have_value("Asia/Kolkata")
    await dialog.get_by_role("button", name="Save").click()
    await wait_for_times(alice, quietSchedule=[NIGHT | {"timezone": "Asia/Kolkata"}])
    await expect(page.get_by_role("region", name="Interruptions")).to_contain_text("every day · Asia/Kolkata")


async def test_do_not_disturb_is_turned_on_and_off(alice: PreferencesUser) -> None:
    page = await alice.page()
    await page.get_by_role("button", name="Start do not disturb").click()
    dialog = page.get_by_role("dialog", name="Start do not disturb")
    await dialog.get_by_role("button", name="For 8 hours").click()

    async def turned_on() -> str | None:
        found: str | None = (await set_times(alice.tenant, alice.user))["doNotDisturbUntil"]
        return found

    until = datetime.fromisoformat(await eventually(turned_on, WITHIN_S))
    assert timedelta(minutes=-5) < until - datetime.now(UTC) - timedelta(hours=8) < timedelta(minutes=5)
    await expect(page.get_by_role("region", name="Interruptions")).to_contain_text("On until")
    await page.get_by_role("button", name="End do not disturb").click()
    await wait_for_times(alice, doNotDisturbUntil=None)


async def test_daily_limit_is_chosen_and_removed(alice: PreferencesUser) -> None:
    page = await alice.page()
    limit = page.get_by_label("Interruptions per day")
    await limit.select_option("5")
    await wait_for_times(alice, dailyLimit=5)
    await limit.select_option("None")
    await wait_for_times(alice, dailyLimit=0)
    await limit.select_option("No limit")
    await wait_for_times(alice, dailyLimit=None)
    await set_times(alice.tenant, alice.user, dailyLimit=7)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(limit).to_have_value("7")
    await page.reload()
    await expect(limit).to_have_value("7")
