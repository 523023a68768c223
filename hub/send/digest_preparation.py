"""The preparation of digests: read the items, end those that are no longer wanted, and keep the newest."""

from collections import ChainMap, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from msgspec import Struct
from msgspec.structs import replace

from hub.model import ITEMS_SHOWN, Delivery, DeliveryStatus, Notification, Reason
from hub.send.delivery_data import DeliveryData, DeliveryStores
from hub.send.state_after_outcome import Transition

SLICE_SIZE = 500  # items in memory
INCOMPLETE_PAUSE = timedelta(seconds=2)

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


async def collect_items(
    digest: Delivery, stores: DeliveryStores, check: FinalCheck, now: datetime
) -> Collected | Transition:
    """Return the items of a closed digest that are still wanted, and end the others with their reasons. If all items
    have to wait, such as for the end of quiet hours, the digest waits.

    Each item joined before the digest was closed, so a majority read finds exactly the items that joined. If it does
    not, the digest waits."""
    joined = await stores.digests.count_joined(digest.id)
    if joined != digest.joined:
        log.warning("digest_incomplete", delivery=digest.id, joined=digest.joined, found=joined)
        return Transition(DeliveryStatus.ACCEPTED, None, now + INCOMPLETE_PAUSE)
    newest: list[Item] = []
    count, last = 0, None
    slices: list[DeliveryData] = []
    hold, ready = None, False
    while items := await stores.digests.list_waiting(digest.id, last, SLICE_SIZE):
        last = items[-1].id
        data = await stores.load(items)
        left_out: defaultdict[tuple[DeliveryStatus, Reason | None], list[Delivery]] = defaultdict(list)
        for item in items:
            end = check(item, data, now)
            if end and end.due_at is None:
                left_out[end.status, end.reason].append(item)
                continue
            hold, ready = end or hold, ready or end is None
            count += 1
            if len(newest) < ITEMS_SHOWN:
                newest.append(Item(item, data.notifications[item.notification]))
                if not slices or slices[-1] is not data:
                    slices.append(data)
        for (status, reason), ended in left_out.items():
            await stores.digest_items.end(ended, status, reason)
    if not slices:
        return Transition(DeliveryStatus.SKIPPED, Reason.EMPTY)
    if hold and not ready:
        return hold
    await stores.digests.set_item_count(digest.id, count)
    data = replace(
        slices[0],
        notifications=ChainMap(*(dict(data.notifications) for data in slices)),
        template_sends=ChainMap(*(dict(data.template_sends) for data in slices)),
    )
    return Collected(newest, count, data)
