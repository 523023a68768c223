"""The message that a provider sends, and the interface of providers."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from hub.model import Device, Notification, Tenant, User
from hub.send.outcome import Outcome


class Message(Struct, frozen=True, kw_only=True):
    """One delivery, ready to send. `id` is the delivery's id, the same in every attempt: a receiver can drop
    duplicates. `unseen`: the user's count, for badges. The URLs are empty if HUB_PUBLIC_URL is not set."""

    id: str
    notification: Notification
    user: User
    tenant: Tenant
    device: Device | None
    unseen: int
    created_at: datetime
    unsubscribe_url: str = ""
    receipt_url: str = ""
    """Base of the links that report delivered and clicked: `/r/{token}`."""
    app_url: str = ""
    """HUB_APP_URL, the target of an action without a URL."""


class Preview(Struct, frozen=True):
    """A message for display: an email, or the JSON payload as `text`."""

    subject: str
    text: str
    html: str | None = None


class Provider(Protocol):
    """One way to send on one channel."""

    @property
    def name(self) -> str:
        """The name in attempts and metrics: `smtp`, `ses`, `sns`, `web_push`, `webhook`."""

    @property
    def timeout_s(self) -> float:
        """The longest time of a call. The provider enforces it."""

    def breakers(self, message: Message) -> tuple[str, ...]:
        """Return the circuit breakers of a call: first the shared one of the provider or host, then, if a user or
        tenant chose the address, the one of that address (see `circuit_breaker`)."""

    async def send(self, message: Message) -> Outcome:
        """Make one attempt. Must not log secrets, addresses or content."""
        ...
