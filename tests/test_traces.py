"""OpenTelemetry traces, from a mutation to the socket."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import SEND, Tenant, eventually
from tests.conftest import scaled
from tests.processes import Deployment, Process
from tests.telemetry import log_lines, metric_value, scrape_metrics


class Collector:
    """Accepts OTLP over HTTP, like an OpenTelemetry collector."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        """Yield the spans with the names of their services."""

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
        received = ExportTraceServiceRequest.FromString(await request.read())
        for resource in received.resource_spans:
            [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    def of(self, trace: str) -> dict[str, Span]:
        return {span.name: span for _, span in self.spans if span.trace_id.hex() == trace}


@pytest.fixture
async def traced(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Tenant, Collector, Deployment]]:
    """A deployment that exports to a collector, and a tenant."""
    mongod, redis = servers
    async with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        async with Deployment(mongod.url, redis.url, apis=2, workers=0, log_level="debug") as running:
            async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
                yield tenant, collector, running


STEPS = ["mutation send", "Mutation.send", "commit"]


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_one_trace_spans_the_mutation_and_the_socket(
    traced: tuple[Tenant, Collector, Deployment], transport: str
) -> None:
    tenant, collector, running = traced
    await tenant.send("ann", url=tenant.urls[0])
    trace, caller = uuid4().hex, uuid4().hex[:16]
    others = [f"user{number}" for number in range(10)] if transport == "websocket" else []  # published in one message
    users = {"users": ["ann", *others]}
    fields = {"to": users, "category": "news", "content": {"title": "not for a trace", "body": ""}}
    headers = {"traceparent": f"00-{trace}-{caller}-01"}

    async def send() -> None:
        response = await tenant.execute_raw(SEND, input=fields, headers=headers, url=tenant.urls[0])
        assert "errors" not in response

    if transport == "websocket":
        async with tenant.feed("ann", url=tenant.urls[1]) as feed:
            await eventually(lambda: has_feed(tenant.urls[1]))
            await send()
            assert (await feed.take(1))[0]["notification"]["title"] == "not for a trace"
    else:
        events = tenant.stream_events("ann", url=tenant.urls[1])
        first = asyncio.ensure_future(anext(events))
        await eventually(lambda: has_feed(tenant.urls[1]))
        await send()
        assert (await first)["data"]["inbox"]["kind"] == "ADDED"
        await tenant.send("ann", url=tenant.urls[0])  # the next event was requested, so the first one is written
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
    [line] = log_lines(running.apis[0], event="operation", trace_id=trace)
    assert line["field"] == "send"


async def test_works_of_one_transaction_are_linked_to_its_span(traced: tuple[Tenant, Collector, Deployment]) -> None:
    tenant, collector, _ = traced
    url = tenant.urls[0]
    traces = [uuid4().hex for _ in range(scaled(30, 100))]
    async with tenant.socket("user0", url=url) as socket:

        async def send(number: int) -> None:
            fields = {"to": {"users": [f"user{number}"]}, "category": "news", "content": {"title": "a", "body": ""}}
            headers = {"traceparent": f"00-{traces[number]}-{uuid4().hex[:16]}-01"}
            assert "errors" not in await tenant.execute_raw(SEND, input=fields, headers=headers, url=url)

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
    assert together, "no works were committed together"


async def test_unreachable_collector_delays_nothing(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    mongod, redis = servers
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    process = Process("serve", mongod.url, redis.url)
    await process.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [process.url]) as tenant:
            response = await tenant.execute_raw("{ __typename }", headers={"traceparent": "nonsense"})
            assert response == {"data": {"__typename": "Query"}}
        assert await process.stop(within_s=10) == 0
    finally:
        process.kill()


async def has_feed(url: str) -> bool:
    return metric_value(await scrape_metrics(url), "hub_feeds") > 0
