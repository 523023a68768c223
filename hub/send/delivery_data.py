"""The documents from which deliveries are prepared."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from msgspec import Struct

from hub.audience.devices import Devices
from hub.audience.opt_outs import OptOuts
from hub.audience.tenants import Tenants
from hub.audience.users import Users
from hub.model import Delivery, Mailbox, Notification, Reason, Send, Tenant, User
from hub.status.digest_items import DigestItems
from hub.status.digests import Digests
from hub.status.sends import Sends


class Inboxes(Protocol):
    """The methods of `hub.inbox.inbox_reader.Inboxes` that this stage uses. `send` does not import that class."""

    async def get_notifications(self, ids: Collection[str]) -> Mapping[str, Notification]:
        """Return the notifications that exist and can be decoded by id."""
        ...

    async def get_mailboxes(self, ids: Collection[str]) -> Mapping[str, Mailbox]:
        """Return the mailboxes that exist and can be decoded, by id."""
        ...

    async def find_stored(self, ids: Collection[str]) -> set[str]:
        """Return the ids that belong to a stored notification or mailbox, even if it cannot be decoded."""
        ...


class DeliveryData(Struct, frozen=True):
    """The documents of a batch of deliveries, by id. `stopped` maps sends that are cancelled, recalled, or paused to
    the reason. `template_sends` are the sends with a template. `unreadable` are the ids of documents that exist but
    cannot be decoded."""

    notifications: Mapping[str, Notification]
    users: Mapping[str, User]
    mailboxes: Mapping[str, Mailbox]
    tenants: Mapping[str, Tenant]
    stopped: Mapping[str, Reason]
    template_sends: Mapping[str, Send]
    unreadable: AbstractSet[str]


class DeliveryStores(Struct, frozen=True):
    """The stores that are read to prepare deliveries and written to record their results."""

    inboxes: Inboxes
    users: Users
    devices: Devices
    tenants: Tenants
    sends: Sends
    digests: Digests
    digest_items: DigestItems
    opt_outs: OptOuts

    async def load(self, jobs: Sequence[Delivery]) -> DeliveryData:
        """Return the documents of these deliveries. Raise PyMongoError."""
        notification_ids = {job.notification for job in jobs}
        mailbox_ids = {job.mailbox for job in jobs}  # also the ids of the users
        notifications, users, mailboxes, tenants, (stopped, sends) = await asyncio.gather(
            self.inboxes.get_notifications(notification_ids),
            self.users.get_many(mailbox_ids),
            self.inboxes.get_mailboxes(mailbox_ids),
            self.tenants.get_many({job.tenant for job in jobs}),
            self.sends.find_for_deliveries({job.send for job in jobs}),
        )
        unreadable: set[str] = set()
        if missing := (notification_ids - notifications.keys()) | (mailbox_ids - mailboxes.keys()):
            unreadable |= await self.inboxes.find_stored(missing)
        if missing := mailbox_ids - users.keys():
            unreadable |= await self.users.find_stored(missing)
        unreadable |= {id for id, send in sends.items() if send is None}
        template_sends = {id: send for id, send in sends.items() if send}
        return DeliveryData(notifications, users, mailboxes, tenants, stopped, template_sends, unreadable)
