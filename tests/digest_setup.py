"""A deployment for tests of digests, and what the tests ask of it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from pymongo import AsyncMongoClient

from hub import utc_time
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import FakeChannels, deployment_with_channels
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled
from tests.processes import Deployment

HOUR = {"key": "post-1", "window": "PT1H"}
TITLE = re.compile(r"item-\d+")
DELIVERIES = (
    "query ($f: DeliveryFilter) { deliveries(filter: $f, first: 100) { nodes { id notificationId sendId userId channel "
    "status reason dueAt attempts { ok } items { id title } itemCount digestId } } }"
)
CANCEL = "mutation ($id: ID!) { cancelSend(id: $id) { status } }"
RECALL = "mutation ($id: ID!) { recallSend(id: $id) { status } }"

LEASE_MARGIN_S = scaled("3", "15")  # the preparation of a large digest must end within it

Running = tuple[Deployment, Tenant, FakeChannels, Database]


@asynccontextmanager
async def digest_deployment(servers: tuple[Mongod, Redis], workers: int = 2, **settings: str) -> AsyncIterator[Running]:
    """Open a deployment, and fake channels. It uses a database of its own."""
    mongod, redis = servers
    settings = {"mongo_database": f"digests{uuid4().hex[:8]}", "lease_margin_s": LEASE_MARGIN_S, **settings}
    async with (
        deployment_with_channels(mongod.url, redis.url, apis=1, workers=workers, **settings) as (
            deployment,
            tenant,
            fakes,
        ),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        yield deployment, tenant, fakes, client[settings["mongo_database"]]


async def find(tenant: Tenant, **filter: Any) -> tuple[list[Json], list[Json]]:
    """Return the newest digests, and the other deliveries."""
    found = (await tenant.execute(DELIVERIES, f=filter))["deliveries"]["nodes"]
    digests = [one for one in found if one["itemCount"]]
    return digests, [one for one in found if not one["itemCount"]]


async def end_windows(database: Database, user: str | None = None) -> int:
    """Make the open digests of a user, or of all users, due now."""
    match = {"open": True} | ({"mailbox": f"acme/{user}"} if user else {})
    update = {"$set": {"due_at": utc_time.now()}}
    return (await database.deliveries.update_many(match, update)).modified_count


async def wait_for_ends(tenant: Tenant, user: str, count: int) -> tuple[list[Json], list[Json]]:
    """Return the digests and items of a user once all `count` deliveries have ended."""

    async def ended() -> tuple[list[Json], list[Json]] | None:
        digests, items = await find(tenant, userId=user)
        states = {one["status"] for one in (*digests, *items)}
        done = len(digests) + len(items) == count and not states & {"HELD", "ACCEPTED", "PROCESSING", "RETRYING"}
        return (digests, items) if done else None

    found: tuple[list[Json], list[Json]] = await eventually(ended)
    return found


def mails_to(fakes: FakeChannels, user: str) -> list[Any]:
    return [mail for mail in fakes.mail.emails if mail["To"] == f"{user}@people.example"]


def text_of(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content())
