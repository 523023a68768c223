"""The pure parts, against properties: whatever the input, these hold."""

from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, Executor, execute_subscription_event, parse, validate
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import convert, msgpack
from msgspec.structs import replace

from hub import model
from hub.api.execution.engine import encode
from hub.api.execution.projection import NotProjectable, SelectionCompiler
from hub.api.schema.root import make_schema
from hub.api.schema.scalars import Cursor
from hub.api.schema.types import InboxEvent
from hub.errors import BadUserInput
from hub.inbox import state
from hub.inbox.cursors import decode_page_cursor, decode_position, encode_page_cursor, encode_position
from hub.inbox.unit_of_work import UnitOfWork
from hub.live import message_codec
from hub.model import (
    MUTABLE_FIELDS,
    Action,
    DeliveryStatus,
    InboxEventKind,
    InboxState,
    InboxView,
    Mailbox,
    MailboxChange,
    Notification,
    Position,
    Priority,
    document,
    notification_from,
)
from hub.outbox import states
from hub.platform.translations import DEFAULT, language
from tests.conftest import scaled

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
instants = st.integers(-5, 5).map(lambda minutes: NOW + timedelta(minutes=minutes))
maybe = st.none() | instants
texts = st.text(max_size=8)


def notifications(**given: Any) -> st.SearchStrategy[Notification]:
    """Any notification that the rules can meet, placed."""
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
        "expires_at": maybe,
        "seen_at": maybe,
        "read_at": maybe,
        "archived_at": maybe,
        "snoozed_until": maybe,
        "acknowledged_at": maybe,
        "removed_at": maybe,
        "hidden": st.booleans(),
        "skipped": st.dictionaries(st.sampled_from(["EMAIL", "SMS"]), st.just("NOT_CONFIGURED"), max_size=2),
    }
    return st.builds(Notification, **(fields | given)).map(_sane).map(state.with_state)


def _sane(n: Notification) -> Notification:
    """What every mark keeps: read implies seen, archived is not snoozed."""
    return replace(n, seen_at=n.seen_at or n.read_at, snoozed_until=None if n.archived_at else n.snoozed_until)


visible = notifications(removed_at=st.none(), hidden=st.just(False))
MARKS: dict[str, state.Mark] = {
    "seen": state.seen,
    "read": state.read,
    "unread": state.unread,
    "archived": state.archived,
    "unarchived": state.unarchived,
    "snoozed": state.snoozed(NOW + timedelta(hours=1)),
    "unsnoozed": state.unsnoozed,
    "acknowledged": state.acknowledged,
    "due": state.apply_clock,
    "removed": state.removed(DeliveryStatus.EXPIRED),
}
marks = st.sampled_from(sorted(MARKS))


# ---------------------------------------------------------------- state


@settings(max_examples=scaled(300, 3000))
@given(visible | notifications())
def test_placed_is_where_the_state_says(n: Notification) -> None:
    if n.removed_at or n.hidden:
        assert (n.state, n.wake_at) == (None, None)
        return
    active = not n.archived_at and not n.snoozed_until
    assert (n.state is InboxState.ARCHIVED) == bool(n.archived_at)
    assert (n.state is InboxState.SNOOZED) == bool(n.snoozed_until)
    assert (n.state in state.VIEWS[InboxView.ACTIVE]) == active
    assert (n.state in state.UNREAD) == (active and not n.read_at)
    assert (n.state in state.UNSEEN) == (active and not n.read_at and not n.seen_at)
    assert n.wake_at == min((at for at in (n.expires_at, n.snoozed_until) if at), default=None)
    assert state.with_state(n) == n


def test_views_are_unions_that_the_counts_are_read_off() -> None:
    views = state.VIEWS
    assert set(views[InboxView.ALL]) == set(InboxState)
    assert set(views[InboxView.UNREAD]) == state.UNREAD > state.UNSEEN
    parts = [*views[InboxView.ACTIVE], *views[InboxView.SNOOZED], *views[InboxView.ARCHIVED]]
    assert sorted(parts) == sorted(InboxState)


