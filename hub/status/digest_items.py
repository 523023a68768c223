"""The items of digests that ended or are lost.

- The items of a digest that ended get its status in slices, many digests at once. The worker begins, and the scheduler
  continues.
- Every LOST_EVERY_MS, the scheduler releases the items of digests that do not exist, so it decides each of them. A
  digest is deleted after its items, except by an erasure that stopped halfway. So this repairs damaged data.
"""

from collections import defaultdict
from collections.abc import Sequence

import structlog

from hub.model import Delivery, DeliveryStatus, Reason
from hub.outbox.lanes import Lanes
from hub.platform.connections import Document
from hub.platform.failing_entries import FailingEntries
from hub.platform.redis_errors import REDIS_ERRORS
from hub.status.delivery_ends import DeliveryEnds
from hub.status.digests import Digests

LOCK_MS = 10_000
LOST_EVERY_MS = 60_000

log = structlog.get_logger(__name__)


class DigestItems:
    def __init__(self, digests: Digests, ends: DeliveryEnds, lanes: Lanes) -> None:
        self._digests = digests
        self._ends = ends
        self._lanes = lanes
        self._failing = FailingEntries("digest_items")

    async def begin(self, digests: Sequence[str]) -> None:
        """Settle the first items of digests that ended."""
        for group in _by_end(await self._digests.find_pending(digests)):
            await self._settle_slice(group)

    async def tick(self) -> int:
        """Settle one slice of the items of digests that ended, per status and reason. Return the number of
        digests."""
        async with self._lanes.tick_lock("digest_items", LOCK_MS) as may_run:
            pending = await self._digests.list_pending(self._failing.ids) if may_run else []
            for group in _by_end(pending):
                try:
                    await self._settle_slice(group)
                except Exception:  # noqa: BLE001 - one of the digests may be the cause
                    for digest in group:
                        await self._failing.run(digest["_id"], self._settle_slice([digest]))
        return len(pending)

    async def release_lost(self) -> int:
        """Release the items of digests that do not exist. Return the number of these digests."""
        try:
            if not await self._lanes.acquire_tick_lock("lost_digests", LOST_EVERY_MS):
                return 0
        except REDIS_ERRORS:  # in a later round
            return 0
        lost = await self._digests.find_lost()
        for id in lost:
            items = 0
            while released := await self._digests.release_items(id):
                items += released
            log.warning("digest_lost", delivery=id, items=items)
        return len(lost)

    async def end(self, items: Sequence[Delivery], status: DeliveryStatus, reason: Reason | None) -> None:
        """End items that their digest leaves out, with receipts."""
        ids = [item.id for item in items]
        await self._ends.finish({"_id": {"$in": ids}}, status, reason, [DeliveryStatus.HELD])

    async def _settle_slice(self, digests: Sequence[Document]) -> None:
        """Settle a slice of digests with the same status and reason."""
        if digests[0].get("reason") == Reason.DAILY_LIMIT:  # the scheduler shows each item in the inbox and skips it
            settled = [digest for digest in digests if not await self._digests.release_items(digest["_id"])]
        else:
            settled = await self._ends.finish_items(digests)
        if settled:
            await self._digests.mark_settled(settled)


def _by_end(digests: Sequence[Document]) -> list[list[Document]]:
    groups: defaultdict[tuple[str, str | None], list[Document]] = defaultdict(list)
    for digest in digests:
        groups[digest["status"], digest.get("reason")].append(digest)
    return list(groups.values())
