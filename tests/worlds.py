"""Providers of every channel, opened for tests, each with its peer."""

import base64
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web
from cryptography.hazmat.primitives.asymmetric import ec

from hub.model import Category, Device, DeviceKind, Notification, Priority, Tenant, User
from hub.platform.outbound_http import OutboundHTTP
from hub.send import aws
from hub.send.channels import email, mobile_push, web_push
from hub.send.email_message import Sender
from hub.send.message import Message, Provider
from hub.send.outcome import Outcome
from hub.settings import Settings
from tests.fake_providers import HANG, Amazon, Browser, HttpPeer, MailServer, PushService

NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
VAPID = ec.generate_private_key(ec.SECP256R1())
VAPID_TEXT = base64.urlsafe_b64encode(VAPID.private_numbers().private_value.to_bytes(32, "big")).rstrip(b"=").decode()
SENDER = "Acme <no-reply@acme.example>"
PRIVATE = {
    "address": "alice.private@people.example",
    "title": "A private headline",
    "text": "Words between us",
    "vapid": VAPID_TEXT,
    "token": f"device-token-{uuid4().hex}",
    "aws": "an-aws-secret-key",
    "unsubscribe": "https://hub.example/unsubscribe/a-signed-token",
}
"""What stands in no log line and in no error."""


FCM, APNS = "fcm", "apns"


def settings(**given: Any) -> Settings:
    return Settings(**{"jwt_secret": ("s" * 32,), "provider_timeout_s": 10, **given})


def message(**given: Any) -> Message:
    """A delivery to Alice. `n_...` and `t_...` are about the notification and the tenant."""
    notification: dict[str, Any] = {
        "id": str(uuid4()),
        "mailbox": "acme/alice",
        "send": "s",
        "category": "builds",
        "title": PRIVATE["title"],
        "body": PRIVATE["text"],
        "priority": Priority.HIGH,
        "because": "You were named by the sender.",
        "created_at": NOW,
        "updated_at": NOW,
    }
    tenant: dict[str, Any] = {
        "id": "acme",
        "name": "Acme",
        "color": "#4f46e5",
        "categories": (Category(key="builds", name="Build results"),),
    }
    whole: dict[str, Any] = {
        "user": User(id="acme/alice", created_at=NOW, updated_at=NOW, email=PRIVATE["address"]),
        "device": None,
        "unseen": 3,
        "created_at": NOW,
        "unsubscribe_url": PRIVATE["unsubscribe"],
    }
    for name, value in given.items():
        kind, _, field = name.partition("_")
        {"n": notification, "t": tenant}.get(kind, whole)[field if kind in {"n", "t"} else name] = value
    made = Notification(**notification)
    return Message(id=f"{made.id}-x", notification=made, tenant=Tenant(**tenant), **whole)


def to(address: str, **given: Any) -> Message:
    return message(user=User(id="acme/alice", created_at=NOW, updated_at=NOW, email=address), **given)


@dataclass
class Rig:
    """A provider, its peer, and how that is made to misbehave. `calls` counts what reached it, `took` what it took."""

    provider: Provider
    peer: MailServer | HttpPeer
    message: Callable[[], Message]
    misbehave: Callable[[str], None]
    calls: Callable[[], int]
    took: Callable[[], int]
    retry_after_s: float | None = 2


@dataclass
class World:
    """What peers and providers are opened in."""

    stack: AsyncExitStack
    egress: OutboundHTTP
    moto_url: str
    environment: pytest.MonkeyPatch

    async def amazon(self) -> Amazon:
        async with ClientSession() as session, session.post(f"{self.moto_url}/moto-api/reset"):
            pass
        peer: Amazon = await self.stack.enter_async_context(Amazon(self.moto_url))
        self.environment.setenv("AWS_ENDPOINT_URL", peer.url)
        self.environment.setenv("AWS_REGION", "eu-west-1")
        self.environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        self.environment.setenv("AWS_SECRET_ACCESS_KEY", PRIVATE["aws"])
        return peer

    async def mail_server(self, **given: Any) -> MailServer:
        return await self.stack.enter_async_context(MailServer(**given))

    async def push_service(self) -> PushService:
        service: PushService = await self.stack.enter_async_context(PushService(VAPID.public_key()))
        return service


def http_faults(peer: HttpPeer, faults: dict[str, Callable[[], web.Response]]) -> Callable[[str], None]:
    def redirect() -> web.Response:
        return web.Response(status=302, headers={"location": f"{peer.url}/elsewhere"})

    def misbehave(fault: str) -> None:
        replies: dict[str, Any] = {**faults, HANG: HANG, "redirect": redirect}
        peer.fault = replies[fault]

    return misbehave


async def smtp_rig(world: World, timeout_s: float) -> Rig:
    server = await world.mail_server()
    given = settings(
        smtp_url=f"smtp://127.0.0.1:{server.port}",
        smtp_from=SENDER,
        smtp_max_connections=2,
        provider_timeout_s=timeout_s,
    )
    [provider] = await email.create_providers(given, world.egress, world.stack)
    faults = {
        "slow_down": {"RCPT": "451 4.7.1 {address}: too many mails"},
        "down": {"MAIL": "421 4.3.2 down for a while"},
        "permanent": {"DATA": "554 5.7.1 this is spam"},
        "gone": {"RCPT": "550 5.1.1 <{address}>: no such user"},
        HANG: {"DATA": HANG},
    }

    def misbehave(fault: str) -> None:
        server.says = faults[fault]

    return Rig(
        provider, server, message, misbehave, lambda: server.connections, lambda: len(server.mails), retry_after_s=None
    )


