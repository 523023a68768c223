"""Messages that the service worker gets directly: foreign, malformed, and with the same tag."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import CDPSession, Page

from tests.browser.web_push.push_page import PUSHED_WITHIN_S, WITHIN_S, PushUser
from tests.client import Json, eventually


async def deliveries_to(push_user: PushUser, page: Page) -> Any:
    """Deliver a payload to the service worker of that page, as if decrypted."""
    cdp: CDPSession = await push_user.context.new_cdp_session(page)
    registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def received(event: Json) -> None:
        for one in event["registrations"]:
            if one["scopeURL"].startswith(push_user.pages.url) and not one["isDeleted"] and not registered.done():
                registered.set_result(one["registrationId"])

    cdp.on("ServiceWorker.workerRegistrationUpdated", received)
    await cdp.send("ServiceWorker.enable")
    id = await asyncio.wait_for(registered, WITHIN_S)

    async def hand(data: str) -> Page:
        fields = {"origin": push_user.pages.url, "registrationId": id, "data": data}
        await cdp.send("ServiceWorker.deliverPushMessage", fields)
        return page

    return hand


@pytest.fixture
async def deliver(push_user: PushUser) -> Any:
    return await deliveries_to(push_user, await push_user.subscribed())


async def test_worker_of_the_app_imports_the_hub_worker_and_keeps_its_own_pushes(push_user: PushUser) -> None:
    page = await push_user.subscribed(attributes="worker=/own.js")
    deliver = await deliveries_to(push_user, page)
    id = await push_user.send(title="From the hub")
    [banner] = await push_user.banners(page)
    assert banner["tag"] == id
    await deliver('{"mine": "From the app"}')
    assert {banner["title"] for banner in await push_user.banners(page, 2)} == {"From the app", "From the hub"}
    assert await page.evaluate("navigator.serviceWorker.controller") is None


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "not JSON",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"title": 5, "body": {}, "tag": [], "data": 1, "createdAt": "yesterday"}',
        '{"actions": {"action": "a"}, "icon": "javascript:alert(1)", "url": "javascript:alert(1)", "receipt": "x:y"}',
        '{"actions": [null, 5, {}, {"action": "a"}, {"action": "a", "title": "A", "url": "data:text/html,x"}]}',
    ],
)
async def test_malformed_push_shows_a_banner_without_a_link(push_user: PushUser, deliver: Any, payload: str) -> None:
    page = await deliver(payload)
    [banner] = await push_user.banners(page)
    assert banner["title"] == "New notification"
    assert set(banner["data"]["hub"]["urls"].values()) == {""}
    await push_user.click_banner("New notification")
    await push_user.banners(page, 0)
    await push_user.wait_for_pages([page.url])


async def test_push_with_the_same_tag_replaces_the_banner_and_alerts_only_if_it_differs(
    push_user: PushUser, deliver: Any
) -> None:
    """A later step of a notification is another delivery, so it alerts."""
    for id, step, renotified in (
        ("1", "", False),
        ("1", "", False),
        ("1", "-1", True),
        ("1", "-1", False),
        ("2", "", True),
    ):
        before = push_user.desktop.shown_count
        payload = {"id": id, "deliveryId": id + step, "tag": "build", "title": f"Build {id}"}
        page = await deliver(json.dumps(payload))

        async def displayed(before: int = before) -> bool:
            return push_user.desktop.shown_count > before

        await eventually(displayed, PUSHED_WITHIN_S)
        [banner] = await push_user.banners(page)
        assert (banner["data"]["hub"]["id"], banner["renotify"]) == (id, renotified)
    page = await deliver(json.dumps({"id": "3", "title": "Another"}))
    assert {banner["tag"] for banner in await push_user.banners(page, 2)} == {"build", "3"}
