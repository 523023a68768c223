"""What an operator sees: request ids, log lines, metrics, and traces from a mutation to the sockets it reaches."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import FEED, INBOX, SEND, Json, Refused, Tenant, eventually
from tests.conftest import scaled
from tests.documentation import DOCS, text_of
from tests.processes import Deployment, Process

INTERNAL = "INTERNAL_SERVER_ERROR"


def lines(*processes: Process, **having: str) -> list[Json]:
    """Log lines with those fields."""
    found = [json.loads(line) for process in processes for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in found if all(line.get(name) == value for name, value in having.items())]


# ---------------------------------------------------------------------------------------------------- request ids


@pytest.mark.parametrize(
    ("given", "kept"),
    [("build-1041/retry:2", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("a{}", False), ("", False)],
)
async def test_request_id_is_kept_if_it_can_stand_in_a_log(tenant: Tenant, given: str, kept: bool) -> None:
    sent = {"authorization": f"Bearer {tenant.token('ann')}", "x-request-id": given}
    async with tenant.http.post(tenant.next_url(), json={"query": "{ __typename }"}, headers=sent) as response:
        assert response.status == 200
        answered = response.headers["x-request-id"]
    assert (answered == given) is kept
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", answered)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    ("token", "body"), [("", {"query": "{ __typename }"}), ("given", {"query": "{"}), ("given", 7)]
)
async def test_refusals_answer_a_request_id(tenant: Tenant, accept: str, token: str, body: object) -> None:
    sent = {"accept": accept, "x-request-id": "mine", "authorization": f"Bearer {token and tenant.token('ann')}"}
    async with tenant.http.post(tenant.next_url(), json=body, headers=sent) as response:
        assert response.headers.getall("x-request-id") == ["mine"]
        assert "errors" in await response.json()


# ---------------------------------------------------------------------------------------------------- internal errors


@dataclass(frozen=True)
class Broken:
    """A user with a mailbox that nobody can read, the id of a notification, and a cursor from before it."""

    user: str
    id: str
    before: str


@pytest.fixture
async def broken(tenant: Tenant, database: Database) -> AsyncIterator[Broken]:
    await tenant.send("ann")
    before = (await tenant.inbox("ann"))["position"]
    await tenant.send("ann", title="a secret title", body="a secret body")
    id = (await tenant.inbox("ann"))["nodes"][0]["id"]
    await database.mailboxes.update_one({"_id": f"{tenant.name}/ann"}, {"$unset": {"unread": ""}})
    yield Broken("ann", id, before)
    await database.mailboxes.update_one({"_id": f"{tenant.name}/ann"}, {"$set": {"unread": 2}})


def the_fault(deployment: Deployment, tenant: Tenant, request_id: str, user: str = "ann") -> str:
    """The traceback in the one line about an internal error, which says whose request it was, and no more."""
    [line] = lines(*deployment.apis, request_id=request_id, level="error")
    assert (line["event"], line["tenant"], line["user"]) == ("internal_error", tenant.name, user)
    assert set(line) == {"event", "tenant", "user", "request_id", "level", "timestamp", "exception"}
    assert "Traceback (most recent call last)" in line["exception"]
    assert "secret" not in line["exception"]
    return str(line["exception"])


async def test_internal_error_over_http_is_one_line_in_the_log(
    tenant: Tenant, deployment: Deployment, broken: Broken
) -> None:
    id = uuid4().hex
    answer = await tenant.answer(INBOX, user=broken.user, headers={"x-request-id": id})
    assert answer["errors"][0]["extensions"] == {"code": INTERNAL, "requestId": id}
    the_fault(deployment, tenant, id)


async def test_several_internal_errors_of_one_request_are_one_line(
    tenant: Tenant, deployment: Deployment, broken: Broken
) -> None:
    id = uuid4().hex
    query = "query ($id: ID!) { a: user(id: $id) { inbox { unread } } b: user(id: $id) { inbox { unseen } } }"
    answer = await tenant.answer(query, headers={"x-request-id": id}, id=broken.user)
    assert [error["extensions"]["requestId"] for error in answer["errors"]] == [id, id]
    assert the_fault(deployment, tenant, id, user="").count("KeyError: 'unread'") == 2


async def test_internal_error_over_sse_is_one_line_in_the_log(
    tenant: Tenant, deployment: Deployment, broken: Broken
) -> None:
    sent = {"authorization": f"Bearer {tenant.token(broken.user)}", "accept": "text/event-stream"}
    for query, variables in ((FEED, {"after": broken.before}), (INBOX, {})):
        id = uuid4().hex
        body = {"query": query, "variables": variables}
        headers = {**sent, "x-request-id": id}
        async with tenant.http.post(tenant.next_url(), json=body, headers=headers) as response:
            assert response.headers["x-request-id"] == id
            events = await response.text()
        assert f'"requestId":"{id}"' in events
        assert events.endswith("event: complete\ndata:\n\n")
        the_fault(deployment, tenant, id)


async def test_internal_error_over_websocket_is_one_line_in_the_log(
    tenant: Tenant, deployment: Deployment, broken: Broken
) -> None:
    for query, variables in ((FEED, {"after": broken.before}), (INBOX, {})):
        async with tenant.socket(broken.user) as socket:
            with pytest.raises(Refused) as refused:
                await anext(await socket.subscribe(query, variables=variables))
        assert refused.value.code == INTERNAL
        the_fault(deployment, tenant, refused.value.errors[0]["extensions"]["requestId"])


async def test_errors_of_mongodb_that_quote_documents_are_logged_without(
    tenant: Tenant, deployment: Deployment, database: Database
) -> None:
    id, title = uuid4().hex, f"never-to-be-logged-{uuid4().hex}"
    await database.command("collMod", "notifications", validator={"title": {"$ne": title}})
    try:
        given = {"to": {"users": ["ann"]}, "category": "news", "content": {"title": title, "body": ""}}
        answer = await tenant.answer(SEND, input=given, headers={"x-request-id": id})
    finally:
        await database.command("collMod", "notifications", validator={})
    assert answer["errors"][0]["extensions"] == {"code": INTERNAL, "requestId": id}
    assert "BulkWriteError: batch op errors occurred" in the_fault(deployment, tenant, id, user="")
    assert not any(title in api.log for api in deployment.apis)


# ---------------------------------------------------------------------------------------------------- operations


async def test_operations_are_logged_at_debug_with_who_and_what_and_nothing_else(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    process = Process("serve", mongod.url, redis.url, log_level="debug")
    await process.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [process.url]) as tenant:
            await tenant.send("ann", title="not for the log")
            async with tenant.feed("ann") as feed:
                await tenant.answer("query A($x: Int) { inbox(first: $x) { unread } }", user="bob", x=1000)
                await tenant.send("ann", title="not for the log")
                await feed.take(1)
            said = lines(process, event="operation", tenant=tenant.name)
    finally:
        process.kill()
    told = [(line["transport"], line["kind"], line["field"], line["code"], line["user"]) for line in said]
    assert sorted(told) == [
        ("http", "mutation", "send", "OK", ""),
        ("http", "mutation", "send", "OK", ""),
        ("http", "query", "inbox", "BAD_USER_INPUT", "bob"),
        ("websocket", "subscription", "inbox", "OK", "ann"),
    ]
    assert len({line["request_id"] for line in said}) == 4
    assert "not for the log" not in process.log
    assert "eyJ" not in process.log  # as tokens begin


# ---------------------------------------------------------------------------------------------------- metrics


async def scrape(url: str, token: str = "") -> dict[str, Metric]:
    """By name."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.request("GET", url.replace("/graphql", "/metrics"), headers=headers) as response:
        assert response.status == 200, await response.text()
        return {metric.name: metric for metric in text_string_to_metric_families(await response.text())}


