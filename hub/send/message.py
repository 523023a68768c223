"""What a provider is handed, and what it is."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from hub.model import Device, Notification, Tenant, User
from hub.send.outcome import Outcome


class Message(Struct, frozen=True, kw_only=True):
    """One delivery, ready to leave. `id` is the delivery's, the same in every attempt, so that a receiver can drop a
    double. `unseen`: the person's count, for badges. The URLs are empty where no HUB_PUBLIC_URL is set."""

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
    """HUB_APP_URL, where an action without an address of its own leads."""


class Preview(Struct, frozen=True):
    """What would leave, for people to look at: a mail, or as `text` the JSON of a payload."""

    subject: str
    text: str
    html: str | None = None


class Provider(Protocol):
    """One way to send on one channel."""

    @property
    def name(self) -> str:
        """As attempts and metrics call it: `smtp`, `ses`, `sns`, `web_push`, `webhook`."""

    @property
    def timeout_s(self) -> float:
        """No call takes longer: it is the provider's own business to end by then."""

    def breakers(self, message: Message) -> tuple[str, ...]:
        """The circuit breakers of a call: first the one of the provider or host, which all its users share; then,
        where the address is one that somebody chose, the one of that address alone (see `breaker`)."""

    async def send(self, message: Message) -> Outcome:
        """One attempt. Never logs a secret, an address or a text."""
        ...
