"""`storage`: the bytes that one recipient of a send takes in MongoDB."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from msgspec import Struct

from hub.api.auth import sign_token
from hub.bench.benchmark_servers import SECRET, BenchEnvironment, BenchError
from hub.bench.payloads import SEND, TENANT, TEXT, TOKEN_LIFETIME_S, user_id
from hub.bench.plan import Plan
from hub.bench.results import Figure
from hub.model import Channel, Role
from hub.platform.connections import Database, Mongo

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
FREE = "file bytes available for reuse"


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the growth of all collections and indexes by sends to many users, per recipient."""
    figures: list[Figure] = []
    for name, channels, maximum in (("IN_APP", ["IN_APP"], 800), ("IN_APP and one email", ["IN_APP", "EMAIL"], 1700)):
        plan.progress(f"storage of a send: {name}")
        grown = await _measure(env, plan, channels)
        figures += [
            _figure(f"{name}, data and indexes on disk", grown.data + grown.indexes, maximum),
            _figure(f"{name}, indexes on disk", grown.indexes),
            _figure(f"{name}, data uncompressed", grown.logical),
            _figure(f"{name}, oplog uncompressed", grown.oplog),
        ]
        for collection, text in sorted(grown.by_collection.items()):
            plan.progress(f"{name}, {collection}: {text}")
    return figures


def _figure(name: str, value: float, maximum: float | None = None) -> Figure:
    return Figure(group="storage", name=name, value=value, unit="B", maximum=maximum)


class _Size(Struct, frozen=True):
    """Bytes. `data` and `indexes` are files after a checkpoint, compressed, without space for reuse."""

    data: float
    indexes: float
    logical: float
    oplog: float
    by_collection: dict[str, str] = {}


async def _measure(env: BenchEnvironment, plan: Plan, channels: Sequence[str]) -> _Size:
    """Return the bytes per recipient."""
    name = f"storage-{secrets.token_hex(4)}"
    settings = EMAIL_SETTINGS if "EMAIL" in channels else {}
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(env.hub(name, **settings))
        if settings:
            await stack.enter_async_context(env.worker(name, null=Channel.EMAIL, **settings))
        client = await stack.enter_async_context(env.mongo_client())
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def call(query: str, role: Role = Role.SERVICE, **variables: Any) -> None:
            token = sign_token(SECRET, user=None, tenant=TENANT, role=role, expires_in_s=TOKEN_LIFETIME_S)
            headers = {"authorization": f"Bearer {token}"}
            body = {"query": query, "variables": variables}
            async with http.post(f"http://127.0.0.1:{hub.port}/graphql", json=body, headers=headers) as response:
                result = await response.json()
            if "errors" in result:
                raise BenchError(f"The hub returned an error: {result['errors'][0]['message']}")

        groups = [
            [user_id(number) for number in range(start, min(start + USERS_PER_CALL, plan.recipients))]
            for start in range(0, plan.recipients, USERS_PER_CALL)
        ]
        for users in groups:
            await call(UPSERT, users=[{"id": user, "email": f"{user}@example.org"} for user in users])

        async def send(times: int) -> None:
            content = {"title": "The build of the main branch failed", "body": TEXT}
            for _ in range(times):
                for users in groups:
                    to = {"users": users}
                    await call(SEND, input={"to": to, "category": "bench", "content": content, "channels": channels})
            await _wait_until_sent(client[name])

        await send(WARMUP_SENDS)
        before = await _sizes(client, client[name])
        await send(MEASURED_SENDS)
        after = await _sizes(client, client[name])
    return _growth(before, after, MEASURED_SENDS * plan.recipients)


async def _wait_until_sent(database: Database) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while waiting := await database.deliveries.count_documents({"status": {"$ne": "SENT"}}, limit=1):
        if time.monotonic() > deadline:
            raise BenchError(f"{waiting} deliveries were not sent within {TIMEOUT_S:g} s.")
        await asyncio.sleep(0.5)


async def _sizes(client: Mongo, database: Database) -> dict[str, dict[str, Any]]:
    """Return the statistics of each collection after a checkpoint."""
    await client.admin.command("fsync")
    names = await database.list_collection_names()
    stats = {name: await database.command("collStats", name) for name in names}
    stats["oplog"] = await client.local.command("collStats", "oplog.rs")
    return stats


def _growth(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], recipients: int) -> _Size:
    def grown(name: str, size: Any) -> float:
        return float(size(after[name]) - (size(before[name]) if name in before else 0)) / recipients

    names = [name for name in after if name != "oplog"]
    by_collection = {}
    for name in names:
        data, logical = grown(name, _data), grown(name, lambda stats: stats["size"])
        by_index = {index: grown(name, lambda stats, i=index: _index(stats, i)) for index in after[name]["indexSizes"]}
        if data + logical + sum(by_index.values()) >= 1:
            indexes = ", ".join(f"{index} {size:.0f}" for index, size in by_index.items() if size >= 0.5)
            by_collection[name] = f"{data:.0f} B data ({logical:.0f} uncompressed), indexes: {indexes or 'none'}"
    return _Size(
        data=sum(grown(name, _data) for name in names),
        indexes=sum(grown(name, _indexes) for name in names),
        logical=sum(grown(name, lambda stats: stats["size"]) for name in names),
        oplog=grown("oplog", lambda stats: stats["size"]),
        by_collection=by_collection,
    )


def _data(stats: dict[str, Any]) -> int:
    return int(stats["storageSize"] - stats["freeStorageSize"])


def _indexes(stats: dict[str, Any]) -> int:
    return sum(_index(stats, name) for name in stats["indexSizes"])


def _index(stats: dict[str, Any], name: str) -> int:
    if name not in stats["indexSizes"]:
        return 0
    return int(stats["indexSizes"][name] - stats["indexDetails"][name]["block-manager"][FREE])
