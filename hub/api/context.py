"""The context of resolvers: the caller, and the services to call."""

import asyncio
import time
from collections import Counter
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import pymongo
import strawberry
from pymongo.errors import PyMongoError
from strawberry.dataloader import DataLoader

from hub.api.rate_limits import RateLimits
from hub.audience.devices import Devices
from hub.audience.tenants import Tenants
from hub.audience.users import Users
from hub.clock import Clock
from hub.errors import Forbidden
from hub.inbox.store import Inboxes
from hub.live.subscriptions import SubscriptionHub
from hub.model import Channel, Delivery, DeliveryStatus, Principal, Role, Tenant
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.signed_links import SignedLinks
from hub.platform.translations import DEFAULT, Language, language
from hub.settings import Settings
from hub.status.deliveries import Deliveries
from hub.status.receipts import ReceiptStreams
from hub.status.sends import Sends
from hub.webhooks.endpoints import Endpoints
from hub.webhooks.webhook_calls import WebhookCalls
from hub.workflows.cancel_send import SendCancellation
from hub.workflows.health import HealthReader
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.publish import Publish
from hub.workflows.user_data import UserData


class PersistedQueries(Protocol):
    """Operations that clients name by the hash of their text."""

    async def resolve(self, hash: str, given: str) -> str:
        """Return the text of a hash, or `given` if that is not empty. Raise PersistedQueryNotFound or BadUserInput."""

    async def store(self, hash: str, text: str) -> None:
        """Keep a text that is valid."""


@dataclass(frozen=True, slots=True)
class Services:
    """All services that the API calls, built once."""

    settings: Settings
    clock: Clock
    publish: Publish
    inbox_actions: InboxActions
    inboxes: Inboxes
    subscriptions: SubscriptionHub
    sends: Sends
    users: Users
    devices: Devices
    tenants: Tenants
    user_data: UserData
    deliveries: Deliveries
    send_cancellation: SendCancellation
    webhook_endpoints: Endpoints
    webhook_calls: WebhookCalls
    receipts: ReceiptStreams
    outbound_http: OutboundHTTP
    signed_links: SignedLinks
    rate_limits: RateLimits
    persisted_queries: PersistedQueries
    health: HealthReader
    shutting_down: asyncio.Event
    """Set when the process stops. Streams then end without `complete`."""


@dataclass(slots=True)
class Context:
    """One operation. `idempotency_key` is the header's, or None. `people`: the mailboxes it wrote to, so that what is
    kept of its answer is dropped when one of them is erased."""

    caller: Principal
    services: Services
    request_id: str
    idempotency_key: str | None = None
    touched_mailboxes: set[str] = field(default_factory=set)
    _external_deliveries: DataLoader[str, list[Delivery]] | None = None
    _send_counts: DataLoader[str, Counter[tuple[Channel, DeliveryStatus, str | None]]] | None = None
    _tenants: DataLoader[str, Tenant] | None = None
    language: Language | None = None
    """The caller's own, once `load_language` has read it."""
    _languages: DataLoader[str, Language] | None = None
    _read_deadline: float | None = None

    def reading(self) -> AbstractContextManager[None]:
        """One deadline (HUB_COMMIT_DEADLINE_S) for all that the answer of this operation reads, from the first use."""
        now = time.monotonic()
        if self._read_deadline is None:
            self._read_deadline = now + self.services.settings.commit_deadline_s
        return pymongo.timeout(max(0.001, self._read_deadline - now))

    async def external_deliveries(self, notification: str) -> list[Delivery]:
        """The deliveries of a notification that leave the hub; asked for many at once, that is one query."""
        if self._external_deliveries is None:
            self._external_deliveries = DataLoader(self._load_external_deliveries, cache=False)
        return await self._external_deliveries.load(notification)

    async def _load_external_deliveries(self, notifications: list[str]) -> list[list[Delivery]]:
        with self.reading():
            found = await self.services.deliveries.by_notification(notifications)
        return [found.get(id, []) for id in notifications]

    async def send_counts(self, send: str) -> Counter[tuple[Channel, DeliveryStatus, str | None]]:
        """The deliveries of a send by channel, status and reason; asked for many at once, that is two queries."""
        if self._send_counts is None:
            self._send_counts = DataLoader(self._load_send_counts, cache=False)
        return await self._send_counts.load(send)

    async def _load_send_counts(self, sends: list[str]) -> list[Counter[tuple[Channel, DeliveryStatus, str | None]]]:
        services = self.services
        with self.reading():
            inside, outside = await asyncio.gather(services.sends.counts(sends), services.deliveries.counts(sends))
        return [Counter(inside[send]) + Counter(outside[send]) for send in sends]

    async def tenant(self, id: str) -> Tenant:
        """A tenant, read once an operation."""
        if self._tenants is None:
            self._tenants = DataLoader(self._load_tenants)
        return await self._tenants.load(id)

    async def _load_tenants(self, ids: list[str]) -> list[Tenant]:
        with self.reading():
            return [await self.services.tenants.get(id) for id in ids]  # there is one: the caller's

    async def load_language(self) -> None:
        """Read the caller's language, for texts of the hub in what the caller reads. English for tokens of no user, and
        where MongoDB does not answer: what is asked for will say so."""
        if self.language is not None:
            return
        self.language = language(DEFAULT)
        if self.caller.user:
            with suppress(PyMongoError):
                [self.language] = await self._load_languages([self.caller.mailbox])

    async def language_of(self, mailbox: str) -> Language:
        """The language of the user of a mailbox; asked for many at once, that is one query."""
        if self._languages is None:
            self._languages = DataLoader(self._load_languages)
        return await self._languages.load(mailbox)

    async def _load_languages(self, mailboxes: list[str]) -> list[Language]:
        with self.reading():
            found = await self.services.users.locales(mailboxes)
        return [language(found.get(mailbox, DEFAULT)) for mailbox in mailboxes]

    @property
    def mailbox(self) -> str:
        """The caller's own; Forbidden for tokens that name no user."""
        if not self.caller.user:
            raise Forbidden("This is a person's own: use a token whose `sub` names the user.")
        self.touched_mailboxes.add(self.caller.mailbox)
        return self.caller.mailbox

    def require_service(self) -> str:
        """The tenant; Forbidden for role user."""
        if self.caller.role is Role.USER:
            raise Forbidden("This needs a token with role service or admin.")
        return self.caller.tenant

    def require_admin(self) -> str:
        """The tenant; Forbidden for all but role admin."""
        if self.caller.role is not Role.ADMIN:
            raise Forbidden("This needs a token with role admin.")
        return self.caller.tenant


Info = strawberry.Info[Context, None]
