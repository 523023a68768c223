"""What nobody should send: each gets a clear refusal, and nothing breaks inside."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from graphql import parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.api.documents import too_large
from tests.client import Tenant
from tests.conftest import scaled
from tests.processes import Deployment

BAD_REQUEST = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
EXISTS = 4409
TOO_MANY = 4429
FUZZED = scaled(200, 2000)
LEVELS = 60


def subscribe(payload: Any = None, **more: Any) -> str:
    return json.dumps({"id": "1", "type": "subscribe", "payload": payload, **more})


def bomb(levels: int = LEVELS) -> str:
    """Doubled fragments, chained: 2 ** levels fields in some kilobytes."""
    chain = "".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }} " for n in range(levels))
    return f"{{ ...f0 }} {chain} fragment f{levels} on Query {{ __typename }}"


BEFORE_INIT = {
    "nothing of JSON": ("no json", BAD_REQUEST),
    "nothing": ("", BAD_REQUEST),
    "a list": ("[]", BAD_REQUEST),
    "a number": ("7", BAD_REQUEST),
    "null": ("null", BAD_REQUEST),
    "a string": ('"connection_init"', BAD_REQUEST),
    "no type": ("{}", BAD_REQUEST),
    "a type that is null": ('{"type": null}', BAD_REQUEST),
    "a type that is a list": ('{"type": ["connection_init"]}', BAD_REQUEST),
    "an unknown type": ('{"type": "hello"}', UNAUTHORIZED),
    "another order": (subscribe({"query": "{ __typename }"}), UNAUTHORIZED),
    "deep JSON": ('{"type":' + "[" * 5000 + "]" * 5000 + "}", BAD_REQUEST),
    "no payload": ('{"type": "connection_init"}', FORBIDDEN),
    "a payload that is a list": ('{"type": "connection_init", "payload": []}', FORBIDDEN),
    "a token that is a number": ('{"type": "connection_init", "payload": {"authorization": 7}}', BAD_REQUEST),
    "a token of nobody": ('{"type": "connection_init", "payload": {"authorization": "Bearer x"}}', FORBIDDEN),
    "a lone surrogate": ('{"type": "\\ud800"}', BAD_REQUEST),
}
AFTER_INIT = {
    "a list": ("[]", BAD_REQUEST),
    "null": ("null", BAD_REQUEST),
    "an unknown type": ('{"type": "hello"}', BAD_REQUEST),
    "a very long type": (json.dumps({"type": "x" * 50_000}), BAD_REQUEST),
    "a second init": ('{"type": "connection_init"}', TOO_MANY),
    "no id": (json.dumps({"type": "subscribe", "payload": {"query": "{ __typename }"}}), BAD_REQUEST),
    "an id that is a list": (subscribe({"query": "{ __typename }"}, id=[]), BAD_REQUEST),
    "an id that is a number": (subscribe({"query": "{ __typename }"}, id=1), BAD_REQUEST),
    "an empty id": (subscribe({"query": "{ __typename }"}, id=""), BAD_REQUEST),
    "a very long id": (subscribe({"query": "{ __typename }"}, id="x" * 1000), BAD_REQUEST),
    "no payload": (subscribe(None), BAD_REQUEST),
    "a payload that is a string": (subscribe("query"), BAD_REQUEST),
    "a query that is a number": (subscribe({"query": 7}), BAD_REQUEST),
    "variables that are a list": (subscribe({"query": "{ __typename }", "variables": []}), BAD_REQUEST),
    "a name that is a number": (subscribe({"query": "{ __typename }", "operationName": 7}), BAD_REQUEST),
    "extensions that are a list": (subscribe({"query": "{ __typename }", "extensions": []}), BAD_REQUEST),
}
REFUSED_OPERATIONS = {
    "nothing to parse": {"query": "{"},
    "an empty query": {"query": " "},
    "an unknown field": {"query": "{ nothing }"},
    "an unknown operation": {"query": "{ __typename }", "operationName": "Other"},
    "two operations and no name": {"query": "query A { __typename } query B { __typename }"},
    "a fragment bomb": {"query": bomb()},
    "fragments in a circle": {"query": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"},
    "a fragment of itself": {"query": "{ ...a } fragment a on Query { ...a }"},
    "too many tokens": {"query": "{ " + "__typename " * 2000 + "}"},
    "too deep": {"query": "{ me { inbox " + "{ nodes { deliveries " * 30 + "{ id } " + "} }" * 30 + " } }"},
    "deep braces": {"query": "{" * 400},
    "deep lists": {"query": "{ inbox(filter: {tags: " + "[" * 400 + "]" * 400 + "}) { unread } }"},
    "deep variables": {
        "query": "query ($f: InboxFilter) { inbox(filter: $f) { unread } }",
        "variables": {"f": {"tags": [[[[[[[[[]]]]]]]]]}},
    },
    "an unknown variable type": {"query": "query ($f: Nothing) { inbox(filter: $f) { unread } }"},
    "a wrong variable": {"query": "query ($n: Int) { inbox(first: $n) { unread } }", "variables": {"n": "many"}},
    "a huge number": {"query": "{ inbox(first: 99999999999999999999) { unread } }"},
    "a page of nothing": {"query": "{ inbox(first: 0) { unread } }"},
    "a cursor of ours made wrong": {"query": '{ inbox(after: "////") { unread } }'},
    "two subscriptions in one": {"query": "subscription { a: inbox { kind } b: inbox { kind } }"},
    "a subscription from rubbish": {"query": 'subscription { inbox(after: "x") { kind } }'},
    "receipts for a user": {"query": "subscription { receipts { id } }"},
    "a directive nobody knows": {"query": "{ __typename @nobody }"},
    "introspection in production": {"query": "{ __schema { types { name } } }"},
}
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "nothing of JSON": b"no json",
    "half": b'{"query": "{ __typename }"',
    "null": b"null",
    "a list": b"[]",
    "a batch": b'[{"query": "{ __typename }"}]',
    "a number": b"7",
    "a string": b'"{ __typename }"',
    "no query": b"{}",
    "a query that is null": b'{"query": null}',
    "a query that is a list": b'{"query": ["{ __typename }"]}',
    "variables that are a list": b'{"query": "{ __typename }", "variables": []}',
    "variables that are a string": b'{"query": "{ __typename }", "variables": "{}"}',
    "a name that is a number": b'{"query": "{ __typename }", "operationName": 7}',
    "extensions that are a string": b'{"query": "{ __typename }", "extensions": "x"}',
    "deep JSON": b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "deep objects": b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    "not UTF-8": b'{"query": "\xff\xfe"}',
    "a lone surrogate": b'{"query": "{ __typename }", "variables": {"a": "\\ud800"}}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "a byte order mark": b'\xef\xbb\xbf{"query": "{ __typename }"}',
}


def log_of(deployment: Deployment) -> str:
    return "".join(api.log for api in deployment.apis)


@pytest.fixture(autouse=True)
def unbroken(deployment: Deployment) -> Any:
    """Nothing of this may show as an error inside."""
    before = len(log_of(deployment))
    yield
    told = log_of(deployment)[before:]
    assert "Traceback" not in told
    assert '"error"' not in [json.loads(line)["level"] for line in told.splitlines()]
    assert "internal_error" not in told


async def closed_with(connection: ClientConnection) -> int:
    """The close code that the server ends it with; messages before that are passed over."""
    async with asyncio.timeout(5):
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd
            return closed.rcvd.code


@pytest.mark.parametrize("what", BEFORE_INIT)
async def test_socket_before_init_is_closed_with_the_protocols_code(tenant: Tenant, what: str) -> None:
    message, code = BEFORE_INIT[what]
    url = tenant.next_url().replace("http", "ws", 1)
    async with connect(url, subprotocols=["graphql-transport-ws"]) as connection:
        await connection.send(message)
        assert await closed_with(connection) == code


@pytest.mark.parametrize("what", AFTER_INIT)
async def test_socket_after_init_is_closed_with_the_protocols_code(tenant: Tenant, what: str) -> None:
    message, code = AFTER_INIT[what]
    async with tenant.socket("alice") as socket:
        await socket.connection.send(message)
        assert await closed_with(socket.connection) == code


async def test_socket_with_bytes_or_a_huge_message_is_closed(tenant: Tenant) -> None:
    async with tenant.socket("alice") as socket:
        await socket.connection.send(b"\x00\x01")
        assert await closed_with(socket.connection) == BAD_REQUEST
    async with tenant.socket("alice") as socket:
        await socket.connection.send("x" * 200_000)
        assert await closed_with(socket.connection) == 1009


async def test_socket_with_the_same_id_twice_is_closed(tenant: Tenant) -> None:
    await tenant.inbox("alice")
    async with tenant.socket("alice") as socket:
        for _ in range(2):
            await socket.connection.send(subscribe({"query": "subscription { inbox { kind } }"}))
        assert await closed_with(socket.connection) == EXISTS


async def test_socket_with_another_protocol_is_refused(tenant: Tenant) -> None:
    url = tenant.next_url().replace("http", "ws", 1)
    async with connect(url) as connection:
        assert await closed_with(connection) == 4406


@pytest.mark.parametrize("what", REFUSED_OPERATIONS)
async def test_operation_that_makes_no_sense_is_refused_over_http_and_socket(tenant: Tenant, what: str) -> None:
    request = REFUSED_OPERATIONS[what]
    headers = {"authorization": f"Bearer {tenant.token('alice')}"}
    async with tenant.http.post(tenant.next_url(), json=request, headers=headers) as response:
        assert response.status in {200, 400}
        codes = {error["extensions"]["code"] for error in (await response.json())["errors"]}
    assert codes <= {"BAD_USER_INPUT", "FORBIDDEN"}
    async with tenant.socket("alice") as socket:
        await socket.connection.send(subscribe(request))
        message = await socket.read()
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert {error["extensions"]["code"] for error in errors} <= {"BAD_USER_INPUT", "FORBIDDEN"}
        await socket.connection.send('{"type": "ping"}')
        while (await socket.read())["type"] != "pong":
            pass


@pytest.mark.parametrize("what", BODIES)
async def test_body_that_is_no_request_is_refused(tenant: Tenant, what: str) -> None:
    headers = {"authorization": f"Bearer {tenant.token('alice')}", "content-type": "application/json"}
    async with tenant.http.post(tenant.next_url(), data=BODIES[what], headers=headers) as response:
        answer = await response.json()
        assert response.status == 400
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_fragment_bomb_is_counted_without_being_spread() -> None:
    """2 ** 60 fields: whoever spread them would not come back."""
    assert too_large(parse(bomb(), max_tokens=1000), introspection=False)


@settings(max_examples=FUZZED, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["id", "type", "payload", "query", "variables", "operationName", "extensions", "x"]),
                inner
                | st.sampled_from(
                    ["subscribe", "complete", "ping", "pong", "{ __typename }", "subscription { inbox { kind } }"]
                ),
                max_size=6,
            )
        ),
        max_leaves=12,
    )
)
async def test_fuzzed_messages_and_bodies_break_nothing(tenant: Tenant, value: Any) -> None:
    text = json.dumps(value)
    headers = {"authorization": f"Bearer {tenant.token('alice')}", "content-type": "application/json"}
    async with tenant.http.post(tenant.next_url(), data=text.encode(), headers=headers) as response:
        assert response.status in {200, 400}
        codes = {error["extensions"]["code"] for error in orjson.loads(await response.read()).get("errors", [])}
        assert codes <= {"BAD_USER_INPUT"}
    async with tenant.socket("alice") as socket:
        await socket.connection.send(text)
        try:
            await socket.connection.send('{"type": "ping"}')
            async with asyncio.timeout(5):
                while json.loads(await socket.connection.recv())["type"] != "pong":
                    pass
        except ConnectionClosed as closed:
            assert closed.rcvd
            assert 4400 <= closed.rcvd.code < 4500