@given(visible, marks)
def test_mark_twice_changes_nothing_the_second_time(n: Notification, name: str) -> None:
    after = MARKS[name](n, NOW)
    if after is not None:
        assert after != n, "what changes nothing is None: it makes no event"
        assert MARKS[name](replace(after, added_modseq=9), NOW) is None
        assert state.with_state(_sane(after)) == state.with_state(after), "read implies seen, archived is not snoozed"
        assert after.id == n.id


@given(visible, marks)
def test_mark_changes_nothing_but_what_the_committer_writes(n: Notification, name: str) -> None:
    """The committer writes the fields of MARKED only: what a mark changed beside them would be told and then lost."""
    after = state.with_state(MARKS[name](n, NOW) or n)
    before_document, after_document = document(n), document(after)
    changed = {
        field
        for field in before_document.keys() | after_document.keys()
        if before_document.get(field) != after_document.get(field)
    }
    assert changed <= set(MUTABLE_FIELDS)


@given(visible, marks)
def test_mark_puts_it_where_its_name_says_and_the_receipts_tell_it(n: Notification, name: str) -> None:
    after = MARKS[name](n, NOW) or n
    placed = state.with_state(after)
    assert {
        "seen": bool(after.seen_at),
        "read": bool(after.read_at and after.seen_at),
        "unread": not after.read_at and after.seen_at == n.seen_at,
        "archived": placed.state is InboxState.ARCHIVED and after.read_at == n.read_at,
        "unarchived": placed.state is not InboxState.ARCHIVED and after.added_modseq == n.added_modseq,
        "snoozed": placed.state is InboxState.SNOOZED,
        "unsnoozed": placed.state is not InboxState.SNOOZED and after.read_at == n.read_at,
        "acknowledged": bool(after.acknowledged_at and after.read_at) or not n.require_ack or n.acknowledged_at,
        "due": placed.wake_at is None or placed.wake_at > NOW,
        "removed": placed.state is None,
    }[name]
    told = [kind.name.lower() for kind in state.receipt_kinds(n, after)]
    assert len(set(told)) == len(told)
    for kind, field in (("seen", "seen_at"), ("read", "read_at"), ("archived", "archived_at")):
        assert (kind in told) == (not getattr(n, field) and bool(getattr(after, field)))
    assert ("unread" in told) == (bool(n.read_at) and not after.read_at)
    assert state.receipt_kinds(n, n) == []


# ---------------------------------------------------------------- unit

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
            fresh = _fresh(f"n{number}", mailbox, hidden=what == "hide")
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


def _fresh(id: str, mailbox: str, *, hidden: bool) -> Notification:
    return Notification(
        id=id, mailbox=mailbox, send="s", category="c", title="", body="", priority=Priority.LOW, because="",
        created_at=NOW, updated_at=NOW, hidden=hidden,
    )  # fmt: skip


def _head(mailbox: str, there: list[Notification], modseq: int) -> Mailbox:
    unread, unseen = _recount([n for n in there if n.mailbox == mailbox])
    return Mailbox(id=mailbox, epoch="e", modseq=modseq, unread=unread, unseen=unseen)


def _recount(listed: list[Notification]) -> tuple[int, int]:
    active = [n for n in listed if not (n.removed_at or n.hidden or n.archived_at or n.snoozed_until)]
    return sum(not n.read_at for n in active), sum(not n.read_at and not n.seen_at for n in active)


# ---------------------------------------------------------------- nouns and messages