def value(metrics: dict[str, Metric], name: str, **labels: str) -> float:
    samples = [sample for metric in metrics.values() for sample in metric.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


async def test_metrics_say_what_the_hub_does(tenant: Tenant) -> None:
    url = tenant.urls[0]
    await tenant.send("ann", url=url)
    async with tenant.feed("ann", url=url) as feed:
        before = await scrape(url)
        await tenant.send("ann", url=url)
        await feed.take(1)
        await tenant.answer("{ inbox(first: 1000) { unread } }", user="ann", url=url)
        await tenant.answer("{", user="ann", url=url)
        after = await scrape(url)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("hub_requests_total", transport="http", kind="mutation", field="send", code="OK") == 1
    assert more("hub_requests_total", transport="http", kind="query", field="inbox", code="BAD_USER_INPUT") == 1
    assert more("hub_requests_total", transport="http", kind="none", field="none", code="BAD_USER_INPUT") == 1
    assert value(after, "hub_requests_total", transport="websocket", kind="subscription", field="inbox") >= 1
    assert more("hub_request_seconds_count", transport="http", kind="mutation") == 1
    assert more("hub_resolver_seconds_count", field="Mutation.send") == 1
    assert more("hub_commit_seconds_count") == more("hub_commit_batch_size_count") == 1
    assert value(after, "hub_live_published_total") >= 1
    assert more("hub_queries_parsed_total") == 2
    for gauge in ("hub_sockets", "hub_feeds", "hub_mailboxes_open"):
        assert value(after, gauge) >= 1, gauge
    assert value(after, "hub_pubsub_disconnected") == 0
    assert value(after, "process_resident_memory_bytes") > 0


async def test_metrics_are_well_formed_and_explained(tenant: Tenant) -> None:
    await tenant.send("ann", url=tenant.urls[0])
    found = await scrape(tenant.urls[0])
    ours = {name: metric for name, metric in found.items() if name.startswith("hub_")}
    assert len(ours) > 20
    for name, metric in ours.items():
        assert metric.documentation.endswith("."), name
        for sample in metric.samples:
            assert metric.type != "counter" or sample.name.endswith("_total"), sample.name
            assert tenant.name not in str(sample.labels), name
    documented = text_of(*(DOCS / "operations").glob("*.md"))
    named = set(re.findall(r"(?<![$\w])hub_[a-z_]+", documented))
    known = {sample.name for metric in ours.values() for sample in metric.samples} | set(ours)
    assert named <= known | {f"{name}_total" for name in known}, named - known


async def test_events_that_wait_in_feeds_are_looked_up_when_asked(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    process = Process("serve", mongod.url, redis.url)
    await process.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [process.url]) as tenant:
            content = {"title": "Hello", "body": "x" * 16_000}
            one = {"to": {"users": ["ann"]}, "category": "news", "content": content}
            await tenant.ask("mutation ($i: [SendInput!]!) { sendMany(inputs: $i) { duplicate } }", i=[one] * 50)
            ids = [node["id"] for node in (await tenant.inbox("ann", first=50))["nodes"]]
            async with tenant.feed("ann") as feed:
                feed.socket.connection.transport.pause_reading()
                for _ in range(20):  # until the kernel's buffers are full
                    await tenant.mark("ann", "markRead", *ids)
                    await tenant.mark("ann", "markUnread", *ids)
                    found = await scrape(process.url)
                    if value(found, "hub_feed_events") > 0:
                        break
                assert value(found, "hub_feed_events_most") == value(found, "hub_feed_events") > 0
                feed.socket.connection.transport.abort()  # it would wait for an answer that it does not read
    finally:
        process.kill()


async def test_worker_answers_metrics_with_a_token_and_finds_drift(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"observe{uuid4().hex[:8]}"  # the recount picks mailboxes at random: here there is one
    settings = {"mongo_database": name, "metrics_token": "for-prometheus", "work_port": "0"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running:
        [worker] = running.workers
        url = f"http://127.0.0.1:{worker.port}/metrics"
        async with aiohttp.ClientSession() as http:
            for path, headers, status in (
                ("metrics", {}, 401),
                ("metrics", {"authorization": "Bearer wrong"}, 401),
                ("healthz", {}, 200),
                ("readyz", {}, 200),
            ):
                async with http.get(f"http://127.0.0.1:{worker.port}/{path}", headers=headers) as response:
                    assert response.status == status, path
        async with Tenant("t", running.urls) as tenant, AsyncMongoClient(mongod.url) as client:
            await tenant.send("ann")
            await client[name].mailboxes.update_one({"_id": "t/ann"}, {"$inc": {"unread": 1}})

            async def drifted() -> bool:
                return value(await scrape(url, "for-prometheus"), "hub_mailboxes_drifted_total") > 0

            await eventually(drifted, within_s=30)
            await client.drop_database(name)
        [line, *_] = lines(worker, event="counts_drifted")
        assert (line["level"], line["mailbox"]) == ("error", "t/ann")
        assert await worker.stop() == 0


# ---------------------------------------------------------------------------------------------------- traces


class Collector:
    """Takes OTLP over HTTP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        """With the service that told of it."""

    async def __aenter__(self) -> "Collector":
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    def of(self, trace: str) -> dict[str, Span]:
        return {span.name: span for _, span in self.spans if span.trace_id.hex() == trace}


@pytest.fixture
async def traced(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Tenant, Collector, Deployment]]:
    """A deployment that tells a collector, and its tenant."""
    mongod, redis = servers
    async with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        async with Deployment(mongod.url, redis.url, apis=2, workers=0, log_level="debug") as running:
            async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
                yield tenant, collector, running


STEPS = ["mutation send", "Mutation.send", "commit"]


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_one_trace_leads_from_the_mutation_to_the_socket(
    traced: tuple[Tenant, Collector, Deployment], transport: str
) -> None:
    tenant, collector, running = traced
    await tenant.send("ann", url=tenant.urls[0])
    trace, caller = uuid4().hex, uuid4().hex[:16]
    others = [f"user{number}" for number in range(10)] if transport == "websocket" else []  # told in one message
    users = {"users": ["ann", *others]}
    given = {"to": users, "category": "news", "content": {"title": "not for a trace", "body": ""}}
    headers = {"traceparent": f"00-{trace}-{caller}-01"}

    async def send() -> None:
        answer = await tenant.answer(SEND, input=given, headers=headers, url=tenant.urls[0])
        assert "errors" not in answer

    if transport == "websocket":
        async with tenant.feed("ann", url=tenant.urls[1]) as feed:
            await eventually(lambda: subscribed(tenant.urls[1]))
            await send()
            assert (await feed.take(1))[0]["notification"]["title"] == "not for a trace"
    else:
        events = tenant.events("ann", url=tenant.urls[1])
        first = asyncio.ensure_future(anext(events))
        await eventually(lambda: subscribed(tenant.urls[1]))
        await send()
        assert (await first)["data"]["inbox"]["kind"] == "ADDED"
        await tenant.send("ann", url=tenant.urls[0])  # asked for the next one, the first is written
        await anext(events)
        await events.aclose()

    async def complete() -> bool:
        return {*STEPS, "transaction", "publish", "deliver"} <= collector.of(trace).keys()

    await eventually(complete)
    spans = collector.of(trace)
    parents = [bytes.fromhex(caller), *(spans[name].span_id for name in STEPS)]
    assert [spans[name].parent_span_id for name in STEPS] == parents[:-1]
    for name in ("transaction", "publish", "deliver"):
        assert spans[name].parent_span_id == parents[-1], name
    assert spans["publish"].kind == Span.SPAN_KIND_PRODUCER
    assert spans["deliver"].kind == Span.SPAN_KIND_CONSUMER
    assert spans["deliver"].start_time_unix_nano >= spans["transaction"].end_time_unix_nano
    assert {service for service, _ in collector.spans} == {"hub"}
    assert "not for a trace" not in str(collector.spans)
    [line] = lines(running.apis[0], event="operation", trace_id=trace)
    assert line["field"] == "send"


async def test_works_of_one_transaction_are_linked_to_it(traced: tuple[Tenant, Collector, Deployment]) -> None:
    tenant, collector, _ = traced
    url = tenant.urls[0]
    traces = [uuid4().hex for _ in range(scaled(30, 100))]
    async with tenant.socket("user0", url=url) as socket:

        async def send(number: int) -> None:
            given = {"to": {"users": [f"user{number}"]}, "category": "news", "content": {"title": "a", "body": ""}}
            headers = {"traceparent": f"00-{traces[number]}-{uuid4().hex[:16]}-01"}
            assert "errors" not in await tenant.answer(SEND, input=given, headers=headers, url=url)

        await asyncio.gather(*(send(number) for number in range(len(traces))))
        mark = {"extensions": {"traceparent": f"00-{traces[0]}-{uuid4().hex[:16]}-01"}}
        query = {"query": "mutation { markAllRead { changed } }", **mark}
        await socket.write({"id": "1", "type": "subscribe", "payload": query})
        assert (await socket.read())["payload"] == {"data": {"markAllRead": {"changed": 1}}}

    async def complete() -> bool:
        return all("commit" in collector.of(trace) for trace in traces) and "mutation markAllRead" in collector.of(
            traces[0]
        )

    await eventually(complete)
    linked = [link.trace_id.hex() for _, span in collector.spans if span.name == "transaction" for link in span.links]
    assert Counter(linked) >= Counter(traces)
    together = [span for _, span in collector.spans if span.name == "transaction" and len(span.links) > 1]
    assert together, "nothing was committed together"


async def test_a_collector_that_is_away_holds_up_nothing(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    mongod, redis = servers
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    process = Process("serve", mongod.url, redis.url)
    await process.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [process.url]) as tenant:
            answer = await tenant.answer("{ __typename }", headers={"traceparent": "nonsense"})
            assert answer == {"data": {"__typename": "Query"}}
        assert await process.stop(within_s=10) == 0
    finally:
        process.kill()


async def subscribed(url: str) -> bool:
    return value(await scrape(url), "hub_feeds") > 0
