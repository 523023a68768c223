"""Publishes sends: audience, decide, inbox and status in one transaction. `after_commit` runs after the commit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience import tenants
from hub.audience.tenants import default_category
from hub.audience.users import unknown_user
from hub.clock import Clock
from hub.decide.plan import Decision, Plan, Requested, plan
from hub.errors import Conflict, TooLarge
from hub.ids import id_time, new_id
from hub.inbox.committer import Committer
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import (
    Category,
    Channel,
    Content,
    Delivery,
    DeliveryStatus,
    Notification,
    Priority,
    Send,
    SendStatus,
    Tenant,
    User,
    document,
    mailbox_of,
)
from hub.outbox.lanes import lane_of
from hub.platform import tracing
from hub.settings import Settings
from hub.status import deliveries, receipts, sends
from hub.webhooks import events, webhook_calls

NOTIFICATION_BYTES = 1024  # of a notification beside what its sender wrote, with one receipt
DELIVERY_BYTES = 900  # with its receipt
WEBHOOK_CALL_BYTES = 900  # of a call of a tenant's endpoint
CREATED, SKIPPED = events.IN_APP_EVENTS[DeliveryStatus.DELIVERED], events.DELIVERY_EVENTS[DeliveryStatus.SKIPPED]

CreateCategory = Callable[[Tenant, str], UpdateOne]
"""Returns the update that creates a category on first use."""
CachedTenant = Callable[[str], Tenant]
"""Returns the cached tenant of this process."""


class SendRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A validated send request. `data` is JSON text. `users` has no duplicates. Default values are not part of the hash
    that idempotency compares, so that a new field does not change the hash of old requests."""

    users: tuple[str, ...]
    category: str
    content: Content
    data: str | None = None
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    channels: tuple[Channel, ...] | None = None
    expires_at: datetime | None = None
    require_ack: bool = False

    @property
    def requested(self) -> Requested:
        """The input of the decision."""
        return Requested(self.channels, self.priority)


class Published(Struct, frozen=True):
    send: Send
    duplicate: bool


class DecisionData(Struct, frozen=True):
    """The input of decisions, read when their transaction begins."""

    users: Mapping[str, User]
    tenants: Mapping[str, Tenant]


