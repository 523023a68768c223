"""Personal webhooks and webhook endpoints, against a receiver that verifies signatures with the standard's own
library."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from hub import utc_time
from hub.ids import new_id, new_secret
from hub.model import (
    Action,
    DeliveryStatus,
    Device,
    DeviceKind,
    Notification,
    Priority,
    Tenant,
    User,
    WebhookCall,
    WebhookEndpoint,
)
from hub.platform import circuit_breaker
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.webhook_signature import SECRET_OVERLAP, signing_secrets
from hub.send.channel import ChannelResources
from hub.send.channels import webhook
from hub.send.channels.webhook import WebhookProvider
from hub.send.message import Message
from hub.send.outcome import Dead, Delivered, Gone, Outcome, Retry
from hub.send.tenant_webhook_handler import WebhookEndpointProvider, WebhookMessage
from hub.settings import Settings
from tests.clocks import hub_now

NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
NO_DEVICES: Any = None
NO_OPT_OUTS: Any = None
SECRET = new_secret()
TOKEN = f"path-{uuid4().hex}"
PRIVATE = {"secret": SECRET, "bare secret": SECRET[6:], "address": TOKEN, "title": "A private headline"}
PROMPT_S = 8.0  # a generous limit for calls that must not hang


@pytest.fixture(autouse=True)
def no_secrets_in_logs(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail if a log line contains a secret, an address or a text."""
    caplog.set_level(logging.DEBUG)
    yield
    out, err = capfd.readouterr()
    for what, value in PRIVATE.items():
        assert value not in caplog.text + out + err, f"{what} in a log line"


class Receiver:
    """Responds as configured: by default 204 to verified requests and 400 to others."""

    def __init__(self) -> None:
        self.bodies: list[tuple[dict[str, str], Any]] = []
        self.calls = 0
        self.fault: Callable[[], web.Response] | None = None
        self.hang = False

    async def __aenter__(self) -> "Receiver":
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1, access_log=None)
        self._runner = runner
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{TOKEN}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.calls += 1
        body = await request.read()
        if self.hang:
            await asyncio.Event().wait()
        if self.fault:
            return self.fault()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            self.bodies.append((headers, Verifier(SECRET).verify(body, headers)))
        except WebhookVerificationError:
            return web.Response(status=400)
        return web.Response(status=204)


def message(url: str, **options: Any) -> Message:
    fields: dict[str, Any] = {
        "id": new_id(),
        "mailbox": "acme/alice",
        "send": new_id(),
        "category": "builds",
        "title": PRIVATE["title"],
        "body": "Zwei Tests sind rot: \U0001f534",
        "data": '{"build":1041,"nested":{"a":[1,null]}}',
        "actions": (Action(key="open", label="Open", url="/builds/1041", primary=True),),
        "tags": ("ci",),
        "priority": Priority.HIGH,
        "because": "You were named by the sender.",
        "created_at": NOW,
        "updated_at": NOW,
    }
    n = Notification(**fields)
    device = Device(id="d1", kind=DeviceKind.WEBHOOK, key=url, created_at=NOW, url=url, secret=SECRET)
    complete: dict[str, Any] = {
        "id": f"{n.id}-d1",
        "notification": n,
        "user": User(id=n.mailbox, created_at=NOW, updated_at=NOW),
        "tenant": Tenant(id="acme"),
        "device": device,
        "unseen": 3,
        "created_at": NOW,
    }
    return Message(**complete | options)


def call_of(payload: str = '{"type":"notification.read"}') -> WebhookCall:
    return WebhookCall(
        id=f"{new_id()}-{new_id()}",
        tenant="acme",
        endpoint="e",
        event="notification.read",
        payload=payload,
        status=DeliveryStatus.PROCESSING,
        priority=Priority.MEDIUM,
        created_at=NOW,
        updated_at=NOW,
    )


def addressed_call(to: WebhookEndpoint) -> WebhookMessage:
    call = call_of()
    return WebhookMessage(call.id, call, to)


def endpoint(url: str, *secrets: str, rotated_at: datetime | None = None) -> WebhookEndpoint:
    fields = secrets or (SECRET,)
    return WebhookEndpoint(id="e", url=url, events=(), secrets=fields, created_at=NOW, rotated_at=rotated_at)


@dataclass
class SenderCase:
    """A sender and its receiver."""

    receiver: Receiver
    send: Callable[[], Any]


