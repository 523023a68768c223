"""Buttons of an item: a choice is done in every browser of the user, and is taken back if the hub rejects it."""

from playwright.async_api import expect

from tests.browser.conftest import Browsers, BrowserUser
from tests.browser.inbox_marks import open_panel, wait_for_marks
from tests.client import Json, Tenant, eventually

ACTIONS: list[Json] = [
    {"key": "approve", "label": "Approve", "primary": True},
    {"key": "reject", "label": "Reject"},
    {"key": "diff", "label": "Diff", "url": "/elsewhere?diff"},
]


async def test_choice_in_one_browser_is_done_in_the_other_and_after_a_reload(
    tenant: Tenant, browsers: Browsers
) -> None:
    content = {"actions": ACTIONS, "actor": {"name": "Carol van Reed", "avatarUrl": "https://images.invalid/c.png"}}
    await tenant.send("alice", title="Deploy?", content=content)
    here, there = [
        await open_panel(await browsers.person("alice", url=url), "Deploy?")
        for url in (tenant.urls[0], tenant.urls[-1])
    ]
    avatar = here.item("Deploy?").get_by_role("img", name="Carol van Reed")
    await expect(avatar).to_have_text("CR")  # the picture cannot be loaded
    box = await avatar.bounding_box()
    assert box
    assert (box["width"], box["height"]) == (32, 32)
    await here.item("Deploy?").get_by_role("button", name="Approve").press("Enter")
    for tab in (here, there):
        item = tab.item("Deploy?")
        await expect(item.get_by_role("button", name="✓ Approve")).to_be_visible()
        await expect(item.get_by_role("button", name="Reject")).to_have_attribute("aria-disabled", "true")
        await expect(item.get_by_role("status")).to_have_text("Done: Approve")
        await expect(item.get_by_role("link", name="Diff")).to_be_visible()
        await tab.wait_for_unread(0)
    await expect(here.item("Deploy?").get_by_role("button", name="✓ Approve")).to_be_focused()
    await wait_for_marks(tenant, "Deploy?", actedKey=True, readAt=True)
    await there.item("Deploy?").get_by_role("button", name="Reject").press("Enter")
    assert "hub-action" not in [name for name, _ in await there.page.evaluate("told")]
    assert await there.axe_violations() == []
    await there.page.reload()
    await there.open()
    await expect(there.item("Deploy?").get_by_role("button", name="✓ Approve")).to_be_visible()
    assert not here.errors + there.errors


async def test_rejected_choice_is_taken_back(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="Deploy?", content={"actions": ACTIONS})
    tab = await alice.tab()
    held = await tab.hold("mutation Act")
    await tab.open()
    await tab.wait_until_live()
    item = tab.item("Deploy?")
    await item.get_by_role("button", name="Approve").click()
    await expect(item.get_by_role("button", name="✓ Approve")).to_be_visible()

    async def is_held() -> bool:
        return bool(held)

    await eventually(is_held)
    held[0].refuse("It was taken elsewhere.", "CONFLICT")
    await expect(tab.toast).to_contain_text("It was taken elsewhere.")
    await expect(item.get_by_role("button", name="Approve", exact=True)).to_have_attribute("aria-disabled", "false")
    await wait_for_marks(tenant, "Deploy?", actedKey=False)
