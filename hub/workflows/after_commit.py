"""The work that other stages do before, in, and after a commit of the inbox.

- Before the commit: `load_decision_data` reads the users, tenants, and opt-outs that the decisions of a send require.
- In the transaction: `new_mailbox_updates` and `add_follow_ups` add documents that are committed with it.
- After the commit: `on_commit` publishes live changes, enqueues deliveries, and ends obsolete deliveries.
  `on_commit` only fills bounded queues in memory and never waits. If queued entries are lost in a crash, subscribers
  compare their state with the store, the scheduler enqueues overdue deliveries, and each delivery is checked again
  before its call.
"""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import UNSET
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.opt_outs import OptOuts
from hub.audience.tenants import Tenants
from hub.audience.users import COLLECTION as USERS
from hub.audience.users import Users, lock_existing
from hub.decide.recheck import stop_reason
from hub.decide.timing import INTERRUPTING, interruption_of
from hub.inbox.unit_of_work import UnitOfWork
from hub.live.publisher import Publisher
from hub.model import (
    Channel,
    Delivery,
    DeliveryStatus,
    Mailbox,
    MailboxChange,
    Notification,
    PendingReceipt,
    StepStop,
    tenant_of,
)
from hub.outbox.enqueuer import Enqueuer
from hub.outbox.states import WAITING
from hub.status import deliveries
from hub.status.activity import ActivityCounts
from hub.status.digests import Digests, ItemKind
from hub.status.held_deliveries import HeldDeliveries
from hub.status.obsolete_deliveries import ObsoleteDeliveries, ObsoleteGroup
from hub.status.receipt_builder import build_documents
from hub.status.sends import Sends
from hub.workflows.digest_joins import DigestJoins, join_briefings
from hub.workflows.release import WaitingDeliveries
from hub.workflows.send_request import DecisionData


