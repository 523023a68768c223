"""Sends that wait, SCHEDULED or PREPARING: their records, and their publication."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec.structs import replace

from hub.enrichment import jobs
from hub.errors import HubError, RateLimited, Unavailable
from hub.ids import id_time
from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Category, Priority, Send, SendStatus
from hub.status import sends
from hub.status.scheduled_sends import (
    ScheduledSend,
    ScheduledSends,
    preparing_document,
    preparing_fields,
    preparing_update,
)
from hub.workflows.send_request import SendRequest, request_text
from hub.workflows.send_texts import SendTexts

Publication = Callable[[ScheduledSend, SendRequest], Awaitable[bool]]
"""Publishes a send, unless it was changed in the meantime. Returns True if it did."""

log = structlog.get_logger(__name__)


def waiting_record(
    tenant: str, id: str, request: SendRequest, texts: SendTexts | None, status: SendStatus, priority: Priority | None
) -> Send:
    """Return the record of a send that is not decided yet."""
    return Send(
        id=id,
        tenant=tenant,
        category=request.category,
        status=status,
        created_at=id_time(id),
        recipients=len(request.users),
        created_by=request.created_by,
        tags=request.tags,
        priority=priority,
        channels=request.channels,
        expires_at=request.expires_at,
        audience=request.recorded_audience,
        excluded=request.excluded,
        content=request.content,
        collapse_key=request.collapse_key,
        steps=request.requested.own_steps,
        send_at=request.send_at,
        from_own_event=request.from_own_event,
        template=request.template.key if request.template else None,
        template_title=texts.title if texts else None,
        recipient_ids=None if request.audience else sends.recorded(request.users),
    )


def must_prepare(category: Category | None, request: SendRequest) -> bool:
    """Return True if a send has to be enriched before it is decided."""
    return category is not None and category.enrichment is not None and request.enriched is None


def add_preparing(
    unit: UnitOfWork,
    send: Send,
    request: SendRequest,
    category: Category,
    queued: timedelta,
    *,
    was_scheduled: bool,
) -> None:
    """Store a send that is PREPARING, and its job, which may be on its lane for `queued`."""
    assert category.enrichment
    assert send.priority
    wait = preparing_fields(unit.now, jobs.preparing_max(category.enrichment, send.priority), request.expires_at)
    if was_scheduled:
        unit.update(sends.COLLECTION, send.id, preparing_update(send, wait))
    else:
        unit.insert(sends.COLLECTION, preparing_document(send, request.users, request_text(request), wait))
    unit.insert(jobs.COLLECTION, jobs.new_job(send.id, send.tenant, send.priority, unit.now, queued))


async def publish_waiting(
    send: ScheduledSend,
    publish: Publication,
    scheduled: ScheduledSends,
    now: datetime,
    enriched: str | None = None,
) -> bool:
    """Publish a send, or end it if it has expired or cannot be published. Return False if it was changed in the
    meantime. `enriched`: see `SendRequest`. Raise Unavailable, RateLimited, or UnreadableMailbox."""
    if send.expires_at and send.expires_at <= now:
        await scheduled.end(send, SendStatus.EXPIRED)
        return True
    request = msgspec.json.decode(send.scheduled.request, type=SendRequest)
    request = replace(request, users=send.scheduled.users, excluded=send.excluded, enriched=enriched)
    try:
        return await publish(send, request)
    except (Unavailable, RateLimited, UnreadableMailbox):
        raise
    except HubError as error:
        log.warning("waiting_send_rejected", send=send.id, status=send.status, code=error.code)
        await scheduled.end(send, SendStatus.FAILED, str(error))
        return True
