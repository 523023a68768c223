"""`storage`: the bytes that one recipient of a send, and a send to one user, take in MongoDB."""

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
from hub.bench.payloads import SEND_MANY, TEXT, user_id
from hub.bench.plan import Plan
from hub.bench.results import Figure
from hub.model import Channel
from hub.platform.connections import Database

USERS_PER_CALL = 1000
SENDS_PER_CALL = 250
MEASURED = (
    ("IN_APP", ["IN_APP"], USERS_PER_CALL, 800),
    ("IN_APP and one email", ["IN_APP", "EMAIL"], USERS_PER_CALL, 1700),
    ("a send to one user, IN_APP", ["IN_APP"], 1, 1500),
)
"""The name, the channels, the number of users of a send, and the target in bytes per recipient."""
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
    for name, channels, users_per_send, maximum in MEASURED:
        plan.progress(f"storage of a send: {name}")
        grown = await _measure(env, plan, channels, users_per_send)
        figures += growth_figures("storage", name, grown, maximum)
        for collection, text in sorted(grown.by_collection.items()):
            plan.progress(f"{name}, {collection}: {text}")
    return figures


async def _measure(env: BenchEnvironment, plan: Plan, channels: Sequence[str], users_per_send: int) -> Growth:
    """Return the bytes per recipient. Each send has an idempotency key, and a title of its own."""
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
            for _ in range(times):
                for group in groups:
                    for start in range(0, len(group), SENDS_PER_CALL * users_per_send):
                        part = group[start : start + SENDS_PER_CALL * users_per_send]
                        users = [part[at : at + users_per_send] for at in range(0, len(part), users_per_send)]
                        await api.execute(SEND_MANY, inputs=[_input(one, channels) for one in users])
            await _wait_until_sent(client[name])

        await send(WARMUP_SENDS)
        before = await measure_sizes(client, client[name])
        await send(MEASURED_SENDS)
        after = await measure_sizes(client, client[name])
    return growth(before, after, MEASURED_SENDS * plan.recipients)


def _input(users: Sequence[str], channels: Sequence[str]) -> dict[str, Any]:
    key = secrets.token_hex(8)
    content = {"title": f"The build {key} of the main branch failed", "body": TEXT}
    fields = {"to": {"users": users}, "category": "bench", "content": content, "channels": channels}
    return fields | {"idempotencyKey": key}


async def _wait_until_sent(database: Database) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while waiting := await database.deliveries.count_documents({"status": {"$ne": "SENT"}}, limit=1):
        if time.monotonic() > deadline:
            raise BenchError(f"{waiting} deliveries were not sent within {TIMEOUT_S:g} s.")
        await asyncio.sleep(0.5)
