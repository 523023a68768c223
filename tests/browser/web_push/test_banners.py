"""Banners of web push: encryption, clicks, and closing when the notification is read."""

from uuid import uuid4

from tests.browser.settings_page import SettingsPage
from tests.browser.web_push.push_page import Rig


async def test_encrypted_push_is_shown_and_reported(rig: Rig) -> None:
    page = await rig.subscribed()
    secret = f"Between us {uuid4().hex}"
    id = await rig.send(title=secret, body="Two tests are red.", priority="CRITICAL")
    [banner] = await rig.banners(page)
    assert (banner["title"], banner["body"], banner["tag"]) == (secret, "Two tests are red.", id)
    assert banner["requireInteraction"] is True
    assert [shown[0] for shown in rig.desktop.banners.values()] == [secret]
    [(_, headers, body)] = [push for push in rig.service.pushes if push[1]["authorization"]][-1:]
    assert headers["content-encoding"] == "aes128gcm"
    assert secret.encode() not in body
    await rig.delivery(id, "DELIVERED")


async def test_hidden_and_too_large_is_shown_as_far_as_it_goes(rig: Rig) -> None:
    page = await rig.subscribed()
    content = {"actionUrl": "/codes"}
    await rig.tenant.send(rig.user, title="A code", body="1234 " * 2000, channels=["WEB_PUSH"], content=content)
    [banner] = await rig.banners(page)
    assert banner["body"].startswith("1234 1234")
    assert banner["body"].endswith("\u2026")
    assert banner["data"]["hub"]["urls"][""] == f"{rig.pages.url}/codes"


async def test_click_reports_marks_read_and_opens(rig: Rig, elsewhere: SettingsPage) -> None:
    page = await rig.subscribed()
    actions = [{"key": "log", "label": "Log", "url": f"{elsewhere.url}/log"}, {"key": "later", "label": "Later"}]
    content = {"actionUrl": "/builds/1", "actions": actions}
    for button, leads_to in (
        ("Later", [page.url]),
        ("Log", [page.url, f"{elsewhere.url}/log"]),
        ("", [f"{rig.pages.url}/builds/1", f"{elsewhere.url}/log"]),
    ):
        id = await rig.send(title=f"Build failed {button}", content=content)
        await rig.delivery(id, "DELIVERED")
        assert await rig.read_at(id) is None
        await rig.clicked(f"Build failed {button}", button)
        await rig.shows(leads_to)
        await rig.delivery(id, "READ")
        assert await rig.read_at(id)


async def test_click_leads_a_window_and_no_frame_in_one(rig: Rig) -> None:
    page = await rig.subscribed()
    blank = await rig.context.new_page()
    other = await rig.context.new_page()
    await other.goto(f"{rig.pages.url}/elsewhere")
    await other.evaluate("document.body.append(Object.assign(document.createElement('iframe'), { src: '/inner' }))")
    await other.frame_locator("iframe").locator("html").wait_for(state="attached")
    await other.evaluate("document.querySelector('iframe').focus()")
    await page.close()
    id = await rig.send(title="Build failed", content={"actionUrl": "/builds/1"})
    await rig.delivery(id, "DELIVERED")
    await rig.clicked("Build failed")
    await rig.shows([blank.url, f"{rig.pages.url}/builds/1"])


async def test_without_a_window_a_click_opens_one(rig: Rig) -> None:
    page = await rig.subscribed()
    blank = await rig.context.new_page()
    await page.close()
    id = await rig.send(title="Build failed", content={"actionUrl": "/builds/1"})
    await rig.delivery(id, "DELIVERED")
    await rig.clicked("Build failed")
    await rig.shows([blank.url, f"{rig.pages.url}/builds/1"])


async def test_banner_closes_when_it_is_read_elsewhere(rig: Rig) -> None:
    page = await rig.subscribed(inbox="1")
    first, second = [await rig.send(title=title) for title in ("First", "Second")]
    await rig.banners(page, 2)
    await rig.tenant.mark(rig.user, "markRead", first)
    assert [banner["tag"] for banner in await rig.banners(page, 1)] == [second]
    await rig.tenant.mark_all(rig.user, "markAllRead")
    await rig.banners(page, 0)


async def test_banner_of_what_was_read_meanwhile_closes_at_the_next_visit(rig: Rig) -> None:
    page = await rig.subscribed()
    id = await rig.send(title="First")
    await rig.banners(page)
    await rig.tenant.mark(rig.user, "markRead", id)
    await rig.banners(await rig.page(inbox="1"), 0)
