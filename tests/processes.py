"""Hub processes that tests start, stop and kill."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import ClassVar

from hub.settings import Settings
from tests.hub_process import ForkedProcess

SECRET = "a-secret-for-tests-that-is-long-enough"
READY_S = 240.0
CANCELLATION_WARNINGS = re.compile(
    r"Exception ignored in: <(?:socket\.socket|coroutine object (?:GraphQLCoreConverter|_time_resolver)).*?"
    r"(?:unclosed <socket\.socket[^\n]*|was never awaited)\n",
    re.DOTALL,
)
"""Warnings of Python that show no fault of the hub. pymongo does not close a connection whose opening was cancelled.
graphql-core does not start the other fields of an operation after one has failed at once."""


class Process:
    """One `hub serve`, `hub work`, or `hub intake`. Settings are given by their names without the prefix: `port="8001"`.

    A process that is not `forked` is a new interpreter. Its start takes longer, and its end is that of production:
    Python warns in the log about what the hub left open."""

    forked = True
    instances: ClassVar["weakref.WeakSet[Process]"] = weakref.WeakSet()

    def __init__(self, command: str, mongo_url: str, redis_url: str, **settings: str) -> None:
        unknown = settings.keys() - Settings.model_fields.keys()  # the hub ignores unknown variables
        assert not unknown, f"not settings: {sorted(unknown)}"
        self._command = command
        self.environment = {
            **os.environ,
            "HUB_MONGO_URL": mongo_url,
            "HUB_REDIS_URL": redis_url,
            "HUB_JWT_SECRET": SECRET,
            "HUB_PORT": "0",
            "HUB_RATE_LIMIT_PER_USER": "0",
            "HUB_RATE_LIMIT_COST_PER_USER": "0",
            "HUB_RATE_LIMIT_COST_PER_SERVICE": "0",
            "HUB_ADDRESS_MAX_CONNECTIONS": "0",
            "HUB_DRAIN_S": "0",
            "PYTHONWARNINGS": "error",
            **{f"HUB_{name.upper()}": value for name, value in settings.items()},
        }
        descriptor, name = tempfile.mkstemp(prefix="hub-", suffix=".log")
        os.close(descriptor)
        self._log = Path(name)
        weakref.finalize(self, self._log.unlink, missing_ok=True)
        self._process: ForkedProcess | subprocess.Popen[bytes] | None = None
        self.port = 0
        self.instances.add(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text()

    def forget_log(self) -> None:
        self._log.write_text("")

    async def start(self) -> None:
        """Return when it serves or works. The port stays the same after a restart."""
        offset = len(self.log)
        if self.port:
            self.environment["HUB_PORT"] = str(self.port)
        self._process = self._spawn()
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            for line in self.log[offset:].splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event.get("event") in {"serving", "working", "receiving"}:
                        self.port = event.get("port", 0)
                        return
            assert self._process.poll() is None, f"hub {self._command} ended:\n{self.log[-3000:]}"
            await asyncio.sleep(0.02)
        self.kill()
        raise AssertionError(f"hub {self._command} did not start:\n{self.log[-3000:]}")

    def _spawn(self) -> ForkedProcess | subprocess.Popen[bytes]:
        if self.forked:
            return ForkedProcess([self._command], self.environment, self._log, self._log)
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "hub", self._command]
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    async def stop(self, within_s: float = 15, *, interrupt: bool = False) -> int:
        """Send SIGTERM, or SIGINT as Ctrl-C does. Return the exit code."""
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT if interrupt else signal.SIGTERM)
            deadline = time.monotonic() + within_s
            while self._process.poll() is None:
                assert time.monotonic() < deadline, f"still running {within_s} s after SIGTERM:\n{self.log[-3000:]}"
                await asyncio.sleep(0.02)
        return self._process.wait()


class Deployment:
    """API processes and workers that share MongoDB and Redis."""

    def __init__(self, mongo_url: str, redis_url: str, *, apis: int, workers: int, **settings: str) -> None:
        self.apis = [Process("serve", mongo_url, redis_url, **settings) for _ in range(apis)]
        self.workers = [Process("work", mongo_url, redis_url, **settings) for _ in range(workers)]

    @property
    def urls(self) -> list[str]:
        return [api.url for api in self.apis]

    async def __aenter__(self) -> "Deployment":
        try:
            await self.apis[0].start()
            await asyncio.gather(*(process.start() for process in [*self.apis[1:], *self.workers]))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in [*self.apis, *self.workers]:
            process.kill()
