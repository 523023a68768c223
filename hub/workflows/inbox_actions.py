"""Changes of inboxes: marking notifications, marking all, recalls, clicks, and changes that time causes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.errors import NotFound
from hub.ids import new_id
from hub.inbox import state
from hub.inbox.committer import Committer
from hub.inbox.inbox_reader import Inboxes, InboxQuery
from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import WorkDefaults
from hub.live.publisher import Publisher
from hub.model import (
    BulkUndo,
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
    changed ones. `head` is the mailbox after the change. `undo` is set if `undo_mark_all` can revert the mark."""

    notifications: list[Notification]
    changed: int
    head: Mailbox
    undo: BulkUndo | None = None


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

    async def act(self, mailbox: str, id: str, key: str) -> Marked:
        """Take an action of a notification. Raise NotFound, BadUserInput, or Conflict as `state.acted` does."""
        return await self._committer.submit(_MarkWork(mailbox, (id,), state.acted(key), required=True))

    async def mark_all(self, mailbox: str, query: InboxQuery, mark: state.Mark) -> Marked:
        """Mark all matching notifications that exist when the method is called.

        Without a filter, and if it fits in one transaction, the mark is one change with an ALL_* event. Otherwise the
        notifications are marked in chunks, and other devices receive up to 100 UPDATED events or one RESYNC event.
        """
        states = [name for name in state.VIEWS[query.view] if name not in UNAFFECTED_STATES[mark]]
        id = new_id()
        undoable = mark if mark is state.seen else state.in_bulk(mark, id)
        head = await self.get_or_create_mailbox(mailbox)
        if query.is_empty:
            if (mark is state.seen and not head.unseen) or (mark is state.read and not head.unread):
                return Marked([], 0, head)
            work = _MarkAllWork(mailbox, undoable, ALL_EVENTS[mark], states, self._inboxes, self._bulk_max)
            if marked := await self._committer.submit(work):
                return _with_undo(marked, head, mark, id)
            head = await self.get_or_create_mailbox(mailbox)
        rows = await self._inboxes.list_ids(mailbox, query, states, RESPONSE_MAX + 1, upto=head.modseq)
        if len(rows) <= RESPONSE_MAX:
            marked = await self.mark(mailbox, [id for id, _ in rows], undoable)
            return _with_undo(marked, head, mark, id)

        async def list_batches() -> AsyncIterator[list[str]]:
            upto = head.modseq
            while rows := await self._inboxes.list_ids(mailbox, query, states, self._bulk_max, upto=upto):
                upto = rows[-1][1] - 1
                yield [id for id, _ in rows]

        marked = await self._mark_in_chunks(mailbox, list_batches(), undoable, head)
        return _with_undo(marked, head, mark, id)

    async def undo_mark_all(self, mailbox: str, undo: BulkUndo) -> Marked:
        """Revert a "mark all" for the notifications that were not changed since. The call can be repeated."""
        mark = state.undone(undo.id)
        head = await self.get_or_create_mailbox(mailbox)
        rows = await self._inboxes.list_bulk_marked(mailbox, undo, RESPONSE_MAX + 1)
        if len(rows) <= RESPONSE_MAX:
            return await self.mark(mailbox, [id for id, _ in rows], mark)

        async def list_batches() -> AsyncIterator[list[str]]:
            rest = undo
            while rows := await self._inboxes.list_bulk_marked(mailbox, rest, self._bulk_max):
                rest = undo._replace(first=rows[-1][1] + 1)  # a batch contains all with one modseq
                yield [id for id, _ in rows]

        return await self._mark_in_chunks(mailbox, list_batches(), mark, head)

    async def _mark_in_chunks(
        self, mailbox: str, batches: AsyncIterator[list[str]], mark: state.Mark, head: Mailbox
    ) -> Marked:
        """Mark many notifications in several transactions. Other devices receive one RESYNC event."""
        first_changed: list[Notification] = []
        changed = 0
        try:
            async for ids in batches:
                for start in range(0, len(ids), CHUNK):
                    work = _MarkWork(mailbox, tuple(ids[start : start + CHUNK]), mark, publish=False)
                    marked = await self._committer.submit(work)
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

    async def click(self, delivery: Delivery, action: str | None = None) -> None:
        """Mark the notification of a clicked delivery as read. For the first click, write a receipt.

        `action`: the key of the action that the recipient takes with the click. Raise NotFound if the notification was
        removed, and BadUserInput or Conflict as `state.acted` does. Then nothing changes."""
        await self._committer.submit(_ClickWork(delivery, self._deliveries, action))

    async def apply_due(self, mailbox: str, ids: Sequence[str]) -> list[str]:
        """End snoozes and remove expired notifications. Return the ids of the notifications that cannot be processed
        because this version cannot decode them or their mailbox."""
        try:
            return await self._committer.submit(_DueWork(mailbox, tuple(ids)))
        except UnreadableMailbox:
            return list(ids)

    async def remove(self, mailbox: str, ids: Sequence[str], mark: state.Mark) -> None:
        """Remove notifications with a mark, after other changes, except from a mailbox that cannot be decoded."""
        with suppress(UnreadableMailbox):
            await self._committer.submit(_DueWork(mailbox, tuple(ids), mark, low=True))


