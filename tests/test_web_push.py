"""Web push as a browser decrypts it."""

import json
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import utc_time
from hub.model import Action, Priority
from hub.platform.outbound_http import OutboundHTTP
from hub.send.channels import web_push
from hub.send.channels.web_push import BODY_CHARS, PAYLOAD_BYTES, RECORD_BYTES, SHORT_BYTES, topic
from hub.send.outcome import Dead, Gone, Retry, Sent
from tests.provider_setup import (
    MONTH_S,
    PRIVATE_VALUES,
    FakeServers,
    browser_device,
    new_message,
    open_web_push,
    provider_settings,
)

pytestmark = pytest.mark.usefixtures("no_secrets_in_logs")


async def test_browser_can_decrypt_the_push(fakes: FakeServers) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    sent = new_message(
        device=browser_device(service.subscribe()),
        receipt_url="https://hub.example/r/token",
        n_action_url="/builds/1",
        n_image_url="https://img.example/1.png",
        n_actions=(Action(key="log", label="Log", url="/log"),),
        n_data='{"build": 1041}',
        t_logo_url="https://img.example/logo.png",
    )
    assert await push.send(sent) == Sent()
    [(payload, headers)] = service.pushes
    assert payload == {
        "id": sent.notification.id,
        "deliveryId": sent.id,
        "title": PRIVATE_VALUES["title"],
        "body": PRIVATE_VALUES["text"],
        "url": "/builds/1",
        "icon": "https://img.example/logo.png",
        "image": "https://img.example/1.png",
        "actions": [{"action": "log", "title": "Log", "url": "/log"}],
        "tag": sent.notification.id,
        "unseen": 3,
        "category": "builds",
        "priority": "HIGH",
        "createdAt": "2026-11-20T08:15:30.000Z",
        "data": {"build": 1041},
        "receipt": "https://hub.example/r/token",
    }
    assert headers["urgency"] == "high"
    assert headers["ttl"] == str(MONTH_S)
    assert headers["topic"] == topic(sent.notification.id)
    assert json.loads(web_push.preview(sent).text) == payload


async def test_collapse_key_is_the_topic_and_the_tag(fakes: FakeServers) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    device = browser_device(service.subscribe())
    for key, ack in (("build-1", False), ("build-1", False), ("build-1", True), ("build-2", False)):
        await push.send(new_message(device=device, n_collapse_key=key, n_require_ack=ack))
    topics = [headers["topic"] for _, headers in service.pushes]
    tags = [payload["tag"] for payload, _ in service.pushes]
    for values in (topics, tags):
        assert values[0] == values[1]
        assert len(set(values)) == 3, "one that requires an acknowledgment stays beside the others"
        assert all(len(value) == 32 for value in values)


@pytest.mark.parametrize(
    ("priority", "urgency"), [("CRITICAL", "high"), ("HIGH", "high"), ("MEDIUM", "normal"), ("LOW", "low")]
)
async def test_urgency_follows_priority_and_ttl_follows_expiry(fakes: FakeServers, priority: str, urgency: str) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    expires_at = utc_time.now() + timedelta(hours=1)
    device = browser_device(service.subscribe())
    await push.send(new_message(device=device, n_priority=Priority(priority), n_expires_at=expires_at))
    [(_, headers)] = service.pushes
    assert headers["urgency"] == urgency
    assert 3500 < int(headers["ttl"]) <= 3600


async def test_each_push_service_gets_its_own_token(fakes: FakeServers) -> None:
    services = [await fakes.push_service() for _ in range(2)]
    [push] = await open_web_push(fakes)
    for _ in range(2):
        for service in services:
            assert await push.send(new_message(device=browser_device(service.subscribe()))) == Sent()
    assert [len(service.pushes) for service in services] == [2, 2]


@pytest.mark.parametrize("letter", ["x", "\u20ac", '"', "\x01"])
async def test_too_large_push_is_shortened(fakes: FakeServers, letter: str) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    sent = new_message(
        device=browser_device(service.subscribe()),
        receipt_url="https://hub.example/r/token",
        n_title="\u20ac" * 256,
        n_body=letter * 5000,
        n_action_url="/builds/1",
        n_data='{"build": 1041}',
    )
    assert await push.send(sent) == Sent()
    [(payload, headers)] = service.pushes
    assert int(headers["content-length"]) <= RECORD_BYTES
    assert payload["partial"] is True
    assert (payload["id"], payload["title"]) == (sent.notification.id, "\u20ac" * 256)
    assert (payload["url"], payload["receipt"]) == ("/builds/1", "https://hub.example/r/token")
    assert payload["body"].lstrip(letter) == "\u2026"
    assert 400 < len(payload["body"]) <= BODY_CHARS


