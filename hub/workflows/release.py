"""The task that releases deliveries that wait for a time: the deliveries on the lanes of the scheduler.

Guarantees
- A delivery is released once. The transaction reads it again, so two schedulers or a killed one do no harm.
- Each delivery is decided again with the current user, tenant, notification, and send. It becomes ACCEPTED and is
  enqueued after the commit, is HELD until a later time, or ends with its receipt.
- What leaves counts against the daily limit of its user. Over the limit, the notification is shown in the inbox.
- A step without a device becomes one delivery for each device that the user has now.
- A digest is closed before it is sent. A digest without items ends.
- What quiet hours or do-not-disturb hold joins a briefing, except what was tried before.
- What a paused send would deliver is held until the send is resumed, and what would leave on a paused channel until the
  channel is resumed. An open digest of such a channel stays open.
- A user who was erased is not created again.

The works have the rank LOW, and each changes one mailbox. A worker sends what this version cannot decode to its end.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta

import structlog
from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.templates import Templates
from hub.audience.tenants import default_category
from hub.decide.effective_preferences import may_show
from hub.decide.plan import Decision
from hub.decide.recheck import held_while_paused, question_about, recheck
from hub.decide.timing import INTERRUPTING, availability_of, count_interruption, interruption_of, is_counted
from hub.errors import Unavailable
from hub.inbox import state
from hub.inbox.committer import Committer
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import WorkDefaults
from hub.model import (
    REPORTED_STATUSES,
    Category,
    Channel,
    Delivery,
    DeliveryStatus,
    Notification,
    PendingReceipt,
    Reason,
    Tenant,
    User,
    delivery_id,
    document,
)
from hub.outbox.lanes import SCHEDULER_LANES, Lanes
from hub.settings import Settings
from hub.status import deliveries, held_deliveries
from hub.status.digests import ItemKind
from hub.status.held_deliveries import DUE_AT_ONCE, HeldDeliveries, HeldEntry
from hub.utc_time import Clock
from hub.workflows.digest_closing import TemplateSets, close_digest, read_templates

WORK_SIZE = 50  # deliveries per work
LOCK_MS = 10_000
POSTPONED = timedelta(seconds=60)  # after a delivery could not be released
UNAVAILABLE_PAUSE = timedelta(seconds=10)  # after a transaction did not end in time, so others are not delayed

log = structlog.get_logger(__name__)


class WaitingDeliveries(Struct, frozen=True):
    """The deliveries of a batch that still wait, by id, and those of their sends that are cancelled, recalled, or
    paused, with the reason.
    `interruptions`: those of their notifications that have been counted against a daily limit. `item_kinds`: the kinds
    of the items that may leave with their digests, empty if the sends of all items are paused. Digests without items
    are left out."""

    deliveries: Mapping[str, Delivery]
    stopped: Mapping[str, Reason]
    interruptions: set[str]
    item_kinds: Mapping[str, Collection[ItemKind]] = {}


class _Subject(Struct, frozen=True):
    """The documents that a delivery concerns."""

    n: Notification
    user: User
    tenant: Tenant
    category: Category


class Releases:
    """Releases due deliveries. Every worker may run the task. A Redis lock assigns each round to one worker."""

    def __init__(
        self,
        held: HeldDeliveries,
        templates: Templates,
        committer: Committer,
        lanes: Lanes,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._held = held
        self._templates = templates
        self._committer = committer
        self._lanes = lanes
        self._configured = settings.configured
        self._requeue_after = timedelta(seconds=settings.requeue_after_s)
        self._clock = clock

    async def tick(self) -> int:
        """Release due deliveries, at most one batch per lane. Return their number."""
        released, lane = 0, SCHEDULER_LANES[0]
        async with self._lanes.tick_lock("releases", LOCK_MS) as may_run:
            while may_run and (due := await self._held.list_due(self._clock(), lane, DUE_AT_ONCE)):
                await self._release(due)
                lane = due[-1].lane
                released += len(due)
        return released

    async def _release(self, due: Sequence[HeldEntry]) -> None:
        templates = await read_templates(self._templates, [one.mailbox for one in due if not one.notification])
        works = [
            _ReleaseWork(mailbox, part, templates, self._configured, self._requeue_after)
            for mailbox, part in _by_mailbox(due)
        ]
        submitted = [self._committer.submit(work) for work in works]
        results = await asyncio.gather(*submitted, return_exceptions=True)
        failed: list[str] = []
        unavailable: list[str] = []
        for work, result in zip(works, results, strict=True):
            if isinstance(result, Unavailable):
                unavailable += work.deliveries
            elif isinstance(result, BaseException):
                log.warning("release_failed", deliveries=len(work.deliveries), first=min(work.deliveries), error=result)
                failed += work.deliveries
            else:
                failed += result
        for ids, pause in ((failed, POSTPONED), (unavailable, UNAVAILABLE_PAUSE)):
            if ids:
                await self._held.postpone(ids, self._clock() + pause)


def _by_mailbox(due: Sequence[HeldEntry]) -> Iterator[tuple[str, list[HeldEntry]]]:
    by_mailbox: dict[str, list[HeldEntry]] = defaultdict(list)
    for entry in due:
        by_mailbox[entry.mailbox].append(entry)
    for mailbox, entries in by_mailbox.items():
        for start in range(0, len(entries), WORK_SIZE):
            yield mailbox, entries[start : start + WORK_SIZE]


class _ReleaseWork(WorkDefaults):
    """The due deliveries of one mailbox."""

    low = True
    needs_recipients = True

    def __init__(
        self,
        mailbox: str,
        due: Sequence[HeldEntry],
        templates: TemplateSets,
        configured: frozenset[Channel],
        requeue_after: timedelta,
    ) -> None:
        self._templates = templates
        self._configured = configured
        self._requeue_after = requeue_after
        self.mailboxes = (mailbox,)
        self.reads = tuple({entry.notification for entry in due if entry.notification})
        self.deliveries = tuple(sorted(entry.id for entry in due))  # those of a notification follow one another
        self.documents = 2 * len(due)  # with the receipt, or for a second device

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> list[str]:
        """Return the ids of the deliveries that cannot be released."""
        waiting: WaitingDeliveries = unit.deliveries
        unreleased = []
        for id in self.deliveries:
            delivery = waiting.deliveries.get(id)
            if delivery is None:  # released in the meantime, or it cannot be decoded
                unreleased.append(id)
                continue
            if not delivery.due_at or delivery.due_at > unit.now:
                continue
            is_channel_paused = unit.decision_data.tenants[delivery.tenant].is_paused(delivery.channel)
            if delivery.digest_key:
                items = waiting.item_kinds.get(id)
                if is_channel_paused and items:
                    items = ()
                close_digest(unit, delivery, items, self._templates, self._requeue_after)
                continue
            decision = self._decide(unit, delivery, waiting.stopped.get(delivery.send))
            if decision.outcome is DeliveryStatus.ACCEPTED and is_channel_paused:
                update = held_deliveries.channel_paused_update(delivery, unit.now)
                unit.update(deliveries.COLLECTION, delivery.id, update)
                continue
            if decision.outcome is DeliveryStatus.ACCEPTED:
                delivery, decision = _counted(unit, delivery, decision, waiting.interruptions)
            if decision.outcome is DeliveryStatus.ACCEPTED:
                if not self._accept(unit, delivery, decision):
                    unreleased.append(id)
            else:
                _hold_or_end(unit, delivery, decision)
        return unreleased

    def _decide(self, unit: UnitOfWork, delivery: Delivery, stopped: Reason | None) -> Decision:
        if stopped is Reason.PAUSED:
            return held_while_paused(self._decide(unit, delivery, None))
        if stopped:
            return Decision(delivery.channel, DeliveryStatus.CANCELLED, stopped)
        if delivery.expires_at and delivery.expires_at <= unit.now:
            return Decision(delivery.channel, DeliveryStatus.EXPIRED)
        about = _subject(unit, delivery)
        if about is None:  # the worker finds out whether they were erased or cannot be decoded
            return Decision(delivery.channel, DeliveryStatus.ACCEPTED)
        n = about.n
        decision = recheck(delivery, n, about.category, about.tenant, about.user, self._configured, unit.now)
        if delivery.channel is Channel.IN_APP and decision.outcome is DeliveryStatus.ACCEPTED and not n.title:
            return Decision(Channel.IN_APP, DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR)
        return decision

    def _accept(self, unit: UnitOfWork, delivery: Delivery, decision: Decision) -> bool:
        """Release a delivery. Return False if its notification cannot be shown."""
        if delivery.channel is Channel.IN_APP:
            n = unit.notifications.get(delivery.notification)
            if n is None:
                return False
            _show(unit, n, delivery.step)
            unit.update(deliveries.COLLECTION, delivery.id, held_deliveries.shown_update(delivery.id))
            return True
        first, *others = (delivery.device,) if delivery.device else decision.devices or (None,)
        after = held_deliveries.accepted(delivery, delivery.id, first, self._requeue_after, unit.now)
        unit.update(deliveries.COLLECTION, delivery.id, held_deliveries.accepted_update(after))
        unit.released.append((after.lane, after.id))
        for device in others:
            id = delivery_id(delivery.notification, delivery.channel, device, delivery.step)
            other = held_deliveries.accepted(delivery, id, device, self._requeue_after, unit.now)
            unit.insert(deliveries.COLLECTION, document(other))
        return True


def _subject(unit: UnitOfWork, delivery: Delivery) -> _Subject | None:
    """Return the documents that a delivery concerns, or None if its notification or user cannot be read."""
    data = unit.decision_data
    n, user = unit.notifications.get(delivery.notification), data.users.get(delivery.mailbox)
    if n is None or user is None:
        return None
    tenant = data.tenants[delivery.tenant]
    return _Subject(n, user, tenant, tenant.category(n.category) or default_category(n.category))


def _counted(
    unit: UnitOfWork, delivery: Delivery, decision: Decision, interruptions: set[str]
) -> tuple[Delivery, Decision]:
    """Count a delivery that leaves now against the daily limit, unless its interruption is one of `interruptions`. Over
    the limit, skip it, and show its notification."""
    about = _subject(unit, delivery)
    if about is None or delivery.counted or delivery.channel not in INTERRUPTING:
        return delivery, decision
    availability = availability_of(about.user, about.tenant)
    if availability is None or not is_counted(availability, question_about(delivery, about.n, about.category)):
        return delivery, decision
    interruption = interruption_of(delivery.notification, delivery.step)
    if interruption in interruptions:
        return replace(delivery, counted=True), decision
    if counted := count_interruption(availability, unit.get_mailbox(delivery.mailbox), unit.now, interruption):
        unit.set_interruptions(delivery.mailbox, counted)
        interruptions.add(interruption)
        return replace(delivery, counted=True), decision
    has_text = bool(about.n.title)  # the rendering of a template may have failed
    if about.n.hidden and has_text and may_show(about.category, about.user, about.tenant):
        _show(unit, about.n, delivery.step)
    return delivery, Decision(delivery.channel, DeliveryStatus.SKIPPED, Reason.DAILY_LIMIT)


def _show(unit: UnitOfWork, n: Notification, step: int) -> None:
    """Show a notification in the inbox. If the inbox shows it already, it returns to the top as new."""
    shown = unit.change(state.shown(n, step))
    unit.receipts.append(PendingReceipt(shown, Channel.IN_APP, DeliveryStatus.DELIVERED))


def _hold(unit: UnitOfWork, delivery: Delivery, decision: Decision) -> None:
    """Hold a delivery until a quiet time ends. It joins a briefing for each device. A delivery that was tried before
    waits by itself, because the first call may have arrived."""
    user, reason, due_at = unit.decision_data.users.get(delivery.mailbox), decision.reason, decision.due_at
    revision = user.revision if user else delivery.revision
    if delivery.attempts or delivery.mailbox in unit.new_mailboxes:  # a new mailbox: the user was erased
        update = held_deliveries.held_update(delivery.id, reason, due_at, revision, unit.now)
        unit.update(deliveries.COLLECTION, delivery.id, update)
        return
    held = replace(delivery, reason=reason, due_at=due_at, revision=revision, updated_at=unit.now)
    first, *others = (delivery.device,) if delivery.device else decision.devices or (None,)
    unit.held_updates.append(replace(held, device=first))
    for device in others:
        id = delivery_id(delivery.notification, delivery.channel, device, delivery.step)
        unit.held_inserts.append(replace(held, id=id, device=device))


def _hold_or_end(unit: UnitOfWork, delivery: Delivery, decision: Decision) -> None:
    status, reason, now = decision.outcome, decision.reason, unit.now
    if reason is Reason.PAUSED:
        unit.update(deliveries.COLLECTION, delivery.id, held_deliveries.paused_update(delivery.id, now))
        return
    if status is DeliveryStatus.HELD:
        _hold(unit, delivery, decision)
        return
    unit.update(deliveries.COLLECTION, delivery.id, held_deliveries.ended_update(delivery.id, status, reason, now))
    if status in REPORTED_STATUSES:
        unit.receipts.append(PendingReceipt(delivery, delivery.channel, status, reason))
