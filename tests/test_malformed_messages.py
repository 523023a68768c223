"""Malformed and misplaced WebSocket messages: each is refused with its code, and nothing breaks inside."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from graphql import parse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.api.execution.query_limits import find_limit_error
from hub.settings import Settings
from tests.client import SUBPROTOCOL, Json, Socket, Tenant
from tests.conftest import Stopwatch
from tests.processes import SECRET

pytestmark = pytest.mark.usefixtures("no_internal_errors")
BAD_REQUEST = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
ALREADY_EXISTS = 4409
TOO_MANY = 4429
LEVELS = 60


def subscribe(payload: Any = None, **more: Any) -> str:
    return json.dumps({"id": "1", "type": "subscribe", "payload": payload, **more})


def fragment_bomb(levels: int = LEVELS) -> str:
    """Return chained fragments that double each time: 2 ** levels fields in a few kilobytes."""
    chain = "".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }} " for n in range(levels))
    return f"{{ ...f0 }} {chain} fragment f{levels} on Query {{ __typename }}"


INIT = {"type": "connection_init"}
NONE = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0."  # {"alg": "none"}
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
    "a payload that is a list": ('{"type": "connection_init", "payload": []}', BAD_REQUEST),
    "a payload that is a string": ('{"type": "connection_init", "payload": "Bearer x"}', BAD_REQUEST),
    "a payload that is null": ('{"type": "connection_init", "payload": null}', FORBIDDEN),
    "an end of a list": ('{"type": "complete", "id": ["1"]}', BAD_REQUEST),
    "an end of something": ('{"type": "complete", "id": "1"}', UNAUTHORIZED),
    "a ping with a list": ('{"type": "ping", "payload": []}', BAD_REQUEST),
    "a token that is a number": ('{"type": "connection_init", "payload": {"authorization": 7}}', BAD_REQUEST),
    "a token of nobody": ('{"type": "connection_init", "payload": {"authorization": "Bearer x"}}', FORBIDDEN),
    "a lone surrogate": ('{"type": "\\ud800"}', BAD_REQUEST),
    "a byte order mark": ('\ufeff{"type": "connection_init"}', BAD_REQUEST),
    "two objects": ('{"type": "connection_init"}{"type": "connection_init"}', BAD_REQUEST),
    "an end too early": ('{"type": "connection_init"', BAD_REQUEST),
    "a comma too many": ('{"type": "connection_init",}', BAD_REQUEST),
    "a comment": ('{"type": "connection_init"} // hello', BAD_REQUEST),
    "apostrophes": ("{'type': 'connection_init'}", BAD_REQUEST),
    "a bare newline": ('{"type": "connection\n_init"}', BAD_REQUEST),
    "NUL": ("\0", BAD_REQUEST),
    "UTF-16": ('{"type": "connection_init"}'.encode("utf-16-le").decode("latin-1"), BAD_REQUEST),
    "a type in capitals": ('{"type": "CONNECTION_INIT"}', UNAUTHORIZED),
    "types, the last unknown": ('{"type": "connection_init", "type": "hello"}', UNAUTHORIZED),
    "a token of 60 kB": (json.dumps(INIT | {"payload": {"authorization": "Bearer " + "x" * 60_000}}), FORBIDDEN),
    "a token with a lone CR": (json.dumps(INIT | {"payload": {"authorization": "Bearer a\rb"}}), FORBIDDEN),
    "a token without Bearer": (json.dumps(INIT | {"payload": {"authorization": "Basic YTpi"}}), FORBIDDEN),
    "a token that signs nothing": (json.dumps(INIT | {"payload": {"authorization": f"Bearer {NONE}"}}), FORBIDDEN),
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
    "NaN": (subscribe({"query": "{ __typename }", "variables": {"a": float("nan")}}), BAD_REQUEST),
    "Infinity": (subscribe({"query": "{ __typename }", "variables": {"a": float("-inf")}}), BAD_REQUEST),
    "a number beyond numbers": (
        '{"id": "1", "type": "subscribe", "payload": {"query": "{a}", "x": 1e999}}',
        BAD_REQUEST,
    ),
    "a number of 5,000 digits": (f'{{"type": "ping", "payload": {"9" * 5000}}}', BAD_REQUEST),
    "ids, the last a number": ('{"id": "1", "id": 1, "type": "subscribe", "payload": {"query": "{ a }"}}', BAD_REQUEST),
    "an id that is an object": (subscribe({"query": "{ __typename }"}, id={"id": "1"}), BAD_REQUEST),
    "an id that is true": (subscribe({"query": "{ __typename }"}, id=True), BAD_REQUEST),
    "an id with half a character": (
        '{"id": "\\udc00", "type": "subscribe", "payload": {"query": "{ a }"}}',
        BAD_REQUEST,
    ),
    "a payload that is a list": (subscribe([{"query": "{ __typename }"}]), BAD_REQUEST),
    "a payload of 2,000 levels": (f'{{"type": "ping", "payload": {"[" * 2000}{"]" * 2000}}}', BAD_REQUEST),
    "a batch": (f"[{subscribe({'query': '{ __typename }'})}]", BAD_REQUEST),
    "a query that is null": (subscribe({"query": None}), BAD_REQUEST),
    "an empty query": (subscribe({"query": ""}), BAD_REQUEST),
    "variables that are JSON in a string": (subscribe({"query": "{ __typename }", "variables": "{}"}), BAD_REQUEST),
    "a name that is a list": (subscribe({"query": "{ __typename }", "operationName": ["a"]}), BAD_REQUEST),
    "a hash that is a number": (
        subscribe({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 7}}}),
        BAD_REQUEST,
    ),
    "a hash of version 2": (
        subscribe({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "a"}}}),
        BAD_REQUEST,
    ),
    "a hash that is a list": (subscribe({"extensions": {"persistedQuery": [1]}}), BAD_REQUEST),
    "an end without an id": ('{"type": "complete"}', BAD_REQUEST),
    "an end of a list": ('{"type": "complete", "id": ["1"]}', BAD_REQUEST),
    "an end of a number": ('{"type": "complete", "id": 1}', BAD_REQUEST),
    "an end of null": ('{"type": "complete", "id": null}', BAD_REQUEST),
    "an end of an empty id": ('{"type": "complete", "id": ""}', BAD_REQUEST),
    "a ping with a list": ('{"type": "ping", "payload": []}', BAD_REQUEST),
    "a ping with a string": ('{"type": "ping", "payload": "x"}', BAD_REQUEST),
    "a pong with a number": ('{"type": "pong", "payload": 7}', BAD_REQUEST),
    "our ack": ('{"type": "connection_ack"}', BAD_REQUEST),
    "our next": ('{"id": "1", "type": "next", "payload": {"data": null}}', BAD_REQUEST),
    "our error": ('{"id": "1", "type": "error", "payload": []}', BAD_REQUEST),
    "the old protocol's start": ('{"id": "1", "type": "start", "payload": {"query": "{ __typename }"}}', BAD_REQUEST),
    "the old protocol's end": ('{"type": "connection_terminate"}', BAD_REQUEST),
}
HARMLESS: dict[str, Json] = {
    "a pong nobody asked for": {"type": "pong"},
    "a ping with much in it": {"type": "ping", "payload": {"a": [[[[{"b": "x" * 1000}]]]]}},
    "a ping with null": {"type": "ping", "payload": None},
    "an end of nothing": {"type": "complete", "id": "unknown"},
    "an end of a very long id": {"type": "complete", "id": "x" * 60_000},
    "keys nobody knows": {"type": "ping", "__proto__": {"type": "x"}, "constructor": 7, "": None},
    "a subscription with more in it": {
        "type": "subscribe",
        "id": "🎉",
        "payload": {"query": "{ __typename }", "x": []},
    },
    "an id of NULs": {"type": "subscribe", "id": "\0\0", "payload": {"query": "{ __typename }", "variables": None}},
    "variables nobody declared": {
        "type": "subscribe",
        "id": "1",
        "payload": {"query": "{ __typename }", "variables": {"__proto__": 1}},
    },
    "a hash of nothing": {
        "type": "subscribe",
        "id": "1",
        "payload": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x"}}},
    },
}
INVALID_OPERATIONS = {
    "nothing to parse": {"query": "{"},
    "an empty query": {"query": " "},
    "an unknown field": {"query": "{ nothing }"},
    "an unknown operation": {"query": "{ __typename }", "operationName": "Other"},
    "two operations and no name": {"query": "query A { __typename } query B { __typename }"},
    "a fragment bomb": {"query": fragment_bomb()},
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


async def close_code(connection: ClientConnection) -> int:
    """Return the code with which the server closes the socket. Earlier messages are skipped."""
    async with asyncio.timeout(60):
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd
            return closed.rcvd.code


@pytest.mark.parametrize("what", BEFORE_INIT)
async def test_malformed_message_before_init_closes_with_the_protocol_code(
    tenant: Tenant, stopwatch: Stopwatch, what: str
) -> None:
    message, code = BEFORE_INIT[what]
    url = tenant.next_url().replace("http", "ws", 1)
    async with connect(url, subprotocols=[SUBPROTOCOL]) as connection:
        with stopwatch(f"before init, {what}"):
            await connection.send(message)
            assert await close_code(connection) == code


@pytest.mark.parametrize("what", AFTER_INIT)
async def test_malformed_message_after_init_closes_with_the_protocol_code(
    tenant: Tenant, stopwatch: Stopwatch, what: str
) -> None:
    message, code = AFTER_INIT[what]
    async with tenant.socket("alice") as socket:
        with stopwatch(f"message, {what}"):
            await socket.connection.send(message)
            assert await close_code(socket.connection) == code


@pytest.mark.parametrize("what", HARMLESS)
async def test_harmless_message_keeps_the_socket_open(tenant: Tenant, stopwatch: Stopwatch, what: str) -> None:
    async with tenant.socket("alice") as socket:
        with stopwatch(f"message, {what}"):
            await socket.write(HARMLESS[what])
            await check_open(socket)


async def check_open(socket: Socket) -> None:
    """Check that the socket still responds. Earlier messages are skipped."""
    await socket.write({"type": "ping"})
    async with asyncio.timeout(60):
        while (await socket.read())["type"] != "pong":
            pass


async def test_ping_before_init_is_answered(tenant: Tenant) -> None:
    """The protocol allows pings at any time."""
    url = tenant.next_url().replace("http", "ws", 1)
    async with connect(url, subprotocols=[SUBPROTOCOL]) as connection:
        await connection.send('{"type": "pong"}')
        await connection.send('{"type": "ping"}')
        assert orjson.loads(await connection.recv()) == {"type": "pong"}


async def test_number_as_operation_id_is_rejected(tenant: Tenant) -> None:
    async with tenant.socket("alice") as socket:
        await socket.connection.send(subscribe({"query": "{ __typename }"}, id=1))
        await close_code(socket.connection)
    assert socket.connection.close_reason == "`id` of `subscribe` must be a string."


async def test_binary_or_huge_message_closes_the_socket(tenant: Tenant) -> None:
    async with tenant.socket("alice") as socket:
        await socket.connection.send(b"\x00\x01")
        assert await close_code(socket.connection) == BAD_REQUEST
    async with tenant.socket("alice") as socket:
        await socket.connection.send("x" * 200_000)
        assert await close_code(socket.connection) == 1009


async def test_duplicate_operation_id_closes_the_socket(tenant: Tenant) -> None:
    await tenant.inbox("alice")
    async with tenant.socket("alice") as socket:
        for _ in range(2):
            await socket.connection.send(subscribe({"query": "subscription { inbox { kind } }"}))
        assert await close_code(socket.connection) == ALREADY_EXISTS


async def test_other_subprotocol_is_rejected(tenant: Tenant) -> None:
    url = tenant.next_url().replace("http", "ws", 1)
    async with connect(url) as connection:
        assert await close_code(connection) == 4406


@pytest.mark.parametrize("what", INVALID_OPERATIONS)
async def test_invalid_operation_is_rejected_over_http_and_socket(
    tenant: Tenant, stopwatch: Stopwatch, what: str
) -> None:
    request = INVALID_OPERATIONS[what]
    headers = {"authorization": f"Bearer {tenant.token('alice')}"}
    with stopwatch(f"operation, {what}"):
        async with tenant.http.post(tenant.next_url(), json=request, headers=headers) as response:
            assert response.status in {200, 400}
            codes = {error["extensions"]["code"] for error in (await response.json())["errors"]}
    assert codes <= {"BAD_USER_INPUT", "FORBIDDEN"}
    async with tenant.socket("alice") as socket:
        await socket.connection.send(subscribe(request))
        message = await socket.read()
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert {error["extensions"]["code"] for error in errors} <= {"BAD_USER_INPUT", "FORBIDDEN"}
        await check_open(socket)


async def test_fragment_bomb_is_counted_without_expansion() -> None:
    """2 ** 60 fields: expanding them would never end."""
    assert find_limit_error(parse(fragment_bomb(), max_tokens=1000), Settings(jwt_secret=(SECRET,)))
