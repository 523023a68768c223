"""Removes old notifications from inboxes, and deletes them later.

- A notification is removed `notifications_days` after it was created. One that is pending then (`state.is_pending`), or
  whose deliveries wait, is removed `unread_notifications_days` after it was created, also if it was read meanwhile.
- A removal is a change of the inbox like others: counts, cursors, and open clients stay right. It writes no receipt,
  and the IN_APP delivery keeps its status.
- A hidden notification is deleted instead, because no inbox shows it.
- A tombstone is deleted a day after the last cursor that needs it. The record of the send keeps its counts.

Ids sort by time, so a position says how far each of the two times was processed: every notification is read twice. The
last batch is processed again if its worker dies.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta

from hub.inbox import state
from hub.inbox.old_notifications import StoredNotifications
from hub.model import Notification
from hub.outbox.lanes import Lanes
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode
from hub.settings import Settings
from hub.status.old_deliveries import OldDeliveries
from hub.status.sends import Sends
from hub.utc_time import Clock
from hub.workflows.counted_deletion import CountedDeletion
from hub.workflows.hourly_pass import HourlyPass
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.old_records import Positions

BATCH_SIZE = 500
DONE, PENDING = "notifications", "pending_notifications"  # the positions


class OldNotifications:
    def __init__(
        self, database: Database, sends: Sends, actions: InboxActions, lanes: Lanes, settings: Settings, clock: Clock
    ) -> None:
        self._positions = Positions(database)
        self._notifications = StoredNotifications(database)
        self._deliveries = OldDeliveries(database)
        self._deletion = CountedDeletion(database)
        self._sends = sends
        self._actions = actions
        self._done_age = timedelta(days=settings.notifications_days)
        self._pending_age = timedelta(days=max(settings.notifications_days, settings.unread_notifications_days))
        self._tombstone_age = timedelta(days=settings.tombstone_days + 1)
        self._clock = clock
        # named by the hour, so a pass begins when the hub's clock is moved in development
        self.tick = HourlyPass(lanes, lambda: f"old_notifications:{clock():%Y-%m-%dT%H}", self._batches).tick

    async def _batches(self) -> AsyncGenerator[int, None]:
        now = self._clock()
        done_before, pending_before = now - self._done_age, now - self._pending_age
        mark = state.outdated(done_before, pending_before)
        for position, before in ((PENDING, pending_before), (DONE, done_before)):
            async for docs in self._list_next(position, before):
                found = [n for doc in docs if (n := decode(doc, Notification)) and not n.removed_at]
                await self._remove(found if position == PENDING else await self._without_pending(found, now), mark)
                await self._positions.store(position, docs[-1]["_id"])
                yield len(docs)
        while ids := await self._notifications.list_removed(now - self._tombstone_age, BATCH_SIZE):
            await self._deletion.delete_notifications(ids)
            yield len(ids)

    async def _list_next(self, position: str, before: datetime) -> AsyncGenerator[list[Document], None]:
        """Yield batches of notifications after a position that were created before a time."""
        after = await self._positions.load(position)
        while docs := await self._notifications.list_created(after, before, BATCH_SIZE):
            yield docs
            after = docs[-1]["_id"]

    async def _without_pending(self, found: Sequence[Notification], now: datetime) -> list[Notification]:
        done = [n for n in found if not state.is_pending(n, now)]
        unfinished = await self._deliveries.find_unfinished([n.id for n in done if n.has_deliveries])
        return [n for n in done if n.id not in unfinished]

    async def _remove(self, outdated: Sequence[Notification], mark: state.Mark) -> None:
        """Remove notifications from their inboxes, in shared transactions, and delete those that no inbox shows."""
        if not outdated:
            return
        await self._sends.record_users({n.send for n in outdated})
        by_mailbox: dict[str, list[str]] = defaultdict(list)
        for n in outdated:
            if not n.hidden:
                by_mailbox[n.mailbox].append(n.id)
        await asyncio.gather(*(self._actions.remove(mailbox, ids, mark) for mailbox, ids in by_mailbox.items()))
        if hidden := [n.id for n in outdated if n.hidden]:
            await self._deletion.delete_notifications(hidden)
