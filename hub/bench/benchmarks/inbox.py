"""`inbox`: the first page and the counts of a large mailbox."""

import time
from collections.abc import Iterator
from typing import Any

from hub.bench import seed
from hub.bench.benchmark_servers import BenchEnvironment, BenchError, MeasuredProcess
from hub.bench.payloads import TENANT, operation, user_id, write_request
from hub.bench.plan import Plan
from hub.bench.post_load import measure_posts
from hub.bench.results import Figure
from hub.inbox.state import VIEWS
from hub.model import InboxView, mailbox_of
from hub.platform.connections import Mongo

DIRECT_READS = 2000  # pages that are read without the hub, for the floor
INBOX_QUERY = (
    "{ inbox(first: 20) { unread unseen position pageInfo { hasNextPage endCursor } "
    "nodes { id title body category priority createdAt seenAt readAt } } }"
)


async def run(env: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure requests for a page of 20 and the counts of one large mailbox, one after another."""
    mailbox = mailbox_of(TENANT, user_id(0))
    started_at = time.monotonic()

    def progress(share: float) -> None:
        plan.progress(f"writing {plan.size:,} notifications: {share:.0%}, {time.monotonic() - started_at:.0f} s")

    seed.create_mailbox(env.mongod.url, "inbox", mailbox, plan.size, progress)
    request = write_request(env, "page", operation(INBOX_QUERY), user=user_id(0))
    plan.progress("creating the indexes")
    async with env.hub("inbox") as hub, env.mongo_client() as client:
        plan.progress("a page of 20 and the counts")
        pages = await measure_posts(env, plan, hub, request, connections=1)
        explained = await _explain_page(env, client, hub, request)
        plan.progress("floor: the same page without the hub")
        direct_ms = await plan.best(lambda: _read_directly(client, mailbox), lambda ms: ms)
    size = f"{plan.size:,}"
    return [
        Figure(
            group="inbox",
            name=f"page of 20 and counts of {size}, p99",
            value=pages.p99_ms,
            unit="ms",
            maximum=5,
            p50_ms=pages.p50_ms,
            p99_ms=pages.p99_ms,
            memory_mb=pages.memory_mb,
            cpu_us=pages.cpu_us,
            floor=direct_ms,
        ),
        Figure(
            group="inbox",
            name="sorts in memory and scans in the plan",
            value=sum(stage in {"SORT", "COLLSCAN"} for stage in _stages(explained)),
            unit="",
            maximum=0,
        ),
        Figure(
            group="inbox",
            name="index keys examined",
            value=explained["executionStats"]["totalKeysExamined"],
            unit="",
        ),
    ]


async def _explain_page(env: BenchEnvironment, client: Mongo, hub: MeasuredProcess, request: object) -> dict[str, Any]:
    """Return MongoDB's explanation of the page query that the profiler recorded."""
    database = client["inbox"]
    await database.command("profile", 2)
    await env.load("post", hub, request=request, connections=1, users=1, warm=0, seconds=0.2)
    await database.command("profile", 0)
    profiled = await database["system.profile"].find_one({"command.aggregate": "notifications"})
    if profiled is None:
        raise BenchError("MongoDB's profiler recorded no page query.")
    command = {key: profiled["command"][key] for key in ("aggregate", "pipeline", "cursor", "hint")}
    return await database.command("explain", command, verbosity="executionStats")


def _stages(explained: Any) -> Iterator[str]:
    """Yield the stages of the winning plan at all levels."""
    if isinstance(explained, list):
        for part in explained:
            yield from _stages(part)
    elif isinstance(explained, dict):
        for key, value in explained.items():
            if key == "stage" and isinstance(value, str):
                yield value
            elif key.startswith("$"):
                yield key[1:].upper()
            if key not in {"rejectedPlans", "command", "parsedQuery", "executionStats"}:
                yield from _stages(value)


async def _read_directly(client: Mongo, mailbox: str) -> float:
    """Return the 99th percentile of the two reads of a page, in milliseconds."""
    database = client["inbox"]
    filter = {"mailbox": mailbox, "state": {"$in": [state.value for state in VIEWS[InboxView.ACTIVE]]}}
    took_ms = []
    for _ in range(DIRECT_READS):
        started_at = time.perf_counter()
        await database.mailboxes.find_one({"_id": mailbox})
        await database.notifications.find(filter, hint="page").sort("added_modseq", -1).limit(21).to_list()
        took_ms.append((time.perf_counter() - started_at) * 1000)
    return sorted(took_ms)[DIRECT_READS * 99 // 100]
