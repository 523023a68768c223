"""Metrics for Amazon CloudWatch: one line per minute on stdout in CloudWatch's embedded metric format (EMF).

CloudWatch reads the metrics from the logs of a container, so autoscaling and alarms need no agent and no scraper. The
metrics have the names of `/metrics`. A metric without a series, such as the queue of an idle hub, is 0, because an
autoscaler does not act on missing data. Logs go to stderr.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import orjson
from prometheus_client import REGISTRY

from hub.platform.connections import is_cancelling

PERIOD_S = 60.0
SERVE = ("hub_sockets", "hub_commit_waiting", "hub_pubsub_disconnected")
WORK = (
    "hub_due_waiting",
    "hub_due_oldest_seconds",
    "hub_lane_waiting",
    "hub_breakers_open",
    "hub_backup_age_seconds",
)
"""Every worker reports the whole queue, so the value of all workers is the maximum, not the sum."""


async def write_metrics(namespace: str, process: str, names: Sequence[str]) -> None:
    """Write a line with the metrics every PERIOD_S until cancelled. `process`: the value of the dimension `Process`."""
    while not is_cancelling():
        await asyncio.sleep(PERIOD_S)  # at the start, the gauges have no values yet
        sys.stdout.write(metrics_line(namespace, process, names, time.time()) + "\n")
        sys.stdout.flush()


def metrics_line(namespace: str, process: str, names: Sequence[str], at: float) -> str:
    """Return the line at `at`, in seconds since 1970. The series of a metric are added up; of ages, the highest
    counts."""
    values: dict[str, float] = dict.fromkeys(names, 0.0)
    for family in REGISTRY.restricted_registry(names).collect():
        samples = [sample.value for sample in family.samples]
        values[family.name] = max(samples, default=0.0) if family.name.endswith("_seconds") else sum(samples)
    metrics = [{"Name": name, "Unit": "Seconds" if name.endswith("_seconds") else "Count"} for name in names]
    directive = {"Namespace": namespace, "Dimensions": [["Process"]], "Metrics": metrics}
    metadata = {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]}
    return orjson.dumps({"_aws": metadata, "Process": process, **values}).decode()
