"""`storage`: the bytes that one recipient of a send takes in MongoDB."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from hub.bench.api_client import ApiClient
from hub.bench.benchmark_servers import BenchEnvironment, BenchError
from hub.bench.mongo_sizes import Growth, growth, growth_figures, measure_sizes
from hub.bench.payloads import SEND, TEXT, user_id
from hub.bench.plan import Plan
from hub.bench.results import Figure
from hub.model import Channel
from hub.platform.connections import Database

USERS_PER_CALL = 1000
WARMUP_SENDS = 1  # to every user, so collections and indexes have a size, and every user has a mailbox
MEASURED_SENDS = 2
TIMEOUT_S = 600.0
UPSERT = "mutation($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
EMAIL_SETTINGS = {
    "smtp_url": "smtp://127.0.0.1:1",
    "smtp_from": "Bench <bench@example.org>",
    "lane_max_ids": "1000000",  # otherwise most deliveries wait until the scheduler enqueues them
}


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the growth of all collections and indexes by sends to many users, per recipient."""
    figures: list[Figure] = []
    for name, channels, maximum in (("IN_APP", ["IN_APP"], 800), ("IN_APP and one email", ["IN_APP", "EMAIL"], 1700)):
        plan.progress(f"storage of a send: {name}")
        grown = await _measure(env, plan, channels)
        figures += growth_figures("storage", name, grown, maximum)
        for collection, text in sorted(grown.by_collection.items()):
            plan.progress(f"{name}, {collection}: {text}")
    return figures


async def _measure(env: BenchEnvironment, plan: Plan, channels: Sequence[str]) -> Growth:
    """Return the bytes per recipient."""
    name = f"storage-{secrets.token_hex(4)}"
    settings: dict[str, Any] = EMAIL_SETTINGS if "EMAIL" in channels else {}
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(env.hub(name, **settings))
        if settings:
            await stack.enter_async_context(env.worker(name, null=Channel.EMAIL, **settings))
        client = await stack.enter_async_context(env.mongo_client())
        http = await stack.enter_async_context(aiohttp.ClientSession())

        api = ApiClient(http, hub)
        groups = [
            [user_id(number) for number in range(start, min(start + USERS_PER_CALL, plan.recipients))]
            for start in range(0, plan.recipients, USERS_PER_CALL)
        ]
        for users in groups:
            await api.execute(UPSERT, users=[{"id": user, "email": f"{user}@example.org"} for user in users])

        async def send(times: int) -> None:
            content = {"title": "The build of the main branch failed", "body": TEXT}
            for _ in range(times):
                for users in groups:
                    fields = {"to": {"users": users}, "category": "bench", "content": content, "channels": channels}
                    await api.execute(SEND, input=fields)
            await _wait_until_sent(client[name])

        await send(WARMUP_SENDS)
        before = await measure_sizes(client, client[name])
        await send(MEASURED_SENDS)
        after = await measure_sizes(client, client[name])
    return growth(before, after, MEASURED_SENDS * plan.recipients)


async def _wait_until_sent(database: Database) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while waiting := await database.deliveries.count_documents({"status": {"$ne": "SENT"}}, limit=1):
        if time.monotonic() > deadline:
            raise BenchError(f"{waiting} deliveries were not sent within {TIMEOUT_S:g} s.")
        await asyncio.sleep(0.5)
