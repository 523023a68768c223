"""The context of resolvers: the caller and the services."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import pymongo
import strawberry
from pymongo.errors import PyMongoError
from strawberry.dataloader import DataLoader

from hub.api.rate_limits import RateLimits
from hub.api.shutdown import Shutdown
from hub.audience.audience_count import AudienceCounts
from hub.audience.devices import Devices
from hub.audience.enrichment_secrets import EnrichmentSecretStore
from hub.audience.opt_outs import OptOuts
from hub.audience.recipients import Recipients
from hub.audience.rules import Rules
from hub.audience.service_keys import ServiceKeys
from hub.audience.templates import Templates
from hub.audience.tenants import Tenants
from hub.audience.topics import Topics
from hub.audience.users import Users
from hub.enrichment.cache import EnrichmentCache
from hub.enrichment.calls import EnrichmentCalls
from hub.errors import Forbidden
from hub.events.event_store import EventStore
from hub.inbox.inbox_reader import Inboxes
from hub.inbox.window_counts import WindowCounts
from hub.live.key_revocations import KeyRevocations
from hub.live.subscriptions import SubscriptionHub
from hub.model import Delivery, Notification, Principal, Send, Tenant
from hub.platform.audit import AuditedAction, AuditLog
from hub.platform.audit_changes import Changes
from hub.platform.hub_clock import HubClock
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.signed_links import SignedLinks
from hub.platform.translations import DEFAULT, Language, language
from hub.settings import Settings
from hub.status.activity import Activity
from hub.status.decided_deliveries import DecidedDeliveries
from hub.status.deliveries import Deliveries
from hub.status.delivery_batches import DeliveryBatches
from hub.status.digests import Digests
from hub.status.expansion_parts import ExpansionParts
from hub.status.failure_groups import FailureGroups
from hub.status.receipt_change_stream import ReceiptStreams
from hub.status.send_counts import Counted, SendCounts, SendReactions
from hub.status.sends import Sends
from hub.status.status_counts import Reactions
from hub.status.watched_sends import WatchedSend, WatchedSends
from hub.utc_time import Clock, RealClock
from hub.webhooks.endpoints import Endpoints
from hub.webhooks.webhook_calls import WebhookCalls
from hub.workflows.cancel_or_recall import SendCancellation
from hub.workflows.credential_encryption import CredentialEncryption
from hub.workflows.find import RecordSearch
from hub.workflows.health import HealthReader
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.pause_channels import ChannelPauses
from hub.workflows.pause_or_resume import SendPause
from hub.workflows.publish import Publish
from hub.workflows.receive_events import ReceiveEvents
from hub.workflows.resolve import Resolve
from hub.workflows.retention import Retention
from hub.workflows.rule_requests import RuleRequests
from hub.workflows.send_texts import SendTextRenderer
from hub.workflows.template_editing import TemplateEditing
from hub.workflows.user_data import UserData


class PersistedQueries(Protocol):
    """Operations that clients identify by the hash of the query text."""

    async def resolve(self, hash: str, query: str) -> str:
        """Return `query`, or the text of the hash if it is empty. Raise PersistedQueryNotFound or BadUserInput."""

    async def store(self, hash: str, text: str) -> None:
        """Store a valid query text."""


@dataclass(frozen=True, slots=True)
class Lookups:
    """Reads for operators, of several kinds of records."""

    records: RecordSearch
    decided_deliveries: DecidedDeliveries
    failure_groups: FailureGroups
    send_reactions: SendReactions
    activity: Activity


@dataclass(frozen=True, slots=True)
class Services:
    """All services that the API calls. Created once per process."""

    settings: Settings
    clock: Clock
    real_clock: RealClock
    hub_clock: HubClock
    publish: Publish
    send_texts: SendTextRenderer
    inbox_actions: InboxActions
    inboxes: Inboxes
    subscriptions: SubscriptionHub
    service_keys: ServiceKeys
    key_revocations: KeyRevocations
    sends: Sends
    send_counts: SendCounts
    expansion_parts: ExpansionParts
    recipients: Recipients
    users: Users
    opt_outs: OptOuts
    devices: Devices
    credential_encryption: CredentialEncryption
    tenants: Tenants
    templates: Templates
    topics: Topics
    audience_counts: AudienceCounts
    template_editing: TemplateEditing
    enrichment_secrets: EnrichmentSecretStore
    enrichment_cache: EnrichmentCache
    enrichment_calls: EnrichmentCalls
    rules: Rules
    rule_requests: RuleRequests
    user_data: UserData
    deliveries: Deliveries
    delivery_batches: DeliveryBatches
    digests: Digests
    lookups: Lookups
    send_cancellation: SendCancellation
    send_pause: SendPause
    channel_pauses: ChannelPauses
    resolve: Resolve
    retention: Retention
    window_counts: WindowCounts
    webhook_endpoints: Endpoints
    webhook_calls: WebhookCalls
    events: EventStore
    receive_events: ReceiveEvents
    receipts: ReceiptStreams
    watched_sends: WatchedSends
    outbound_http: OutboundHTTP
    signed_links: SignedLinks
    rate_limits: RateLimits
    persisted_queries: PersistedQueries
    health: HealthReader
    audit_log: AuditLog
    shutdown: Shutdown = field(default_factory=Shutdown)
    """The end of the process. Streams then end without `complete`."""


@dataclass(slots=True)
class Context:
    """The context of one operation.

    - `idempotency_key`: the `Idempotency-Key` header, or None.
    - `touched_mailboxes`: the mailboxes that the operation changed. Erasing one of them removes the stored response.
    - `watched_send`: the state of the send that the current event of a subscription contains.
    - `language`: the caller's language, once `load_language` has read it.
    """

    caller: Principal
    services: Services
    request_id: str
    idempotency_key: str | None = None
    touched_mailboxes: set[str] = field(default_factory=set)
    watched_send: WatchedSend | None = None
    _external_deliveries: DataLoader[str, list[Delivery]] | None = None
    _digest_notifications: DataLoader[str, list[Notification]] | None = None
    _notifications: DataLoader[str, Notification | None] | None = None
    _send_counts: DataLoader[Send, Counted] | None = None
    _send_reactions: DataLoader[Send, Reactions] | None = None
    _sends: DataLoader[str, Send | None] | None = None
    _send_users: DataLoader[Send, list[str]] | None = None
    _expanded: DataLoader[str, int] | None = None
    _tenants: DataLoader[str, Tenant] | None = None
    _subscriber_counts: DataLoader[str, int] | None = None
    _topic_keys: DataLoader[str, list[str]] | None = None
    language: Language | None = None
    _languages: DataLoader[str, Language] | None = None
    _read_deadline: float | None = None
    _inbox_reads: int = 0
    _inboxes_read: asyncio.Event = field(default_factory=asyncio.Event)

    def reading(self) -> AbstractContextManager[None]:
        """Limit the total time of all reads of this operation to HUB_COMMIT_DEADLINE_S, starting at the first use."""
        now = time.monotonic()
        if self._read_deadline is None:
            self._read_deadline = now + self.services.settings.commit_deadline_s
        return pymongo.timeout(max(0.001, self._read_deadline - now))

    def start_event(self) -> None:
        """Give the reads of the next event of a subscription the full time."""
        self._read_deadline = None

    @contextmanager
    def reading_inbox(self) -> Iterator[None]:
        """Announce the read of one of several inboxes. What all of them need is then read at once."""
        self._inbox_reads += 1
        self._inboxes_read.clear()
        try:
            with self.reading():
                yield
        finally:
            self._inbox_reads -= 1
            if not self._inbox_reads:
                self._inboxes_read.set()

    async def _wait_for_inboxes(self) -> None:
        if self._inbox_reads:
            await self._inboxes_read.wait()

    async def external_deliveries(self, notification: str) -> list[Delivery]:
        """Return the stored deliveries of a notification. Concurrent calls share one database query."""
        await self._wait_for_inboxes()
        if self._external_deliveries is None:
            self._external_deliveries = DataLoader(self._load_external_deliveries, cache=False)
        return await self._external_deliveries.load(notification)

    async def _load_external_deliveries(self, notifications: list[str]) -> list[list[Delivery]]:
        with self.reading():
            deliveries = await self.services.deliveries.by_notification(notifications)
        return [deliveries.get(id, []) for id in notifications]

    async def digest_notifications(self, digest: str) -> list[Notification]:
        """Return the notifications of the newest items of a digest. Concurrent calls share a query of notifications."""
        if self._digest_notifications is None:
            self._digest_notifications = DataLoader(self._load_digest_notifications, cache=False)
        return await self._digest_notifications.load(digest)

    async def _load_digest_notifications(self, digests: list[str]) -> list[list[Notification]]:
        with self.reading():
            newest = await self.services.digests.newest_notifications(digests)
            found = await self.services.inboxes.get_notifications({id for ids in newest for id in ids})
        return [[found[id] for id in dict.fromkeys(ids) if id in found] for ids in newest]

    async def find_notification(self, id: str) -> Notification | None:
        """Return a notification, also a hidden or removed one, or None. Concurrent calls share one query."""
        if self._notifications is None:
            self._notifications = DataLoader(self._load_notifications, cache=False)
        return await self._notifications.load(id)

    async def _load_notifications(self, ids: list[str]) -> list[Notification | None]:
        with self.reading():
            found = await self.services.inboxes.get_notifications(ids)
        return [found.get(id) for id in ids]

    async def send_counts(self, send: Send) -> Counted:
        """Return the delivery counts of a send. Concurrent calls share two queries.

        The counts of a watched send were read for all its readers."""
        if self.watched_send and self.watched_send.send.id == send.id:
            return self.watched_send.counted
        if self._send_counts is None:
            self._send_counts = DataLoader(self._load_send_counts, cache=False)
        return await self._send_counts.load(send)

    async def _load_send_counts(self, sends: list[Send]) -> list[Counted]:
        with self.reading():
            counted = await self.services.send_counts.get_many(sends)
        return [counted[send.id] for send in sends]

    async def send_reactions(self, send: Send) -> Reactions:
        """Return the number of recipients of a send who did something. Concurrent calls share one query."""
        if self._send_reactions is None:
            self._send_reactions = DataLoader(self._load_send_reactions, cache=False)
        return await self._send_reactions.load(send)

    async def _load_send_reactions(self, sends: list[Send]) -> list[Reactions]:
        with self.reading():
            counted = await self.services.lookups.send_reactions.get_many(sends)
        return [counted[send.id] for send in sends]

    async def send_users(self, send: Send) -> list[str]:
        """Return the first users that a send names. Concurrent calls share two queries."""
        if self._send_users is None:
            self._send_users = DataLoader(self._load_send_users, cache=False)
        return await self._send_users.load(send)

    async def _load_send_users(self, sends: list[Send]) -> list[list[str]]:
        with self.reading():
            users = await self.services.sends.first_users(sends)
        return [users.get(send.id, []) for send in sends]

    async def find_send(self, id: str) -> Send | None:
        """Return a send of the caller's tenant, or None. Concurrent calls share one query."""
        if self._sends is None:
            self._sends = DataLoader(self._load_sends, cache=False)
        return await self._sends.load(id)

    async def _load_sends(self, ids: list[str]) -> list[Send | None]:
        with self.reading():
            sends = await self.services.sends.get_many(self.caller.tenant, ids)
        return [sends.get(id) for id in ids]

    async def count_expanded(self, send: str) -> int:
        """Return the number of recipients so far of a send that is being expanded. Concurrent calls share one query.

        The recipients of a watched send were counted for all its readers."""
        if self.watched_send and self.watched_send.send.id == send:
            return self.watched_send.recipients
        if self._expanded is None:
            self._expanded = DataLoader(self._count_expanded, cache=False)
        return await self._expanded.load(send)

    async def _count_expanded(self, sends: list[str]) -> list[int]:
        with self.reading():
            counts = await self.services.expansion_parts.count_recipients(sends)
        return [counts[send] for send in sends]

    async def tenant(self, id: str) -> Tenant:
        """Return a tenant. Each tenant is read once per operation."""
        if self._tenants is None:
            self._tenants = DataLoader(self._load_tenants)
        return await self._tenants.load(id)

    async def _load_tenants(self, ids: list[str]) -> list[Tenant]:
        with self.reading():
            return [await self.services.tenants.get(id) for id in ids]  # the only id is the caller's tenant

    async def subscriber_count(self, topic: str) -> int:
        """Return the number of subscribers of a topic. Concurrent calls share the queries."""
        if self._subscriber_counts is None:
            self._subscriber_counts = DataLoader(self._load_subscriber_counts, cache=False)
        return await self._subscriber_counts.load(topic)

    async def _load_subscriber_counts(self, topics: list[str]) -> list[int]:
        with self.reading():
            counts = await self.services.topics.count_subscribers(topics)
        return [counts.get(id, 0) for id in topics]

    async def topic_keys(self, mailbox: str) -> list[str]:
        """Return the keys of the topics that a user is subscribed to. Concurrent calls share one query."""
        if self._topic_keys is None:
            self._topic_keys = DataLoader(self._load_topic_keys, cache=False)
        return await self._topic_keys.load(mailbox)

    async def _load_topic_keys(self, mailboxes: list[str]) -> list[list[str]]:
        with self.reading():
            keys = await self.services.topics.topics_of(mailboxes)
        return [keys.get(mailbox, []) for mailbox in mailboxes]

    async def load_language(self) -> None:
        """Read the caller's language, for texts that the hub writes. The language is English for tokens without a user,
        and if MongoDB does not respond. The operation itself then reports the outage."""
        if self.language is not None:
            return
        self.language = language(DEFAULT)
        if self.caller.user:
            with suppress(PyMongoError):
                [self.language] = await self._load_languages([self.caller.mailbox])

    async def language_of(self, mailbox: str) -> Language:
        """Return the language of a mailbox's user. Concurrent calls share one query."""
        await self._wait_for_inboxes()
        if self._languages is None:
            self._languages = DataLoader(self._load_languages)
        return await self._languages.load(mailbox)

    async def _load_languages(self, mailboxes: list[str]) -> list[Language]:
        with self.reading():
            locales = await self.services.users.locales(mailboxes)
        default = DEFAULT
        if len(locales) < len(set(mailboxes)):
            default = (await self.tenant(self.caller.tenant)).locale
        return [language(locales.get(mailbox, default)) for mailbox in mailboxes]

    @property
    def mailbox(self) -> str:
        """The caller's mailbox. Raise Forbidden for tokens without a user."""
        if not self.caller.user:
            raise Forbidden("This operation belongs to a user. Use a token whose `sub` is the user's id.")
        self.touched_mailboxes.add(self.caller.mailbox)
        return self.caller.mailbox

    def audit(
        self, action: str, target: str | None = None, *, is_user: bool = False, parameters: Changes | None = None
    ) -> AuditedAction:
        """Return the action that the current mutation records. `action` is the name of the mutation.

        `is_user`: the target is the id of a user."""
        return AuditedAction(
            self.services.audit_log,
            self.caller.tenant,
            self.caller.actor,
            action,
            target,
            is_user=is_user,
            request_id=self.request_id,
            parameters=parameters,
        )


Info = strawberry.Info[Context, None]
