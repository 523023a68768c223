"""Changes of inboxes: marking notifications, marking all, recalls, clicks, and changes that time causes."""

from collections.abc import Sequence

from msgspec import Struct
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.inbox import state
from hub.inbox.committer import Committer
from hub.inbox.inbox_reader import Inboxes, InboxQuery
from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import WorkDefaults
from hub.live.publisher import Publisher
from hub.model import (
    Channel,
    Delivery,
    DeliveryStatus,
    InboxEvent,
    InboxEventKind,
    InboxState,
    Mailbox,
    MailboxChange,
    Notification,
    PendingReceipt,
    Reason,
    ReceiptKind,
)
from hub.platform import tracing
from hub.status.deliveries import Deliveries

CHUNK = 250  # notifications per transaction of a bulk change; larger transactions would delay other changes
RESPONSE_MAX = 100  # notifications in a response, and events of a filtered change; a larger change causes one RESYNC

ALL_EVENTS: dict[state.Mark, InboxEventKind] = {
    state.seen: InboxEventKind.ALL_SEEN,
    state.read: InboxEventKind.ALL_READ,
    state.archived: InboxEventKind.ALL_ARCHIVED,
}
UNAFFECTED_STATES: dict[state.Mark, frozenset[InboxState]] = {
    state.seen: frozenset({InboxState.UNREAD, InboxState.READ}),
    state.read: frozenset({InboxState.READ}),
    state.archived: frozenset({InboxState.ARCHIVED}),
}
"""The states in which a mark has no effect."""


class Marked(Struct, frozen=True):
    """The result of a mark. `notifications` are the changed notifications, at most 100. `changed` is the number of all
    changed ones. `head` is the mailbox after the change."""

    notifications: list[Notification]
    changed: int
    head: Mailbox


class InboxActions:
    """Changes inboxes. `bulk_max` is the maximum number of notifications that one transaction changes."""

    def __init__(
        self, committer: Committer, inboxes: Inboxes, deliveries: Deliveries, publisher: Publisher, bulk_max: int
    ) -> None:
        self._committer = committer
        self._inboxes = inboxes
        self._deliveries = deliveries
        self._publisher = publisher
        self._bulk_max = bulk_max

    async def mark(self, mailbox: str, ids: Sequence[str], mark: state.Mark) -> Marked:
        """Mark the existing notifications in `ids`. A notification that the mark does not change causes no event."""
        return await self._committer.submit(_MarkWork(mailbox, tuple(dict.fromkeys(ids)), mark))

    async def mark_all(self, mailbox: str, query: InboxQuery, mark: state.Mark) -> Marked:
        """Mark all matching notifications that exist when the method is called.

        Without a filter, and if it fits in one transaction, the mark is one change with an ALL_* event. Otherwise the
        notifications are marked in chunks, and other devices receive up to 100 UPDATED events or one RESYNC event.
        """
        states = [name for name in state.VIEWS[query.view] if name not in UNAFFECTED_STATES[mark]]
        if query.is_empty:
            head = await self.get_or_create_mailbox(mailbox)
            if (mark is state.seen and not head.unseen) or (mark is state.read and not head.unread):
                return Marked([], 0, head)
            work = _MarkAllWork(mailbox, mark, states, self._inboxes, self._bulk_max)
            if marked := await self._committer.submit(work):
                return marked
        head = await self.get_or_create_mailbox(mailbox)
        rows = await self._inboxes.list_ids(mailbox, query, states, RESPONSE_MAX + 1, upto=head.modseq)
        if len(rows) <= RESPONSE_MAX:
            return await self.mark(mailbox, [id for id, _ in rows], mark)
        first_changed: list[Notification] = []
        changed, upto = 0, head.modseq
        try:
            while rows := await self._inboxes.list_ids(mailbox, query, states, self._bulk_max, upto=upto):
                upto = rows[-1][1] - 1
                for start in range(0, len(rows), CHUNK):
                    ids = tuple(id for id, _ in rows[start : start + CHUNK])
                    marked = await self._committer.submit(_MarkWork(mailbox, ids, mark, publish=False))
                    first_changed = (first_changed + marked.notifications)[:RESPONSE_MAX]
                    changed += marked.changed
                    head = marked.head
        finally:  # also if only some notifications were changed before an error
            if changed:
                self._publisher.enqueue([_resync(head)])
        return Marked(first_changed, changed, head)

    async def get_or_create_mailbox(self, mailbox: str) -> Mailbox:
        """Return the mailbox. Create the mailbox if it does not exist."""
        if head := await self._inboxes.get_mailbox(mailbox):
            return head
        return await self.create_mailbox(mailbox)

    async def create_mailbox(self, mailbox: str) -> Mailbox:
        """Return the mailbox of a user who probably does not have one. Concurrent calls are committed together."""
        return (await self.mark(mailbox, (), state.seen)).head

    async def recall(self, ids: Sequence[tuple[str, str]]) -> None:
        """Remove notifications, given as `(mailbox, id)`, and their content, except from mailboxes that cannot be
        decoded."""
        try:
            await self._committer.submit(_RecallWork(ids))
        except UnreadableMailbox as error:
            if readable := [(mailbox, id) for mailbox, id in ids if mailbox not in error.mailboxes]:
                await self._committer.submit(_RecallWork(readable))

    async def click(self, delivery: Delivery) -> None:
        """Mark the notification of a clicked delivery as read. For the first click, write a receipt."""
        await self._committer.submit(_ClickWork(delivery, self._deliveries))

    async def apply_due(self, mailbox: str, ids: Sequence[str]) -> list[str]:
        """End snoozes and remove expired notifications. Return the ids of the notifications that cannot be processed
        because this version cannot decode them or their mailbox."""
        try:
            return await self._committer.submit(_DueWork(mailbox, tuple(ids)))
        except UnreadableMailbox:
            return list(ids)


