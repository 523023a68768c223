"""Banners of web push: encryption, clicks, and closing when the notification is read."""

from uuid import uuid4

from tests.browser.settings_page import SettingsPage
from tests.browser.web_push.push_page import PushUser


async def test_encrypted_push_shows_a_banner_and_is_reported(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    secret = f"Between us {uuid4().hex}"
    id = await push_user.send(title=secret, body="Two tests are red.", priority="CRITICAL")
    [banner] = await push_user.banners(page)
    assert (banner["title"], banner["body"], banner["tag"]) == (secret, "Two tests are red.", id)
    assert banner["requireInteraction"] is True
    assert [displayed[0] for displayed in push_user.desktop.banners.values()] == [secret]
    [(_, headers, body)] = [push for push in push_user.service.pushes if push[1]["authorization"]][-1:]
    assert headers["content-encoding"] == "aes128gcm"
    assert secret.encode() not in body
    await push_user.delivery(id, "DELIVERED")


async def test_hidden_or_too_large_push_shows_a_shortened_banner(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    content = {"actionUrl": "/codes"}
    await push_user.tenant.send(
        push_user.user, title="A code", body="1234 " * 2000, channels=["WEB_PUSH"], content=content
    )
    [banner] = await push_user.banners(page)
    assert banner["body"].startswith("1234 1234")
    assert banner["body"].endswith("\u2026")
    assert banner["data"]["hub"]["urls"][""] == f"{push_user.pages.url}/codes"


async def test_click_is_reported_marks_read_and_opens_the_url(push_user: PushUser, foreign_pages: SettingsPage) -> None:
    page = await push_user.subscribed()
    actions = [{"key": "log", "label": "Log", "url": f"{foreign_pages.url}/log"}, {"key": "later", "label": "Later"}]
    content = {"actionUrl": "/builds/1", "actions": actions}
    for button, leads_to, acted in (
        ("Later", [page.url], "later"),
        ("Log", [page.url, f"{foreign_pages.url}/log"], None),
        ("", [f"{push_user.pages.url}/builds/1", f"{foreign_pages.url}/log"], None),
    ):
        id = await push_user.send(title=f"Build failed {button}", content=content)
        await push_user.delivery(id, "DELIVERED")
        assert await push_user.read_at(id) is None
        await push_user.click_banner(f"Build failed {button}", button)
        await push_user.wait_for_pages(leads_to)
        await push_user.delivery(id, "READ")
        [n] = [n for n in (await push_user.tenant.inbox(push_user.user))["nodes"] if n["id"] == id]
        assert (bool(n["readAt"]), n["actedKey"]) == (True, acted)


async def test_click_navigates_a_window_and_not_a_frame(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    blank = await push_user.context.new_page()
    other = await push_user.context.new_page()
    await other.goto(f"{push_user.pages.url}/elsewhere")
    await other.evaluate("document.body.append(Object.assign(document.createElement('iframe'), { src: '/inner' }))")
    await other.frame_locator("iframe").locator("html").wait_for(state="attached")
    await other.evaluate("document.querySelector('iframe').focus()")
    await page.close()
    id = await push_user.send(title="Build failed", content={"actionUrl": "/builds/1"})
    await push_user.delivery(id, "DELIVERED")
    await push_user.click_banner("Build failed")
    await push_user.wait_for_pages([blank.url, f"{push_user.pages.url}/builds/1"])


async def test_click_without_a_window_opens_one(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    blank = await push_user.context.new_page()
    await page.close()
    id = await push_user.send(title="Build failed", content={"actionUrl": "/builds/1"})
    await push_user.delivery(id, "DELIVERED")
    await push_user.click_banner("Build failed")
    await push_user.wait_for_pages([blank.url, f"{push_user.pages.url}/builds/1"])


async def test_banner_closes_when_read_on_another_device(push_user: PushUser) -> None:
    page = await push_user.subscribed(inbox="1")
    first, second = [await push_user.send(title=title) for title in ("First", "Second")]
    await push_user.banners(page, 2)
    await push_user.tenant.mark(push_user.user, "markRead", first)
    assert [banner["tag"] for banner in await push_user.banners(page, 1)] == [second]
    await push_user.tenant.mark_all(push_user.user, "markAllRead")
    await push_user.banners(page, 0)


async def test_banner_read_while_the_browser_was_away_closes_at_the_next_visit(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    id = await push_user.send(title="First")
    await push_user.banners(page)
    await push_user.tenant.mark(push_user.user, "markRead", id)
    await push_user.banners(await push_user.page(inbox="1"), 0)
