"""Random JSON, operations of the schema with random arguments, and random bytes."""

import asyncio
import json
from io import BytesIO
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from tests.client import Json, Tenant
from tests.conftest import Stopwatch, scaled
from tests.doc_pages import ROOT

pytestmark = [pytest.mark.usefixtures("no_internal_errors"), pytest.mark.timeout(900)]

fuzzed = settings(max_examples=scaled(150, 3000), deadline=None, suppress_health_check=list(HealthCheck))
SCHEMA: GraphQLSchema = build_schema((ROOT / "schema.graphql").read_text())
CODES = {"BAD_USER_INPUT", "FORBIDDEN", "NOT_FOUND", "TOO_LARGE", "RATE_LIMITED", "CURSOR_EXPIRED", "CONFLICT"}
CODES |= {"PERSISTED_QUERY_NOT_FOUND"}
JSON = {"content-type": "application/json"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
hashes = st.fixed_dictionaries(
    {
        "persistedQuery": st.fixed_dictionaries(
            {}, optional={"version": st.just(1) | json_values, "sha256Hash": json_values}
        )
    }
)
queries = st.sampled_from(
    ["{ __typename }", "subscription { inbox { kind } }", "query ($a: Int) { inbox(first: $a) { unread } }", "{", ""]
)
payloads = json_values | st.fixed_dictionaries(
    {},
    optional={
        "query": queries | json_values,
        "variables": json_values,
        "operationName": json_values,
        "extensions": hashes | json_values,
        "x": json_values,
    },
)
messages = json_values | st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["1", "2"]) | json_values,
        "type": st.sampled_from(["subscribe", "subscribe", "complete", "ping", "pong"]) | json_values,
        "payload": payloads,
        "x": json_values,
    },
)


async def post_bytes(tenant: Tenant, stopwatch: Stopwatch, body: bytes, user: str | None = "alice") -> None:
    """The response is well-formed, whatever the input."""
    headers = {"authorization": f"Bearer {tenant.token(user)}"}
    with stopwatch(f"body {body[:100]!r}"):
        async with tenant.http.post(tenant.next_url(), data=BytesIO(body), headers=headers | JSON) as response:
            result = orjson.loads(await response.read())
            assert response.status in {200, 400, 405, 413, 415, 429}
    assert {error["extensions"]["code"] for error in result.get("errors", [])} <= CODES


async def written(tenant: Tenant, stopwatch: Stopwatch, message: str | bytes, user: str | None = "alice") -> None:
    """Afterwards, the socket is closed with a code of the protocol, or still works."""
    async with tenant.socket(user) as socket:
        with stopwatch(f"message {message[:100]!r}"):
            await socket.connection.send(message)
            try:
                await socket.connection.send('{"type": "ping"}')
                async with asyncio.timeout(10):
                    while (output := await socket.read())["type"] != "pong":
                        errors = output["payload"] if output["type"] == "error" else []
                        errors = output["payload"].get("errors", []) if output["type"] == "next" else errors
                        assert {error["extensions"]["code"] for error in errors} <= CODES
            except ConnectionClosed as closed:
                assert closed.rcvd
                assert 4400 <= closed.rcvd.code < 4500


@fuzzed
@given(messages, payloads)
async def test_fuzzed_messages_and_bodies_break_nothing(
    tenant: Tenant, stopwatch: Stopwatch, message: Any, body: Any
) -> None:
    await post_bytes(tenant, stopwatch, json.dumps(body).encode())
    await written(tenant, stopwatch, json.dumps(message))


@fuzzed
@given(st.binary(max_size=200), st.integers(0, 1000), st.integers(0, 30))
async def test_fuzzed_bytes_in_a_request_break_nothing(
    tenant: Tenant, stopwatch: Stopwatch, noise: bytes, at: int, gone: int
) -> None:
    """Replace part of it with random bytes."""
    request = {"query": "query ($n: Int) { inbox(first: $n) { unread } }", "variables": {"n": 5}, "extensions": {}}
    complete = json.dumps(request).encode()
    at %= len(complete)
    body = complete[:at] + noise + complete[at + gone :]
    await post_bytes(tenant, stopwatch, body)
    await written(tenant, stopwatch, body.decode(errors="replace"))


ODD = [None, True, 0, -1, 2**31, 2**63, 1.5, 1e308, "", "\0", "x" * 300, "$ne", "🎉", [], [[]], {}, {"$gt": ""}]
FAIR: dict[str, list[Any]] = {
    "Int": [1, 20, 100],
    "Boolean": [True, False],
    "String": ["a", "bS4x"],
    "ID": ["alice", "0198b2a4-7c6e-7bcd-8a57-000000000000"],
    "DateTime": ["2090-01-01T00:00:00Z", "2001-01-01T00:00:00Z"],
    "Duration": ["PT10M"],
    "Cursor": ["bS4x"],
    "JSON": [{"a": [1, None]}],
}