class _MarkWork(WorkDefaults):
    def __init__(self, mailbox: str, ids: tuple[str, ...], mark: state.Mark, *, publish: bool = True) -> None:
        self._mailbox = mailbox
        self._mark = mark
        self._publish = publish
        self.mailboxes = (mailbox,)
        self.reads = ids
        self.documents = len(ids)

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> Marked:
        changed = []
        for id in self.reads:
            before = unit.get(self._mailbox, id)
            after = before and self._mark(before, unit.now)
            if before and after:
                changed.append(unit.change(after, publish=self._publish))
                _add_receipts(unit, before, after)
        return Marked(changed[:RESPONSE_MAX], len(changed), unit.get_mailbox(self._mailbox))


class _DueWork(WorkDefaults):
    """The notifications of one mailbox whose snooze, lifetime, or retention period has ended."""

    def __init__(self, mailbox: str, ids: tuple[str, ...]) -> None:
        self._mailbox = mailbox
        self.mailboxes = (mailbox,)
        self.reads = ids
        self.documents = len(ids)

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> list[str]:
        """Return the ids of the notifications that remain due."""
        unprocessed = []
        for id in self.reads:
            before = unit.notifications.get(id)
            after = state.apply_clock(before, unit.now) if before and not before.removed_at else None
            if after:
                unit.change(after)
                if after.removed_as and not after.hidden:
                    unit.receipts.append(PendingReceipt(after, Channel.IN_APP, after.removed_as))
            elif before is None or (before.wake_at and before.wake_at <= unit.now):
                unprocessed.append(id)
        return unprocessed


class _ClickWork(WorkDefaults):
    documents = 2

    def __init__(self, delivery: Delivery, deliveries: Deliveries) -> None:
        self._delivery = delivery
        self._deliveries = deliveries
        self.mailboxes = (delivery.mailbox,)
        self.reads = (delivery.notification,)

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        n = unit.notifications.get(self._delivery.notification)
        if n is None:
            return
        if await self._deliveries.record_click(self._delivery.id, unit.now, session):
            unit.receipts.append(PendingReceipt(n, self._delivery.channel, kind=ReceiptKind.CLICKED))
        if (n.state or n.hidden) and (after := state.clicked(self._delivery.channel)(n, unit.now)):
            where = self._delivery.channel if n.hidden else Channel.IN_APP
            _add_receipts(unit, n, unit.change(after), where)


class _RecallWork(WorkDefaults):
    def __init__(self, ids: Sequence[tuple[str, str]]) -> None:
        self.mailboxes = {mailbox for mailbox, _ in ids}
        self.reads = tuple(id for _, id in ids)
        self.documents = len(ids)

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> None:
        for id in self.reads:
            before = unit.notifications.get(id)
            after = before and state.recalled(before, unit.now)
            if before and after:
                removed = unit.change(after)
                if not before.state:  # no inbox shows it
                    continue
                unit.receipts.append(PendingReceipt(removed, Channel.IN_APP, DeliveryStatus.CANCELLED, Reason.RECALLED))


class _MarkAllWork(WorkDefaults):
    """A mark of all notifications in `states`, with one modseq. If there are more than `limit`, nothing is changed and
    the result is None."""

    exclusive = True

    def __init__(
        self, mailbox: str, mark: state.Mark, states: Sequence[InboxState], inboxes: Inboxes, limit: int
    ) -> None:
        self._mailbox = mailbox
        self._mark = mark
        self._states = states
        self._inboxes = inboxes
        self._limit = limit
        self.mailboxes = (mailbox,)
        self.documents = limit

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> Marked | None:
        found = await self._inboxes.list_in_states(self._mailbox, self._states, self._limit + 1, session)
        if len(found) > self._limit:
            return None
        pairs = [(before, after) for before in found if (after := self._mark(before, unit.now))]
        changed: list[Notification] = []
        if pairs:
            unit.load(found)
            changed = unit.change_all(ALL_EVENTS[self._mark], [after for _, after in pairs])
            for before, after in pairs:
                _add_receipts(unit, before, after)
        return Marked(changed[:RESPONSE_MAX], len(changed), unit.get_mailbox(self._mailbox))


def _add_receipts(unit: UnitOfWork, before: Notification, after: Notification, where: Channel = Channel.IN_APP) -> None:
    unit.receipts += [PendingReceipt(after, where, kind=kind) for kind in state.receipt_kinds(before, after)]
    if after.has_deliveries and _may_stop(before, after):
        unit.stopping.append(after)


def _may_stop(before: Notification, after: Notification) -> bool:
    """Return True if a mark may stop deliveries. Without steps, reading, archiving, and snoozing do."""
    names = ("read_at", "archived_at", "snoozed_until", *(("seen_at", "acknowledged_at") if after.has_steps else ()))
    return any(getattr(after, name) and not getattr(before, name) for name in names)


def _resync(head: Mailbox) -> MailboxChange:
    kind, traceparent = InboxEventKind.RESYNC, tracing.current_traceparent()
    event = InboxEvent(kind=kind, modseq=head.modseq, unread=head.unread, unseen=head.unseen, traceparent=traceparent)
    return MailboxChange(mailbox=head.id, epoch=head.epoch, first=head.modseq, last=head.modseq, events=(event,))
