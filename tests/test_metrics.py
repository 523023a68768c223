"""The metrics of API processes and workers."""

import re
from uuid import uuid4

import aiohttp
from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant, eventually
from tests.doc_pages import DOCS, text_of
from tests.processes import Deployment, Process
from tests.telemetry import log_lines, metric_value, scrape_metrics


async def test_metrics_count_operations(tenant: Tenant) -> None:
    url = tenant.urls[0]
    async with tenant.feed("ann", (await tenant.inbox("ann", url=url))["position"], url=url) as feed:
        await tenant.send("ann", url=url)
        await feed.take(1)
        before = await scrape_metrics(url)
        await tenant.send("ann", url=url)
        await feed.take(1)
        await tenant.execute_raw("{ inbox(first: 1000) { unread } }", user="ann", url=url)
        await tenant.execute_raw("{", user="ann", url=url)
        after = await scrape_metrics(url)

    def more(name: str, **labels: str) -> float:
        return metric_value(after, name, **labels) - metric_value(before, name, **labels)

    assert more("hub_requests_total", transport="http", kind="mutation", field="send", code="OK") == 1
    assert more("hub_requests_total", transport="http", kind="query", field="inbox", code="BAD_USER_INPUT") == 1
    assert more("hub_requests_total", transport="http", kind="none", field="none", code="BAD_USER_INPUT") == 1
    assert metric_value(after, "hub_requests_total", transport="websocket", kind="subscription", field="inbox") >= 1
    assert more("hub_request_seconds_count", transport="http", kind="mutation") == 1
    assert more("hub_resolver_seconds_count", field="Mutation.send") == 1
    assert more("hub_commit_seconds_count") == more("hub_commit_batch_size_count") == 1
    assert metric_value(after, "hub_live_published_total") >= 1
    assert more("hub_queries_parsed_total") == 2
    for gauge in ("hub_sockets", "hub_feeds", "hub_mailboxes_open"):
        assert metric_value(after, gauge) >= 1, gauge
    assert metric_value(after, "hub_pubsub_disconnected") == 0
    assert metric_value(after, "process_resident_memory_bytes") > 0


async def test_metrics_are_well_formed_and_documented(tenant: Tenant) -> None:
    await tenant.send("ann", url=tenant.urls[0])
    found = await scrape_metrics(tenant.urls[0])
    ours = {name: metric for name, metric in found.items() if name.startswith("hub_")}
    assert len(ours) > 20
    for name, metric in ours.items():
        assert metric.documentation.endswith("."), name
        for sample in metric.samples:
            assert metric.type != "counter" or sample.name.endswith("_total"), sample.name
            assert tenant.name not in str(sample.labels), name
    documented = text_of(*(DOCS / "operations").glob("*.md"))
    named = set(re.findall(r"(?<![$\w])hub_[a-z_]+", documented))
    existing = {sample.name for metric in ours.values() for sample in metric.samples} | set(ours)
    assert named <= existing | {f"{name}_total" for name in existing}, named - existing


async def test_events_waiting_in_feeds_are_measured_at_scrape_time(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    process = Process("serve", mongod.url, redis.url)
    await process.start()
    try:
        async with Tenant(f"t{uuid4().hex[:12]}", [process.url]) as tenant:
            content = {"title": "Hello", "body": "x" * 16_000}
            one = {"to": {"users": ["ann"]}, "category": "news", "content": content}
            await tenant.execute("mutation ($i: [SendInput!]!) { sendMany(inputs: $i) { duplicate } }", i=[one] * 50)
            ids = [node["id"] for node in (await tenant.inbox("ann", first=50))["nodes"]]
            async with tenant.feed("ann") as feed:
                feed.socket.connection.transport.pause_reading()
                for _ in range(20):  # until the kernel's buffers are full
                    await tenant.mark("ann", "markRead", *ids)
                    await tenant.mark("ann", "markUnread", *ids)
                    found = await scrape_metrics(process.url)
                    if metric_value(found, "hub_feed_events") > 0:
                        break
                assert metric_value(found, "hub_feed_events_max") == metric_value(found, "hub_feed_events") > 0
                feed.socket.connection.transport.abort()  # it would wait for a close frame that it does not read
    finally:
        process.kill()


async def test_worker_serves_metrics_with_a_token_and_detects_drift(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"observe{uuid4().hex[:8]}"  # the recount picks mailboxes at random, and this database has one
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
                return metric_value(await scrape_metrics(url, "for-prometheus"), "hub_mailboxes_drifted_total") > 0

            await eventually(drifted)
            await client.drop_database(name)
        [line, *_] = log_lines(worker, event="counts_drifted")
        assert (line["level"], line["mailbox"]) == ("error", "t/ann")
        assert await worker.stop() == 0
