"""A Prometheus server that tests start."""

import asyncio
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import yaml

from tests.client import eventually
from tests.infra.tools import find_tool


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class PrometheusServer:
    """Scrapes the targets of each job every second, and evaluates the rules."""

    def __init__(self, folder: Path, jobs: dict[str, list[str]], rules: Path) -> None:
        self._program = find_tool("prometheus")
        self._folder = folder
        self._port = free_port()
        scrapes = [{"job_name": job, "static_configs": [{"targets": targets}]} for job, targets in jobs.items()]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": scrapes,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    async def __aenter__(self) -> "PrometheusServer":
        arguments = [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._log = (self._folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen([self._program, *arguments], stdout=self._log, stderr=self._log)  # noqa: ASYNC220 - it is polled
        self._http = aiohttp.ClientSession(f"http://127.0.0.1:{self._port}")
        await eventually(self._is_ready)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._http.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        self._log.close()

    async def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            async with self._http.get("/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a response. Raise AssertionError with the error of Prometheus."""
        async with self._http.get(f"/api/v1/{path}", params=parameters) as response:
            body = await response.json()
            assert body["status"] == "success", body
            return body["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query."""
        found: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return found

    async def scraped(self, job: str) -> bool:
        """Return True if each target of the job was scraped twice: rates need two samples."""
        return bool(
            await self.query(f'min(count_over_time(up{{job="{job}"}}[1m])) >= 3 and min(up{{job="{job}"}}) == 1')
        )
