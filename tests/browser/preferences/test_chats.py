"""<hub-preferences>: chats are connected, shown without their secret, and removed."""

from playwright.async_api import expect

from tests.browser.preferences.preferences_page import PreferencesUser, expect_escape_returns_focus, switch

URL = "https://hooks.slack.com/services/T000/B000/SecretSecretwXyZ"
DEVICES = "{ me { devices { kind label maskedUrl } } }"


async def test_chat_is_connected_with_the_keyboard_and_removed(alice: PreferencesUser) -> None:
    await alice.tenant.define_category("news", "IN_APP", "EMAIL", "SLACK", name="Product news")
    page = await alice.page()
    opener, dialog = page.get_by_role("button", name="Connect a chat"), page.get_by_role("dialog")
    await expect(page.get_by_role("columnheader", name="Discord")).to_have_count(0)
    set_up = page.get_by_role("button", name="Set up Slack")
    await expect_escape_returns_focus(set_up, dialog)
    await set_up.press("Enter")
    await expect(dialog.get_by_role("combobox", name="Chat")).to_have_value("SLACK")
    await page.keyboard.press("Escape")
    await expect_escape_returns_focus(opener, dialog)
    await opener.press("Enter")
    await expect(dialog.get_by_role("combobox", name="Chat")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.type("https://evil.example/services/T/B/x")
    await page.keyboard.press("Tab")
    await page.keyboard.type("#alerts")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("not the URL of a webhook")
    await expect(dialog.get_by_role("textbox", name="Webhook URL")).to_be_focused()
    await expect(dialog.get_by_role("textbox", name="Name")).to_have_value("#alerts")
    await dialog.get_by_role("textbox", name="Webhook URL").fill(URL)
    await page.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("status").filter(has_text="#alerts is connected.")).to_have_count(1)

    row = page.get_by_role("region", name="Devices").get_by_role("listitem").filter(has_text="#alerts")
    await expect(row).to_contain_text("hooks.slack.com …wXyZ")
    assert "Secret" not in await page.locator("hub-preferences").inner_text()
    await expect(switch(page, "Slack for Product news")).to_be_checked()
    await expect(switch(page, "Discord for Product news")).to_have_count(0)
    found = await alice.tenant.execute(DEVICES, user="alice")
    assert found["me"]["devices"] == [{"kind": "SLACK", "label": "#alerts", "maskedUrl": "hooks.slack.com …wXyZ"}]

    remove = row.get_by_role("button", name="Remove #alerts, hooks.slack.com …wXyZ?")
    await expect_escape_returns_focus(remove, dialog)
    await remove.press("Enter")
    await dialog.get_by_role("button", name="Remove", exact=True).click()
    await expect(row).to_have_count(0)
    await expect(page.get_by_role("heading", name="Devices")).to_be_focused()
    await expect(switch(page, "Slack for Product news")).to_have_count(0)
    await expect(set_up).to_be_visible()
    assert (await alice.tenant.execute(DEVICES, user="alice"))["me"]["devices"] == []