@st.composite
def values(draw: st.DrawFn, kind: Any) -> Any:
    """Return a value of that type, or almost."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(ODD))
    if is_non_null_type(kind):
        return draw(values(kind.of_type))
    if is_list_type(kind):
        return draw(st.lists(values(kind.of_type), max_size=3))
    if isinstance(kind, GraphQLEnumType):
        return draw(st.sampled_from([*kind.values, "NOTHING"]))
    if isinstance(kind, GraphQLInputObjectType):
        fields = {}
        for name, field in kind.fields.items():
            if is_non_null_type(field.type) or draw(st.booleans()):
                fields[name] = draw(values(field.type))
        return fields
    return draw(st.sampled_from(FAIR[kind.name]))


@st.composite
def operations(draw: st.DrawFn) -> Json:
    """Return an operation with any fields of the schema, with their arguments in variables."""
    variables: Json = {}
    declared: list[str] = []

    def selection(kind: Any, levels: int) -> str:
        chosen = draw(st.lists(st.sampled_from(sorted(kind.fields)), min_size=1, max_size=4, unique=True))
        written = []
        for name in chosen:
            field = kind.fields[name]
            inner = get_named_type(field.type)
            if is_composite_type(inner) and not levels:
                continue
            arguments = []
            for argument, details in field.args.items():
                if is_non_null_type(details.type) or draw(st.booleans()):
                    variable = f"v{len(variables)}"
                    variables[variable] = draw(values(details.type))
                    declared.append(f"${variable}: {details.type}")
                    arguments.append(f"{argument}: ${variable}")
            alias = draw(st.sampled_from(["", "", "a: "]))
            directive = draw(st.sampled_from(["", "", "", " @skip(if: false)", " @include(if: 7)"]))
            below = f" {selection(inner, levels - 1)}" if is_composite_type(inner) else ""
            written.append(f"{alias}{name}{'(' + ', '.join(arguments) + ')' if arguments else ''}{directive}{below}")
        return f"{{ {' '.join(written) or '__typename'} }}"

    root = draw(st.sampled_from(["query", "mutation", "subscription"]))
    types = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type, "subscription": SCHEMA.subscription_type}
    body = selection(types[root], 4)
    head = f"{root} ({', '.join(declared)})" if declared else root
    return {"query": f"{head} {body}", "variables": variables}


@fuzzed
@given(operations(), st.booleans())
async def test_fuzzed_operations_of_the_schema_break_nothing(
    tenant: Tenant, stopwatch: Stopwatch, request_: Json, service: bool
) -> None:
    user = None if service else "alice"
    await post_bytes(tenant, stopwatch, json.dumps(request_).encode(), user)
    await written(tenant, stopwatch, json.dumps({"id": "1", "type": "subscribe", "payload": request_}), user)


PLACES = {
    "DateTime": ("query ($v: DateTime%s) { sends(since: %s) { nodes { id } } }", None),
    "JSON": (
        'query ($v: JSON%s) { simulate(input: {to: {users: ["a"]}, category: "c", content: {title: "t", body: ""}, data: %s}) { userId } }',
        None,
    ),
    "Cursor": ("subscription ($v: Cursor%s) { inbox(after: %s) { kind } }", "alice"),
    "ID": ('query ($v: ID! = "x"%s) { user(id: %s) { id } }', None),
    "Int": ("query ($v: Int%s) { inbox(first: %s) { unread } }", "alice"),
    "Duration": (
        'mutation ($v: Duration%s) { upsertCategory(input: {key: "f", name: "f", defaultChannels: [IN_APP], retention: %s}) { key } }',
        None,
    ),
}
EDGES = [
    *(
        "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:59:59-12:00",
        "2026-02-30T00:00:00Z",
        "2026-01-01",
        "2026-01-01T24:00:00Z",
    ),
    *(
        "P1Y",
        "PT",
        "P99999999999999999D",
        "PT1e400S",
        "-PT1S",
        "PT0.0000001S",
        "\ud83d",
        "\0",
        "x" * 5000,
        "bS4x",
        "\u200b",
    ),
    *(
        2**53 + 1,
        2**63,
        2**64,
        -(2**63) - 1,
        1e308,
        5e-324,
        -0.0,
        True,
        None,
        [[[]]],
        {"$a": {"": "\0"}},
        {"__proto__": 1},
    ),
]
scalars = st.sampled_from(EDGES) | json_values


def literal(value: Any) -> str:
    """Return the value as it is written in a query."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"k{index}: {literal(one)}" for index, one in enumerate(value.values())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value).replace("NaN", "1e999").replace("-Infinity", "-1e999").replace("Infinity", "1e999")


@fuzzed
@given(st.sampled_from(sorted(PLACES)), scalars)
async def test_fuzzed_scalars_as_literal_variable_and_default_are_accepted_or_rejected(
    tenant: Tenant, stopwatch: Stopwatch, scalar: str, value: Any
) -> None:
    text, user = PLACES[scalar]
    written_value = literal(value)
    default = "" if scalar == "ID" else f" = {written_value}"
    requested = [
        {"query": text % ("", written_value)},
        {"query": text % ("", "$v"), "variables": {"v": value}},
        {"query": text % (default, "$v")},
    ]
    for request in requested:
        try:
            body = json.dumps(request, allow_nan=False).encode()
        except (ValueError, UnicodeEncodeError):
            continue  # not JSON
        await post_bytes(tenant, stopwatch, body, user)
        if scalar == "Cursor":
            await written(tenant, stopwatch, json.dumps({"id": "1", "type": "subscribe", "payload": request}), user)
