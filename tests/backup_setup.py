"""Deployments with a database of their own, and the commands that back it up and restore it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple
from uuid import uuid4

from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import SHORT_TIMES
from tests.cli_commands import run_command
from tests.client import Tenant
from tests.processes import SECRET, Deployment

Servers = tuple[Mongod, Redis]
TENANT = "acme"


class Site(NamedTuple):
    """A deployment, which may not run. Its database and its keys in Redis have the same name."""

    mongo_url: str
    redis_url: str
    name: str

    def run(self, *arguments: str, **more: str) -> CompletedProcess[str]:
        """Run a command with the environment of this deployment."""
        urls = {"mongo_url": self.mongo_url, "redis_url": self.redis_url, "jwt_secret": SECRET}
        return run_command(*arguments, **urls, mongo_database=self.name, redis_prefix=f"{self.name}:", **more)

    def back_up(self, target: Path | str) -> str:
        """Return the output."""
        done = self.run("backup", str(target))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def restore(self, *arguments: Path | str) -> str:
        """Return the output."""
        done = self.run("restore", *map(str, arguments))
        assert done.returncode == 0, done.stderr
        return done.stdout

    @asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator[tuple[Deployment, Tenant]]:
        """Yield the deployment, whose worker does not run yet, and a tenant."""
        own = {"mongo_database": self.name, "redis_prefix": f"{self.name}:", **SHORT_TIMES, **settings}
        deployment = Deployment(self.mongo_url, self.redis_url, apis=1, workers=0, **own)
        other = Deployment(self.mongo_url, self.redis_url, apis=0, workers=1, **own)
        async with deployment, Tenant(TENANT, deployment.urls) as tenant:
            deployment.workers = other.workers
            yield deployment, tenant

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        async with AsyncMongoClient[dict[str, Any]](self.mongo_url, tz_aware=True) as client:
            yield client[self.name]


def new_site(servers: Servers) -> Site:
    mongod, redis = servers
    return Site(mongod.url, redis.url, f"b{uuid4().hex[:10]}")
