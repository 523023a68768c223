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
from tests.strategies import MARKS, NOW, new_notification, visible

# A work of a unit: what it does, to which of the notifications there are.
works = st.lists(
    st.tuples(st.sampled_from(["add", "hide", "quiet", "all", *MARKS]), st.integers(0, 20), st.sampled_from("ab")),
    max_size=25,
)


@settings(deadline=None, max_examples=scaled(150, 5000))
@given(st.lists(visible, max_size=8, unique_by=lambda n: n.id), works, st.integers(1, 50))
def test_unit_of_work_counts_equal_a_recount_and_numbers_are_contiguous(
    there: list[Notification], works: list[tuple[str, int, str]], start: int
) -> None:
    there = [replace(n, mailbox=f"t/{'ab'[i % 2]}", modseq=start, added_modseq=start) for i, n in enumerate(there)]
    kept = {n.id: n for n in there}
    heads = {f"t/{name}": _head(f"t/{name}", there, start) for name in "ab"}
    before = dict(heads)
    unit = UnitOfWork(NOW, heads, frozenset())
    unit.load(there)
    untold: set[str] = set()
    for number, (what, index, name) in enumerate(works):
        mailbox = f"t/{name}"
        own = sorted(n.id for n in kept.values() if n.mailbox == mailbox and n.state)
        if what in {"add", "hide"}:
            fresh = new_notification(f"n{number}", mailbox, hidden=what == "hide")
            kept[fresh.id] = unit.add(fresh)
        elif what == "all":
            pairs = [(n, state.read(n, NOW)) for id in own if (n := kept[id]).state in state.UNREAD]
            if changed := [after for _, after in pairs if after]:
                for n in unit.change_all(InboxEventKind.ALL_READ, changed):
                    kept[n.id] = n
        elif own:
            n = unit.get(mailbox, own[index % len(own)])
            assert n == kept[own[index % len(own)]]
            quiet = what == "quiet"
            assert n
            if after := (state.seen if quiet else MARKS[what])(n, NOW):
                on_top = what in {"unsnoozed", "due"} and not after.removed_at
                kept[n.id] = unit.change(after, publish=not quiet)
                assert kept[n.id].modseq == unit.get_mailbox(mailbox).modseq
                assert kept[n.id].added_modseq == (kept[n.id].modseq if on_top else n.added_modseq)
                untold |= {mailbox} if quiet else set()
    for mailbox, old in before.items():
        head = unit.get_mailbox(mailbox)
        listed = [n for n in kept.values() if n.mailbox == mailbox]
        assert (head.unread, head.unseen) == _recount(listed)
        assert unit.get("t/other", listed[0].id if listed else "x") is None
        numbers = {n.modseq for n in listed if n.modseq > start}
        assert not numbers or max(numbers) == head.modseq
        assert (head in unit.mailboxes_to_write) == (head.modseq > old.modseq)
    told = {changed.mailbox: changed for changed in unit.changes()}
    assert told.keys() == {m for m in before if unit.get_mailbox(m).modseq > before[m].modseq} - untold
    for mailbox, changed in told.items():
        head = unit.get_mailbox(mailbox)
        assert (changed.first, changed.last) == (before[mailbox].modseq + 1, head.modseq)
        assert [event.modseq for event in changed.events] == list(range(changed.first, changed.last + 1))
        assert (changed.events[-1].unread, changed.events[-1].unseen) == (head.unread, head.unseen)
        for event in changed.events:
            n = event.notification
            if n:
                assert (event.kind is InboxEventKind.REMOVED) == (n.state is None)
                assert (event.kind is InboxEventKind.ADDED) == (n.state is not None and n.added_modseq == event.modseq)
    written = unit.inserted | unit.replaced
    assert all(kept[id] == n for id, n in written.items())
    assert all(kept[n.id] == n for n in there if n.id not in written)
    assert not unit.inserted.keys() & unit.replaced.keys()


def _head(mailbox: str, there: list[Notification], modseq: int) -> Mailbox:
    unread, unseen = _recount([n for n in there if n.mailbox == mailbox])
    return Mailbox(id=mailbox, epoch="e", modseq=modseq, unread=unread, unseen=unseen)


def _recount(listed: list[Notification]) -> tuple[int, int]:
    active = [n for n in listed if not (n.removed_at or n.hidden or n.archived_at or n.snoozed_until)]
    return sum(not n.read_at for n in active), sum(not n.read_at and not n.seen_at for n in active)
