"""The unit of work of a transaction: the documents that it read, writes, and publishes. Performs no I/O."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from pymongo import DeleteOne, UpdateOne

from hub.errors import NotFound
from hub.inbox import state, window_counts
from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.model import (
    Delivery,
    InboxEvent,
    InboxEventKind,
    InboxState,
    Interruptions,
    Mailbox,
    MailboxChange,
    Notification,
    PendingReceipt,
    Reason,
    WindowCount,
    document,
    live_keys,
)


class UnitOfWork:
    """Collects the changes of works, which run in sequence. Each work sees the changes of the previous works.

    A change is assigned the next modseq of its mailbox, updates the counts, and adds an event. The unit is then written
    in one transaction.

    - `decision_data`: data that another stage has loaded for the works, outside the transaction.
    - `deliveries`: the deliveries that works need, which another stage has loaded in the transaction.
    - `digests`: the open digests that works join, which another stage has loaded in the transaction.
    - `held_inserts`: the new deliveries that quiet hours or do-not-disturb hold. `held_updates`: the stored ones. Each
      has its `due_at`.
    - `deliveries_to_end`: the removed notifications whose waiting deliveries are obsolete, by id, with the reason.
    - `stopping`: the notifications with deliveries that a mark of the recipient may stop.
    - `receipts`: the receipts of the changes, in order.
    - `required_users`: the users who must exist. Their mailboxes may be created, but not they.
    - `released`: the deliveries to enqueue after the commit, as `(lane, id)`.
    """

    def __init__(
        self,
        now: datetime,
        mailboxes: dict[str, Mailbox],
        new_mailboxes: frozenset[str],
        unreadable_mailboxes: frozenset[str] = frozenset(),
    ) -> None:
        self.now = now
        self.mailboxes = mailboxes
        self.new_mailboxes = new_mailboxes
        self._unreadable_mailboxes = unreadable_mailboxes
        self.notifications: dict[str, Notification] = {}
        self.inserted: dict[str, Notification] = {}
        self.replaced: dict[str, Notification] = {}
        self.inserts: dict[str, list[dict[str, Any]]] = {}
        self.updates: dict[str, dict[str, UpdateOne | DeleteOne]] = {}
        self.counts: dict[str, WindowCount] = {}
        self.idempotency_records: dict[str, dict[str, Any]] = {}
        self.decision_data: Any = None
        self.deliveries: Any = None
        self.digests: Any = None
        self.held_inserts: list[Delivery] = []
        self.held_updates: list[Delivery] = []
        self.deliveries_to_end: dict[str, Reason] = {}
        self.stopping: list[Notification] = []
        self.receipts: list[PendingReceipt] = []
        self.released: list[tuple[str, str]] = []
        self.required_users: set[str] = set()
        self.locked_mailboxes: set[str] = set()
        self._live: dict[tuple[str, str], str] = {}
        self._events: dict[str, list[InboxEvent]] = {}
        self._first: dict[str, int] = {}
        self._unpublished: set[str] = set()
        self._used: set[str] = set()

    def require_readable(self, mailboxes: Collection[str]) -> None:
        """Raise UnreadableMailbox if one of `mailboxes` cannot be decoded."""
        if unreadable := self._unreadable_mailboxes.intersection(mailboxes):
            raise UnreadableMailbox(unreadable)

    def mark_unreadable(self, mailbox: str) -> None:
        """Make works that change this mailbox fail, because one of its documents cannot be decoded."""
        self._unreadable_mailboxes |= {mailbox}

    def get(self, mailbox: str, id: str) -> Notification | None:
        """Return a visible notification of a mailbox with the changes so far, or None."""
        n = self.notifications.get(id)
        return n if n and n.mailbox == mailbox and n.state else None

    def list_live(self, mailbox: str, collapse_key: str) -> list[Notification]:
        """Return the live notifications of a mailbox with this collapse key, with the changes so far."""
        ids = [self._live.get((mailbox, live_key)) for live_key in live_keys(collapse_key)]
        return [self.notifications[id] for id in ids if id]

    def lock(self, mailbox: str) -> None:
        """Write the mailbox even if it does not change, so a transaction that decides by the same data conflicts."""
        self.locked_mailboxes.add(mailbox)

    def add(self, n: Notification) -> Notification:
        """Add a new notification. A hidden one gets no modseq, because it is not in views, counts, or the feed. Its
        mailbox is written nevertheless, so a transaction that erases the mailbox or decides by its counts conflicts."""
        n = state.with_state(n)
        self.get_mailbox(n.mailbox)
        if n.hidden:
            self.lock(n.mailbox)
        else:
            modseq = self._next_modseq(n.mailbox)
            n = replace(n, modseq=modseq, added_modseq=modseq)
            self._update_counts(n.mailbox, None, n.state)
            self._add_event(n, InboxEventKind.ADDED)
        self.inserted[n.id] = self.notifications[n.id] = n
        if n.live_key:
            self._live[n.mailbox, n.live_key] = n.id
        return n

    def change(self, after: Notification, *, publish: bool = True, modseq: int = 0) -> Notification:
        """Replace the notification that has the id of `after`, and return it as stored.

        - If `added_modseq` is 0, the notification moves to the top of the inbox.
        - `publish=False` adds no event, and `modseq` is a number that was already assigned. Both are for changes to
          whole inboxes.
        - A hidden notification is assigned no modseq. One that is shown now is added to the top of the inbox.
        - `bulk_mark` is removed unless this change sets it, so the undo of a "mark all" reverts no later change.
        """
        before = self.notifications[after.id]
        if after.bulk_mark and after.bulk_mark is before.bulk_mark:
            after = replace(after, bulk_mark=None)
        if after.hidden:
            return self._store(replace(state.with_state(after), updated_at=self.now))
        if not publish and not modseq:
            self._unpublished.add(after.mailbox)
        modseq = modseq or self._next_modseq(after.mailbox)
        n = replace(
            state.with_state(after), modseq=modseq, added_modseq=after.added_modseq or modseq, updated_at=self.now
        )
        self._store(n)
        self._update_counts(n.mailbox, before.state, n.state)
        if publish:
            if n.state is None:
                kind = InboxEventKind.REMOVED
            elif n.added_modseq == modseq:
                kind = InboxEventKind.ADDED
            else:
                kind = InboxEventKind.UPDATED
            self._add_event(n, kind)
        return n

    def load(self, notifications: Iterable[Notification]) -> None:
        """Add notifications that were read in the transaction."""
        for n in notifications:
            self.notifications.setdefault(n.id, n)
            if n.live_key:
                self._live.setdefault((n.mailbox, n.live_key), n.id)

    def change_all(self, kind: InboxEventKind, after: list[Notification]) -> list[Notification]:
        """Change all notifications in the ACTIVE view of one mailbox, with one modseq and one event."""
        mailbox = after[0].mailbox
        modseq = self._next_modseq(mailbox)
        changed = [self.change(n, publish=False, modseq=modseq) for n in after]
        head = self.mailboxes[mailbox]
        self._events[mailbox].append(InboxEvent(kind=kind, modseq=modseq, unread=head.unread, unseen=head.unseen))
        return changed

    def insert(self, collection: str, document: dict[str, Any]) -> None:
        """Insert a document of another stage in the same transaction."""
        self.inserts.setdefault(collection, []).append(document)

    def update(self, collection: str, key: str, update: UpdateOne | DeleteOne) -> None:
        """Change a document of another stage in the same transaction, once for all works with the same key."""
        self.updates.setdefault(collection, {})[key] = update

    def set_count(self, count: WindowCount) -> None:
        """Store a count of a mailbox, if it changed. The notification that is counted locks the mailbox."""
        if not count.count or self.counts.get(count.id) == count:
            return
        self.counts[count.id] = count
        update = UpdateOne({"_id": count.id}, {"$set": document(count)}, upsert=True)
        self.update(window_counts.COLLECTION, count.id, update)

    def set_interruptions(self, mailbox: str, interruptions: Interruptions) -> None:
        """Store the count of interruptions of a mailbox, under its lock."""
        self.lock(mailbox)
        self.mailboxes[mailbox] = replace(self.get_mailbox(mailbox), interruptions=interruptions)

    def get_mailbox(self, mailbox: str) -> Mailbox:
        """Return the mailbox with the changes so far. A new mailbox is created. Raise NotFound if it was erased."""
        self._used.add(mailbox)
        try:
            return self.mailboxes[mailbox]
        except KeyError:
            raise NotFound("This inbox does not exist.") from None

    def changes(self) -> list[MailboxChange]:
        """Return the changes to publish after the commit.

        A mailbox with unpublished changes is omitted. If only some of its changes were published, subscribers would not
        detect the gap and would not read the other changes from the store."""
        return [
            MailboxChange(
                mailbox=mailbox,
                epoch=self.mailboxes[mailbox].epoch,
                first=self._first[mailbox],
                last=self.mailboxes[mailbox].modseq,
                events=tuple(events),
            )
            for mailbox, events in self._events.items()
            if events and mailbox not in self._unpublished
        ]

    @property
    def mailboxes_to_write(self) -> list[Mailbox]:
        """The changed and locked mailboxes, and the new ones that works used."""
        written = self._first.keys() | self.locked_mailboxes | (self.new_mailboxes & self._used)
        return [self.mailboxes[key] for key in self.mailboxes if key in written]

    def _store(self, n: Notification) -> Notification:
        before = self.notifications[n.id]
        if before.live_key and not n.live_key:
            self._live.pop((n.mailbox, before.live_key), None)
        self.notifications[n.id] = n
        (self.inserted if n.id in self.inserted else self.replaced)[n.id] = n
        return n

    def _next_modseq(self, mailbox: str) -> int:
        head = self.get_mailbox(mailbox)
        self.mailboxes[mailbox] = replace(head, modseq=head.modseq + 1)
        self._first.setdefault(mailbox, head.modseq + 1)
        self._events.setdefault(mailbox, [])
        return head.modseq + 1

    def _update_counts(self, mailbox: str, was: InboxState | None, now: InboxState | None) -> None:
        unread = (now in state.UNREAD) - (was in state.UNREAD)
        unseen = (now in state.UNSEEN) - (was in state.UNSEEN)
        if unread or unseen:
            head = self.mailboxes[mailbox]
            self.mailboxes[mailbox] = replace(head, unread=head.unread + unread, unseen=head.unseen + unseen)

    def _add_event(self, n: Notification, kind: InboxEventKind) -> None:
        head = self.mailboxes[n.mailbox]
        self._events[n.mailbox].append(
            InboxEvent(kind=kind, modseq=n.modseq, unread=head.unread, unseen=head.unseen, notification=n)
        )