class _MarkWork(WorkDefaults):
    """A mark of some notifications of one mailbox. `required`: fail if one of them does not exist."""

    def __init__(
        self,
        mailbox: str,
        ids: tuple[str, ...],
        mark: state.Mark,
        *,
        publish: bool = True,
        required: bool = False,
    ) -> None:
        self._mailbox = mailbox
        self._mark = mark
        self._publish = publish
        self._required = required
        self.mailboxes = (mailbox,)
        self.reads = ids
        self.documents = len(ids)

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> Marked:
        changed = []
        for id in self.reads:
            before = unit.get(self._mailbox, id)
            if before is None and self._required:
                raise NotFound("This notification does not exist.")
            after = before and self._mark(before, unit.now)
            if before and after:
                changed.append(unit.change(after, publish=self._publish))
                _add_receipts(unit, before, after)
        return Marked(changed[:RESPONSE_MAX], len(changed), unit.get_mailbox(self._mailbox))


class _DueWork(WorkDefaults):
    """The notifications of one mailbox whose snooze, lifetime, or retention period has ended."""

    def __init__(
        self, mailbox: str, ids: tuple[str, ...], mark: state.Mark = state.apply_clock, *, low: bool = False
    ) -> None:
        self._mark = mark
        self.low = low
        self.mailboxes = (mailbox,)
        self.reads = ids
        self.documents = len(ids)

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> list[str]:
        """Return the ids of the notifications that remain due."""
        unprocessed = []
        for id in self.reads:
            before = unit.notifications.get(id)
            after = self._mark(before, unit.now) if before and not before.removed_at else None
            if after:
                unit.change(after)
                if after.removed_as and not after.hidden:
                    unit.receipts.append(PendingReceipt(after, Channel.IN_APP, after.removed_as))
            elif before is None or (before.wake_at and before.wake_at <= unit.now):
                unprocessed.append(id)
        return unprocessed


class _ClickWork(WorkDefaults):
    """A click on a link or button outside the inbox. `action`: the key of the action that it takes."""

    documents = 2

    def __init__(self, delivery: Delivery, deliveries: Deliveries, action: str | None) -> None:
        self._delivery = delivery
        self._deliveries = deliveries
        self._action = action
        self.mailboxes = (delivery.mailbox,)
        self.reads = (delivery.notification,)

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        n, channel = unit.notifications.get(self._delivery.notification), self._delivery.channel
        exists = n is not None and (n.state or n.hidden) and not n.removed_at
        if self._action is not None and not exists:
            raise NotFound("This notification does not exist.")
        if n is None:
            return
        mark = state.clicked(channel) if self._action is None else state.acted(self._action, channel)
        after = mark(n, unit.now) if exists else None
        if await self._deliveries.record_click(self._delivery.id, unit.now, session):
            unit.receipts.append(PendingReceipt(n, channel, kind=ReceiptKind.CLICKED))
        if after:
            _add_receipts(unit, n, unit.change(after), channel if n.hidden else Channel.IN_APP, channel)


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
        self,
        mailbox: str,
        mark: state.Mark,
        kind: InboxEventKind,
        states: Sequence[InboxState],
        inboxes: Inboxes,
        limit: int,
    ) -> None:
        self._mailbox = mailbox
        self._mark = mark
        self._kind = kind
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
            changed = unit.change_all(self._kind, [after for _, after in pairs])
            for before, after in pairs:
                _add_receipts(unit, before, after)
        return Marked(changed[:RESPONSE_MAX], len(changed), unit.get_mailbox(self._mailbox))


def _with_undo(marked: Marked, before: Mailbox, mark: state.Mark, id: str) -> Marked:
    """Return the result of a "mark all" that found the mailbox as in `before`. Marking as seen cannot be undone."""
    if mark is state.seen or not marked.changed:
        return marked
    return replace(marked, undo=BulkUndo(before.modseq + 1, marked.head.modseq, id))


def _add_receipts(
    unit: UnitOfWork,
    before: Notification,
    after: Notification,
    where: Channel = Channel.IN_APP,
    acted_on: Channel = Channel.IN_APP,
) -> None:
    """Add the receipts of a mark. `where`: the channel whose status it changes. `acted_on`: the channel on which the
    recipient took an action."""
    for kind in state.receipt_kinds(before, after):
        acted = kind is ReceiptKind.ACTED
        key = after.acted_key if acted else None
        unit.receipts.append(PendingReceipt(after, acted_on if acted else where, kind=kind, action_key=key))
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
