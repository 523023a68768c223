"""Changes of whole sends in their records: cancellation, recall, pause, and resumption.

A change first marks the record, which decides what workers do from then on. The rest of a cancellation, a recall, or a
resumption takes place in rounds. A process claims the change for one round, with a lease by real time. A newer change
of the send takes the claim away, so the round of an older one cannot complete it.

The webhook calls of a pause are stored in the transaction that marks the send.
"""

from datetime import datetime

import pymongo
from pymongo import ASCENDING, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.tenants import Tenants
from hub.ids import new_id
from hub.model import SEND_CONTENT_FIELDS, Send, SendStatus
from hub.platform.connections import DURABLE, SNAPSHOT, Database, Document
from hub.platform.tolerant_decoding import decode, decode_page
from hub.status.scheduled_sends import prepare_by_from
from hub.status.sends import (
    COLLECTION,
    GUARD_FIELDS,
    PAUSE_FIELDS,
    PROGRESS_FIELDS,
    RESTORED_INDEX,
    RESTORED_PAUSE,
    STATUS_INDEX,
    UNSCHEDULED,
)
from hub.utc_time import Clock
from hub.webhooks import webhook_calls

PAUSABLE = [SendStatus.SCHEDULED, SendStatus.PREPARING, SendStatus.EXPANDING, SendStatus.ACCEPTED]
"""The statuses in which a send can be paused, and to which it returns."""
CANCELLABLE = [*PAUSABLE, SendStatus.PAUSED, SendStatus.CANCELLED]
CLAIM_FIELDS = ("claim", "leased_until", *PROGRESS_FIELDS)
BATCH_SIZE = 10  # changes that are due
PAUSE_TIMEOUT_S = 10.0  # of the transaction that marks a send as paused, including its retries


