"""The closing of a digest that is due."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from msgspec.structs import replace

from hub.audience.templates import Templates
from hub.audience.tenants import default_category
from hub.decide.templates.digest_texts import TEMPLATE_KEYS, with_template_versions
from hub.decide.templates.lookup import TemplateSet
from hub.decide.timing import (
    INTERRUPTING,
    Question,
    availability_of,
    count_interruption,
    interruption_of,
    is_counted,
    when,
)
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Delivery, DeliveryStatus, Reason
from hub.model.mailboxes import tenant_of
from hub.status import deliveries, held_deliveries

TemplateSets = Mapping[tuple[str, str], TemplateSet]
"""The current texts of the templates of digests, by tenant and key."""


async def read_templates(templates: Templates, mailboxes: Iterable[str]) -> TemplateSets:
    """Return the current templates of the digests of these mailboxes. Raise PyMongoError."""
    tenants = {tenant_of(mailbox) for mailbox in mailboxes}
    return await templates.current_sets(tenants, TEMPLATE_KEYS) if tenants else {}


def close_digest(
    unit: UnitOfWork, digest: Delivery, templates: TemplateSets, requeue_after: timedelta, *, has_items: bool
) -> None:
    """Close a digest, so no item can join, and record the versions of its templates. It becomes ACCEPTED, or ends if it
    has no items or the daily limit is reached. In quiet hours, it stays as it is until they end.

    The mailbox is written because joins also write it."""
    now, user = unit.now, unit.decision_data.users.get(digest.mailbox)
    if not has_items:
        _end(unit, digest, Reason.EMPTY)
        return
    if user and digest.channel in INTERRUPTING:
        tenant = unit.decision_data.tenants[digest.tenant]
        category = tenant.category(digest.category) or default_category(digest.category)
        availability = availability_of(user, tenant)
        question = Question(digest.mailbox, digest.priority, category.required)
        answer = when(availability, question, now)
        if answer.status is DeliveryStatus.HELD:
            held = held_deliveries.held_update(digest.id, answer.reason, answer.due_at, user.revision, now)
            unit.update(deliveries.COLLECTION, digest.id, held)
            return
        if availability and is_counted(availability, question) and not digest.counted:
            mailbox = unit.get_mailbox(digest.mailbox)
            counted = count_interruption(availability, mailbox, now, interruption_of(digest.id, 0))
            if counted is None:
                _end(unit, digest, Reason.DAILY_LIMIT)
                return
            unit.set_interruptions(digest.mailbox, counted)
            digest = replace(digest, counted=True)
    _lock(unit, digest)
    digest = with_template_versions(digest, templates)
    after = held_deliveries.accepted(digest, digest.id, digest.device, requeue_after, now)
    unit.update(deliveries.COLLECTION, digest.id, held_deliveries.accepted_update(after))
    unit.released.append((after.lane, after.id))


def _end(unit: UnitOfWork, digest: Delivery, reason: Reason) -> None:
    """End a digest. The scheduler ends its items. Over the daily limit, it shows them in the inbox."""
    _lock(unit, digest)
    update = held_deliveries.ended_update(digest.id, DeliveryStatus.SKIPPED, reason, unit.now)
    unit.update(deliveries.COLLECTION, digest.id, update)


def _lock(unit: UnitOfWork, digest: Delivery) -> None:
    if digest.mailbox not in unit.new_mailboxes:  # otherwise the user was erased
        unit.lock(digest.mailbox)