async def test_body_is_complete_if_only_the_data_is_too_large(fakes: FakeServers) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    data = json.dumps({"log": "x" * 5000})
    assert await push.send(new_message(device=browser_device(service.subscribe()), n_data=data)) == Sent()
    [(payload, _)] = service.pushes
    assert (payload["partial"], payload["body"]) == (True, PRIVATE_VALUES["text"])
    assert "data" not in payload


@given(
    title=st.text(max_size=300),
    body=st.text(max_size=6000),
    url=st.text(max_size=2048),
    room=st.integers(SHORT_BYTES, PAYLOAD_BYTES),
)
def test_payload_never_exceeds_its_limit(title: str, body: str, url: str, room: int) -> None:
    sent = new_message(n_title=title, n_body=body, n_action_url=f"/{url}")
    least = len(orjson.dumps({"id": sent.notification.id, "title": title[:256], "partial": True}))
    assert len(web_push.payload(sent, max_bytes=room)) <= max(room, least)


async def test_largest_payload_fits_one_record(fakes: FakeServers) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    device = browser_device(service.subscribe())
    room = PAYLOAD_BYTES - len(web_push.payload(new_message(device=device, n_body="")))
    assert await push.send(new_message(device=device, n_body="x" * room)) == Sent()
    assert "partial" not in service.pushes[0][0]
    assert service.pushes[0][1]["content-length"] == str(RECORD_BYTES)
    assert await push.send(new_message(device=device, n_body="x" * (room + 1))) == Sent()
    assert service.pushes[1][0]["partial"] is True


async def test_push_too_large_for_the_service_is_sent_again_smaller(fakes: FakeServers) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    device = browser_device(service.subscribe())
    service.max_bytes = 1000
    assert await push.send(new_message(device=device, n_body="x" * 2000)) == Sent()
    assert service.pushes[0][0]["partial"] is True
    assert service.pushes[0][0]["body"].lstrip("x") == "\u2026"
    assert service.calls == 2
    service.max_bytes = 10
    assert isinstance(await push.send(new_message(device=device, n_body="x" * 2000)), Dead)
    assert service.calls == 4


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (404, Gone),
        (410, Gone),
        (400, Dead),
        (401, Dead),
        (403, Dead),
        (408, Retry),
        (429, Retry),
        (500, Retry),
        (503, Retry),
    ],
)
async def test_only_404_and_410_end_a_subscription(fakes: FakeServers, status: int, outcome: type) -> None:
    from aiohttp import web

    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    service.fault = lambda: web.Response(status=status)
    assert isinstance(await push.send(new_message(device=browser_device(service.subscribe()))), outcome)
    assert service.calls == 1


@pytest.mark.parametrize(
    "keys",
    [
        {"p256dh": ""},
        {"p256dh": "AAAA"},
        {"p256dh": "!"},
        {"p256dh": "B" * 87},
        {"auth": ""},
        {"auth": None},
        {"url": "x"},
        {"url": "https://[::1"},
        {"url": ""},
    ],
)
async def test_invalid_subscription_is_dead(fakes: FakeServers, keys: dict[str, Any]) -> None:
    service = await fakes.push_service()
    [push] = await open_web_push(fakes)
    sent = new_message(device=browser_device(service.subscribe(), **keys))
    assert push.breakers(sent)[0].startswith("web_push/acme/")
    assert isinstance(await push.send(sent), Dead)
    assert service.calls == 0


async def test_push_service_at_a_private_address_is_not_called(fakes: FakeServers) -> None:
    service = await fakes.push_service()
    fakes.egress = await fakes.stack.enter_async_context(OutboundHTTP())
    [push] = await open_web_push(fakes)
    assert isinstance(await push.send(new_message(device=browser_device(service.subscribe()))), Dead)
    assert service.calls == 0


async def test_invalid_vapid_key_prevents_the_start(fakes: FakeServers) -> None:
    with pytest.raises(ValueError, match="HUB_VAPID_PRIVATE_KEY"):
        provider_settings(vapid_private_key="nonsense", vapid_subject="mailto:ops@acme.example")
    assert await web_push.create_providers(fakes.resources(provider_settings())) == ()


@given(st.text(max_size=100))
def test_topic_is_short_and_url_safe(key: str) -> None:
    created = topic(key.encode(errors="replace").decode())
    assert len(created) == 32
    assert created.replace("-", "").replace("_", "").isalnum()