@pytest.fixture(params=["person", "tenant"])
async def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def make(kind: str) -> AsyncIterator[Callable[[float], Any]]:
    """Create senders whose calls time out after `timeout_s`."""
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(OutboundHTTP(["127.0.0.1/32"]))

        async def created(timeout_s: float) -> SenderCase:
            receiver = await stack.enter_async_context(Receiver())
            if kind == "person":
                fields = Settings(jwt_secret=("s" * 32,), provider_timeout_s=timeout_s)
                [provider] = await webhook.create_providers(
                    ChannelResources(fields, egress, stack, hub_now, utc_time.now, NO_DEVICES, NO_OPT_OUTS)
                )
                return SenderCase(receiver, lambda: provider.send(message(receiver.url)))
            caller = WebhookEndpointProvider(egress, timeout_s, hub_now, utc_time.now)
            return SenderCase(receiver, lambda: caller.send(addressed_call(endpoint(receiver.url))))

        yield created


@pytest.fixture
async def rig(make: Callable[[float], Any]) -> SenderCase:
    created: SenderCase = await make(PROMPT_S)
    return created


async def outcome_of(rig: SenderCase) -> Outcome:
    outcome: Outcome = await rig.send()
    for what, value in PRIVATE.items():
        assert value not in repr(outcome), f"{what} in an outcome"
    return outcome


async def test_accepted_webhook_is_delivered_and_its_signature_verifies(rig: SenderCase) -> None:
    assert await outcome_of(rig) == Delivered()
    [(headers, body)] = rig.receiver.bodies
    assert headers["content-type"] == "application/json"
    assert body["type"] in {"notification.created", "notification.read"}


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(rig: SenderCase, status: int) -> None:
    rig.receiver.fault = lambda: web.Response(status=status)
    assert await outcome_of(rig) == Delivered()


@pytest.mark.parametrize(
    ("status", "header", "after_s"),
    [
        (429, "2", 2),
        (503, "120", 120),
        (429, "rubbish", None),
        (429, None, None),
        (503, "Fri, 20 Nov 2026 00:00:00 GMT", 0),
    ],
)
async def test_retry_after_is_returned(rig: SenderCase, status: int, header: str | None, after_s: float | None) -> None:
    headers = {"retry-after": header} if header else {}
    if header and "GMT" in header:  # always in the past
        headers = {"retry-after": "Fri, 20 Nov 2020 00:00:00 GMT"}
    rig.receiver.fault = lambda: web.Response(status=status, headers=headers)
    assert await outcome_of(rig) == Retry(f"HTTP {status}", after_s)
    assert rig.receiver.calls == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 425, 500, 502, 503, 504, 599])
async def test_temporary_failure_is_retried(rig: SenderCase, status: int) -> None:
    rig.receiver.fault = lambda: web.Response(status=status, text=PRIVATE["title"])
    assert await outcome_of(rig) == Retry(f"HTTP {status}")
    assert rig.receiver.calls == 1


@pytest.mark.parametrize("status", [405, 413, 414, 415, 431])
async def test_rejection_of_the_request_is_permanent(rig: SenderCase, status: int) -> None:
    rig.receiver.fault = lambda: web.Response(status=status)
    assert await outcome_of(rig) == Dead(f"HTTP {status}")


async def test_gone_is_gone(rig: SenderCase) -> None:
    rig.receiver.fault = lambda: web.Response(status=410)
    assert await outcome_of(rig) == Gone("HTTP 410")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_not_followed_and_is_retried(rig: SenderCase, status: int) -> None:
    rig.receiver.fault = lambda: web.Response(status=status, headers={"location": f"{rig.receiver.url}/elsewhere"})
    assert await outcome_of(rig) == Retry(f"HTTP {status}")
    assert rig.receiver.calls == 1


async def test_hanging_receiver_times_out(make: Callable[[float], Any]) -> None:
    rig = await make(0.5)
    rig.receiver.hang = True
    started_at = time.monotonic()
    outcomes = await asyncio.gather(*(outcome_of(rig) for _ in range(4)))
    assert time.monotonic() - started_at < PROMPT_S
    assert outcomes == [Retry("no response within 0.5 s")] * 4
    rig.receiver.hang = False
    assert await outcome_of(rig) == Delivered()


async def test_unreachable_receiver_is_retried(rig: SenderCase) -> None:
    await rig.receiver.__aexit__()
    assert await outcome_of(rig) == Retry("Connection refused")


async def test_denied_address_is_dead() -> None:
    async with OutboundHTTP() as egress:
        for url in ("http://127.0.0.1/x", "http://169.254.169.254/latest/meta-data/", "http://localhost/"):
            assert isinstance(await WebhookProvider(egress, PROMPT_S, utc_time.now).send(message(url)), Dead)
            caller = WebhookEndpointProvider(egress, PROMPT_S, hub_now, utc_time.now)
            assert isinstance(await caller.send(addressed_call(endpoint(url))), Dead)


