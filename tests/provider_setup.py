"""Providers of every channel, each with its fake server."""

import base64
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web
from cryptography.hazmat.primitives.asymmetric import ec

from hub import utc_time
from hub.model import Category, Channel, Device, DeviceKind, Notification, Priority, Tenant, User
from hub.platform.outbound_http import OutboundHTTP
from hub.send import aws
from hub.send.channel import ChannelResources
from hub.send.channels import email, mobile_push, web_push
from hub.send.email_message import Sender
from hub.send.message import Message, Provider
from hub.send.outcome import Outcome
from hub.settings import Settings
from tests.clocks import hub_now
from tests.fake_providers import HANG, FakeAmazon, FakeBrowser, FakeHTTPServer, FakeMailServer, FakePushService
from tests.fake_twilio import TOKEN

NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
VAPID_KEY = ec.generate_private_key(ec.SECP256R1())
VAPID_TEXT = (
    base64.urlsafe_b64encode(VAPID_KEY.private_numbers().private_value.to_bytes(32, "big")).rstrip(b"=").decode()
)
SENDER = "Acme <no-reply@acme.example>"
PRIVATE_VALUES = {
    "address": "alice.private@people.example",
    "phone": "+4915112345678",
    "title": "A private headline",
    "text": "Words between us",
    "vapid": VAPID_TEXT,
    "token": f"device-token-{uuid4().hex}",
    "aws": "an-aws-secret-key",
    "twilio": TOKEN,
    "chat": f"chat-token-{uuid4().hex}",
    "unsubscribe": "https://hub.example/unsubscribe/a-signed-token",
}
"""Values that no log line and no error may contain."""


FCM, APNS = "fcm", "apns"


def provider_settings(**fields: Any) -> Settings:
    return Settings(**{"jwt_secret": ("s" * 32,), "provider_timeout_s": 10, **fields})


