"""Real servers and real hub processes. Every test works in a tenant of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.connections import Database
from hub.embedded import Mongod, Redis
from tests.client import Tenant
from tests.processes import Deployment
from tests.stored import Stored

NODE = Path(__file__).parent / "node"
FULL = os.environ.get("HUB_TEST_SCALE") == "full"


def scaled(small: int, full: int) -> int:
    """How many of something: `small` in `make test`, `full` in `make prove`."""
    return full if FULL else small


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[tuple[Mongod, Redis]]:
    """Shared by all tests that leave them alone."""
    async with fresh_servers() as pair:
        yield pair


class fresh_servers:  # noqa: N801 - used like a function
    """A mongod and a redis-server of one's own, to kill and to freeze."""

    async def __aenter__(self) -> tuple[Mongod, Redis]:
        self._folder = tempfile.TemporaryDirectory(prefix="hub-", ignore_cleanup_errors=True)
        self._pair = Mongod(Path(self._folder.name, "mongo")), Redis(Path(self._folder.name, "redis"))
        for server in self._pair:
            await server.start()
        return self._pair

    async def __aexit__(self, *_: object) -> None:
        for server in reversed(self._pair):
            await server.stop()
        self._folder.cleanup()


@pytest.fixture(scope="session")
async def deployment(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """Two API processes and a worker, for tests that leave them alone. Users here are faster than people."""
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=2, workers=1, rate_per_user="0") as running:
        yield running


@pytest.fixture(scope="session")
async def database(servers: tuple[Mongod, Redis], deployment: Deployment) -> AsyncIterator[Database]:  # noqa: ARG001 - it makes the indexes
    """What the deployment stores, to seed and to recount."""
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["hub"]


@pytest.fixture
async def tenant(deployment: Deployment) -> AsyncIterator[Tenant]:
    """A fresh tenant on the shared deployment."""
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def stored(servers: tuple[Mongod, Redis], tenant: Tenant) -> AsyncIterator[Stored]:
    """What MongoDB holds of that tenant."""
    async with Stored(servers[0].url, tenant.name) as reader:
        yield reader


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages that `tests/node/package-lock.json` names."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        if os.environ.get("CI"):
            pytest.fail("CI has no node and npm: .ci/run could not install them")
        pytest.skip("node and npm are not on the PATH: install Node 20 or later")
    installed = NODE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (NODE / "package-lock.json").stat().st_mtime:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=NODE, check=True, timeout=120)
    return program