@given(notifications(modseq=st.integers(0, 9)))
def test_notification_survives_document_and_message(n: Notification) -> None:
    assert notification_from(document(n)) == n
    assert convert(msgpack.decode(msgpack.encode(n)), Notification, strict=False) == n


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(InboxEventKind)), max_size=40))
def test_messages_tell_every_change_as_it_is(rows: list[tuple[int, bool, InboxEventKind]]) -> None:
    changes = []
    for number, (send, acknowledged, kind) in enumerate(rows):
        mailbox = f"t/{number}"
        n = replace(
            _fresh(f"n{number}", mailbox, hidden=False),
            send=f"s{send}", acknowledged_at=NOW if acknowledged else None, modseq=number, added_modseq=number,
        )  # fmt: skip
        event = model.InboxEvent(kind=kind, modseq=number, unread=number, unseen=1, notification=n)
        changes.append(MailboxChange(mailbox=mailbox, epoch="e", first=number, last=number, events=(event,)))
    heard: list[MailboxChange] = []
    for mailbox, data in message_codec.encode_changes(changes):
        if mailbox:
            heard.append(message_codec.decode_changed(data))
            assert heard[-1].mailbox == mailbox
        else:
            message = message_codec.decode_common(data)
            assert isinstance(message, message_codec.Broadcast)
            assert len(message.rows) >= message_codec.BROADCAST_MIN_MAILBOXES
            heard += [message.change_of(row) for row in message.rows]
    assert sorted(heard, key=lambda changed: changed.first) == changes


# ---------------------------------------------------------------- positions

numbers = st.integers(0, 10**18 - 1)
words = st.text("0123456789abcdef-", max_size=40)


@given(st.builds(Position, epoch=words, modseq=numbers, time=numbers, up_to_id=words))
def test_position_comes_back_as_it_was(position: Position) -> None:
    cursor = encode_position(position)
    assert decode_position(cursor, "after") == position
    assert not set(cursor) & set("+/= "), "it stands in a URL as it is"


@given(numbers)
def test_place_comes_back_as_it_was_and_is_no_position(place: int) -> None:
    assert decode_page_cursor(encode_page_cursor(place), "after") == place
    with pytest.raises(BadUserInput):
        decode_position(encode_page_cursor(place), "after")


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | st.text("m.0123AZ_-+/= \n").map(str))
def test_rubbish_is_refused_or_is_exactly_a_cursor(rubbish: str) -> None:
    with suppress(BadUserInput):
        assert encode_position(decode_position(rubbish, "after")) == rubbish


@given(st.builds(Position, epoch=words, modseq=numbers, time=numbers, up_to_id=words), st.data())
def test_damaged_position_is_refused(position: Position, data: st.DataObject) -> None:
    cursor = encode_position(position)
    place = data.draw(st.integers(0, len(cursor)))
    foreign = data.draw(st.text("!*=+/ \n\x00é", min_size=1, max_size=8))
    with pytest.raises(BadUserInput):
        decode_position(cursor[:place] + foreign + cursor[place:], "after")


@pytest.mark.parametrize(
    "parts", ["e.-1.2.", "e.1.-2.", "e.1.2", "e.1.2.3.4", "e.x.2.", "e.٣.2.", f"e.{10**18}.2.", "e..2.", "e. 1.2."]
)
def test_position_with_wrong_parts_is_refused(parts: str) -> None:
    with pytest.raises(BadUserInput):
        decode_position(urlsafe_b64encode(parts.encode()).decode().rstrip("="), "after")


# ---------------------------------------------------------------- states


def test_states_of_a_delivery_are_one_whole_table() -> None:
    assert states.MOVES.keys() == set(DeliveryStatus)
    assert all(state not in moves for state, moves in states.MOVES.items()), "staying is no move"
    reached, fresh = set(), {DeliveryStatus.ACCEPTED}
    while fresh:
        reached |= fresh
        fresh = {new for state in fresh for new in states.MOVES[state]} - reached
    assert reached == set(DeliveryStatus), "every state can be reached"
    for end in states.ENDS - {DeliveryStatus.FAILED}:
        assert not states.MOVES[end]
    assert states.MOVES[DeliveryStatus.FAILED] == {DeliveryStatus.ACCEPTED}, "by a replay"


@given(st.sampled_from(DeliveryStatus))
def test_every_state_can_come_to_an_end_without_a_replay(state: DeliveryStatus) -> None:
    seen, fresh = set(), {state}
    while fresh:
        seen |= fresh
        fresh = {new for old in fresh - states.ENDS for new in states.MOVES[old]} - seen
    assert seen & states.ENDS


# ---------------------------------------------------------------- projection