def new_message(**fields: Any) -> Message:
    """Return a delivery to alice. Names that begin with `n_` and `t_` are fields of the notification and the tenant."""
    notification: dict[str, Any] = {
        "id": str(uuid4()),
        "mailbox": "acme/alice",
        "send": "s",
        "category": "builds",
        "title": PRIVATE_VALUES["title"],
        "body": PRIVATE_VALUES["text"],
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
    complete: dict[str, Any] = {
        "user": User(
            id="acme/alice",
            created_at=NOW,
            updated_at=NOW,
            email=PRIVATE_VALUES["address"],
            phone=PRIVATE_VALUES["phone"],
        ),
        "device": None,
        "unseen": 3,
        "created_at": NOW,
        "unsubscribe_url": PRIVATE_VALUES["unsubscribe"],
        "sms_segments_max": 3,
    }
    for name, value in fields.items():
        kind, _, field = name.partition("_")
        {"n": notification, "t": tenant}.get(kind, complete)[field if kind in {"n", "t"} else name] = value
    created = Notification(**notification)
    return Message(id=f"{created.id}-x", notification=created, tenant=Tenant(**tenant), **complete)


def message_to(address: str, **fields: Any) -> Message:
    return new_message(user=User(id="acme/alice", created_at=NOW, updated_at=NOW, email=address), **fields)


@dataclass
class ProviderCase:
    """A provider, its fake server, and how to make that fail. `calls`: the number of requests. `accepted_count`: the number of
    accepted messages."""

    provider: Provider
    server: FakeMailServer | FakeHTTPServer
    message: Callable[[], Message]
    set_fault: Callable[[str], None]
    calls: Callable[[], int]
    accepted_count: Callable[[], int]
    retry_after_s: float | None = 2


class RecordedOptOuts:
    """Records opt-outs in a list instead of the database."""

    def __init__(self, recorded: list[tuple[str, str, str]]) -> None:
        self.senders = {Channel.SMS: "sms-sender", Channel.WHATSAPP: "whatsapp-sender"}
        self._recorded = recorded

    async def record(self, sender: str, number: str, how: str) -> None:
        self._recorded.append((sender, number, how))


@dataclass
class FakeServers:
    """Opens fake servers and closes them at the end."""

    stack: AsyncExitStack
    egress: OutboundHTTP
    moto_url: str
    environment: pytest.MonkeyPatch
    opt_outs: list[tuple[str, str, str]] = field(default_factory=list)
    """What the providers recorded: sender, number, and error."""

    def resources(self, settings: Settings, devices: Any = None) -> ChannelResources:
        """Return the resources of providers with these settings."""
        opt_outs: Any = RecordedOptOuts(self.opt_outs)
        return ChannelResources(settings, self.egress, self.stack, hub_now, utc_time.now, devices, opt_outs)

    async def amazon(self) -> FakeAmazon:
        async with ClientSession() as session, session.post(f"{self.moto_url}/moto-api/reset"):
            pass
        server: FakeAmazon = await self.stack.enter_async_context(FakeAmazon(self.moto_url))
        self.environment.setenv("AWS_ENDPOINT_URL", server.url)
        self.environment.setenv("AWS_REGION", "eu-west-1")
        self.environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        self.environment.setenv("AWS_SECRET_ACCESS_KEY", PRIVATE_VALUES["aws"])
        return server

    async def mail_server(self, **fields: Any) -> FakeMailServer:
        return await self.stack.enter_async_context(FakeMailServer(**fields))

    async def push_service(self) -> FakePushService:
        service: FakePushService = await self.stack.enter_async_context(FakePushService(VAPID_KEY.public_key()))
        return service


def http_fault_setter(server: FakeHTTPServer, faults: dict[str, Callable[[], web.Response]]) -> Callable[[str], None]:
    def redirect() -> web.Response:
        return web.Response(status=302, headers={"location": f"{server.url}/elsewhere"})

    def set_fault(fault: str) -> None:
        replies: dict[str, Any] = {**faults, HANG: HANG, "redirect": redirect}
        server.fault = replies[fault]

    return set_fault


async def smtp_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    server = await fakes.mail_server()
    fields = provider_settings(
        smtp_url=f"smtp://127.0.0.1:{server.port}",
        smtp_from=SENDER,
        smtp_max_connections=2,
        provider_timeout_s=timeout_s,
    )
    [provider] = await email.create_providers(fakes.resources(fields))
    faults = {
        "slow_down": {"RCPT": "451 4.7.1 {address}: too many mails"},
        "down": {"MAIL": "421 4.3.2 down for a while"},
        "permanent": {"DATA": "554 5.7.1 this is spam"},
        "gone": {"RCPT": "550 5.1.1 <{address}>: no such user"},
        HANG: {"DATA": HANG},
    }

    def set_fault(fault: str) -> None:
        server.replies = faults[fault]

    return ProviderCase(
        provider,
        server,
        new_message,
        set_fault,
        lambda: server.connections,
        lambda: len(server.emails),
        retry_after_s=None,
    )


async def ses_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    amazon = await fakes.amazon()
    fields = provider_settings(ses_from=SENDER, provider_timeout_s=timeout_s)
    [provider] = await email.create_providers(fakes.resources(fields))
    await provider._client.create_email_identity(EmailIdentity="no-reply@acme.example")  # type: ignore[attr-defined]
    amazon.calls = 0
    amazon.requests.clear()
    words = f"Email address is not verified: {PRIVATE_VALUES['address']}"
    faults = {
        "slow_down": FakeAmazon.json_error(429, "TooManyRequestsException", **{"Retry-After": "2"}),
        "down": FakeAmazon.json_error(503, "ServiceUnavailable"),
        "permanent": FakeAmazon.json_error(400, "MessageRejected", words),
    }
    return ProviderCase(
        provider,
        amazon,
        new_message,
        http_fault_setter(amazon, faults),
        lambda: amazon.calls,
        lambda: len(amazon.requests),
    )


async def open_web_push(fakes: FakeServers, timeout_s: float = 10) -> tuple[Provider, ...]:
    fields = {"vapid_private_key": VAPID_TEXT, "vapid_subject": "mailto:ops@acme.example"}
    return await web_push.create_providers(fakes.resources(provider_settings(**fields, provider_timeout_s=timeout_s)))


async def web_push_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    service = await fakes.push_service()
    [provider] = await open_web_push(fakes, timeout_s)
    browser = service.subscribe()
    faults = {
        "slow_down": lambda: web.Response(status=429, headers={"retry-after": "2"}),
        "down": lambda: web.Response(status=503),
        "permanent": lambda: web.Response(status=400),
        "gone": lambda: web.Response(status=410),
    }
    return ProviderCase(
        provider,
        service,
        lambda: new_message(device=browser_device(browser)),
        http_fault_setter(service, faults),
        lambda: service.calls,
        lambda: len(service.pushes),
    )


async def sns_case(fakes: FakeServers, timeout_s: float) -> ProviderCase:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes, timeout_s)
    arn = await phones.endpoint()
    amazon.calls = 0
    amazon.requests.clear()
    faults = {
        "slow_down": FakeAmazon.xml_error(429, "Throttling", **{"Retry-After": "2"}),
        "down": FakeAmazon.xml_error(500, "InternalError"),
        "permanent": FakeAmazon.xml_error(400, "InvalidParameter", f"Token {PRIVATE_VALUES['address']}"),
        "gone": FakeAmazon.xml_error(400, "EndpointDisabled", "Endpoint is disabled"),
    }
    return ProviderCase(
        phones.provider,
        amazon,
        lambda: new_message(device=phone_device(arn=arn)),
        http_fault_setter(amazon, faults),
        lambda: amazon.calls,
        lambda: len(amazon.requests),
    )


