"""The unit of work of the inbox, compared with a recount."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.inbox import state
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import (
    InboxEventKind,
    Mailbox,
    Notification,
)
from tests.conftest import scaled
from tests.strategies import MARKS, NOW, new_notification, visible_notifications

# An operation: what it does, the index of a notification in the mailbox, and the name of the mailbox.
operations = st.lists(
    st.tuples(st.sampled_from(["add", "hide", "quiet", "all", *MARKS]), st.integers(0, 20), st.sampled_from("ab")),
    max_size=25,
)


class Model:
    """The notifications of two mailboxes as they should be after each operation on a unit of work."""

    def __init__(self, initial: list[Notification], modseq: int) -> None:
        self.mailboxes = {f"t/{name}": _mailbox(f"t/{name}", initial, modseq) for name in "ab"}
        self.notifications = {n.id: n for n in initial}
        self.unpublished: set[str] = set()
        self.unit = UnitOfWork(NOW, dict(self.mailboxes), frozenset())
        self.unit.load(initial)

    def in_mailbox(self, mailbox: str) -> list[Notification]:
        return [n for n in self.notifications.values() if n.mailbox == mailbox]

    def apply(self, operation: str, index: int, mailbox: str, new_id: str) -> None:
        visible_ids = sorted(n.id for n in self.in_mailbox(mailbox) if n.state)
        if operation in {"add", "hide"}:
            new = new_notification(new_id, mailbox, hidden=operation == "hide")
            self.notifications[new.id] = self.unit.add(new)
        elif operation == "all":
            unread = [n for id in visible_ids if (n := self.notifications[id]).state in state.UNREAD]
            if changed := [after for n in unread if (after := state.read(n, NOW))]:
                self.notifications |= {n.id: n for n in self.unit.change_all(InboxEventKind.ALL_READ, changed)}
        elif visible_ids:
            self._mark(operation, mailbox, visible_ids[index % len(visible_ids)])

    def _mark(self, operation: str, mailbox: str, id: str) -> None:
        n = self.unit.get(mailbox, id)
        assert n
        assert n == self.notifications[id]
        publish = operation != "quiet"
        if after := (MARKS[operation] if publish else state.seen)(n, NOW):
            on_top = operation == "due" and not after.removed_at
            changed = self.notifications[id] = self.unit.change(after, publish=publish)
            assert changed.modseq == self.unit.get_mailbox(mailbox).modseq
            assert changed.added_modseq == (changed.modseq if on_top else n.added_modseq)
            self.unpublished |= set() if publish else {mailbox}

    def check_mailboxes(self, start: int) -> None:
        for mailbox, before in self.mailboxes.items():
            after = self.unit.get_mailbox(mailbox)
            notifications = self.in_mailbox(mailbox)
            assert (after.unread, after.unseen) == _count(notifications)
            assert self.unit.get("t/other", notifications[0].id if notifications else "x") is None
            numbers = {n.modseq for n in notifications if n.modseq > start}
            assert not numbers or max(numbers) == after.modseq
            hides = any(n.hidden for n in notifications)
            assert (after in self.unit.mailboxes_to_write) == (hides or after.modseq > before.modseq)

    def check_changes(self) -> None:
        changes = {change.mailbox: change for change in self.unit.changes()}
        changed = {id for id, before in self.mailboxes.items() if self.unit.get_mailbox(id).modseq > before.modseq}
        assert changes.keys() == changed - self.unpublished
        for mailbox, change in changes.items():
            after = self.unit.get_mailbox(mailbox)
            assert (change.first, change.last) == (self.mailboxes[mailbox].modseq + 1, after.modseq)
            assert [event.modseq for event in change.events] == list(range(change.first, change.last + 1))
            assert (change.events[-1].unread, change.events[-1].unseen) == (after.unread, after.unseen)
            for event in change.events:
                if n := event.notification:
                    added = n.state is not None and n.added_modseq == event.modseq
                    assert (event.kind is InboxEventKind.REMOVED) == (n.state is None)
                    assert (event.kind is InboxEventKind.ADDED) == added

    def check_writes(self, initial: list[Notification]) -> None:
        written = self.unit.inserted | self.unit.replaced
        assert all(self.notifications[id] == n for id, n in written.items())
        assert all(self.notifications[n.id] == n for n in initial if n.id not in written)
        assert not self.unit.inserted.keys() & self.unit.replaced.keys()


@settings(deadline=None, max_examples=scaled(60, 5000))
@given(st.lists(visible_notifications, max_size=8, unique_by=lambda n: n.id), operations, st.integers(1, 50))
def test_unit_of_work_counts_equal_a_recount_and_numbers_are_contiguous(
    initial: list[Notification], operations: list[tuple[str, int, str]], start: int
) -> None:
    initial = [replace(n, mailbox=f"t/{'ab'[i % 2]}", modseq=start, added_modseq=start) for i, n in enumerate(initial)]
    model = Model(initial, start)
    for number, (operation, index, name) in enumerate(operations):
        model.apply(operation, index, f"t/{name}", new_id=f"n{number}")
    model.check_mailboxes(start)
    model.check_changes()
    model.check_writes(initial)


def _mailbox(id: str, notifications: list[Notification], modseq: int) -> Mailbox:
    unread, unseen = _count([n for n in notifications if n.mailbox == id])
    return Mailbox(id=id, epoch="e", modseq=modseq, unread=unread, unseen=unseen)


def _count(notifications: list[Notification]) -> tuple[int, int]:
    """Return unread and unseen, by rules that do not use the stored state."""
    active = [n for n in notifications if not (n.removed_at or n.hidden or n.archived_at or n.snoozed_until)]
    return sum(not n.read_at for n in active), sum(not n.read_at and not n.seen_at for n in active)
