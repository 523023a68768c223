"""Fixtures: real servers and real hub processes. Every test works in its own tenant."""

import fcntl
import json
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import hypothesis
import pytest
from moto.server import ThreadedMotoServer
from pymongo import AsyncMongoClient

from hub.platform import outbound_http
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.outbound_http import OutboundHTTP
from tests.client import Tenant
from tests.data_folders import data_folder
from tests.local_servers import Listener
from tests.mongo_assertions import StoredTenant
from tests.processes import CANCELLATION_WARNINGS, Deployment, Process
from tests.provider_setup import PRIVATE_VALUES, FakeServers
from tests.unused_databases import drop_unused_databases
from tests.webhook_receiver import WebhookReceiver

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

NODE = Path(__file__).parent / "node"
SLOWEST_S = 5.0
START_FIRST = [
    *("tests/test_worker_settings.py", "tests/test_workers.py", "tests/test_redis_failures.py", "tests/quiet_hours"),
    *("tests/test_poison_messages.py", "tests/test_random_operations.py", "tests/test_mongo_failures.py"),
    *("tests/test_simulated_reality.py", "tests/test_process_crashes.py", "tests/pause", "tests/test_docs_examples.py"),
]
"""Files and folders that take more than a minute, although they have few tests. Parallel processes that began them last
would wait for each other at the end."""
T = TypeVar("T")
FULL_SCALE = os.environ.get("HUB_TEST_SCALE") == "full"
shared_mongods: list[Mongod] = []

hypothesis.settings.register_profile("hub", deadline=None)  # other programs may use the cores for a moment
hypothesis.settings.load_profile("hub")

log = logging.getLogger(__name__)


