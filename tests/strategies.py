"""Hypothesis strategies for notifications and marks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.inbox import state
from hub.model import (
    Action,
    DeliveryStatus,
    Notification,
    Priority,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
instants = st.integers(-5, 5).map(lambda minutes: NOW + timedelta(minutes=minutes))
optional_instants = st.none() | instants
texts = st.text(max_size=8)


def notifications(**settings: Any) -> st.SearchStrategy[Notification]:
    """Return a strategy for every notification that can exist, with its state."""
    fields: dict[str, Any] = {
        "id": st.uuids().map(str),
        "mailbox": st.just("t/alice"),
        "send": st.just("s"),
        "category": texts,
        "title": texts,
        "body": texts,
        "priority": st.sampled_from(Priority),
        "because": texts,
        "created_at": instants,
        "updated_at": instants,
        "data": st.none()
        | st.recursive(
            st.none() | st.integers(-9, 9) | texts,
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
        ).map(lambda value: orjson.dumps(value).decode()),
        "image_url": st.none() | st.just("/image"),
        "actions": st.lists(
            st.builds(Action, key=texts, label=texts, url=st.none() | st.just("/go"), primary=st.booleans()), max_size=2
        ).map(tuple),
        "tags": st.lists(texts, max_size=2).map(tuple),
        "require_ack": st.booleans(),
        "pinned": st.booleans(),
        "collapse_key": st.none() | st.just("k"),
        "expires_at": optional_instants,
        "retained_until": optional_instants,
        "seen_at": optional_instants,
        "read_at": optional_instants,
        "archived_at": optional_instants,
        "snoozed_until": optional_instants,
        "acknowledged_at": optional_instants,
        "removed_at": optional_instants,
        "hidden": st.booleans(),
        "skipped": st.dictionaries(st.sampled_from(["EMAIL", "SMS"]), st.just("NOT_CONFIGURED"), max_size=2),
    }
    return st.builds(Notification, **(fields | settings)).map(normalized).map(state.with_state)


def normalized(n: Notification) -> Notification:
    """Apply what every mark keeps: read implies seen, and archived is not snoozed."""
    return replace(n, seen_at=n.seen_at or n.read_at, snoozed_until=None if n.archived_at else n.snoozed_until)


def _take_first_action(n: Notification, now: datetime) -> Notification | None:
    return state.acted(n.actions[0].key)(n, now) if n.actions else None


visible_notifications = notifications(removed_at=st.none(), hidden=st.just(False))
MARKS: dict[str, state.Mark] = {
    "seen": state.seen,
    "read": state.read,
    "unread": state.unread,
    "archived": state.archived,
    "unarchived": state.unarchived,
    "snoozed": state.snoozed(NOW + timedelta(hours=1)),
    "unsnoozed": state.unsnoozed,
    "pinned": state.pinned,
    "unpinned": state.unpinned,
    "acknowledged": state.acknowledged,
    "acted": _take_first_action,
    "due": state.apply_clock,
    "removed": state.removed(DeliveryStatus.EXPIRED),
}
marks = st.sampled_from(sorted(MARKS))


def new_notification(id: str, mailbox: str, *, hidden: bool) -> Notification:
    return Notification(
        id=id, mailbox=mailbox, send="s", category="c", title="", body="", priority=Priority.LOW, because="",
        created_at=NOW, updated_at=NOW, hidden=hidden,
    )  # fmt: skip
