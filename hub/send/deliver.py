"""Prepare deliveries: load their data, check whether they are still wanted, build the messages."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from hub.model import Delivery, DeliveryStatus, Mailbox, Notification, Reason, Tenant, User
from hub.platform.signed_links import absolute_url
from hub.send.job_handler import ReadyToSend
from hub.send.message import Message, Provider
from hub.send.retry_policy import Transition
from hub.status.deliveries import SENT_STATUSES

ADDRESS_LOST_REASONS = {Reason.NO_ADDRESS: Reason.ADDRESS_GONE, Reason.SUPPRESSED: Reason.SUPPRESSED}

Ids = Collection[str]


class DeliveryHandler:
    """The job handler of one channel's deliveries. It is built from functions that

    - load notifications, users, mailboxes and tenants by id;
    - return which ids of notifications and users are stored, and which sends are cancelled, with the reason;
    - return why preferences or tenant settings skip a delivery, or None;
    - deactivate an address that no longer exists, and record when a device was last reached."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        notifications: Callable[[Ids], Awaitable[Mapping[str, Notification]]],
        users: Callable[[Ids], Awaitable[Mapping[str, User]]],
        mailboxes: Callable[[Ids], Awaitable[Mapping[str, Mailbox]]],
        tenants: Callable[[Ids], Awaitable[Mapping[str, Tenant]]],
        find_stored: Callable[[Ids], Awaitable[Ids]],
        cancelled_sends: Callable[[Ids], Awaitable[Mapping[str, Reason]]],
        skip_reason: Callable[[Delivery, Notification, User, Tenant, datetime], Reason | None],
        deactivate_address: Callable[[Delivery, str | None], Awaitable[None]],
        touch_devices: Callable[[Collection[tuple[str, str]]], Awaitable[None]],
        unsubscribe_url: Callable[[Delivery], str],
        receipt_url: Callable[[Delivery], str],
        app_url: str,
    ) -> None:
        self._providers = providers
        self._notifications = notifications
        self._users = users
        self._mailboxes = mailboxes
        self._tenants = tenants
        self._find_stored = find_stored
        self._cancelled_sends = cancelled_sends
        self._skip_reason = skip_reason
        self._deactivate_address = deactivate_address
        self._touch_devices = touch_devices
        self._unsubscribe_url = unsubscribe_url
        self._receipt_url = receipt_url
        self._app_url = app_url

    async def prepare(self, jobs: Sequence[Delivery], now: datetime) -> list[ReadyToSend | Transition]:
        """Return, for each delivery, the message to send or the state of one that is no longer wanted."""
        mailboxes = {job.mailbox for job in jobs}
        notifications, users, heads_by_id, tenants, cancelled = await asyncio.gather(
            self._notifications({job.notification for job in jobs}),
            self._users(mailboxes),
            self._mailboxes(mailboxes),
            self._tenants({job.tenant for job in jobs}),
            self._cancelled_sends({job.send for job in jobs}),
        )
        missing = {job.notification for job in jobs} - notifications.keys() | (mailboxes - users.keys())
        unreadable = await self._find_stored(missing) if missing else ()
        found: list[ReadyToSend | Transition] = []
        for job in jobs:
            if job.send not in cancelled and (job.notification in unreadable or job.mailbox in unreadable):
                found.append(Transition(DeliveryStatus.FAILED, Reason.UNREADABLE))
                continue
            n, user, head = notifications.get(job.notification), users.get(job.mailbox), heads_by_id.get(job.mailbox)
            if n is None or user is None or head is None or job.send in cancelled:
                found.append(Transition(DeliveryStatus.CANCELLED, cancelled.get(job.send)))
                continue
            tenant = tenants[job.tenant]
            if transition := obsolete_transition(job, n, now):
                found.append(transition)
            elif job.device and all(device.id != job.device for device in user.devices):
                found.append(skip_transition(job, Reason.NO_ADDRESS))
            elif reason := self._skip_reason(job, n, user, tenant, now):
                found.append(skip_transition(job, reason))
            else:
                found.append(
                    ReadyToSend(self._message(job, n, user, tenant, head), self._providers, user.id, job.traceparent)
                )
        return found

    async def on_settled(self, jobs: Sequence[tuple[Delivery, DeliveryStatus]]) -> None:
        """Record the devices that were reached."""
        if used := [(job.mailbox, job.device) for job, became in jobs if became in SENT_STATUSES and job.device]:
            await self._touch_devices(used)

    async def on_address_gone(self, job: Delivery, message: Message) -> None:
        await self._deactivate_address(job, message.user.email)

    def _message(self, job: Delivery, n: Notification, user: User, tenant: Tenant, head: Mailbox) -> Message:
        category = tenant.category(n.category)
        return Message(
            id=job.id,
            notification=with_absolute_urls(n, self._app_url),
            user=user,
            tenant=replace(tenant, logo_url=absolute_url(tenant.logo_url, self._app_url)),
            device=next((device for device in user.devices if device.id == job.device), None),
            unseen=head.unseen,
            created_at=job.created_at,
            unsubscribe_url="" if category and category.required else self._unsubscribe_url(job),
            receipt_url=self._receipt_url(job),
            app_url=self._app_url,
        )


def with_absolute_urls(n: Notification, app_url: str) -> Notification:
    """Return the notification with absolute URLs, which work outside the app."""
    if not app_url:
        return n
    return replace(
        n,
        image_url=absolute_url(n.image_url, app_url),
        action_url=absolute_url(n.action_url, app_url),
        actions=tuple(replace(action, url=absolute_url(action.url, app_url)) for action in n.actions),
    )


def skip_transition(job: Delivery, reason: Reason) -> Transition:
    """Return the state of a delivery that is skipped for `reason`. If it was tried before and its address is gone now,
    it stays FAILED: it can be replayed when there is an address again."""
    if job.attempts and reason in ADDRESS_LOST_REASONS:
        return Transition(DeliveryStatus.FAILED, ADDRESS_LOST_REASONS[reason])
    return Transition(DeliveryStatus.SKIPPED, reason)


def obsolete_transition(job: Delivery, n: Notification, now: datetime) -> Transition | None:
    """Return the final state of a delivery whose notification is expired, removed or read, else None."""
    expires_at = job.expires_at or n.expires_at
    if n.removed_as is DeliveryStatus.EXPIRED or (expires_at and expires_at <= now):
        return Transition(DeliveryStatus.EXPIRED)
    if n.removed_at:
        return Transition(DeliveryStatus.CANCELLED, Reason.RECALLED)
    if n.read_at:
        return Transition(DeliveryStatus.SKIPPED, Reason.ALREADY_READ)
    return None
