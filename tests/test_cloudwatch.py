"""The lines with metrics for Amazon CloudWatch on stdout."""

import json
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from hub.cli.metrics import rows
from hub.platform import metrics
from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime import cloudwatch
from hub.settings import Settings
from tests.client import Tenant, eventually
from tests.hub_process import CONSTANTS
from tests.processes import SECRET, Deployment, Process

EVERY = json.dumps({"hub.runtime.cloudwatch.PERIOD_S": 0.1})


def lines_of(process: Process) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in found if "_aws" in line]


def declared(line: dict[str, Any]) -> tuple[str, list[list[str]], list[str]]:
    """Return the namespace, the dimensions, and the names of the metrics of a line."""
    [directive] = line["_aws"]["CloudWatchMetrics"]
    return directive["Namespace"], directive["Dimensions"], [metric["Name"] for metric in directive["Metrics"]]


async def test_processes_write_their_metrics_to_stdout(servers: tuple[Mongod, Redis]) -> None:
    """A line of `hub serve` counts its sockets. A line of `hub work` has every metric, also of an idle queue."""
    mongod, redis = servers
    running = Deployment(mongod.url, redis.url, apis=1, workers=1, cloudwatch_namespace="NotificationHub/test")
    for process in (*running.apis, *running.workers):
        process.environment[CONSTANTS] = EVERY
    async with running, Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
        async with tenant.feed("ann"), tenant.feed("ben"):

            async def counted() -> bool:
                return any(line["hub_sockets"] == 2 for line in lines_of(running.apis[0]))

            await eventually(counted, 60)

        async def written() -> bool:
            return len(lines_of(running.workers[0])) > 1

        await eventually(written, 60)
        assert await running.apis[0].stop() == 0
        assert await running.workers[0].stop() == 0
    for process, name, names in (
        (running.apis[0], "serve", cloudwatch.SERVE),
        (running.workers[0], "work", cloudwatch.WORK),
    ):
        for line in lines_of(process):
            assert declared(line) == ("NotificationHub/test", [["Process"]], list(names))
            assert line["Process"] == name
            assert all(isinstance(line[metric], int | float) for metric in names)
            assert line["_aws"]["Timestamp"] > 1_700_000_000_000


def test_line_adds_up_series_and_takes_the_highest_age() -> None:
    for channel, waiting, oldest_s in (("EMAIL", 3, 20.0), ("SMS", 4, 90.0)):
        metrics.lane_waiting.labels(channel, "HIGH").set(waiting)
        metrics.due_oldest.labels(channel, "HIGH").set(oldest_s)
    try:
        line = json.loads(cloudwatch.metrics_line("Hub", "work", cloudwatch.WORK, 1_700_000_000.5))
    finally:
        metrics.lane_waiting.clear()
        metrics.due_oldest.clear()
    assert (line["hub_lane_waiting"], line["hub_due_oldest_seconds"], line["hub_breakers_open"]) == (7, 90, 0)
    assert line["_aws"]["Timestamp"] == 1_700_000_000_500


def test_metrics_exist() -> None:
    """A metric that does not exist would always be 0."""
    assert {*cloudwatch.SERVE, *cloudwatch.WORK} <= {row.name for row in rows()}


@pytest.mark.parametrize("namespace", ["AWS/ECS", "my hub", "x" * 256, "Hub\u00e9"])
def test_namespace_that_cloudwatch_rejects_is_reported(namespace: str) -> None:
    with pytest.raises(ValidationError, match="up to 255 letters, digits"):
        Settings(jwt_secret=SECRET, cloudwatch_namespace=namespace)