class AfterCommit:
    """Implements `hub.inbox.batch_transaction.CommitHooks`."""

    def __init__(
        self,
        users: Users,
        tenants: Tenants,
        opt_outs: OptOuts,
        publisher: Publisher,
        enqueuer: Enqueuer,
        obsolete_deliveries: ObsoleteDeliveries,
        held: HeldDeliveries,
        sends: Sends,
        digests: Digests,
        activity: ActivityCounts,
    ) -> None:
        self._opt_outs = opt_outs
        self._digests = digests
        self._users = users
        self._tenants = tenants
        self._publisher = publisher
        self._enqueuer = enqueuer
        self._obsolete_deliveries = obsolete_deliveries
        self._held = held
        self._sends = sends
        self._activity = activity

    async def load_decision_data(
        self, mailboxes: Collection[str], recipients: Collection[str], phone_owners: Collection[str]
    ) -> DecisionData:
        """Return the tenants of `mailboxes`, the users of `recipients`, and the opt-outs of the phone numbers of
        `phone_owners`, who are recipients."""
        tenants = self._tenants.get_many({tenant_of(mailbox) for mailbox in mailboxes})
        if not recipients:
            return DecisionData({}, await tenants)
        users, found = await asyncio.gather(self._users.get_many(recipients), tenants)
        phones = {user.phone for mailbox in phone_owners if (user := users.get(mailbox)) and user.phone}
        return DecisionData(users, found, await self._opt_outs.opted_out(phones))

    async def load_deliveries(
        self, ids: Collection[str], mailboxes: Mapping[str, Mailbox], session: AsyncClientSession
    ) -> WaitingDeliveries:
        """Return the deliveries in `ids` that wait for the scheduler, and what their release depends on."""
        waiting = await self._held.load(ids, session)
        stopped = await self._sends.find_stopped({one.send for one in waiting.values() if one.send})
        digests = [one for one in waiting.values() if one.digest_key]
        item_kinds = await self._find_item_kinds(digests, session) if digests else {}
        interrupting = {
            one.notification
            for one in waiting.values()
            if one.channel in INTERRUPTING and one.notification and _has_interruptions(mailboxes.get(one.mailbox))
        }
        counted = await self._held.find_counted(interrupting, session) if interrupting else ()
        interruptions = {interruption_of(notification, step) for notification, step in counted}
        return WaitingDeliveries(waiting, stopped, interruptions, item_kinds)

    async def _find_item_kinds(
        self, digests: Collection[Delivery], session: AsyncClientSession
    ) -> Mapping[str, Collection[ItemKind]]:
        """Return the kinds of the items that may leave with their digests. Digests without items that wait are left
        out."""
        paused = await self._sends.list_paused({one.tenant for one in digests})
        kinds = await self._digests.find_item_kinds(digests, session, paused)
        if paused and (others := [one for one in digests if one.id not in kinds]):
            kinds |= {id: [] for id in await self._digests.find_item_kinds(others, session)}
        return kinds

    async def load_digests(self, mailboxes: Mapping[str, Collection[str]], session: AsyncClientSession) -> DigestJoins:
        """Return the open digests of mailboxes by digest key."""
        return DigestJoins(await self._digests.load_open(mailboxes, session))

    def new_mailbox_updates(self, mailboxes: Collection[str], unit: UnitOfWork) -> dict[str, list[UpdateOne]]:
        """Return the updates that create the users of new mailboxes by collection. Users who must exist are locked."""
        required = unit.required_users.intersection(mailboxes)
        missing = [mailbox for mailbox in mailboxes if mailbox not in required]
        return {USERS: [*self._users.create_missing(missing, unit.now), *lock_existing(required)]}

    async def add_follow_ups(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        """Add held deliveries to briefings. Cancel the new deliveries of notifications that were replaced in the same
        unit. Add the receipts of `unit` and the webhook calls that they cause."""
        if unit.held_inserts or unit.held_updates:
            await join_briefings(unit, self._digests, session)
        _cancel_replaced(unit)
        if unit.digests:
            unit.digests.write(unit)
        if unit.receipts:
            added = build_documents(unit.receipts, unit.decision_data.tenants, unit.now)
            for collection, documents in added.items():
                unit.inserts.setdefault(collection, []).extend(documents)

    def on_commit(self, unit: UnitOfWork, changes: list[MailboxChange]) -> None:
        """Publish `changes`, enqueue new and released deliveries, end the deliveries of notifications that were
        replaced, or that a mark concerns, and count the receipts."""
        if changes:
            self._publisher.enqueue(changes)
        if created := unit.inserts.get(deliveries.COLLECTION):
            self._enqueuer.put([(doc["lane"], doc["_id"]) for doc in created if "enqueue_count" in doc])
        if unit.released:
            self._enqueuer.put(unit.released)
        if unit.deliveries_to_end:
            self._obsolete_deliveries.put([(id, reason, None) for id, reason in unit.deliveries_to_end.items()])
        if unit.receipts:
            self._activity.count_receipts(unit.receipts)
        if unit.stopping:
            self._obsolete_deliveries.put([stop for n in unit.stopping for stop in _stops(n, unit.now)])

    def on_unknown_outcome(self) -> None:
        """Make subscribers compare their state with the store."""
        self._publisher.request_reconcile()


def _has_interruptions(mailbox: Mailbox | None) -> bool:
    return mailbox is not None and mailbox.interruptions is not UNSET


def _cancel_replaced(unit: UnitOfWork) -> None:
    """Write the new deliveries of replaced notifications as CANCELLED, with a receipt for each."""
    reasons = {id: unit.deliveries_to_end.pop(id) for id in unit.deliveries_to_end.keys() & unit.inserted.keys()}
    if not reasons:
        return
    rows = unit.inserts[deliveries.COLLECTION]
    for index, doc in enumerate(rows):
        if (reason := reasons.get(doc.get("notification", ""))) and doc["status"] in WAITING:
            rows[index] = deliveries.cancelled_document(doc, reason)
            n = unit.notifications[doc["notification"]]
            unit.receipts.append(PendingReceipt(n, Channel(doc["channel"]), DeliveryStatus.CANCELLED, reason))


def _stops(n: Notification, now: datetime) -> list[ObsoleteGroup]:
    """Return which deliveries of a notification stop, and why. Without steps, only reading can stop them."""
    return [
        (n.id, reason, unless)
        for unless in (StepStop if n.has_steps else (StepStop.READ,))
        if (reason := stop_reason(unless, n, now))
    ]