async def test_retry_keeps_id_and_body_and_has_a_new_timestamp() -> None:
    async with OutboundHTTP(["127.0.0.1/32"]) as egress, Receiver() as receiver:
        times = iter([utc_time.now() - timedelta(seconds=60), utc_time.now()])
        provider, same = WebhookProvider(egress, PROMPT_S, lambda: next(times)), message(receiver.url)
        assert [await provider.send(same) for _ in range(2)] == [Delivered()] * 2
        (first, body), (second, again) = receiver.bodies
        assert first["webhook-id"] == second["webhook-id"] == same.id
        assert body == again
        assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) in {59, 60, 61}


async def test_personal_webhook_contains_the_notification() -> None:
    async with OutboundHTTP(["127.0.0.1/32"]) as egress, Receiver() as receiver:
        received = message(receiver.url)
        await WebhookProvider(egress, PROMPT_S, utc_time.now).send(received)
        [(_, body)] = receiver.bodies
    assert body == {
        "type": "notification.created",
        "timestamp": "2026-11-20T08:15:30.000Z",
        "data": {
            "id": received.notification.id,
            "userId": "alice",
            "category": "builds",
            "title": PRIVATE["title"],
            "body": "Zwei Tests sind rot: \U0001f534",
            "markdown": False,
            "data": {"build": 1041, "nested": {"a": [1, None]}},
            "imageUrl": None,
            "actionUrl": None,
            "actions": [{"key": "open", "label": "Open", "url": "/builds/1041", "primary": True}],
            "actor": None,
            "threadKey": None,
            "priority": "HIGH",
            "tags": ["ci"],
            "createdAt": "2026-11-20T08:15:30.000Z",
            "expiresAt": None,
            "requireAck": False,
        },
    }


async def test_device_without_url_or_secret_is_dead() -> None:
    async with OutboundHTTP() as egress:
        bare = Device(id="d", kind=DeviceKind.WEBHOOK, key="k", created_at=NOW)
        for device in (None, bare):
            assert isinstance(await WebhookProvider(egress, 1, utc_time.now).send(message("", device=device)), Dead)


def test_preview_is_the_signed_request() -> None:
    received = message("https://hooks.example.org/in")
    text = webhook.preview(received).text
    assert text.startswith("POST https://hooks.example.org/in\ncontent-type: application/json\n")
    assert f"webhook-id: {received.id}\n" in text
    assert "webhook-signature: v1," in text
    assert SECRET not in text


async def test_disabled_webhooks_create_no_provider() -> None:
    async with AsyncExitStack() as stack, OutboundHTTP() as egress:
        fields = Settings(jwt_secret=("s" * 32,), personal_webhooks=False)
        assert (
            await webhook.create_providers(
                ChannelResources(fields, egress, stack, hub_now, utc_time.now, NO_DEVICES, NO_OPT_OUTS)
            )
            == ()
        )


def test_host_breakers_are_shared_within_a_tenant_and_url_breakers_are_not() -> None:
    """Another port or scheme is another host."""
    fields = [(tenant, host, path) for tenant in "ab" for host in ("x", "Y:8443") for path in "12"]
    named = {
        circuit_breaker.breaker_names("webhook", tenant, f"https://{host}/{path}", f"{path}{host}")
        for tenant, host, path in fields
    }
    assert {shared for shared, _ in named} == {
        f"webhook/{tenant}/https://{host}" for tenant in "ab" for host in ("x:443", "y:8443")
    }
    assert len({own for _, own in named}) == len(fields)
    assert circuit_breaker.breaker_names("webhook", "a", "http://x/", "1")[0] == "webhook/a/http://x:80"


async def test_rotation_signs_with_both_secrets_for_a_day() -> None:
    newest, before = new_secret(), SECRET
    rotated = utc_time.now()
    rotating = endpoint("http://127.0.0.1/", newest, before, rotated_at=rotated)
    assert (
        signing_secrets(rotating, rotated)
        == signing_secrets(rotating, rotated + SECRET_OVERLAP - timedelta(seconds=1))
        == (newest, before)
    )
    assert signing_secrets(rotating, rotated + SECRET_OVERLAP) == (newest,)
    assert signing_secrets(endpoint("http://127.0.0.1/", newest), rotated) == (newest,)
    async with (
        OutboundHTTP(["127.0.0.1/32"]) as egress,
        Receiver() as receiver,
    ):  # a receiver that has only the old secret
        caller = WebhookEndpointProvider(egress, PROMPT_S, hub_now, utc_time.now)
        rotating = endpoint(receiver.url, newest, before, rotated_at=rotated - timedelta(hours=23))
        assert await caller.send(addressed_call(rotating)) == Delivered()
        [(headers, _)] = receiver.bodies
        assert Verifier(newest).verify(b'{"type":"notification.read"}', headers)
        rotating = endpoint(receiver.url, newest, before, rotated_at=rotated - timedelta(hours=25))
        assert await caller.send(addressed_call(rotating)) == Retry("HTTP 400")
