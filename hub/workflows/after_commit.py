"""What other stages do around a commit of the inbox.

- Before it: `load_decision_data` reads the users and tenants that a send decides about.
- Inside its transaction: `create_missing_users` and `add_webhook_deliveries` add documents that are committed with it.
- After it: `after_commit` publishes live changes, enqueues deliveries and starts read propagation. It only fills
  bounded queues in memory and never waits. Entries that are lost with the process are recovered: subscribers reconcile
  with the store, the scheduler enqueues overdue deliveries, and each delivery is checked again before its call.
"""

import asyncio
from collections.abc import Collection

from pymongo import UpdateOne

from hub.audience import users
from hub.audience.tenants import Tenants
from hub.audience.users import Users
from hub.inbox.unit_of_work import UnitOfWork
from hub.live.publisher import Publisher
from hub.model import MailboxChange, tenant_of
from hub.outbox.enqueuer import Enqueuer
from hub.status import deliveries, receipts
from hub.status.read_propagation import ReadPropagation
from hub.status.receipt_writer import webhook_calls_for
from hub.webhooks import webhook_calls
from hub.workflows.publish import DecisionData


class CommitHooks:
    """The functions that the committer calls."""

    def __init__(
        self,
        audience: Users,
        tenants: Tenants,
        publisher: Publisher,
        enqueuer: Enqueuer,
        read_propagation: ReadPropagation,
    ) -> None:
        self._users = audience
        self._tenants = tenants
        self._publisher = publisher
        self._enqueuer = enqueuer
        self._read_propagation = read_propagation

    async def load_decision_data(self, mailboxes: Collection[str], deciding: Collection[str]) -> DecisionData:
        """Return the tenants of `mailboxes` and the users of `deciding`."""
        tenants = self._tenants.get_many({tenant_of(mailbox) for mailbox in mailboxes})
        if not deciding:
            return DecisionData({}, await tenants)
        return DecisionData(*await asyncio.gather(self._users.get_many(deciding), tenants))

    @staticmethod
    def create_missing_users(mailboxes: Collection[str], unit: UnitOfWork) -> dict[str, list[UpdateOne]]:
        """Return the updates that create the users of new mailboxes, by collection."""
        return {users.COLLECTION: users.create_missing(mailboxes, unit.now)}

    @staticmethod
    def add_webhook_deliveries(unit: UnitOfWork) -> None:
        """Add the calls of webhook endpoints that the receipts of this unit cause."""
        written = unit.inserts.get(receipts.COLLECTION, [])
        about = [(receipt, unit.notifications[receipt["notification_id"]]) for receipt in written]
        if calls := webhook_calls_for(about, unit.decision_data.tenants, unit.now):
            unit.inserts[webhook_calls.COLLECTION] = calls

    def after_commit(self, unit: UnitOfWork, changes: list[MailboxChange]) -> None:
        """Publish `changes`, enqueue new deliveries, and skip deliveries of notifications that were read."""
        if changes:
            self._publisher.enqueue(changes)
        if created := unit.inserts.get(deliveries.COLLECTION):
            self._enqueuer.put([(doc["lane"], doc["_id"]) for doc in created])
        if unit.read_with_deliveries:
            self._read_propagation.put(unit.read_with_deliveries)