class SendChanges:
    def __init__(self, database: Database, tenants: Tenants, clock: Clock) -> None:
        self._sends = database[COLLECTION]
        self._calls = database[webhook_calls.COLLECTION]
        self._tenants = tenants
        self._clock = clock

    async def mark_cancelled(self, tenant: str, id: str, status: SendStatus, lease_end: datetime) -> Send | None:
        """Mark a send as cancelled or recalled, and claim the change. From now on, none of its deliveries is sent.
        Return None if the send does not exist, or has ended otherwise. A recalled send remains recalled, and its
        content is deleted."""
        content = SEND_CONTENT_FIELDS if status is SendStatus.RECALLED else ()
        unset = dict.fromkeys((*PAUSE_FIELDS, *PROGRESS_FIELDS, *content), "")
        values = {"status": status, "claim": new_id(), "leased_until": lease_end}
        return await self._change(tenant, id, CANCELLABLE, {"$set": values, "$unset": UNSCHEDULED | unset})

    async def mark_paused(self, tenant: str, id: str, reason: str, *, by_guard: bool = False) -> Send | None:
        """Mark a send as paused, and store the webhook calls. From now on, no call for it starts, and it is not
        published. Return None if its status does not allow this, or, with `by_guard`, if the failure guard has decided
        before."""
        values: Document = {"status": SendStatus.PAUSED, "paused_from": "$status"}
        values |= {"paused_reason": {"$literal": reason}} | ({"paused_by_guard": True} if by_guard else {})
        unset = ["due_at", "prepare_by", *CLAIM_FIELDS, *(GUARD_FIELDS if by_guard else ())]
        match: Document = {"_id": id, "tenant": tenant, "status": {"$in": PAUSABLE}}
        match |= {"guarded": True} if by_guard else {}
        endpoints = (await self._tenants.get(tenant)).endpoints

        async def mark(session: AsyncClientSession) -> Send | None:
            send = await self._update(match, [{"$set": values}, {"$unset": unset}], session)
            if send and (calls := webhook_calls.calls_for_paused(send, endpoints, self._clock())):
                await self._calls.insert_many(calls, session=session)
            return send

        with pymongo.timeout(PAUSE_TIMEOUT_S):
            async with self._sends.database.client.start_session(causal_consistency=False) as session:
                return await session.with_transaction(mark, read_concern=SNAPSHOT, write_concern=DURABLE)

    async def mark_resumed(self, tenant: str, id: str, now: datetime, lease_end: datetime) -> Send | None:
        """Give a paused send the status that it had, and claim the change. Return None if it is not paused."""
        scheduled = {"$eq": ["$paused_from", SendStatus.SCHEDULED]}
        preparing = {"$eq": ["$paused_from", SendStatus.PREPARING]}
        values = {
            "status": "$paused_from",
            "due_at": {"$cond": [scheduled, "$send_at", "$$REMOVE"]},
            "prepare_by": {"$cond": [preparing, prepare_by_from(self._clock()), "$$REMOVE"]},
            "resumed_at": now,
            "claim": new_id(),
            "leased_until": lease_end,
        }
        return await self._change(tenant, id, [SendStatus.PAUSED], [{"$set": values}, {"$unset": list(PAUSE_FIELDS)}])

    async def list_due(self, now: datetime, left_out: list[str]) -> list[Send]:
        """Return a batch of sends whose change continues now, first due first, except those in `left_out`."""
        due = self._sends.find({"leased_until": {"$lte": now}, "_id": {"$nin": left_out}}, hint="leases")
        return await decode_page(due.sort("leased_until", ASCENDING), Send, BATCH_SIZE)

    async def list_restored(self, tenant: str, limit: int) -> list[str]:
        """Return the ids of up to `limit` sends of a tenant that are paused since a restore."""
        match = {"tenant": tenant, "paused_reason": RESTORED_PAUSE, "status": SendStatus.PAUSED}
        docs = self._sends.find(match, {"_id": 1}, hint=RESTORED_INDEX).limit(limit)
        return [doc["_id"] async for doc in docs]

    async def claim(self, send: Send, lease_end: datetime) -> Send | None:
        """Claim the change of a send for a round. Return None if another process was faster."""
        values = {"claim": new_id(), "leased_until": lease_end}
        match = {"_id": send.id, "claim": send.claim, "leased_until": send.leased_until}
        return await self._update(match, {"$set": values})

    async def release(
        self, send: Send, next_at: datetime, remaining: int | None, recalled_to: str, *, is_estimate: bool
    ) -> Send | None:
        """Record the progress of a claimed change. Its next round begins at `next_at`. Return None if the claim was
        lost."""
        values: Document = {"leased_until": next_at, "recalled_to": recalled_to}
        progress: Document = {"remaining": remaining, "remaining_is_estimate": is_estimate or None}
        values |= {name: value for name, value in progress.items() if value is not None}
        unset = {name: "" for name, value in progress.items() if value is None}
        return await self._update(_claimed(send), {"$set": values, "$unset": unset} if unset else {"$set": values})

    async def finish(self, send: Send) -> Send | None:
        """Record that a claimed change is complete. Return None if the claim was lost."""
        return await self._update(_claimed(send), {"$unset": dict.fromkeys(CLAIM_FIELDS, "")})

    async def replace_reason(self, tenant: str, reason: str, replacement: str) -> None:
        """Replace the reason of the tenant's paused sends that have this reason."""
        match = {"tenant": tenant, "status": SendStatus.PAUSED, "paused_reason": reason}
        await self._sends.update_many(match, {"$set": {"paused_reason": replacement}}, hint=STATUS_INDEX)

    async def _change(
        self,
        tenant: str,
        id: str,
        statuses: list[SendStatus],
        update: Document | list[Document],
    ) -> Send | None:
        return await self._update({"_id": id, "tenant": tenant, "status": {"$in": statuses}}, update)

    async def _update(
        self, match: Document, update: Document | list[Document], session: AsyncClientSession | None = None
    ) -> Send | None:
        after = ReturnDocument.AFTER
        doc = await self._sends.find_one_and_update(match, update, return_document=after, session=session)
        return decode(doc, Send) if doc else None


def _claimed(send: Send) -> Document:
    return {"_id": send.id, "claim": send.claim}
