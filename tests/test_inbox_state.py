"""The state of a notification, and what each mark changes."""

from hypothesis import given, settings
from msgspec.structs import replace

from hub.inbox import state
from hub.model import (
    MUTABLE_FIELDS,
    InboxState,
    InboxView,
    Notification,
    document,
)
from tests.conftest import scaled
from tests.strategies import MARKS, NOW, marks, normalized, notifications, visible_notifications


@settings(max_examples=scaled(300, 3000))
@given(visible_notifications | notifications())
def test_state_follows_from_the_marks(n: Notification) -> None:
    if n.removed_at or n.hidden:
        ends = [] if n.removed_at else [n.retained_until, n.expires_at if n.collapse_key else None]
        assert (n.state, n.wake_at) == (None, min(filter(None, ends), default=None))
        return
    active = not n.archived_at and not n.snoozed_until
    assert (n.state is InboxState.ARCHIVED) == bool(n.archived_at)
    assert (n.state is InboxState.SNOOZED) == bool(n.snoozed_until)
    assert (n.state in state.VIEWS[InboxView.ACTIVE]) == active
    assert (n.state in state.UNREAD) == (active and not n.read_at)
    assert (n.state in state.UNSEEN) == (active and not n.read_at and not n.seen_at)
    assert n.wake_at == min((at for at in (n.expires_at, n.snoozed_until, n.retained_until) if at), default=None)
    assert state.with_state(n) == n


def test_views_are_unions_of_states() -> None:
    views = state.VIEWS
    assert set(views[InboxView.ALL]) == set(InboxState)
    assert set(views[InboxView.UNREAD]) == state.UNREAD > state.UNSEEN
    parts = [*views[InboxView.ACTIVE], *views[InboxView.SNOOZED], *views[InboxView.ARCHIVED]]
    assert sorted(parts) == sorted(InboxState)


@given(visible_notifications, marks)
def test_mark_twice_changes_nothing_the_second_time(n: Notification, name: str) -> None:
    after = MARKS[name](n, NOW)
    if after is not None:
        assert after != n, "a mark without effect returns None, so it sends no event"
        assert MARKS[name](replace(after, added_modseq=9), NOW) is None
        assert state.with_state(normalized(after)) == state.with_state(after), (
            "read implies seen, archived is not snoozed"
        )
        assert after.id == n.id


@given(visible_notifications, marks)
def test_mark_changes_only_fields_that_the_committer_writes(n: Notification, name: str) -> None:
    """The committer writes only MUTABLE_FIELDS: other changes would be published and then lost."""
    after = state.with_state(MARKS[name](n, NOW) or n)
    before_document, after_document = document(n), document(after)
    changed = {
        field
        for field in before_document.keys() | after_document.keys()
        if before_document.get(field) != after_document.get(field)
    }
    assert changed <= set(MUTABLE_FIELDS)


@given(visible_notifications, marks)
def test_mark_leads_to_its_state_and_receipts(n: Notification, name: str) -> None:
    after = MARKS[name](n, NOW) or n
    placed = state.with_state(after)
    assert {
        "seen": bool(after.seen_at),
        "read": bool(after.read_at and after.seen_at),
        "unread": not after.read_at and after.seen_at == n.seen_at,
        "archived": placed.state is InboxState.ARCHIVED and after.read_at == n.read_at,
        "unarchived": placed.state is not InboxState.ARCHIVED and after.added_modseq == n.added_modseq,
        "snoozed": placed.state is InboxState.SNOOZED,
        "unsnoozed": placed.state is not InboxState.SNOOZED and after.added_modseq == n.added_modseq,
        "pinned": after.pinned and placed.state is n.state,
        "unpinned": not after.pinned and placed.state is n.state,
        "acknowledged": bool(after.acknowledged_at and after.read_at) or not n.require_ack or n.acknowledged_at,
        "acted": bool(after.acted_at and after.read_at) or not n.actions,
        "due": placed.wake_at is None or placed.wake_at > NOW,
        "removed": placed.state is None,
    }[name]
    received = [kind.name.lower() for kind in state.receipt_kinds(n, after)]
    assert len(set(received)) == len(received)
    for kind, field in (("seen", "seen_at"), ("read", "read_at"), ("archived", "archived_at"), ("acted", "acted_at")):
        assert (kind in received) == (not getattr(n, field) and bool(getattr(after, field)))
    assert ("unread" in received) == (bool(n.read_at) and not after.read_at)
    assert state.receipt_kinds(n, n) == []
