"""Gives the items of a digest their final status, in slices. The worker begins and the scheduler continues."""

import functools
from collections import defaultdict
from collections.abc import Sequence

from hub.model import Delivery, DeliveryStatus, Reason
from hub.outbox.lanes import Lanes
from hub.platform.connections import Document
from hub.status.deliveries import SENT_STATUSES, Deliveries
from hub.status.digests import Digests, end_of_items

LOCK_MS = 10_000
BEFORE_END = (DeliveryStatus.HELD, *SENT_STATUSES)
"""The statuses of items that a status of their digest may replace. A later report of a provider also reaches them."""


class DigestItems:
    def __init__(self, digests: Digests, deliveries: Deliveries, lanes: Lanes) -> None:
        self._digests = digests
        self._deliveries = deliveries
        self._lanes = lanes

    async def begin(self, digests: Sequence[str]) -> None:
        """Settle the first items of digests that ended."""
        await self._settle(await self._digests.find_pending(digests))

    async def tick(self) -> int:
        """Settle one slice of the items of digests that ended. Return the number of digests."""
        async with self._lanes.tick_lock("digest_items", LOCK_MS) as may_run:
            pending = await self._digests.list_pending() if may_run else []
            await self._settle(pending)
        return len(pending)

    async def end(self, items: Sequence[Delivery], status: DeliveryStatus, reason: Reason | None) -> None:
        """End items that their digest leaves out, with receipts."""
        ids = [item.id for item in items]
        await self._deliveries.finish({"_id": {"$in": ids}}, status, reason, [DeliveryStatus.HELD])

    async def _settle(self, pending: Sequence[Document]) -> None:
        """Settle one slice of the items of digests, together for those with the same end."""
        by_end: defaultdict[tuple[str, str | None], list[Document]] = defaultdict(list)
        for digest in pending:
            by_end[digest["status"], digest.get("reason")].append(digest)
        for (status, reason), digests in by_end.items():
            if reason == Reason.DAILY_LIMIT:  # each item is shown in the inbox when the scheduler skips it
                for digest in digests:
                    if not await self._digests.release_items(digest["_id"]):
                        await self._digests.mark_settled([digest])
                continue
            slice_ = await self._deliveries.finish_slice(
                {"digest_id": {"$in": [digest["_id"] for digest in digests]}},
                end_of_items(DeliveryStatus(status)),
                Reason(reason) if reason else None,
                BEFORE_END,
                functools.partial(self._digests.lock_ended, digests),
            )
            if not slice_.more:
                await self._digests.mark_settled(digests)
