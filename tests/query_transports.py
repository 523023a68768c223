"""One request by POST, GET, server-sent events or WebSocket, with or without the query text."""

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from tests.client import Json, Tenant

BAD_USER_INPUT, NOT_FOUND, NOT_IN_LIST = "BAD_USER_INPUT", "PERSISTED_QUERY_NOT_FOUND", "PERSISTED_QUERY_NOT_IN_LIST"


def unique_query() -> str:
    """Return a query that was never sent before."""
    return f"query q{uuid4().hex} {{ me {{ id }} }}"


def sha256_hex(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def persisted_request(hash: Any, query: str | None = None, **more: Any) -> Json:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hash}}
    return {"extensions": extensions, **({} if query is None else {"query": query}), **more}


def authorized_headers(tenant: Tenant, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {tenant.token('alice')}", **more}


async def send_post(tenant: Tenant, request: Json, url: str = "") -> Json:
    async with tenant.http.post(url or tenant.next_url(), json=request, headers=authorized_headers(tenant)) as response:
        result: Json = await response.json()
        return result


async def send_get(tenant: Tenant, request: Json, url: str = "") -> Json:
    output = urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in request.items()})
    async with tenant.http.get(f"{url or tenant.next_url()}?{output}", headers=authorized_headers(tenant)) as response:
        result: Json = await response.json()
        return result


async def send_stream(tenant: Tenant, request: Json, url: str = "") -> Json:
    """Send over server-sent events. A request that is rejected before the stream begins gets a JSON response."""
    sent = authorized_headers(tenant, accept="text/event-stream")
    async with tenant.http.post(url or tenant.next_url(), json=request, headers=sent) as response:
        if response.content_type == "application/json":
            refused: Json = await response.json()
            return refused
        [output] = [line for line in (await response.text()).splitlines() if line.startswith("data: ")]
        result: Json = json.loads(output.removeprefix("data: "))
        return result


async def send_over_websocket(tenant: Tenant, request: Json, url: str = "") -> Json:
    async with tenant.socket("alice", url=url or None) as connection:
        await connection.write({"id": "1", "type": "subscribe", "payload": request})
        message = await connection.read()
        payload: Json = {"errors": message["payload"]} if message["type"] == "error" else message["payload"]
        return payload


SendRequest = Callable[[Tenant, Json, str], Awaitable[Json]]
EVERY_TRANSPORT = pytest.mark.parametrize("send_request", [send_post, send_get, send_stream, send_over_websocket])
ALICE_RESPONSE = {"data": {"me": {"id": "alice"}}}


def error_code(response: Json) -> str:
    [error] = response["errors"]
    return str(error["extensions"]["code"])


async def count_parsed_queries(tenant: Tenant, url: str) -> float:
    """Return how many queries that process has parsed and validated."""
    async with tenant.http.get(url.replace("/graphql", "/metrics")) as response:
        for line in (await response.text()).splitlines():
            if line.startswith("hub_queries_parsed_total "):
                return float(line.split()[1])
    raise AssertionError("not counted")