SCHEMA = make_schema()._schema
directives = st.sampled_from(["", "", "", "@skip(if: $yes)", "@skip(if: $no)", "@include(if: $yes)", "@include(if: $no)", "@include(if: true) @skip(if: $no)", "@skip(if: $unset)"])  # fmt: skip
TYPES: dict[str, dict[str, str]] = {
    name: {
        field: str(definition.type).strip("[]!")
        for field, definition in SCHEMA.type_map[name].fields.items()  # type: ignore[attr-defined]
        if field != "deliveries"  # has to be read, so who selects it has each event executed
    }
    for name in ("InboxEvent", "Notification", "Action")
}


@st.composite
def selections(draw: st.DrawFn, type_: str, fragments: list[str], depth: int = 0) -> str:
    """A selection set. An alias is made from the field's name, so that what is answered under one key may be merged."""
    parts = ["__typename"] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["field", "field", "field", "inline", "spread"])) if depth < 4 else "field"
        directive = draw(directives)
        if kind == "field":
            name = draw(st.sampled_from([*TYPES[type_], "__typename"]))
            alias = draw(st.sampled_from(["", "", f"a_{name}: ", f"b_{name}: "]))
            inner = TYPES[type_].get(name, "String")
            below = draw(selections(inner, fragments, depth + 1)) if inner in TYPES else ""
            parts.append(f"{alias}{name} {directive} {below}")
        elif kind == "inline":
            condition = draw(st.sampled_from(["", f"on {type_}"]))
            parts.append(f"... {condition} {directive} {draw(selections(type_, fragments, depth + 1))}")
        else:
            body = draw(selections(type_, fragments, depth + 1))
            fragments.append(f"fragment F{len(fragments)} on {type_} {body}")
            parts.append(f"...F{len(fragments) - 1} {directive}")
    return "{ " + " ".join(parts) + " }"


@st.composite
def subscriptions(draw: st.DrawFn) -> str:
    fragments: list[str] = []
    roots = " ".join(f"inbox {draw(selections('InboxEvent', fragments))}" for _ in range(draw(st.integers(1, 2))))
    return " ".join(
        [f"subscription ($yes: Boolean!, $no: Boolean!, $unset: Boolean = false) {{ {roots} }}", *fragments]
    )


events = st.builds(
    InboxEvent,
    kind=st.sampled_from(InboxEventKind),
    cursor=texts.map(Cursor),
    notification=st.none() | notifications(),
    unread=st.integers(0, 9),
    unseen=st.integers(0, 9),
)


@settings(deadline=None, max_examples=scaled(75, 3000))
@given(subscriptions(), events)
def test_projection_equals_execution(query: str, event: InboxEvent) -> None:
    document = parse(query)
    assume(not validate(SCHEMA, document))
    variables = {"yes": True, "no": False}
    mailbox = event.notification.mailbox if event.notification else ""
    english = SimpleNamespace(caller=SimpleNamespace(mailbox=mailbox), language=language(DEFAULT))
    executor = Executor.build(SCHEMA, document, root_value=event, context_value=english, raw_variable_values=variables)
    assert isinstance(executor, Executor)
    executed = execute_subscription_event(executor)
    assert isinstance(executed, ExecutionResult)
    assert executed.errors is None
    fragments = {name: details.definition for name, details in executor.fragments.items()}
    assert SCHEMA.subscription_type
    project = SelectionCompiler(fragments, executor.variable_values).compile_root(
        SCHEMA.subscription_type, executor.operation
    )
    assert encode({"data": project(event)}) == encode({"data": executed.data}), "and in the order of the query"


def test_projection_refuses_a_field_that_takes_arguments() -> None:
    document = parse("subscription { inbox { notification { id } } }")
    executor = Executor.build(SCHEMA, document)
    assert isinstance(executor, Executor)
    user = SCHEMA.type_map["User"]
    inner = parse("{ me { inbox { unread } } }").definitions[0].selection_set.selections  # type: ignore[attr-defined]
    with pytest.raises(NotProjectable, match="takes arguments"):
        SelectionCompiler({}, executor.variable_values).compile(user, list(inner))  # type: ignore[arg-type]
