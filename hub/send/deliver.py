"""Conductor of one delivery: load what it is about, ask whether it is still wanted, make the message."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from hub.model import Delivery, DeliveryStatus, Mailbox, Notification, Reason, Tenant, User
from hub.platform.signed_links import absolute_url
from hub.send.job_handler import Ready
from hub.send.message import Message, Provider
from hub.send.retry_policy import Next
from hub.status.deliveries import OUTSIDE

LOST = {Reason.NO_ADDRESS: Reason.ADDRESS_GONE, Reason.SUPPRESSED: Reason.SUPPRESSED}

Some = Collection[str]


class Deliver:
    """The desk of one channel's deliveries. What it reads is handed in: notifications, users, heads of mailboxes and
    tenants by id; which ids of notifications and people are stored; which of some sends were called off, and why;
    whether preferences still allow a delivery; what to do about an address that is dead; and what is noted of devices
    that were reached."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        notifications: Callable[[Some], Awaitable[Mapping[str, Notification]]],
        users: Callable[[Some], Awaitable[Mapping[str, User]]],
        heads: Callable[[Some], Awaitable[Mapping[str, Mailbox]]],
        tenants: Callable[[Some], Awaitable[Mapping[str, Tenant]]],
        stored: Callable[[Some], Awaitable[Some]],
        called_off: Callable[[Some], Awaitable[Mapping[str, Reason]]],
        refused: Callable[[Delivery, Notification, User, Tenant, datetime], Reason | None],
        forget: Callable[[Delivery, str | None], Awaitable[None]],
        used: Callable[[Collection[tuple[str, str]]], Awaitable[None]],
        unsubscribe_url: Callable[[Delivery], str],
        receipt_url: Callable[[Delivery], str],
        app_url: str,
    ) -> None:
        self._providers = providers
        self._notifications = notifications
        self._users = users
        self._heads = heads
        self._tenants = tenants
        self._stored = stored
        self._called_off = called_off
        self._refused = refused
        self._forget = forget
        self._used = used
        self._unsubscribe_url = unsubscribe_url
        self._receipt_url = receipt_url
        self._app_url = app_url

    async def prepare(self, jobs: Sequence[Delivery], now: datetime) -> list[Ready | Next]:
        """For each delivery what to call, or why it is not wanted any more."""
        mailboxes = {job.mailbox for job in jobs}
        notifications, users, heads, tenants, called_off = await asyncio.gather(
            self._notifications({job.notification for job in jobs}),
            self._users(mailboxes),
            self._heads(mailboxes),
            self._tenants({job.tenant for job in jobs}),
            self._called_off({job.send for job in jobs}),
        )
        missing = {job.notification for job in jobs} - notifications.keys() | (mailboxes - users.keys())
        unreadable = await self._stored(missing) if missing else ()
        found: list[Ready | Next] = []
        for job in jobs:
            if job.send not in called_off and (job.notification in unreadable or job.mailbox in unreadable):
                found.append(Next(DeliveryStatus.FAILED, Reason.UNREADABLE))
                continue
            n, user, head = notifications.get(job.notification), users.get(job.mailbox), heads.get(job.mailbox)
            if n is None or user is None or head is None or job.send in called_off:
                found.append(Next(DeliveryStatus.CANCELLED, called_off.get(job.send)))
                continue
            tenant = tenants[job.tenant]
            if no := unwanted(job, n, now):
                found.append(no)
            elif job.device and all(device.id != job.device for device in user.devices):
                found.append(refusal(job, Reason.NO_ADDRESS))
            elif reason := self._refused(job, n, user, tenant, now):
                found.append(refusal(job, reason))
            else:
                found.append(Ready(self._message(job, n, user, tenant, head), self._providers, user.id, job.trace))
        return found

    async def ended(self, jobs: Sequence[tuple[Delivery, DeliveryStatus]]) -> None:
        """Devices that were reached are in use."""
        if used := [(job.mailbox, job.device) for job, became in jobs if became in OUTSIDE and job.device]:
            await self._used(used)

    async def gone(self, job: Delivery, message: Message) -> None:
        await self._forget(job, message.user.email)

    def _message(self, job: Delivery, n: Notification, user: User, tenant: Tenant, head: Mailbox) -> Message:
        category = tenant.category(n.category)
        return Message(
            id=job.id,
            notification=outward(n, self._app_url),
            user=user,
            tenant=replace(tenant, logo_url=absolute_url(tenant.logo_url, self._app_url)),
            device=next((device for device in user.devices if device.id == job.device), None),
            unseen=head.unseen,
            created_at=job.created_at,
            unsubscribe_url="" if category and category.required else self._unsubscribe_url(job),
            receipt_url=self._receipt_url(job),
            app_url=self._app_url,
        )


def outward(n: Notification, app_url: str) -> Notification:
    """With links that can be followed from outside the app."""
    if not app_url:
        return n
    return replace(
        n,
        image_url=absolute_url(n.image_url, app_url),
        action_url=absolute_url(n.action_url, app_url),
        actions=tuple(replace(action, url=absolute_url(action.url, app_url)) for action in n.actions),
    )


def refusal(job: Delivery, reason: Reason) -> Next:
    """What becomes of it where that speaks against it by now. One that was tried before, and whose address is lost,
    stays a dead letter, with what that loss is called: it can be replayed once there is an address again."""
    if job.attempts and reason in LOST:
        return Next(DeliveryStatus.FAILED, LOST[reason])
    return Next(DeliveryStatus.SKIPPED, reason)


def unwanted(job: Delivery, n: Notification, now: datetime) -> Next | None:
    """What the notification itself says against sending it now."""
    expires_at = job.expires_at or n.expires_at
    if n.removed_as is DeliveryStatus.EXPIRED or (expires_at and expires_at <= now):
        return Next(DeliveryStatus.EXPIRED)
    if n.removed_at:
        return Next(DeliveryStatus.CANCELLED, Reason.RECALLED)
    if n.read_at:
        return Next(DeliveryStatus.SKIPPED, Reason.ALREADY_READ)
    return None
