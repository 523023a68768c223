"""The preparation of digests: read the items, end those that are no longer wanted, and keep the newest."""

from collections import ChainMap, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec import Struct
from msgspec.structs import replace

from hub.model import ITEMS_SHOWN, Delivery, DeliveryStatus, DigestKind, Notification, Reason
from hub.outbox.lanes import scheduler_lane
from hub.send.delivery_data import DeliveryData, DeliveryStores
from hub.send.state_after_outcome import Transition

SLICE_SIZE = 500  # items in memory
GROUP_SIZE = 100  # digests whose items are read together
INCOMPLETE_PAUSE = timedelta(seconds=2)
PAUSED_INTERVAL = timedelta(seconds=60)  # at which a digest that was tried asks if its sends are still paused

FinalCheck = Callable[[Delivery, DeliveryData, datetime], Transition | None]
"""Returns the end of a delivery that is not sent, or None."""

log = structlog.get_logger(__name__)


class Item(Struct, frozen=True):
    """An item with its texts. `tracked`: its link is that of the stored notification, so clicks can be recorded."""

    delivery: Delivery
    notification: Notification
    tracked: bool = True


class Collected(Struct, frozen=True):
    """The items of a digest: the newest ones, and the number of all. `data` contains the user, tenant, and mailbox, and
    the notifications and template sends of the newest items."""

    newest: list[Item]
    count: int
    data: DeliveryData


class _Items:
    """The items of a digest that were found so far."""

    def __init__(self, digest: Delivery) -> None:
        self.digest = digest
        self.waiting: list[str] = []  # items that leave the digest because they have to wait
        self.paused: list[str] = []  # items whose send is paused
        self._splits = digest.digest_kind is DigestKind.BRIEFING and not digest.attempts
        self._newest: list[Item] = []
        self._count = 0
        self._hold: Transition | None = None
        self._ready = False
        self._slices: list[DeliveryData] = []

    def add(self, item: Delivery, hold: Transition | None, data: DeliveryData) -> None:
        if hold and is_paused(hold):
            self.paused.append(item.id)
            return
        if hold and (not self._hold or (hold.due_at and self._hold.due_at and hold.due_at < self._hold.due_at)):
            self._hold = hold  # the first end
        self._ready = self._ready or hold is None
        if hold and self._splits:
            self.waiting.append(item.id)
            return
        self._count += 1
        if len(self._newest) < ITEMS_SHOWN:
            self._newest.append(Item(item, data.notifications[item.notification]))
            if not self._slices or self._slices[-1] is not data:
                self._slices.append(data)

    def result(self, now: datetime) -> Collected | Transition:
        digest = self.digest
        if self.paused and digest.attempts:
            lane = scheduler_lane(digest.priority, digest.tenant)
            return Transition(DeliveryStatus.HELD, Reason.PAUSED, now + PAUSED_INTERVAL, lane)
        if self._hold and not self._ready:
            return self._hold
        if not self._slices:
            return Transition(DeliveryStatus.SKIPPED, Reason.EMPTY)
        data = replace(
            self._slices[0],
            notifications=ChainMap(*(dict(data.notifications) for data in self._slices)),
            template_sends=ChainMap(*(dict(data.template_sends) for data in self._slices)),
        )
        return Collected(self._newest, self._count, data)


def is_paused(transition: Transition) -> bool:
    """Return True if a delivery is held because its send is paused."""
    return transition.reason is Reason.PAUSED


def grouped(digests: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Yield groups of digests whose items are read together."""
    group: list[Delivery] = []
    size = 0
    for digest in digests:
        if group and (size + digest.joined > SLICE_SIZE or len(group) == GROUP_SIZE):
            yield group
            group, size = [], 0
        group.append(digest)
        size += digest.joined
    if group:
        yield group


async def collect_items(
    digests: Sequence[Delivery], stores: DeliveryStores, check: FinalCheck, now: datetime
) -> dict[str, Collected | Transition]:
    """Return the items of closed digests that are still wanted, and end the others with their reasons. If all items
    have to wait, such as for the end of quiet hours, the digest waits. If only some of the items of a briefing have to
    wait, the scheduler decides them again, unless the briefing was tried before: the first call may have arrived. The
    scheduler also decides the items of paused sends again, and holds them. A digest that was tried before waits with
    them instead, until the sends are resumed.

    Each item joined before its digest was closed, so a majority read finds exactly the items that joined. If it does
    not, the digest waits."""
    joined = await stores.digests.count_joined([digest.id for digest in digests])
    results: dict[str, Collected | Transition] = {}
    found: dict[str, _Items] = {}
    for digest in digests:
        if joined.get(digest.id, 0) == digest.joined:
            found[digest.id] = _Items(digest)
            continue
        log.warning("digest_incomplete", delivery=digest.id, joined=digest.joined, found=joined.get(digest.id, 0))
        results[digest.id] = Transition(DeliveryStatus.ACCEPTED, None, now + INCOMPLETE_PAUSE)
    async for items in _waiting(found, stores):
        data = await stores.load(items)
        left_out: defaultdict[tuple[DeliveryStatus, Reason | None], list[Delivery]] = defaultdict(list)
        for item in items:
            end = check(item, data, now)
            if end and end.due_at is None and not is_paused(end):
                left_out[end.status, end.reason].append(item)
            else:
                found[item.digest_id or ""].add(item, end, data)
        for (status, reason), ended in left_out.items():
            await stores.digest_items.end(ended, status, reason)
    results |= {id: items_of.result(now) for id, items_of in found.items()}
    for id, items_of in found.items():
        waiting = items_of.waiting if isinstance(results[id], Collected) else []
        paused = [] if items_of.digest.attempts else items_of.paused
        if taken_out := paused + waiting:
            await stores.digests.take_out(items_of.digest, taken_out)
    await stores.digests.set_item_counts({id: one.count for id, one in results.items() if isinstance(one, Collected)})
    return results


async def _waiting(digests: Collection[str], stores: DeliveryStores) -> AsyncIterator[list[Delivery]]:
    """Yield the items of digests that wait in slices, newest first."""
    last: str | None = "" if digests else None
    while last is not None:
        items, last = await stores.digests.take_waiting(digests, last, SLICE_SIZE)
        if items:
            yield items
