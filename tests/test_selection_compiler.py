"""A compiled selection returns what graphql-core returns."""

from types import SimpleNamespace
from typing import Any

import pytest
from graphql import ExecutionResult, Executor, execute_subscription_event, parse, validate
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hub.api.execution.engine import encode
from hub.api.execution.fast_path.projection import NotProjectable, SelectionCompiler
from hub.api.schema.inbox_stream import InboxEvent
from hub.api.schema.root import make_schema
from hub.api.schema.scalars import Cursor
from hub.model import (
    InboxEventKind,
)
from hub.platform.translations import DEFAULT, language
from tests.conftest import scaled
from tests.strategies import notifications, texts

SCHEMA = make_schema()._schema
directives = st.sampled_from(["", "", "", "@skip(if: $yes)", "@skip(if: $no)", "@include(if: $yes)", "@include(if: $no)", "@include(if: true) @skip(if: $no)", "@skip(if: $unset)"])  # fmt: skip
TYPES: dict[str, dict[str, str]] = {
    name: {
        field: str(definition.type).strip("[]!")
        for field, definition in SCHEMA.type_map[name].fields.items()  # type: ignore[attr-defined]
        if field != "deliveries"  # it must be read, so events with it are executed
    }
    for name in ("InboxEvent", "Notification", "Action")
}


@st.composite
def selections(draw: st.DrawFn, type_: str, fragments: list[str], depth: int = 0) -> str:
    """Return a selection set. An alias is derived from the field's name, so results with one key can be merged."""
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


@pytest.mark.timeout(scaled(300, 3600))
@settings(deadline=None, max_examples=scaled(30, 3000))
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


@pytest.mark.parametrize(
    ("type_name", "selection", "reason"),
    [
        ("User", "{ inbox { unread } }", "has an access rule"),
        ("Template", "{ versions { totalCount } }", "takes arguments"),
    ],
)
def test_projection_rejects_what_it_cannot_resolve(type_name: str, selection: str, reason: str) -> None:
    document = parse("subscription { inbox { notification { id } } }")
    executor = Executor.build(SCHEMA, document)
    assert isinstance(executor, Executor)
    type_: Any = SCHEMA.type_map[type_name]
    parent: Any = parse(f"{{ me {selection} }}").definitions[0]
    with pytest.raises(NotProjectable, match=reason):
        SelectionCompiler({}, executor.variable_values).compile(type_, list(parent.selection_set.selections))
