"""Read the metrics and log lines of hub processes."""

import json
import re
from pathlib import Path

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.client import Json
from tests.processes import Process


def log_lines(*processes: Process, **having: str) -> list[Json]:
    """Return the log lines with those fields."""
    found = [json.loads(line) for process in processes for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in found if all(line.get(name) == value for name, value in having.items())]


async def scrape_metrics(url: str, token: str = "") -> dict[str, Metric]:
    """Return the metrics by name."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.request("GET", url.replace("/graphql", "/metrics"), headers=headers) as response:
        assert response.status == 200, await response.text()
        return {metric.name: metric for metric in text_string_to_metric_families(await response.text())}


def metric_value(metrics: dict[str, Metric], name: str, **labels: str) -> float:
    samples = [sample for metric in metrics.values() for sample in metric.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def resident_bytes(api: Process) -> int:
    """Return the resident memory in bytes."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{api.pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10
