"""Sends for later: stored now, and published when they are due.

Guarantees
- A scheduled send is one document. It does not depend on Redis or on a running process.
- A due send is published once, with the people, preferences, and templates of that moment. The transaction reads the
  record of the send again, so a killed scheduler or a second one does no harm.
- A send that was canceled before it is due leaves no trace in inboxes. A user who was erased is left out.
- A send whose lifetime has ended is EXPIRED. A send that cannot be published, because its template was deleted, for
  example, is FAILED with the reason.
"""

import asyncio
from datetime import timedelta

import structlog
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.errors import HubError, RateLimited, Unavailable
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import WorkDefaults
from hub.model import Send, SendStatus
from hub.outbox.lanes import Lanes
from hub.status import sends
from hub.status.scheduled_sends import ScheduledSends, scheduled_document
from hub.utc_time import Clock
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.send_request import SendRequest, request_text
from hub.workflows.send_texts import SendTexts
from hub.workflows.waiting_sends import Publication, publish_waiting, waiting_record

BATCH_SIZE = 20  # sends per query
LOCK_MS = 10_000
POSTPONED = timedelta(seconds=60)  # after a send could not be published
UNAVAILABLE_PAUSE = timedelta(seconds=10)
"""After a transaction did not end in time, so others are not delayed, or while the tenant has too many expansions."""

log = structlog.get_logger(__name__)


class ScheduleWork(WorkDefaults):
    """Stores a send for later."""

    mailboxes = ()
    documents = 1

    def __init__(
        self,
        tenant: str,
        id: str,
        request: SendRequest,
        key: IdempotencyKey | None,
        texts: SendTexts | HubError | None,
    ) -> None:
        self._tenant = tenant
        self._id = id
        self._request = request
        self._key = key
        self._texts = texts
        self.keys = (key.id,) if key else ()
        self._text = request_text(request)
        self.size = len(self._text) + sum(map(len, request.users))

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> Send | str:
        """Return the new send, or the id of the send that was created earlier with this key."""
        request = self._request
        if self._key and (first := self._key.first_send(unit)):
            return first
        if isinstance(self._texts, HubError):
            raise self._texts
        if self._key:
            self._key.record(unit, self._id)
        status, priority = SendStatus.SCHEDULED, request.priority
        send = waiting_record(self._tenant, self._id, request, self._texts, status, priority)
        doc = scheduled_document(send, request.users, self._text)
        unit.insert(sends.COLLECTION, doc)
        return send


class DueSends:
    """Publishes due sends. Every worker may run the task. A Redis lock assigns each round to one worker. `publish`
    publishes one send."""

    def __init__(
        self,
        scheduled: ScheduledSends,
        publish: Publication,
        lanes: Lanes,
        clock: Clock,
    ) -> None:
        self._scheduled = scheduled
        self._publish = publish
        self._lanes = lanes
        self._clock = clock

    async def tick(self) -> int:
        """Publish one batch of due sends, longest overdue first. Return their number."""
        async with self._lanes.tick_lock("due_sends", LOCK_MS) as may_run:
            return await self._publish_due() if may_run else 0

    async def _publish_due(self) -> int:
        now = self._clock()
        due, postponed = await self._scheduled.list_due(now, BATCH_SIZE)
        results = await asyncio.gather(
            *(publish_waiting(send, self._publish, self._scheduled, now) for send in due), return_exceptions=True
        )
        unavailable: list[str] = []
        for send, result in zip(due, results, strict=True):
            if isinstance(result, (Unavailable, RateLimited)):
                unavailable.append(send.id)
            elif isinstance(result, BaseException):
                log.warning("scheduled_send_failed", send=send.id, error=result)
                postponed.append(send.id)
        for ids, pause in ((postponed, POSTPONED), (unavailable, UNAVAILABLE_PAUSE)):
            if ids:
                await self._scheduled.postpone(ids, self._clock() + pause)
        return len(due) + len(postponed)
