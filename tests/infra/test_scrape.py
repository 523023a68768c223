"""A Prometheus server scrapes a running hub: the metrics that alerts and panels name exist, and every query works."""

import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import CHANNELS, deployment_with_channels, wait_for_deliveries
from tests.client import Tenant, eventually
from tests.infra.prometheus_server import PrometheusServer, free_port
from tests.infra.test_rules import RULES_FILE, rules
from tests.infra.tools import INFRA, find_tool
from tests.processes import Process

DASHBOARD = json.loads((INFRA / "grafana" / "hub.json").read_text())
METRIC = re.compile(r"(?<![\w$:\"])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w(:\"])")
EXPORTED = {  # by programs that the test does not run, see docs/operations/monitoring.md
    *("mongodb_mongod_replset_oplog_head_timestamp", "mongodb_mongod_replset_oplog_tail_timestamp"),
    *("mongodb_mongod_replset_member_optime_date", "probe_ssl_earliest_cert_expiry"),
    *("node_filesystem_avail_bytes", "node_filesystem_size_bytes"),
    *("kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"),
    *("hub_backup_success_timestamp_seconds", "hub_restore_drill_success_timestamp_seconds"),
}
PUBLISH = 'mutation { publishEvent(input: { type: "order.paid", source: "/shop", data: { id: 1 } }) { id } }'


def panels() -> dict[str, list[str]]:
    """Return the queries of each panel by title."""
    found = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return {
        panel["title"]: [target["expr"].replace("$__rate_interval", "30s") for target in panel["targets"]]
        for panel in found
    }


def metrics_of(expression: str) -> set[str]:
    """Return the names of metrics in an expression. Labels are in braces or after `by`."""
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on|without) \([^)]*\)|\"[^\"]*\"", "", expression)
    return set(METRIC.findall(bare)) - {"label_replace", "clamp_min", "histogram_quantile"}


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [query for queries in panels().values() for query in queries]


async def use_hub(tenant: Tenant) -> None:
    """Open an inbox, send on all channels, publish an event, and close the inbox."""
    await tenant.define_category("news", "IN_APP", *CHANNELS)
    async with tenant.feed("ann", (await tenant.inbox("ann"))["position"]) as feed:
        await tenant.send("ann")
        await feed.take(1)
    await tenant.execute(PUBLISH)


@pytest.fixture(scope="module")
async def prometheus(
    servers: tuple[Mongod, Redis], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrometheusServer]:
    """A server that has scraped an API process, a worker, and Redis, after they did something."""
    mongod, redis = servers
    async with AsyncExitStack() as stack:
        setup = deployment_with_channels(mongod.url, redis.url, workers=1, work_port="0")
        deployment, tenant, fakes = await stack.enter_async_context(setup)
        jobs = {"hub-serve": _targets(deployment.apis), "hub-work": _targets(deployment.workers)}
        jobs["redis"] = [f"127.0.0.1:{_start_redis_exporter(stack, redis.url)}"]
        running = await stack.enter_async_context(
            PrometheusServer(tmp_path_factory.mktemp("prometheus"), jobs, RULES_FILE)
        )
        await fakes.add_addresses(tenant, "ann")
        await use_hub(tenant)
        await wait_for_deliveries(tenant, "SENT", 1)
        for job in jobs:
            await eventually(partial(running.scraped, job), 120)
        await use_hub(tenant)
        await wait_for_deliveries(tenant, "SENT", 2)
        await eventually(lambda: running.query('sum(increase(hub_deliveries_total{status="SENT"}[1m])) > 0'), 120)
        yield running


def _targets(processes: list[Process]) -> list[str]:
    return [f"127.0.0.1:{process.port}" for process in processes]


def _start_redis_exporter(stack: AsyncExitStack, redis_url: str) -> int:
    port = free_port()
    program = find_tool("prometheus-redis-exporter")
    options = [f"--redis.addr={redis_url}", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return port


async def test_metrics_of_alerts_and_panels_exist(prometheus: PrometheusServer) -> None:
    named = {name for expression in expressions() for name in metrics_of(expression)} - EXPORTED
    assert len(named) > 40
    described = set(await prometheus.get("metadata"))
    series = set(await prometheus.get("label/__name__/values"))
    families = {f"{name}{suffix}" for name in described for suffix in ("", "_bucket", "_sum", "_count")}
    assert named - families - series == set()


async def test_rules_are_evaluated_and_no_alert_fires(prometheus: PrometheusServer) -> None:
    found = [rule for group in (await prometheus.get("rules"))["groups"] for rule in group["rules"]]
    assert len(found) == len(rules())
    assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}
    assert {rule["name"]: rule["alerts"] for rule in found if rule.get("alerts")} == {}


@pytest.mark.parametrize("title", panels())
async def test_panel_has_data(title: str, prometheus: PrometheusServer) -> None:
    series = set(await prometheus.get("label/__name__/values"))
    for query in panels()[title]:
        result = await prometheus.query(query)
        assert result or metrics_of(query) - series, query


async def test_idle_hub_wants_the_smallest_number_of_workers(prometheus: PrometheusServer) -> None:
    async def value() -> Any:
        return await prometheus.query("hub:workers_wanted == 2")

    await eventually(value)


def test_dashboard_is_current(tmp_path: Path) -> None:
    python = find_tool("python")
    if python.parent.parent.name != ".venv-infra":
        pytest.skip("the packages of infra/requirements.txt are not installed: run make infra")
    done = subprocess.run(
        [python, INFRA / "grafana" / "dashboard.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (INFRA / "grafana" / "hub.json").read_text()
