"""Request ids, internal errors and operations in the log."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import FEED, INBOX, SEND, GraphQLErrors, Tenant
from tests.processes import Deployment, Process
from tests.telemetry import log_lines

INTERNAL = "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize(
    ("request_id", "is_kept"),
    [("build-1041/retry:2", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("a{}", False), ("", False)],
)
async def test_request_id_is_kept_if_it_is_safe_in_a_log(tenant: Tenant, request_id: str, is_kept: bool) -> None:
    sent = {"authorization": f"Bearer {tenant.token('ann')}", "x-request-id": request_id}
    async with tenant.http.post(tenant.next_url(), json={"query": "{ __typename }"}, headers=sent) as response:
        assert response.status == 200
        response_id = response.headers["x-request-id"]
    assert (response_id == request_id) is is_kept
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", response_id)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    ("token", "body"), [("", {"query": "{ __typename }"}), ("given", {"query": "{"}), ("given", 7)]
)
async def test_error_responses_have_a_request_id(tenant: Tenant, accept: str, token: str, body: object) -> None:
    sent = {"accept": accept, "x-request-id": "mine", "authorization": f"Bearer {token and tenant.token('ann')}"}
    async with tenant.http.post(tenant.next_url(), json=body, headers=sent) as response:
        assert response.headers.getall("x-request-id") == ["mine"]
        assert "errors" in await response.json()


@dataclass(frozen=True)
class BrokenMailbox:
    """A user with an unreadable mailbox, the id of a notification, and a cursor from before it."""

    user: str
    id: str
    before: str


@pytest.fixture
async def broken_mailbox(tenant: Tenant, database: Database) -> AsyncIterator[BrokenMailbox]:
    await tenant.send("ann")
    before = (await tenant.inbox("ann"))["position"]
    await tenant.send("ann", title="a secret title", body="a secret body")
    id = (await tenant.inbox("ann"))["nodes"][0]["id"]
    await database.mailboxes.update_one({"_id": f"{tenant.name}/ann"}, {"$unset": {"unread": ""}})
    yield BrokenMailbox("ann", id, before)
    await database.mailboxes.update_one({"_id": f"{tenant.name}/ann"}, {"$set": {"unread": 2}})


def internal_error_traceback(deployment: Deployment, tenant: Tenant, request_id: str, user: str = "ann") -> str:
    """Return the traceback of the only line about an internal error. It contains the caller and no data."""
    [line] = log_lines(*deployment.apis, request_id=request_id, level="error")
    assert (line["event"], line["tenant"], line["user"]) == ("internal_error", tenant.name, user)
    assert set(line) == {"event", "tenant", "user", "request_id", "level", "timestamp", "exception"}
    assert "Traceback (most recent call last)" in line["exception"]
    assert "secret" not in line["exception"]
    return str(line["exception"])


async def test_internal_error_over_http_is_one_line_in_the_log(
    tenant: Tenant, deployment: Deployment, broken_mailbox: BrokenMailbox
) -> None:
    id = uuid4().hex
    response = await tenant.execute_raw(INBOX, user=broken_mailbox.user, headers={"x-request-id": id})
    assert response["errors"][0]["extensions"] == {"code": INTERNAL, "requestId": id}
    internal_error_traceback(deployment, tenant, id)


async def test_several_internal_errors_of_one_request_are_one_line(
    tenant: Tenant, deployment: Deployment, broken_mailbox: BrokenMailbox
) -> None:
    id = uuid4().hex
    query = "query ($id: ID!) { a: user(id: $id) { inbox { unread } } b: user(id: $id) { inbox { unseen } } }"
    response = await tenant.execute_raw(query, headers={"x-request-id": id}, id=broken_mailbox.user)
    assert [error["extensions"]["requestId"] for error in response["errors"]] == [id, id]
    assert internal_error_traceback(deployment, tenant, id, user="").count("Missing fields: unread") == 2


async def test_internal_error_over_sse_is_one_line_in_the_log(
    tenant: Tenant, deployment: Deployment, broken_mailbox: BrokenMailbox
) -> None:
    sent = {"authorization": f"Bearer {tenant.token(broken_mailbox.user)}", "accept": "text/event-stream"}
    for query, variables in ((FEED, {"after": broken_mailbox.before}), (INBOX, {})):
        id = uuid4().hex
        body = {"query": query, "variables": variables}
        headers = {**sent, "x-request-id": id}
        async with tenant.http.post(tenant.next_url(), json=body, headers=headers) as response:
            assert response.headers["x-request-id"] == id
            events = await response.text()
        assert f'"requestId":"{id}"' in events
        assert events.endswith("event: complete\ndata:\n\n")
        internal_error_traceback(deployment, tenant, id)


async def test_internal_error_over_websocket_is_one_line_in_the_log(
    tenant: Tenant, deployment: Deployment, broken_mailbox: BrokenMailbox
) -> None:
    for query, variables in ((FEED, {"after": broken_mailbox.before}), (INBOX, {})):
        async with tenant.socket(broken_mailbox.user) as socket:
            with pytest.raises(GraphQLErrors) as refused:
                await anext(await socket.subscribe(query, variables=variables))
        assert refused.value.code == INTERNAL
        internal_error_traceback(deployment, tenant, refused.value.errors[0]["extensions"]["requestId"])


async def test_mongodb_errors_are_logged_without_documents(
    tenant: Tenant, deployment: Deployment, database: Database
) -> None:
    id, title = uuid4().hex, f"never-to-be-logged-{uuid4().hex}"
    await database.command("collMod", "notifications", validator={"title": {"$ne": title}})
    try:
        fields = {"to": {"users": ["ann"]}, "category": "news", "content": {"title": title, "body": ""}}
        response = await tenant.execute_raw(SEND, input=fields, headers={"x-request-id": id})
    finally:
        await database.command("collMod", "notifications", validator={})
    assert response["errors"][0]["extensions"] == {"code": INTERNAL, "requestId": id}
    assert "BulkWriteError: batch op errors occurred" in internal_error_traceback(deployment, tenant, id, user="")
    assert not any(title in api.log for api in deployment.apis)


async def test_operations_are_logged_at_debug_without_content(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    process = Process("serve", mongod.url, redis.url, log_level="debug")
    await process.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [process.url]) as tenant:
            await tenant.send("ann", title="not for the log")
            async with tenant.feed("ann", (await tenant.inbox("ann"))["position"]) as feed:
                await tenant.execute_raw("query A($x: Int) { inbox(first: $x) { unread } }", user="bob", x=1000)
                await tenant.send("ann", title="not for the log")
                await feed.take(1)
            output = log_lines(process, event="operation", tenant=tenant.name)
    finally:
        process.kill()
    received = [(line["transport"], line["kind"], line["field"], line["code"], line["user"]) for line in output]
    assert sorted(received) == [
        ("http", "mutation", "send", "OK", ""),
        ("http", "mutation", "send", "OK", ""),
        ("http", "query", "inbox", "BAD_USER_INPUT", "bob"),
        ("http", "query", "inbox", "OK", "ann"),
        ("websocket", "subscription", "inbox", "OK", "ann"),
    ]
    assert len({line["request_id"] for line in output}) == 5
    assert "not for the log" not in process.log
    assert "eyJ" not in process.log  # tokens begin like that


def test_warning_about_a_send_or_a_delivery_has_a_link_to_the_console() -> None:
    program = (
        "import structlog; from hub.platform import logging; logging.configure('info', 'https://hub.example/');"
        "log = structlog.get_logger(); log.warning('late_send', send='s/1'); log.info('sent', send='s1');"
        "log.error('digest_lost', delivery='d1', items=1); log.warning('queue_unavailable')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    links = [json.loads(line).get("console_url") for line in done.stderr.splitlines()]
    base = "https://hub.example/console"
    assert links == [f"{base}/sends/s%2F1", None, f"{base}/deliveries/d1", None]