def scope_of(nodeid: str) -> str:
    """Return the file of the test, or the folder, whose files share a deployment."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return str(path if path.parent.name == "tests" else path.parent)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Drop the databases of the tests of a file once they have all ended."""
    yield
    if nextitem and scope_of(item.nodeid) != scope_of(nextitem.nodeid):
        for mongod in shared_mongods:
            drop_unused_databases(mongod)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Keep the tests of a file in one process, and also those of a folder, which share a deployment."""
    from xdist.scheduler import LoadScopeScheduling

    class LoadFolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

        def _assign_work_unit(self, node: "WorkerController") -> None:
            for scope in START_FIRST:
                if scope in self.workqueue:
                    self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    return LoadFolderScheduling(config, log)


def scaled(small: T, full: T) -> T:
    """Return `small` in `make test` and `full` in `make prove`."""
    return full if FULL_SCALE else small


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[tuple[Mongod, Redis]]:
    """Servers shared by all tests that do not stop or change them."""
    async with fresh_servers() as pair:
        shared_mongods.append(pair[0])
        yield pair
        shared_mongods.clear()


class fresh_servers:  # noqa: N801 - used like a function
    """A new mongod and redis-server that a test may kill and suspend."""

    async def __aenter__(self) -> tuple[Mongod, Redis]:
        self._folder = data_folder()
        self._pair = Mongod(Path(self._folder.name, "mongo")), Redis(Path(self._folder.name, "redis"))
        for server in self._pair:
            await server.start()
        return self._pair

    async def __aexit__(self, *_: object) -> None:
        for server in reversed(self._pair):
            await server.stop()
        self._folder.cleanup()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is removed after the test, because a data folder of MongoDB has 300 MB."""
    with data_folder() as name:
        yield Path(name)


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start hub processes as new interpreters, for tests of their end."""
    monkeypatch.setattr(Process, "forked", False)


@pytest.fixture(scope="session")
async def deployment(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """Two API processes and a worker, for tests that do not stop them. Users have no rate limit."""
    mongod, redis = servers
    async with Deployment(
        mongod.url, redis.url, apis=2, workers=1, rate_limit_per_user="0", scheduler_interval_s="1"
    ) as running:
        yield running


@pytest.fixture(scope="session")
async def database(servers: tuple[Mongod, Redis], deployment: Deployment) -> AsyncIterator[Database]:  # noqa: ARG001 - it creates the indexes
    """The database of the shared deployment, to insert and count documents."""
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["hub"]


@pytest.fixture
async def tenant(deployment: Deployment) -> AsyncIterator[Tenant]:
    """A new tenant on the shared deployment."""
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


@pytest.fixture
def no_internal_errors(deployment: Deployment) -> Iterator[None]:
    """Fail if the test makes an API process log an error."""
    before = [len(api.log) for api in deployment.apis]
    yield
    for api, start in zip(deployment.apis, before, strict=True):
        received = CANCELLATION_WARNINGS.sub("", api.log[start:])
        assert "Traceback" not in received
        assert "error" not in [json.loads(line)["level"] for line in received.splitlines()]
        assert "internal_error" not in received


class Stopwatch:
    """Measures response times as a client sees them."""

    def __init__(self) -> None:
        self.durations: list[tuple[float, str]] = []

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        started_at = time.perf_counter()
        yield
        self.durations.append((time.perf_counter() - started_at, what))


@pytest.fixture(scope="module")
def stopwatch() -> Iterator[Stopwatch]:
    """Fail if a response takes long. The limit allows for a busy machine; the log contains the measured times."""
    watch = Stopwatch()
    yield watch
    slowest = sorted(watch.durations, reverse=True)
    received = "; ".join(f"{s * 1000:.0f} ms {what}" for s, what in slowest[:3])
    p99_s = slowest[len(slowest) // 100][0]
    log.info("%d answers, 99 %% within %.0f ms; the slowest: %s", len(slowest), p99_s * 1000, received)
    assert slowest[0][0] < SLOWEST_S


@pytest.fixture
async def stored(servers: tuple[Mongod, Redis], tenant: Tenant) -> AsyncIterator[StoredTenant]:
    """The documents of that tenant in MongoDB."""
    async with StoredTenant(servers[0].url, tenant.name) as reader:
        yield reader


@pytest.fixture(scope="session")
def node() -> str:
    """Node with the packages of `tests/node/package-lock.json`."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        if os.environ.get("CI"):
            pytest.fail("CI has no node and npm: .ci/run could not install them")
        pytest.skip("node and npm are not on the PATH: install Node 20 or later")
    installed = NODE / "node_modules" / ".package-lock.json"
    with (NODE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the parallel test processes installs them
        if not installed.exists() or installed.stat().st_mtime < (NODE / "package-lock.json").stat().st_mtime:
            subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=NODE, check=True, timeout=120)
    return program


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """A receiver of webhooks."""
    async with WebhookReceiver() as running:
        yield running


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A fake of Amazon's services."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def fakes(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeServers]:
    """Opens fake servers and providers that use them."""
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(OutboundHTTP(allow=["127.0.0.0/8"]))
        yield FakeServers(stack, egress, moto_url, monkeypatch)


@pytest.fixture
def no_secrets_in_logs(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail if a log line contains a secret, an address or the text of a notification."""
    caplog.set_level(logging.INFO)
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # the fake mail server's own log
    yield
    out, err = capfd.readouterr()
    for what, value in PRIVATE_VALUES.items():
        assert value not in caplog.text + out + err, f"{what} in a log line"


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    async with Listener() as one:
        monkeypatch.setattr(outbound_http, "ALLOWED_PORTS", outbound_http.ALLOWED_PORTS | {one.port})
        yield one


@pytest.fixture
def fake_dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Responses used instead of DNS, by name, in turn. The last one is repeated."""
    responses: dict[str, list[list[str]]] = {}

    def look_up(host: str, *_: object) -> list[tuple[int, str]]:
        existing = responses.get(host)
        if not existing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = existing.pop(0) if len(existing) > 1 else existing[0]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in found]

    monkeypatch.setattr(outbound_http, "resolve_name", look_up)
    return responses