def browser_device(browser: FakeBrowser, **fields: Any) -> Device:
    keys = {"url": browser.endpoint, "p256dh": browser.p256dh_text, "auth": browser.auth_text, **fields}
    return Device(id="d1", kind=DeviceKind.WEB_PUSH, key=browser.endpoint, created_at=NOW, **keys)


def phone_device(platform: str = FCM, **fields: Any) -> Device:
    fields = {"token": PRIVATE_VALUES["token"], **fields}
    return Device(
        id="d2", kind=DeviceKind.MOBILE_PUSH, key=fields["token"], created_at=NOW, platform=platform, **fields
    )


@dataclass
class SnsClient:
    """The provider, a client of the same service, and the stored endpoints."""

    provider: Provider
    client: Any
    applications: dict[str, str]
    stored_endpoints: list[tuple[str, str, str]]

    async def endpoint(self, token: str = PRIVATE_VALUES["token"], **attributes: str) -> str:
        created = await self.client.create_platform_endpoint(
            PlatformApplicationArn=self.applications[FCM], Token=token, Attributes=attributes
        )
        return str(created["EndpointArn"])


async def open_sns(fakes: FakeServers, timeout_s: float = 10) -> SnsClient:
    fields, remembered = provider_settings(provider_timeout_s=timeout_s), []
    client = await aws.open_client("sns", fields, fakes.stack)
    applications = {}
    for platform, kind in ((FCM, "GCM"), (APNS, "APNS")):
        created = await client.create_platform_application(Name=f"a{uuid4().hex}", Platform=kind, Attributes={})
        applications[platform] = created["PlatformApplicationArn"]

    class Devices:
        async def set_sns_endpoint(self, user: str, device: str, arn: str) -> None:
            remembered.append((user, device, arn))

    arns = {"sns_platform_fcm": applications[FCM], "sns_platform_apns": applications[APNS]}
    [provider] = await mobile_push.create_providers(
        fakes.resources(provider_settings(**arns, provider_timeout_s=timeout_s), Devices())
    )
    return SnsClient(provider, client, applications, remembered)


PROVIDER_CASES = {
    "smtp": smtp_case,
    "ses": ses_case,
    "web_push": web_push_case,
    "sns": sns_case,
}


def without_secrets(outcome: Outcome) -> Outcome:
    for what, value in PRIVATE_VALUES.items():
        assert value not in repr(outcome), f"{what} in an outcome"
    return outcome


ACME = Sender("Acme", "no-reply@acme.example")


async def open_smtp(
    fakes: FakeServers, server: FakeMailServer, scheme: str = "smtp", query: str = "", **more: Any
) -> email.Smtp:
    login = more.pop("login", "")
    url = f"{scheme}://{login}127.0.0.1:{server.port}{query}"
    [smtp] = await email.create_providers(fakes.resources(provider_settings(smtp_url=url, smtp_from=SENDER, **more)))
    assert isinstance(smtp, email.Smtp)
    return smtp


MONTH_S = 28 * 86_400
