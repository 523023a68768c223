"""<hub-preferences>: the topics that a user follows, leaves, and comes back to, with the mouse and with the keyboard."""

import asyncio
from collections.abc import Callable

from playwright.async_api import Locator, Page, expect

from tests.browser.preferences.preferences_page import WITHIN_S, PreferencesUser
from tests.client import eventually
from tests.topics.calls import leave, own_topics, subscribe, unsubscribe, upsert_topic


async def follow(alice: PreferencesUser, **names: str) -> None:
    """Create visible topics, in the order of their keys, and subscribe the user."""
    for key, name in names.items():
        await upsert_topic(alice.tenant, key, name=name, description=f"About {name}", visible=True)
        await subscribe(alice.tenant, key, alice.user)


async def wait_for_topics(alice: PreferencesUser, expected: Callable[[dict[str, bool]], bool]) -> None:
    """Wait until the stored subscriptions, with whether the user left, are as expected."""

    async def as_expected() -> bool:
        return expected((await own_topics(alice.tenant, alice.user))[1])

    await eventually(as_expected, WITHIN_S)


def section_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Topics you follow")


async def test_topic_is_left_and_followed_again_with_the_mouse(alice: PreferencesUser) -> None:
    await follow(alice, releases="Releases", roadmap="Roadmap 2027")
    await subscribe(alice.tenant, "churn-risk", alice.user)
    page, other_tab = await alice.page(), await alice.page()
    section = section_of(page)
    await expect(section.get_by_role("listitem")).to_have_count(2)
    await expect(section).to_contain_text("About Releases")
    await section.get_by_role("button", name="Leave Releases").click()
    await expect(page.get_by_role("status").filter(has_text="You left Releases.")).to_be_visible()
    await expect(section.get_by_role("listitem").first).to_contain_text("You left just now.")
    await wait_for_topics(alice, lambda topics: topics == {"releases": True, "roadmap": False})
    await page.reload()
    await section.get_by_role("button", name="Follow Releases again").click()
    await expect(page.get_by_role("status").filter(has_text="You follow Releases again.")).to_be_visible()
    await expect(section).not_to_contain_text("You left")
    await wait_for_topics(alice, lambda topics: topics == {"releases": False, "roadmap": False})
    await expect(section_of(other_tab).get_by_role("button", name="Leave Releases")).to_be_visible()


async def test_topic_is_left_with_the_keyboard_and_keeps_the_focus(alice: PreferencesUser) -> None:
    await follow(alice, releases="Releases")
    page = await alice.page()
    button = section_of(page).get_by_role("button")
    await button.focus()
    await page.keyboard.press("Enter")
    await wait_for_topics(alice, lambda topics: topics == {"releases": True})
    await expect(button).to_have_accessible_name("Follow Releases again")
    await expect(button).to_be_focused()
    await page.keyboard.press("Space")
    await wait_for_topics(alice, lambda topics: topics == {"releases": False})
    await expect(button).to_have_accessible_name("Leave Releases")
    await expect(button).to_be_focused()


async def test_change_in_one_tab_is_shown_in_another(alice: PreferencesUser) -> None:
    await follow(alice, releases="Releases")
    page = await alice.page()
    other = await page.context.new_page()
    await other.goto(alice.address())
    await expect(section_of(other).get_by_role("button", name="Leave Releases")).to_be_visible()
    await section_of(page).get_by_role("button", name="Leave Releases").click()
    await expect(section_of(other).get_by_role("button", name="Follow Releases again")).to_be_visible()


async def test_many_topics_are_in_a_list_that_can_be_opened(alice: PreferencesUser) -> None:
    count = 105  # more than a page of the API
    names = {f"t{n:03}": f"Topic {n:03}" for n in range(count)}
    await asyncio.gather(*(follow(alice, **{key: name}) for key, name in names.items()))
    page = await alice.page()
    section = section_of(page)
    await expect(section.get_by_role("listitem")).to_have_count(8)
    summary = section.get_by_text("More topics: 97")
    await summary.focus()
    await page.keyboard.press("Enter")
    await expect(section.get_by_role("listitem")).to_have_count(count)
    await section.get_by_role("button", name="Leave Topic 104").click()
    await wait_for_topics(alice, lambda topics: len(topics) == 50)  # the first page of the API
    await expect(section.get_by_role("button", name="Follow Topic 104 again")).to_be_visible()


async def test_user_without_topics_has_no_section(alice: PreferencesUser) -> None:
    await subscribe(alice.tenant, "churn-risk", alice.user)
    page = await alice.page()
    await expect(page.get_by_role("region", name="What you receive")).to_be_visible()
    await expect(section_of(page)).to_have_count(0)


async def test_topic_that_the_tenant_removed_meanwhile_disappears(alice: PreferencesUser) -> None:
    await follow(alice, releases="Releases", roadmap="Roadmap")
    page = await alice.page()
    button = section_of(page).get_by_role("button", name="Leave Releases")
    await expect(button).to_be_visible()
    await unsubscribe(alice.tenant, "releases", alice.user)
    await button.click()
    await expect(page.locator(".toast")).to_have_text("Your change could not be saved.")
    await expect(section_of(page).get_by_role("listitem")).to_have_count(1)


async def test_topics_are_shown_in_german_and_arabic(alice: PreferencesUser) -> None:
    await follow(alice, releases="Releases", roadmap="Roadmap")
    await leave(alice.tenant, "roadmap", alice.user)
    for language, heading, back in (
        ("de", "Themen, denen Sie folgen", "Roadmap wieder folgen"),
        ("ar", "المواضيع التي تتابعها", "متابعة Roadmap من جديد"),
    ):
        page = await alice.page(lang=language)
        section = page.get_by_role("region", name=heading)
        await expect(section.get_by_role("button", name=back)).to_be_visible()