async def ses_rig(world: World, timeout_s: float) -> Rig:
    amazon = await world.amazon()
    given = settings(ses_from=SENDER, provider_timeout_s=timeout_s)
    [provider] = await email.create_providers(given, world.egress, world.stack)
    await provider._client.create_email_identity(EmailIdentity="no-reply@acme.example")  # type: ignore[attr-defined]
    amazon.calls = 0
    amazon.requests.clear()
    words = f"Email address is not verified: {PRIVATE['address']}"
    faults = {
        "slow_down": Amazon.json_error(429, "TooManyRequestsException", **{"Retry-After": "2"}),
        "down": Amazon.json_error(503, "ServiceUnavailable"),
        "permanent": Amazon.json_error(400, "MessageRejected", words),
    }
    return Rig(
        provider, amazon, message, http_faults(amazon, faults), lambda: amazon.calls, lambda: len(amazon.requests)
    )


async def opened_web_push(world: World, timeout_s: float = 10) -> tuple[Provider, ...]:
    given = {"vapid_private_key": VAPID_TEXT, "vapid_subject": "mailto:ops@acme.example"}
    return await web_push.create_providers(settings(**given, provider_timeout_s=timeout_s), world.egress, world.stack)


async def web_push_rig(world: World, timeout_s: float) -> Rig:
    service = await world.push_service()
    [provider] = await opened_web_push(world, timeout_s)
    browser = service.subscribe()
    faults = {
        "slow_down": lambda: web.Response(status=429, headers={"retry-after": "2"}),
        "down": lambda: web.Response(status=503),
        "permanent": lambda: web.Response(status=400),
        "gone": lambda: web.Response(status=410),
    }
    return Rig(
        provider,
        service,
        lambda: message(device=device_of(browser)),
        http_faults(service, faults),
        lambda: service.calls,
        lambda: len(service.pushes),
    )


async def sns_rig(world: World, timeout_s: float) -> Rig:
    amazon = await world.amazon()
    phones = await opened_sns(world, timeout_s)
    arn = await phones.endpoint()
    amazon.calls = 0
    amazon.requests.clear()
    faults = {
        "slow_down": Amazon.xml_error(429, "Throttling", **{"Retry-After": "2"}),
        "down": Amazon.xml_error(500, "InternalError"),
        "permanent": Amazon.xml_error(400, "InvalidParameter", f"Token {PRIVATE['address']}"),
        "gone": Amazon.xml_error(400, "EndpointDisabled", "Endpoint is disabled"),
    }
    return Rig(
        phones.provider,
        amazon,
        lambda: message(device=phone(arn=arn)),
        http_faults(amazon, faults),
        lambda: amazon.calls,
        lambda: len(amazon.requests),
    )


def device_of(browser: Browser, **given: Any) -> Device:
    keys = {"url": browser.endpoint, "p256dh": browser.p256dh_text, "auth": browser.auth_text, **given}
    return Device(id="d1", kind=DeviceKind.WEB_PUSH, key=browser.endpoint, created_at=NOW, **keys)


def phone(platform: str = FCM, **given: Any) -> Device:
    given = {"token": PRIVATE["token"], **given}
    return Device(id="d2", kind=DeviceKind.MOBILE_PUSH, key=given["token"], created_at=NOW, platform=platform, **given)


@dataclass
class Phones:
    """The provider, a client of the same service, and what was remembered."""

    provider: Provider
    client: Any
    applications: dict[str, str]
    remembered: list[tuple[str, str, str]]

    async def endpoint(self, token: str = PRIVATE["token"], **attributes: str) -> str:
        made = await self.client.create_platform_endpoint(
            PlatformApplicationArn=self.applications[FCM], Token=token, Attributes=attributes
        )
        return str(made["EndpointArn"])


async def opened_sns(world: World, timeout_s: float = 10) -> Phones:
    given, remembered = settings(provider_timeout_s=timeout_s), []
    client = await aws.open_client("sns", given, world.stack)
    applications = {}
    for platform, kind in ((FCM, "GCM"), (APNS, "APNS")):
        made = await client.create_platform_application(Name=f"a{uuid4().hex}", Platform=kind, Attributes={})
        applications[platform] = made["PlatformApplicationArn"]

    async def remember(user: str, device: str, arn: str) -> None:
        remembered.append((user, device, arn))

    arns = {"sns_platform_fcm": applications[FCM], "sns_platform_apns": applications[APNS]}
    [provider] = await mobile_push.create_providers(
        settings(**arns, provider_timeout_s=timeout_s), world.egress, world.stack, remember
    )
    return Phones(provider, client, applications, remembered)


RIGS = {"smtp": smtp_rig, "ses": ses_rig, "web_push": web_push_rig, "sns": sns_rig}


def discreet(outcome: Outcome) -> Outcome:
    for what, value in PRIVATE.items():
        assert value not in repr(outcome), f"{what} in an outcome"
    return outcome


ACME = Sender("Acme", "no-reply@acme.example")


async def open_smtp(world: World, server: MailServer, scheme: str = "smtp", query: str = "", **more: Any) -> email.Smtp:
    login = more.pop("login", "")
    url = f"{scheme}://{login}127.0.0.1:{server.port}{query}"
    [smtp] = await email.create_providers(settings(smtp_url=url, smtp_from=SENDER, **more), world.egress, world.stack)
    assert isinstance(smtp, email.Smtp)
    return smtp
