"""The manifest of allowed operations."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import run_command
from tests.client import Json, Tenant
from tests.processes import SECRET, Deployment
from tests.query_transports import (
    ALICE_RESPONSE,
    BAD_USER_INPUT,
    NOT_IN_LIST,
    authorized_headers,
    count_parsed_queries,
    error_code,
    persisted_request,
    send_get,
    send_over_websocket,
    send_post,
    send_stream,
    sha256_hex,
)

ME = "query Me { me { id } }"
FEED = "subscription Feed { inbox { kind } }"
MARK = "mutation Mark { markAllRead { changed } }"


def apollo(*rows: Any, **more: Any) -> Json:
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": list(rows), **more}


def row(name: str, text: str, id: str | None = None, kind: str = "query") -> Json:
    return {"id": id or sha256_hex(text), "name": name, "type": kind, "body": text}


@pytest.mark.parametrize("form", ["apollo", "plain"])
async def test_only_allowed_operations_run(servers: tuple[Mongod, Redis], tmp_path: Path, form: str) -> None:
    manifest = tmp_path / "manifest.json"
    rows = [row("Me", ME, "me-1"), row("Feed", FEED, kind="subscription"), row("Mark", MARK, kind="mutation")]
    plain = {each["id"]: each["body"] for each in rows}
    manifest.write_text(json.dumps(apollo(*rows) if form == "apollo" else plain))
    mongod, redis = servers
    fields = {"operation_allowlist": str(manifest)}
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **fields) as hub, Tenant("l", hub.urls) as tenant:
        [url] = tenant.urls
        for ask in (send_post, send_get, send_stream, send_over_websocket):
            for request in (
                persisted_request("me-1"),
                persisted_request(sha256_hex(ME)),
                {"query": ME},
                persisted_request(sha256_hex(ME), ME),
                persisted_request("me-1", ""),
            ):
                assert await ask(tenant, request, "") == ALICE_RESPONSE
            spaced = ME.replace(" ", "  ")
            for request in (
                {"query": spaced},
                {"query": "{ me { id } }"},
                {"query": "{"},
                persisted_request(sha256_hex(spaced), spaced),
                persisted_request("me-2"),
                persisted_request("0" * 64),
            ):
                result = await ask(tenant, request, "")
                assert error_code(result) == NOT_IN_LIST
                assert "HUB_OPERATION_ALLOWLIST" in result["errors"][0]["message"]
            assert error_code(await ask(tenant, persisted_request("me-1", MARK), "")) == BAD_USER_INPUT
        async with tenant.http.post(
            url, json={"query": "{ me { id } }"}, headers=authorized_headers(tenant)
        ) as response:
            assert response.status == 403
        assert (await send_post(tenant, persisted_request(sha256_hex(MARK))))["data"] == {"markAllRead": {"changed": 0}}
        async with tenant.feed("alice", query=FEED) as feed:
            await feed.socket.write({"type": "ping"})
            assert (await feed.socket.read())["type"] == "pong"
        # They were parsed at the start, and nothing else is parsed.
        assert await count_parsed_queries(tenant, url) == 3


async def test_invalid_manifest_prevents_the_start(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    mongod, redis = servers
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(apollo(row("Me", ME), row("Broken", "query Broken { nothing }"))))
    settings = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET, "port": "0"}
    for command, path, words in (
        ("serve", manifest, ["operation Broken", "Cannot query field 'nothing'"]),
        ("doctor", manifest, ["operation Broken", "Cannot query field 'nothing'"]),
        ("serve", tmp_path / "nowhere.json", ["nowhere.json", "No such file"]),
    ):
        done = await asyncio.to_thread(run_command, command, operation_allowlist=str(path), **settings)
        received = done.stdout if command == "doctor" else done.stderr
        assert done.returncode == 1
        assert all(word in received for word in ["HUB_OPERATION_ALLOWLIST", *words]), received
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", ["is not JSON"]),
        ("{", ["is not JSON"]),
        ("null", ["neither"]),
        ("[]", ["neither"]),
        ('{"format": "other"}', ["neither"]),
        (json.dumps(apollo(row("Me", ME), version=2)), ["neither"]),
        (json.dumps(apollo(version=1, operations={})), ["neither"]),
        (json.dumps(apollo()), ["no operation"]),
        ("{}", ["no operation"]),
        (json.dumps(apollo("x")), ["an id and a text"]),
        (json.dumps(apollo({"name": "Me", "body": ME})), ["operation Me", "an id and a text"]),
        (json.dumps(apollo({"name": "Me", "id": "x"})), ["operation Me", "an id and a text"]),
        (json.dumps({"x": 7}), ["operation x", "an id and a text"]),
        (json.dumps(apollo(row("Me", ME, "x"), row("Mark", MARK, "x"))), ["operation Mark", "id x"]),
        (json.dumps({"x": "{"}), ["operation x", "Syntax Error"]),
        (json.dumps({"x": "{ __schema { types { name } } }"}), ["operation x", "Introspection"]),
        (json.dumps({"x": "{ " + "me " * 2000 + "}"}), ["operation x", "HUB_QUERY_MAX_TOKENS"]),
    ],
)
def test_manifest_errors_are_named(tmp_path: Path, written: str, words: list[str]) -> None:
    from hub.api.execution.persisted_queries import read_manifest
    from hub.api.execution.query_cache import QueryCache
    from hub.api.schema.root import make_schema
    from hub.settings import ConfigurationError, Settings

    path = tmp_path / "m.json"
    path.write_text(written)
    with pytest.raises(ConfigurationError) as refused:
        read_manifest(path, QueryCache(make_schema()._schema, Settings(jwt_secret=(SECRET,))).pin)
    assert all(word in str(refused.value) for word in ["HUB_OPERATION_ALLOWLIST", "m.json", *words])
