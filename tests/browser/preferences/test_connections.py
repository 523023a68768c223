"""<hub-preferences> without a connection, with new tokens, and after a sign-out."""

from uuid import uuid4

from playwright.async_api import expect

from tests.browser.preferences.preferences_page import REGISTER_PHONE, WITHIN_S, PreferencesUser, switch
from tests.client import eventually


async def test_change_while_offline_is_sent_after_reconnecting(alice: PreferencesUser) -> None:
    page = await alice.page()
    cell = switch(page, "Email for Product news")
    await expect(cell).to_be_checked()
    await page.context.set_offline(True)
    await cell.click()
    await expect(cell).not_to_be_checked()
    waiting = page.get_by_text("No connection. Your changes are saved when you are back online.")
    await waiting.wait_for()
    assert (await alice.matrix())["news"]["EMAIL"] is True
    await page.context.set_offline(False)

    async def received() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(received, WITHIN_S)
    await expect(waiting).to_have_count(0)
    await expect(cell).not_to_be_checked()


async def test_change_in_one_page_shows_in_another(alice: PreferencesUser) -> None:
    page = await alice.page()
    other = await page.context.new_page()
    await other.goto(alice.address())
    await expect(switch(other, "Email for Product news")).to_be_checked()
    await switch(page, "Email for Product news").click()
    await expect(switch(other, "Email for Product news")).not_to_be_checked()


async def test_device_removed_in_one_page_disappears_in_another(alice: PreferencesUser) -> None:
    await alice.tenant.execute(REGISTER_PHONE % (uuid4().hex, "Pixel"), user="alice")
    page = await alice.page()
    other = await page.context.new_page()
    await other.goto(alice.address())
    listed = other.get_by_role("button", name="Remove Pixel?")
    await listed.wait_for()
    await page.get_by_role("button", name="Remove Pixel?").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(listed).to_have_count(0)


async def test_pages_opened_while_offline_load_once_after_reconnecting(alice: PreferencesUser) -> None:
    page = await alice.page()
    cell = switch(page, "Email for Product news")
    await cell.wait_for()
    await page.evaluate(
        """() => {
          const { hub } = document.querySelector("hub-preferences");
          const query = hub.query;
          const back = new Promise((resolve) => (window.comeBack = resolve));
          window.asked = 0;
          hub.query = async (...given) => (window.asked++, await back, query.apply(hub, given));
          for (let visit = 0; visit < 5; visit++) document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await page.wait_for_function("asked === 1")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await cell.click()  # it is sent after the waiting request
    await page.evaluate("comeBack()")

    async def received() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(received, WITHIN_S)
    assert await page.evaluate("asked") == 3  # the first request, the waiting one, and the change


async def test_sign_out_or_user_change_leaves_no_data_behind(alice: PreferencesUser) -> None:
    await alice.tenant.execute(REGISTER_PHONE % (uuid4().hex, "Alice's Pixel"), user="alice")
    page = await alice.page()
    element = page.locator("hub-preferences")
    await element.get_by_text("Alice's Pixel").wait_for()
    await page.get_by_role("button", name="Mute Product news").click()
    await element.evaluate("(element) => element.removeAttribute('token')")
    for what in (page.get_by_role("table"), element.get_by_text("Alice's Pixel"), page.get_by_role("dialog")):
        await expect(what).to_have_count(0)
    await expect(page.get_by_role("button", name="Turn on")).to_have_count(0)
    await element.evaluate("(element, token) => element.setAttribute('token', token)", alice.tenant.token("alice"))
    await element.get_by_text("Alice's Pixel").wait_for()
    bob = alice.tenant.token("bob")
    await element.evaluate("(element, token) => element.setAttribute('token', token)", bob)
    await expect(element.get_by_text("Alice's Pixel")).to_have_count(0)
    await switch(page, "Email for Product news").wait_for()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_new_get_token_keeps_the_connection_and_removing_it_signs_out(alice: PreferencesUser) -> None:
    page = await alice.page()
    await switch(page, "Email for Product news").wait_for()
    element = page.locator("hub-preferences")
    same: bool = await element.evaluate(
        """async (element) => {
          const { hub, token } = element;
          for (let rendering = 0; rendering < 3; rendering++) {
            element.getToken = () => token;
            await element.updateComplete;
          }
          element.removeAttribute("token");
          await element.updateComplete;
          return element.hub === hub;
        }"""
    )
    assert same
    await switch(page, "Email for Product news").click()

    async def received() -> bool:
        return (await alice.matrix())["news"]["EMAIL"] is False

    await eventually(received, WITHIN_S)
    await element.evaluate("(element) => (element.getToken = undefined)")
    await expect(page.get_by_role("table")).to_have_count(0)
    await expect(page.get_by_text("You are signed out")).to_be_visible()


async def test_rejected_token_hides_the_page_until_a_valid_one_arrives(alice: PreferencesUser) -> None:
    page = await alice.page()
    cell = switch(page, "Email for Product news")
    await cell.wait_for()
    element = page.locator("hub-preferences")
    forged = alice.tenant.token("alice")[:-4] + "AAAA"
    await element.evaluate("(element, token) => element.setAttribute('token', token)", forged)
    await cell.click()
    await expect(page.get_by_role("table")).to_have_count(0)
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    valid = alice.tenant.token("alice", expires_in_s=1800)
    await element.evaluate("(element, token) => element.setAttribute('token', token)", valid)
    await cell.wait_for()


async def test_quick_changes_end_in_the_last_state(alice: PreferencesUser) -> None:
    page = await alice.page()
    cells = [switch(page, f"Email for {name}") for name in ("Product news", "Build results")]
    for _ in range(5):
        for cell in cells:
            await cell.click()
    for cell in cells:
        await expect(cell).not_to_be_checked()

    async def received() -> bool:
        found = await alice.matrix()
        return not found["news"]["EMAIL"] and not found["builds"]["EMAIL"]

    await eventually(received, WITHIN_S)
    for cell in cells:
        await expect(cell).not_to_be_checked()


async def test_failed_load_shows_an_error_and_is_retried(alice: PreferencesUser) -> None:
    page = await alice.page()
    await switch(page, "Email for Product news").wait_for()
    alice.user = "bob"
    await page.goto(alice.address())
    await switch(page, "Email for Product news").wait_for()
    await page.evaluate(
        """async () => {
          const element = document.querySelector("hub-preferences");
          const query = element.hub.query;
          element.hub.query = () => Promise.reject(new Error("no"));
          element.onConnect(element.hub);
          await new Promise((resolve) => setTimeout(resolve));
          element.hub.query = query;
        }"""
    )
    await page.get_by_role("alert").get_by_role("button", name="Try again").click()
    await switch(page, "Email for Product news").wait_for()
