"""The message that a provider sends, and the interface of providers."""

import hashlib
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from hub import base64url, markdown
from hub.model import Device, Notification, Tenant, User, live_keys
from hub.send.outcome import Outcome


class DigestItem(Struct, frozen=True):
    """A notification in the message of a digest. `url` opens it, or is None if no URL is known."""

    notification: Notification
    url: str | None


class Message(Struct, frozen=True, kw_only=True):
    """A delivery that is ready to send. `id` is the id of the delivery. It is the same in every attempt, so receivers
    can discard duplicates. `created_at` is the time since which the delivery may be sent. `unseen` is the number for
    the app badge. The URLs are empty if HUB_PUBLIC_URL is not set."""

    id: str
    notification: Notification
    user: User
    tenant: Tenant
    device: Device | None
    unseen: int
    created_at: datetime
    unsubscribe_url: str = ""
    items: tuple[DigestItem, ...] = ()
    """The newest notifications of a digest, newest first. The notification then contains a summary of all."""
    item_count: int = 0
    receipt_url: str = ""
    """The base URL of the links that report a delivery or a click: `/r/{token}`."""
    app_url: str = ""
    """The value of HUB_APP_URL. An action without a URL links to it."""
    sms_segments_max: int = 1
    """The value of HUB_SMS_SEGMENTS."""
    subject: str | None = None
    html: str | None = None
    preheader: str | None = None
    """The subject, HTML, and preheader of an email, if its template has them."""
    whatsapp_content_sid: str | None = None
    whatsapp_variables: tuple[str, ...] = ()
    """Twilio's id of an approved WhatsApp template, and the values of its placeholders, if the template has them."""
    tracked: bool = True
    """False if the links differ from those in the inbox, to which tracked links redirect."""

    @property
    def plain_body(self) -> str:
        """The body for channels that display plain text, without the URLs of links."""
        n = self.notification
        return markdown.plain_text(n.body) if n.markdown else n.body


def collapse_id(notification: Notification) -> str:
    """Return the id by which push services and devices replace an older message: at most 64 bytes, as APNs requires.

    Notifications with the same collapse key have the same id. One with `requireAck` has another id, because it may stay
    in the inbox next to the others."""
    if not notification.collapse_key:
        return notification.id
    live_key = live_keys(notification.collapse_key)[notification.require_ack]
    return base64url.encode(hashlib.sha256(live_key.encode()).digest()[:24])


class Preview(Struct, frozen=True):
    """A message for display: its content as the recipient sees it, or a JSON payload in `text`."""

    subject: str
    text: str
    html: str | None = None


class Provider(Protocol):
    """A service that sends messages on one channel."""

    @property
    def name(self) -> str:
        """The name of the provider in attempts and metrics, such as `smtp`, `ses`, or `twilio`."""

    @property
    def timeout_s(self) -> float:
        """The maximum duration of a call, in seconds. The provider enforces it."""

    def breakers(self, message: Message) -> tuple[str, ...]:
        """Return the names of the circuit breakers of a call. The first is shared by all calls to the provider or host.
        If a user or tenant chose the address, the second is for that address only (see `circuit_breaker`)."""

    async def send(self, message: Message) -> Outcome:
        """Make one attempt. Implementations must not log secrets, addresses, or content."""
        ...
