"""On a touch screen, a swipe towards the end of the line archives a row, and a swipe towards the start snoozes it."""

import pytest
from playwright.async_api import CDPSession

from tests.browser.conftest import Browsers, Tab
from tests.browser.inbox_marks import open_panel, send_numbered, wait_for_marks
from tests.browser.test_appearance import LOOKS, check_state
from tests.client import Tenant, eventually

STEPS = 6


class Finger:
    """A finger on the screen. `move` moves it by pixels, and `lift` takes it away."""

    def __init__(self, session: CDPSession, x: float, y: float) -> None:
        self._session = session
        self._x, self._y = x, y

    async def _touch(self, kind: str, *points: dict[str, float]) -> None:
        await self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    async def press(self) -> "Finger":
        await self._touch("touchStart", {"x": self._x, "y": self._y})
        return self

    async def move(self, x: float, y: float = 0) -> "Finger":
        for _ in range(STEPS):
            self._x, self._y = self._x + x / STEPS, self._y + y / STEPS
            await self._touch("touchMove", {"x": self._x, "y": self._y})
        return self

    async def lift(self) -> None:
        await self._touch("touchEnd")


async def press_row(tab: Tab, title: str) -> Finger:
    box = await tab.item(title).bounding_box()
    assert box
    session = await tab.page.context.new_cdp_session(tab.page)
    return await Finger(session, box["x"] + box["width"] / 2, box["y"] + 20).press()


@pytest.mark.parametrize("look", ["phone-light", "phone-arabic-dark"])
async def test_swipe_archives_or_snoozes_a_row(look: str, tenant: Tenant, browsers: Browsers) -> None:
    device, scheme, language = LOOKS[look]
    sign = -1 if language == "ar" else 1
    titles = await send_numbered(tenant, 3)
    page = {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}
    alice = await browsers.person("alice", page=page, color_scheme=scheme, reduced_motion="reduce", **device)
    tab = await open_panel(alice, *titles)
    finger = await (await press_row(tab, titles[1])).move(sign * 60)
    hint = tab.item(titles[1]).locator(".swipe")
    await hint.and_(tab.page.locator(":not(.far)")).wait_for()
    await finger.move(sign * 60)
    await hint.and_(tab.page.locator(".far")).wait_for()
    await check_state(tab, look, "swipe")
    await finger.lift()
    await tab.wait_for_items(titles[0], titles[2])
    await wait_for_marks(tenant, titles[1], archivedAt=True)
    await tab.toast.locator("[data-tool=undo]").click()
    await tab.wait_for_items(*titles)
    await (await (await press_row(tab, titles[0])).move(sign * -120)).lift()
    await tab.item(titles[0]).locator(".choices button").nth(1).click()
    await tab.wait_for_items(*titles[1:])
    await tab.toast.locator("[data-tool=undo]").click()
    await tab.wait_for_items(*titles)
    assert await tab.page.evaluate("told.every(([name]) => name === 'hub-count')"), "a swipe opened the row"


async def test_short_swipe_scroll_or_mouse_changes_nothing(tenant: Tenant, browsers: Browsers) -> None:
    device, scheme, _ = LOOKS["phone-light"]
    titles = await send_numbered(tenant, 15)
    tab = await open_panel(await browsers.person("alice", color_scheme=scheme, **device), *titles)
    await (await (await press_row(tab, titles[2])).move(60)).lift()
    await tab.item(titles[2]).locator(".swipe").wait_for(state="detached")
    finger = await (await press_row(tab, titles[4])).move(0, -120)
    await (await finger.move(150)).lift()

    async def scrolled() -> bool:
        return bool(await tab.page.locator("hub-inbox-panel .scroll").evaluate("(list) => list.scrollTop > 0"))

    await eventually(scrolled)
    box = await tab.item(titles[4]).bounding_box()
    assert box
    await tab.page.mouse.move(100, box["y"] + 20)
    await tab.page.mouse.down()
    await tab.page.mouse.move(300, box["y"] + 20, steps=5)
    await tab.page.mouse.up()
    assert (await tab.titles())[:5] == titles[:5]
    assert await tab.page.locator("hub-inbox-panel .swipe, hub-inbox-panel .toast").count() == 0
