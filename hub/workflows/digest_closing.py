"""The closing of a digest that is due."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace
from pymongo import UpdateOne

from hub.audience.templates import Templates
from hub.audience.tenants import default_category
from hub.decide.digest_choices import changed_end
from hub.decide.templates.digest_texts import TEMPLATE_KEYS, with_template_versions
from hub.decide.templates.lookup import TemplateSet
from hub.decide.timing import (
    INTERRUPTING,
    Question,
    availability_of,
    count_interruption,
    is_counted,
    when,
)
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Delivery, DeliveryStatus, DigestKind, Reason, Tenant, User
from hub.model.mailboxes import tenant_of
from hub.status import deliveries, held_deliveries
from hub.status.digests import ItemKind, end_values

PAUSED_INTERVAL = timedelta(seconds=60)  # at which an open digest whose items are all paused is decided again

TemplateSets = Mapping[tuple[str, str], TemplateSet]
"""The current texts of the templates of digests, by tenant and key."""


async def read_templates(templates: Templates, mailboxes: Iterable[str]) -> TemplateSets:
    """Return the current templates of the digests of these mailboxes. Raise PyMongoError."""
    tenants = {tenant_of(mailbox) for mailbox in mailboxes}
    return await templates.current_sets(tenants, TEMPLATE_KEYS) if tenants else {}


def close_digest(
    unit: UnitOfWork,
    digest: Delivery,
    items: Collection[ItemKind] | None,
    templates: TemplateSets,
    requeue_after: timedelta,
) -> None:
    """Close a digest, so no item can join, and record the versions of its templates. It becomes ACCEPTED, or ends if it
    has no items or the daily limit is reached. In quiet hours, it stays as it is until they end, and after a change of
    the user's choice until then. `items`: the kinds of the items that may leave, or None if no item waits. If the sends
    of all items or the channel are paused, the digest stays open and is decided again later. If it was tried before,
    the worker holds it instead.

    The mailbox is written because joins also write it."""
    now, user = unit.now, unit.decision_data.users.get(digest.mailbox)
    if items is None:
        _end(unit, digest, Reason.EMPTY)
        return
    tenant = unit.decision_data.tenants[digest.tenant]
    if user and _leaves_later(unit, digest, user, tenant):
        return
    if user and not items and not digest.attempts:
        update = held_deliveries.held_update(digest.id, digest.reason, _next_look(digest, now), digest.revision, now)
        unit.update(deliveries.COLLECTION, digest.id, update)
        return
    if user and items and digest.channel in INTERRUPTING:
        availability = availability_of(user, tenant)
        questions = _questions(digest, items, tenant)
        answers = [when(availability, question, now) for question in questions]
        held = [answer for answer in answers if answer.status is DeliveryStatus.HELD and answer.due_at]
        if len(held) == len(answers):
            first = min(held, key=lambda answer: answer.due_at or now)
            update = held_deliveries.held_update(digest.id, first.reason, first.due_at, user.revision, now)
            unit.update(deliveries.COLLECTION, digest.id, update)
            return
        free = [one for one, answer in zip(questions, answers, strict=True) if answer not in held]
        if availability and not digest.counted and all(is_counted(availability, one) for one in free):
            mailbox = unit.get_mailbox(digest.mailbox)
            counted = count_interruption(availability, mailbox, now, _interruption(digest))
            if counted is None:
                _end(unit, digest, Reason.DAILY_LIMIT)
                return
            unit.set_interruptions(digest.mailbox, counted)
            digest = replace(digest, counted=True)
    _lock(unit, digest)
    if digest.template_version is None:  # otherwise it was tried before, and its texts do not change
        digest = with_template_versions(digest, templates)
    after = held_deliveries.accepted(digest, digest.id, digest.device, requeue_after, now)
    unit.update(deliveries.COLLECTION, digest.id, held_deliveries.accepted_update(after))
    unit.released.append((after.lane, after.id))


def _questions(digest: Delivery, items: Collection[ItemKind], tenant: Tenant) -> list[Question]:
    """Return the questions when a digest leaves, one for each kind of its items. A briefing leaves if one of its items
    may leave. The worker takes the others out."""
    return [
        Question(digest.mailbox, priority, (tenant.category(category) or default_category(category)).required)
        for priority, category in items
    ]


def _next_look(digest: Delivery, now: datetime) -> datetime:
    """Return when a digest whose items are paused is decided again. Digests that were due together stay together, so
    they remain one interruption."""
    due_at = digest.due_at or now
    return due_at + ((now - due_at) // PAUSED_INTERVAL + 1) * PAUSED_INTERVAL


def _interruption(digest: Delivery) -> str:
    """Return what identifies an interruption. The digests of several devices that leave together are one."""
    name = "briefing" if digest.digest_kind is DigestKind.BRIEFING else digest.digest_key
    return f"{name}/{digest.due_at.isoformat() if digest.due_at else digest.id}"


def _leaves_later(unit: UnitOfWork, digest: Delivery, user: User, tenant: Tenant) -> bool:
    """Return True if a digest leaves later, because its user has just changed the choice that decided its end."""
    if digest.reason != Reason.DIGEST or digest.revision >= user.revision:
        return False
    end = changed_end(digest, user, tenant, tenant.category(digest.category) or default_category(digest.category))
    if end is None or end[0] <= unit.now:
        return False
    values = {"revision": user.revision, "updated_at": unit.now} | end_values(end)
    unit.update(deliveries.COLLECTION, digest.id, UpdateOne({"_id": digest.id}, {"$set": values}))
    return True


def _end(unit: UnitOfWork, digest: Delivery, reason: Reason) -> None:
    """End a digest. The scheduler ends its items. Over the daily limit, it shows them in the inbox."""
    _lock(unit, digest)
    update = held_deliveries.ended_update(digest.id, DeliveryStatus.SKIPPED, reason, unit.now)
    unit.update(deliveries.COLLECTION, digest.id, update)


def _lock(unit: UnitOfWork, digest: Delivery) -> None:
    if digest.mailbox not in unit.new_mailboxes:  # otherwise the user was erased
        unit.lock(digest.mailbox)
