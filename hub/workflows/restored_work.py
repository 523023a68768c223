"""Prepares a database that was restored, before a process of the hub uses it.

The database has the state of the backup. Between the backup and the failure, the hub may have done what waited in it,
and clients may have received changes that are lost. Therefore:

- Every mailbox gets a new epoch, so clients load their inboxes again instead of missing changes.
- Deliveries, webhook calls, and events that waited are held with the reason RESTORED. Sends that were not complete are
  paused, and batches of replays and cancellations are stopped. What waits for the inbox continues, because the inbox
  has the state of the backup, too.

Each step may be repeated.
"""

from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from hub.audience.tenants import Tenants
from hub.events import event_store
from hub.inbox.epochs import renew_epochs
from hub.inbox.inbox_reader import Inboxes
from hub.model import Channel, Reason
from hub.outbox.restored_jobs import DUE_OR_CLAIMED, hold_jobs
from hub.platform.connections import Database
from hub.settings import Settings
from hub.status import deliveries, delivery_batches
from hub.status.expansion_parts import ExpansionParts
from hub.status.restored_sends import list_incomplete
from hub.status.send_changes import SendChanges
from hub.status.sends import RESTORED_PAUSE
from hub.utc_time import Clock, RealClock
from hub.webhooks import webhook_calls

SAMPLE_SIZE = 200  # mailboxes that are counted
PAUSED_DELIVERIES = (("paused", {"reason": Reason.PAUSED}),)
OUTSIDE = {"channel": {"$ne": Channel.IN_APP}, "digest_id": None}  # an item waits with its digest


class HeldWork(Struct, frozen=True):
    """The numbers of what is held, paused, and stopped."""

    deliveries: int
    webhook_calls: int
    events: int
    sends: int
    batches: int


class RestoredWork:
    def __init__(self, database: Database, settings: Settings, clock: Clock, real_clock: RealClock) -> None:
        self._database = database
        self._clock = clock
        self._inboxes = Inboxes(database, settings, clock)
        tenants = Tenants(database, settings.tenant_max_categories, settings.commit_deadline_s)
        self._changes = SendChanges(database, tenants, clock)
        self._parts = ExpansionParts(database, real_clock, timedelta())

    async def renew_epochs(self, report: Callable[[int], None]) -> int:
        """Give all mailboxes a new epoch. Return their number."""
        return await renew_epochs(self._database, report)

    async def hold(self) -> HeldWork:
        """Hold what waited. The webhook calls that the pauses cause are not held."""
        now, database = self._clock(), self._database
        sweeps = (*DUE_OR_CLAIMED, *PAUSED_DELIVERIES)
        held = await hold_jobs(database[deliveries.COLLECTION], now, OUTSIDE, sweeps)
        calls = await hold_jobs(database[webhook_calls.COLLECTION], now, {})
        events = await hold_jobs(database[event_store.COLLECTION], now, {})
        batches = await delivery_batches.stop_all(database, now)
        sends = 0
        async for tenant, id in list_incomplete(database, now):
            if send := await self._changes.mark_paused(tenant, id, RESTORED_PAUSE):
                sends += 1
                if send.parts_left is not None:
                    await self._parts.stop(id)
        return HeldWork(held, calls, events, sends, batches)

    async def recount(self) -> tuple[int, list[str]]:
        """Recount a sample of the mailboxes. Return its size, and the mailboxes whose counts are wrong."""
        wrong: list[str] = []
        sample = await self._inboxes.sample_mailboxes(SAMPLE_SIZE)
        for id in sample:
            if recounted := await self._inboxes.recount(id):
                mailbox, unread, unseen = recounted
                if (mailbox.unread, mailbox.unseen) != (unread, unseen):
                    wrong.append(id)
        return len(sample), wrong
