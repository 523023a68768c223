"""The digests that the works of one transaction open and join.

An item joins in the transaction that makes it. Both the joining and the closing of a digest write the mailbox, so a
digest that was read as open is open until the commit."""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace
from pymongo import UpdateOne

from hub.decide.digest import Digest, end_after_join
from hub.ids import new_id
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Delivery, DeliveryStatus, Priority, Reason, document
from hub.outbox.lanes import scheduler_lane
from hub.status import deliveries
from hub.status.digests import Slot, joined_update, slot_of

RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class DigestJoins:
    """The open digests of a batch, with the items that joined so far."""

    def __init__(self, stored: Iterable[Delivery]) -> None:
        self._stored = {slot_of(digest): digest for digest in stored}
        self._joined: dict[Slot, Delivery] = {}

    def join(self, item: Delivery, key: str, rules: Digest, due_at: datetime, now: datetime) -> Delivery:
        """Return the item with its digest. If none is open, a digest is opened that is due at `due_at`."""
        slot: Slot = (item.mailbox, item.channel, item.device, key)
        digest = self._joined.get(slot) or self._stored.get(slot) or _opened(item, key, due_at, now)
        priority = min(digest.priority, item.priority, key=RANKS.__getitem__)
        end, joined = digest.due_at or due_at, digest.joined + 1
        self._joined[slot] = replace(
            digest,
            joined=joined,
            due_at=end_after_join(rules, end, digest.created_at, joined, now),
            priority=priority,
            lane=scheduler_lane(priority, digest.tenant),
            newest_notification=item.notification,
            newest_send=item.send,
            updated_at=now,
        )
        return replace(item, digest_id=digest.id)

    def write(self, unit: UnitOfWork) -> None:
        """Add the opened and joined digests to a unit."""
        for slot, digest in self._joined.items():
            unit.lock(digest.mailbox)
            if before := self._stored.get(slot):
                update = UpdateOne({"_id": digest.id, "open": True}, joined_update(digest, before.joined))
                unit.update(deliveries.COLLECTION, digest.id, update)
            else:
                unit.insert(deliveries.COLLECTION, document(digest))


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
        traceparent=item.traceparent,
    )
