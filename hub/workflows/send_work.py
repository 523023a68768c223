"""The work of the group commit that decides one send and stores it in one transaction."""

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.tenants import Tenants
from hub.errors import HubError
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Category, Send, SendStatus, document
from hub.settings import Settings
from hub.status import sends
from hub.status.scheduled_sends import ScheduledSend, ScheduledSends, published_update
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.recipients_work import RecipientsWork
from hub.workflows.send_request import SendRequest
from hub.workflows.send_texts import SendIds, SendTexts
from hub.workflows.waiting_sends import add_preparing, must_prepare, waiting_record


class DueSend(Struct, frozen=True):
    """A send that is SCHEDULED and due, or PREPARING and enriched, and the store that contains it."""

    send: ScheduledSend
    store: ScheduledSends


class SendWork(RecipientsWork):
    """One send: its record and the documents of its recipients. `due` is set if the send waited."""

    def __init__(
        self,
        tenant: str,
        request: SendRequest,
        key: IdempotencyKey | None,
        tenants: Tenants,
        settings: Settings,
        ids: SendIds,
        texts: SendTexts | HubError | None = None,
        due: DueSend | None = None,
        field: str = "input",
    ) -> None:
        self._due = due
        self._error = texts if isinstance(texts, HubError) else None
        super().__init__(
            tenant,
            replace(request, users=()) if self._error else request,
            tenants,
            settings,
            ids,
            None if isinstance(texts, HubError) else texts,
            frozenset(due.send.scheduled.resolved if due else ()),
            timedelta(seconds=settings.requeue_after_s),
            field,
        )
        self.low = due is not None and due.send.status is SendStatus.SCHEDULED
        if due and due.send.status is SendStatus.PREPARING:
            self.accepted_at = due.send.accepted_at
        self._key = key
        self.keys = (key.id,) if key else ()

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> Send | str | None:
        """Return the new send, or the id of the send that was created earlier with this key. The send is PREPARING if
        it must be enriched first. Return None if a send that waited was changed in the meantime."""
        if self._key and (first := self._key.first_send(unit)):
            return first
        if self._error:
            raise self._error
        if self._due and not await self._due.store.is_unchanged(self._due.send, session):
            return None
        category = unit.decision_data.tenants[self._tenant].category(self._request.category)
        if must_prepare(category, self._request):
            return self._prepare(unit, category)
        documents, category = self._store(unit)
        if self._key:
            self._key.record(unit, self._ids.send)
        send = documents.record(category)
        if self._due:
            unit.update(sends.COLLECTION, send.id, published_update(send))
        else:
            unit.insert(sends.COLLECTION, document(send))
        return send

    def _prepare(self, unit: UnitOfWork, category: Category) -> Send:
        """Store the send with the users that it names, until it is enriched."""
        self.check_estimate()
        request, priority = self._request, self._request.priority or category.priority
        send = waiting_record(self._tenant, self._ids.send, request, self._texts, SendStatus.PREPARING, priority)
        if self._key:
            self._key.record(unit, self._ids.send)
        queued = self._requeue_after or timedelta()
        add_preparing(unit, send, request, category, queued, was_scheduled=self._due is not None)
        return send
