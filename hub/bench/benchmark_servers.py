"""The benchmark environment: local servers, the process under test, and the load client.

The process under test runs alone on the first core. MongoDB, Redis, and the load client share the second core. Without
a second core, no process is pinned.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo import AsyncMongoClient

from hub.model import Channel
from hub.platform.connections import Mongo
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.index_builds import make_indexes
from hub.platform.server_process import DIE_WITH_PARENT
from hub.runtime.indexes import indexes
from hub.runtime.listen import raise_open_file_limit
from hub.settings import Settings

SECRET = "only-for-benchmarks-on-this-machine"  # noqa: S105 - used only within this run
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
WARMUP_S = 2.0
MB = 1e6
CACHE_GB = 2.0  # MongoDB's; a million notifications with their indexes have more than the 0.5 GB of `hub dev`
IDLE_CPU_S = 0.02  # CPU time per half second below which a process is idle
SETTLE_TIMEOUT_S = 60.0

LoadResult = dict[str, Any]


class BenchError(Exception):
    """A measurement failed. The text contains the reason."""


class MeasuredProcess:
    """A process under test: a hub or a baseline."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self.pid = process.pid
        self.port = port

    @property
    def memory_bytes(self) -> int:
        """The resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_s(self) -> float:
        """The CPU time since the start of the process."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def settle(self) -> None:
        """Wait until the process is idle."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while time.monotonic() < deadline:
            before = self.cpu_s
            await asyncio.sleep(0.5)
            if self.cpu_s - before <= IDLE_CPU_S:
                return


class BenchEnvironment:
    """The servers of one run with their temporary folder."""

    async def __aenter__(self) -> "BenchEnvironment":
        if sys.platform != "linux":
            raise BenchError("The load client uses epoll, and memory is read from /proc: run it on Linux.")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise BenchError("The load client is in C: install a compiler (on Debian and Ubuntu: apt-get install gcc).")
        raise_open_file_limit()
        self._cores = _pin_to_second_core()
        self._folder = tempfile.TemporaryDirectory(prefix="hub-bench-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.mongod = Mongod(self.folder / "mongo", cache_gb=CACHE_GB)
        self.redis = Redis(self.folder / "redis")
        try:
            await self._compile_load_client(compiler)
            await self.mongod.start()
            await self.redis.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self.redis, self.mongod):
            await server.stop()
        self._folder.cleanup()

    @property
    def pinned(self) -> bool:
        return self._cores is not None

    def write_file(self, name: str, text: str | bytes) -> Path:
        """Write a file for the load client or the baseline."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    @asynccontextmanager
    async def hub(self, database: str, **settings: str) -> AsyncIterator[MeasuredProcess]:
        """Run `hub serve`. The names of settings are passed without the HUB_ prefix."""
        await self._create_indexes(database)
        async with self._start_process("hub", "serve", environment=self._environment(database, settings)) as target:
            yield target

    @asynccontextmanager
    async def worker(
        self, database: str, *, null: Channel | None = None, on_first_core: bool = True, **settings: str
    ) -> AsyncIterator[MeasuredProcess]:
        """Run `hub work`. With `null`, it works on this channel only, and sends nothing."""
        arguments = ("hub.bench.worker_without_calls", null) if null else ("hub", "work")
        environment = self._environment(database, settings)
        await self._create_indexes(database)
        async with self._start_process(*arguments, environment=environment, on_first_core=on_first_core) as target:
            yield target

    @asynccontextmanager
    async def sink(self, delay_ms: int) -> AsyncIterator[int]:
        """Run the webhook receiver on the core of the servers. Yield its port."""
        async with self._start_process(
            "hub.bench.webhook_receiver", str(delay_ms), environment={}, on_first_core=False
        ) as target:
            yield target.port

    async def _create_indexes(self, database: str) -> None:
        """Create the indexes of seeded documents, as `hub migrate` does."""
        async with self.mongo_client() as client:
            await make_indexes(client[database], *indexes(Settings(jwt_secret=(SECRET,))))

    def _environment(self, database: str, settings: dict[str, str]) -> dict[str, str]:
        return {
            "HUB_MONGO_URL": self.mongod.url,
            "HUB_MONGO_DATABASE": database,
            "HUB_REDIS_URL": self.redis.url,
            "HUB_REDIS_PREFIX": f"{database}:",
            "HUB_JWT_SECRET": SECRET,
            "HUB_PORT": "0",
            "HUB_RATE_LIMIT_PER_USER": "0",
            "HUB_RATE_LIMIT_COST_PER_USER": "0",
            "HUB_RATE_LIMIT_COST_PER_SERVICE": "0",
            "HUB_ADDRESS_MAX_CONNECTIONS": "0",
            **{f"HUB_{name.upper()}": value for name, value in settings.items()},
        }

    @asynccontextmanager
    async def baseline(self, *arguments: str) -> AsyncIterator[MeasuredProcess]:
        """Run `hub.bench.minimal_server`."""
        async with self._start_process(
            "hub.bench.minimal_server", self.mongod.url, self.redis.url, *arguments, environment={}
        ) as target:
            yield target

    @asynccontextmanager
    async def other_server(self, name: str, *command: str) -> AsyncIterator[MeasuredProcess]:
        """Run a server that is not a hub. Its last arguments are the URLs of MongoDB and Redis."""
        arguments = (*command, self.mongod.url, self.redis.url)
        async with self._start_command(name, *arguments, environment={}) as target:
            yield target

    @asynccontextmanager
    async def mongo_client(self) -> AsyncIterator[Mongo]:
        client: Mongo = AsyncMongoClient(self.mongod.url, tz_aware=True)
        async with client:
            yield client

    async def load(self, mode: str, target: MeasuredProcess, **options: object) -> tuple[LoadResult, float]:
        """Run the load client. Return its results and the CPU time of `target` during the measurement."""
        process = await self._spawn_load(mode, target, options)
        assert process.stdout
        cpu_s, result = 0.0, {}
        try:
            while line := await process.stdout.readline():
                result = json.loads(line)
                if result.pop("measuring", False):
                    cpu_s = target.cpu_s
            cpu_s = target.cpu_s - cpu_s
            if await process.wait() or not result:
                assert process.stderr
                raise BenchError(f"load {mode}: {(await process.stderr.read()).decode(errors='replace').strip()}")
        finally:
            await _terminate(process)
        if result.get("refused") or result.get("lost"):
            raise BenchError(f"load {mode}: some requests failed: {result}")
        return result, cpu_s

    @asynccontextmanager
    async def idle(self, target: MeasuredProcess, **options: object) -> AsyncIterator[LoadResult]:
        """Keep idle sockets open."""
        process = await self._spawn_load("idle", target, options)
        assert process.stdout
        try:
            line = await process.stdout.readline()
            if not line:
                assert process.stderr
                raise BenchError(f"load idle: {(await process.stderr.read()).decode(errors='replace').strip()}")
            yield json.loads(line)
        finally:
            await _terminate(process)

    async def _spawn_load(self, mode: str, target: MeasuredProcess, options: dict[str, object]) -> Process:
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return await asyncio.create_subprocess_exec(
            self.folder / "load", mode, "--port", str(target.port), *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    async def _compile_load_client(self, compiler: str) -> None:
        source = Path(__file__).with_name("load.c")
        process = await asyncio.create_subprocess_exec(
            compiler, "-O2", "-o", self.folder / "load", source, stdout=PIPE, stderr=PIPE
        )
        _, errors = await process.communicate()
        if process.returncode:
            raise BenchError(f"{compiler} failed to compile the load client:\n{errors.decode(errors='replace')}")

    @asynccontextmanager
    async def _start_process(
        self, module: str, *arguments: str, environment: dict[str, str], on_first_core: bool = True
    ) -> AsyncIterator[MeasuredProcess]:
        """Run a Python module."""
        name, command = "-".join([module, *arguments[:1]]), (sys.executable, "-m", module, *arguments)
        async with self._start_command(name, *command, environment=environment, on_first_core=on_first_core) as target:
            yield target

    @asynccontextmanager
    async def _start_command(
        self, name: str, *command: str, environment: dict[str, str], on_first_core: bool = True
    ) -> AsyncIterator[MeasuredProcess]:
        """Run a process on the first core. The process must log its port as JSON, as the hub does."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        log = self.folder / f"{name.replace('/', '_')}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", DIE_WITH_PARENT, name, *command),
                env=inherited | environment,
                stdin=PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            if self._cores and on_first_core:
                _pin(process.pid, self._cores[0])
            port = await _port(process, log)
            if self._cores and on_first_core:
                _pin(process.pid, self._cores[0])  # threads that had started before the first call
            yield MeasuredProcess(process, port)
        finally:
            await _terminate(process)
            if process.stdin:
                process.stdin.close()


async def _port(process: Process, log: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.returncode is None:
        if (port := _logged_port(log)) is not None:
            return port
        await asyncio.sleep(0.05)
    text = await asyncio.to_thread(log.read_text, errors="replace")
    raise BenchError(f"The process to measure did not start:\n{text[-2000:]}")


def _logged_port(log: Path) -> int | None:
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") in {"serving", "working"}:
                return int(event.get("port", 0))
    return None


async def _terminate(process: Process) -> None:
    if process.stdin:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _pin(pid: int, core: int) -> None:
    """Pin all threads of a process to a core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


def _pin_to_second_core() -> list[int] | None:
    """Pin this process and its child processes to the second core. Return all cores, or None if there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None
    os.sched_setaffinity(0, {cores[1]})
    return cores
