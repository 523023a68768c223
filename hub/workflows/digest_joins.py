"""The digests that the works of one transaction open and join.

An item joins in the transaction that makes or holds it. Both the joining and the closing of a digest write the mailbox,
so a digest that was read as open is open until the commit."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.decide.digest import Digest, end_with_item
from hub.ids import new_id
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Delivery, DeliveryStatus, DigestKind, Priority, Reason, document
from hub.outbox.lanes import scheduler_lane
from hub.status import deliveries, held_deliveries
from hub.status.digests import BRIEFING_SLOT, Digests, Slot, briefing_key, joined_update, slot_of

RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class DigestJoins:
    """The open digests of a batch, with the items that joined so far."""

    def __init__(self, stored: Iterable[Delivery]) -> None:
        self._stored = {digest.id: digest for digest in stored}
        self._open = dict(self._stored)
        self._slots: defaultdict[Slot, list[str]] = defaultdict(list)
        for digest in self._stored.values():
            self._slots[slot_of(digest)].append(digest.id)
        self._joined: set[str] = set()

    def join(
        self, item: Delivery, key: str, rules: Digest, due_at: datetime, now: datetime, *, chosen: bool
    ) -> Delivery:
        """Return the item with its digest. If none is open, a digest is opened that is due at `due_at`. `chosen`: the
        user chose this time."""
        slot: Slot = (item.mailbox, item.channel, item.device, key)
        digest = next(self._in_slot(slot), None) or replace(_opened(item, key, due_at, now), chosen=chosen)
        end = end_with_item(digest, rules, due_at, digest.joined + 1, now, chosen=chosen)
        return self._add(slot, replace(digest, due_at=end), item, now)

    def join_briefing(self, item: Delivery, now: datetime) -> Delivery:
        """Return a delivery that waits until `item.due_at` with its briefing, whose items wait until the same time.

        A briefing that other preferences decided is decided again, so the delivery also joins that one."""
        slot: Slot = (item.mailbox, item.channel, item.device, BRIEFING_SLOT)
        fitting = (one for one in self._in_slot(slot) if one.due_at == item.due_at or one.revision != item.revision)
        briefing = next(fitting, None) or _opened_briefing(item, now)
        return self._add(slot, replace(briefing, revision=min(briefing.revision, item.revision)), item, now)

    def write(self, unit: UnitOfWork) -> None:
        """Add the opened and joined digests to a unit."""
        for id in self._joined:
            digest = self._open[id]
            unit.lock(digest.mailbox)
            if before := self._stored.get(id):
                update = UpdateOne({"_id": id, "open": True}, joined_update(digest, before.joined))
                unit.update(deliveries.COLLECTION, id, update)
            else:
                unit.insert(deliveries.COLLECTION, document(digest))

    def _in_slot(self, slot: Slot) -> Iterator[Delivery]:
        return (self._open[id] for id in self._slots.get(slot, ()))

    def _add(self, slot: Slot, digest: Delivery, item: Delivery, now: datetime) -> Delivery:
        if digest.id not in self._open:
            self._slots[slot].append(digest.id)
        priority = min(digest.priority, item.priority, key=RANKS.__getitem__)
        self._joined.add(digest.id)
        self._open[digest.id] = replace(
            digest,
            joined=digest.joined + 1,
            priority=priority,
            lane=scheduler_lane(priority, digest.tenant),
            newest_notification=item.notification,
            newest_send=item.send,
            updated_at=now,
        )
        return replace(item, digest_id=digest.id, lane="", due_at=None)


async def join_briefings(unit: UnitOfWork, digests: Digests, session: AsyncClientSession) -> None:
    """Add the deliveries that works of this unit hold because of quiet hours or do-not-disturb to briefings."""
    waiting = [*unit.held_inserts, *unit.held_updates]
    joins = DigestJoins(await digests.load_open_briefings({one.mailbox for one in waiting}, session))
    for one in unit.held_inserts:
        unit.insert(deliveries.COLLECTION, document(joins.join_briefing(one, unit.now)))
    for one in unit.held_updates:
        update = held_deliveries.item_update(joins.join_briefing(one, unit.now))
        unit.update(deliveries.COLLECTION, one.id, update)
    joins.write(unit)


def _opened(item: Delivery, key: str, due_at: datetime, now: datetime) -> Delivery:
    return Delivery(
        id=new_id(now),
        tenant=item.tenant,
        mailbox=item.mailbox,
        channel=item.channel,
        device=item.device,
        category=item.category,
        status=DeliveryStatus.HELD,
        reason=Reason.DIGEST,
        priority=item.priority,
        digest_key=key,
        open=True,
        items_pending=True,
        due_at=due_at,
        created_at=now,
        updated_at=now,
        revision=item.revision,
        traceparent=item.traceparent,
    )


def _opened_briefing(item: Delivery, now: datetime) -> Delivery:
    assert item.due_at
    opened = _opened(item, "", item.due_at, now)
    return replace(
        opened,
        digest_kind=DigestKind.BRIEFING,
        digest_key=briefing_key(opened.id),
        category="",
        reason=item.reason,
        revision=item.revision,
    )