class Publish:
    """Publishes sends. Each call returns after the commit."""

    def __init__(
        self,
        committer: Committer,
        records: sends.Sends,
        first_use: CreateCategory,
        remembered: CachedTenant,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._committer = committer
        self._records = records
        self._create_category = first_use
        self._cached_tenant = remembered
        self._settings = settings
        self._configured = settings.configured

    async def send(self, tenant: str, request: SendRequest, key: str | None) -> Published:
        """Publish a send. A repeated request with the same `key` changes nothing and returns the first send. Raise
        Conflict if `key` was used with another request, TooLarge if one transaction cannot hold the send."""
        remembered = self._cached_tenant(tenant)
        work = _SendWork(
            remembered, request, key, self._create_category, self._configured, self._settings, self._clock()
        )
        first = await self._committer.submit(work)
        if isinstance(first, Send):
            return Published(first, duplicate=False)
        known = await self._records.get(tenant, first)
        if known is None:
            raise Conflict("This idempotency key belongs to a send that was erased: use a fresh key.")
        return Published(known, duplicate=True)

    async def send_many(
        self, tenant: str, requests: Sequence[tuple[SendRequest, str | None]]
    ) -> list[Published | BaseException]:
        """Publish sends independently. Return the result or the error of each."""
        return await asyncio.gather(
            *(self.send(tenant, request, key) for request, key in requests), return_exceptions=True
        )


class _SendWork:
    """One send: its record, and the notifications, receipts and deliveries of its recipients."""

    exclusive = False
    needs_recipients = True
    reads: tuple[str, ...] = ()

    def __init__(
        self,
        remembered: Tenant,
        request: SendRequest,
        key: str | None,
        first_use: CreateCategory,
        configured: frozenset[Channel],
        settings: Settings,
        now: datetime,
    ) -> None:
        self._tenant = tenant = remembered.id
        self._request = request
        self._create_category = first_use
        self._configured = configured
        self._requeue_after = timedelta(seconds=settings.requeue_after_s)
        self._size_max = settings.commit_max_bytes
        self._key = f"{tenant}/{sha256(key.encode()).hexdigest()}" if key else None  # it may name a person
        self._hash = _hash(request) if key else ""
        self._trace = tracing.current_traceparent()
        self._id = new_id(now)
        self._ids = [new_id(now) for _ in request.users]  # the same in every attempt
        self.mailboxes = [mailbox_of(tenant, user) for user in request.users]
        self.keys = (self._key,) if self._key else ()
        self._content_bytes = len(msgspec.json.encode((request.content, request.tags, request.data)))
        category = remembered.category(request.category) or default_category(request.category)
        asked = category.default_channels if request.channels is None else request.channels
        people = len(request.users)
        self._estimate_size(
            people * sum(channel in configured for channel in asked if channel is not Channel.IN_APP),
            people * len(webhook_calls.subscribed_endpoints(remembered.endpoints, CREATED)),
        )

    def _estimate_size(self, outside: int, calls: int) -> None:
        """Estimate the number of documents and bytes to write, which the committer uses to form batches."""
        people = len(self.mailboxes)
        self.documents = people + outside + calls
        self.size = (
            people * (NOTIFICATION_BYTES + self._content_bytes) + DELIVERY_BYTES * outside + WEBHOOK_CALL_BYTES * calls
        )

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> Send | str:
        """Return the new send, or the id of the send that this key created before."""
        request, now, known = self._request, unit.now, unit.decision_data
        if self._key:
            if answered := unit.idempotency_records.get(self._key):
                return _first_send(answered, self._hash)
            answer = {"_id": self._key, "hash": self._hash, "send": self._id, "at": now}
        tenant: Tenant = known.tenants[self._tenant]
        category = tenant.category(request.category)
        first_use = None if category else self._create_category(tenant, request.category)
        category = category or default_category(request.category)
        people = [known.users.get(mailbox) or unknown_user(mailbox, now) for mailbox in self.mailboxes]
        plans = [plan(request.requested, category, tenant.preferences, user, self._configured, now) for user in people]
        self._check(plans, tenant)
        if first_use:
            unit.update(tenants.COLLECTION, f"{tenant.id}/{request.category}", first_use)
        if self._key:
            unit.idempotency_records[self._key] = answer
            unit.insert("idempotency", answer)
        for id, mailbox, decided in zip(self._ids, self.mailboxes, plans, strict=True):
            self._add_recipient(unit, id, mailbox, category, decided)
        send = Send(
            id=self._id,
            tenant=self._tenant,
            category=request.category,
            status=SendStatus.ACCEPTED,
            created_at=id_time(self._id),  # lists of sends are bounded by their ids
            recipients=len(self.mailboxes),
        )
        unit.insert(sends.COLLECTION, document(send))
        return send

    def _check(self, plans: Sequence[Plan], tenant: Tenant) -> None:
        """Raise TooLarge if one transaction cannot hold the send."""
        created, skipped = (
            len(webhook_calls.subscribed_endpoints(tenant.endpoints, event)) for event in (CREATED, SKIPPED)
        )
        self._estimate_size(
            sum(len(decision.devices or (None,)) for plan in plans for decision in plan.external),
            sum((not plan.hidden) * created + len(plan.skipped) * skipped for plan in plans),
        )
        if self.size > self._size_max:
            fewer = max(1, self._size_max * len(plans) // self.size)
            raise TooLarge(
                f"This is too much for one transaction (HUB_COMMIT_MAX_BYTES, {self._size_max}): with content of this "
                f"size, that many channels and as many webhooks to tell, name at most {fewer} users a call, or link to "
                "what `data` holds."
            )

    def _add_recipient(self, unit: UnitOfWork, id: str, mailbox: str, category: Category, plan: Plan) -> None:
        """Add the notification, receipts and deliveries of one recipient."""
        request, content, now = self._request, self._request.content, unit.now
        n = unit.add(
            Notification(
                id=id,
                mailbox=mailbox,
                send=self._id,
                category=category.key,
                category_name=None if category.name == category.key else category.name,
                title=content.title,
                body=content.body,
                image_url=content.image_url,
                action_url=content.action_url,
                actions=content.actions,
                data=request.data,
                tags=request.tags,
                priority=plan.priority,
                because=plan.because,
                require_ack=request.require_ack,
                expires_at=request.expires_at,
                hidden=plan.hidden,
                has_deliveries=bool(plan.external),
                skipped=plan.skipped,
                created_at=now,
                updated_at=now,
            )
        )
        if not n.hidden:
            unit.insert(receipts.COLLECTION, receipts.channel_receipt(n, Channel.IN_APP, DeliveryStatus.DELIVERED, now))
        for channel, reason in plan.skipped.items():
            told = receipts.channel_receipt(n, Channel(channel), DeliveryStatus.SKIPPED, now, reason)
            unit.insert(receipts.COLLECTION, told)
        for decision in plan.external:
            for device in decision.devices or (None,):
                unit.insert(deliveries.COLLECTION, document(self._delivery(n, decision, device)))

    def _delivery(self, n: Notification, decision: Decision, device: str | None) -> Delivery:
        """Return a delivery that is enqueued after the commit, and due again if it is not claimed in time."""
        return Delivery(
            id=f"{n.id}-{device or decision.channel.lower()}",
            tenant=self._tenant,
            notification=n.id,
            send=self._id,
            mailbox=n.mailbox,
            channel=decision.channel,
            category=n.category,
            status=decision.outcome,
            priority=n.priority,
            lane=lane_of(decision.channel, n.priority, self._tenant),
            enqueue_count=1,
            device=device,
            due_at=n.created_at + self._requeue_after,
            expires_at=n.expires_at,
            created_at=n.created_at,
            updated_at=n.created_at,
            traceparent=self._trace,
        )


def _hash(request: SendRequest) -> str:
    """Return the hash of a request. The order of users and explicit default values do not change it."""
    asked = replace(request, users=tuple(sorted(request.users)), priority=request.priority or Priority.MEDIUM)
    return sha256(msgspec.json.encode(asked)).hexdigest()


def _first_send(answer: dict[str, str], hashed: str) -> str:
    if answer["hash"] != hashed or "send" not in answer:
        raise Conflict(
            "This idempotency key was used before with another input: use a fresh key, or repeat the first input."
        )
    return answer["send"]
