"""The benchmarks. Each starts new processes, measures and returns figures.

Every figure is the best of `repeat` runs, for baselines as well: other load on the machine only makes results worse.
"""

import asyncio
import functools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import orjson
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from hub.api.auth import sign_token
from hub.bench import seed
from hub.bench.environment import SECRET, BenchEnvironment, BenchError, LoadResult, MeasuredProcess
from hub.bench.results import Figure
from hub.inbox.state import VIEWS
from hub.model import InboxView, Role, mailbox_of
from hub.outbox.lanes import Lanes
from hub.platform.connections import Mongo

TENANT = "bench"
TOKEN_LIFETIME_S = 86_400.0
MB = 1e6
T = TypeVar("T")
WARMUP_S = 2.0
CONNECTIONS = 64
USER_PLACEHOLDER = "######"  # the load client inserts the number of a user
TIME_PLACEHOLDER = "@" * 19  # the load client inserts the time
TEXT = "x" * 120
SENDS_PER_BATCH = 100  # sends in one sendMany
BATCH_CONNECTIONS = 8
ENQUEUE_BATCH_SIZE = 1000  # deliveries
DIRECT_READS = 2000  # pages read without the hub, for the floor

SEND = "mutation($input: SendInput!) { send(input: $input) { send { id } duplicate } }"
SEND_MANY = "mutation($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } duplicate } }"
CONNECT_WEBHOOK = "mutation($to: String!) { connectWebhook(url: $to) { device { id } } }"
WARMUP_CALLS = 5
SUBSCRIBE = "subscription { inbox { kind cursor unread unseen notification { id title body category createdAt } } }"
INBOX_QUERY = (
    "{ inbox(first: 20) { unread unseen position pageInfo { hasNextPage endCursor } "
    "nodes { id title body category priority createdAt seenAt readAt } } }"
)


@dataclass(frozen=True)
class Plan:
    """Sizes and durations. `users` is for `send` and `latency`, `sockets` for `fanout` and `memory`."""

    seconds: float
    repeat: int
    users: int = 1_000
    sockets: int = 5_000
    rounds: int = 15
    rate: int = 100
    size: int = 1_000_000
    deliveries: int = 20_000
    progress: Callable[[str], None] = lambda _: None


# ---------------------------------------------------------------------------------------------------- send


async def send(rig: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure sends to one user each over 64 connections."""
    one = _write_request(rig, "send", _operation(SEND, input=_send_input()))
    many = _write_request(rig, "many", _operation(SEND_MANY, inputs=[_send_input() for _ in range(SENDS_PER_BATCH)]))
    async with rig.hub("send") as hub:
        plan.progress("send, 64 connections")
        sends = await _measure_posts(rig, plan, hub, one, CONNECTIONS)
        plan.progress("sendMany")
        manys = await _measure_posts(rig, plan, hub, many, BATCH_CONNECTIONS)
    floors = {}
    for writes in ("plain", "journalled"):
        plan.progress(f"floor: insert and publish, {writes}")
        async with rig.baseline(writes) as floor:
            floors[writes] = await _measure_posts(rig, plan, floor, one, CONNECTIONS)
    plain = floors["plain"].per_second
    wait = "p99 of the above"
    return [
        sends.figure("send", "to one user each", "/s", least=2500, floor=plain),
        Figure(group="send", name=wait, value=sends.p99_ms, unit="ms", maximum=60, floor=floors["plain"].p99_ms),
        manys.figure("send", f"sendMany of {SENDS_PER_BATCH}, notifications", "/s", each=SENDS_PER_BATCH, least=6000),
        floors["plain"].figure("floor", "insert and publish one by one, without waiting for the journal", "/s"),
        floors["journalled"].figure("floor", "the same, journalled", "/s"),
    ]


@dataclass(frozen=True)
class _PostResult:
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    memory_mb: float

    def figure(
        self, group: str, name: str, unit: str, *, each: int = 1, least: float | None = None, floor: float | None = None
    ) -> Figure:
        return Figure(
            group=group,
            name=name,
            value=self.per_second * each,
            unit=unit,
            minimum=least,
            p50_ms=self.p50_ms,
            p99_ms=self.p99_ms,
            memory_mb=self.memory_mb,
            cpu_us=self.cpu_us / each,
            floor=floor,
        )


async def _measure_posts(
    rig: BenchEnvironment, plan: Plan, target: MeasuredProcess, request: object, connections: int
) -> _PostResult:
    async def once() -> _PostResult:
        answer, cpu_s = await rig.load(
            "post",
            target,
            request=request,
            connections=connections,
            users=plan.users,
            warm=min(WARMUP_S, plan.seconds),
            seconds=plan.seconds,
        )
        return _PostResult(
            per_second=answer["answered"] / answer["seconds"],
            p50_ms=answer["answer_ms"]["p50"],
            p99_ms=answer["answer_ms"]["p99"],
            cpu_us=cpu_s * 1e6 / max(1, answer["answered"]),
            memory_mb=target.memory_bytes / MB,
        )

    return await _best(plan, once, lambda posted: -posted.per_second)


# ---------------------------------------------------------------------------------------------------- latency


async def latency(rig: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the time from a mutation to the recipient's socket, including the commit."""
    request = _write_request(rig, "send", _operation(SEND, input=_send_input()))
    async with rig.hub("latency") as hub:

        async def once() -> tuple[LoadResult, float]:
            answer, cpu_s = await rig.load(
                "latency",
                hub,
                request=request,
                connections=CONNECTIONS,
                **_write_subscribers(rig, plan.users),
                rate=plan.rate,
                warm=min(WARMUP_S, plan.seconds),
                seconds=plan.seconds,
            )
            if answer["skipped"] or answer["received"] != answer["sent"]:
                raise BenchError(f"Not everything that was sent arrived: {answer}")
            return answer, cpu_s / answer["sent"]

        plan.progress(f"{plan.users:,} subscriptions, {plan.rate} sends/s")
        answer, cpu_s = await _best(plan, once, lambda found: float(found[0]["socket_ms"]["p99"]))
        memory_mb = hub.memory_bytes / MB
    waits = answer["socket_ms"]
    return [
        Figure(
            group="latency",
            name="mutation to socket, p50",
            value=waits["p50"],
            unit="ms",
            maximum=8,
            p50_ms=waits["p50"],
            p99_ms=waits["p99"],
            memory_mb=memory_mb,
            cpu_us=cpu_s * 1e6,
        ),
        Figure(group="latency", name="mutation to socket, p99", value=waits["p99"], unit="ms", maximum=25),
    ]


# ---------------------------------------------------------------------------------------------------- fanout


async def fanout(rig: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure one send to all users with a socket. The baseline writes the same bytes to as many sockets."""
    users = [_user_id(number) for number in range(plan.sockets)]
    request = _write_request(rig, "all", _operation(SEND, input=_send_input(*users)))
    sockets = _write_subscribers(rig, plan.sockets)
    rounds = {"request": request, **sockets, "rounds": plan.rounds}
    plan.progress(f"one send to {plan.sockets:,} sockets")
    async with rig.hub("fanout", call_max_users=str(max(1000, plan.sockets)), request_max_bytes=str(4 << 20)) as hub:
        answer, cpu_s = await rig.load("fanout", hub, **rounds)
        memory_mb = hub.memory_bytes / MB
    plan.progress("floor: bare broadcast")
    text = rig.write_file("event", _event_message())
    async with rig.baseline("plain", str(text)) as floor:
        bare, _ = await rig.load("fanout", floor, **rounds)
    last, whole, commit = answer["last_after_answer_ms"], answer["last_after_start_ms"], answer["answer_ms"]
    return [
        Figure(
            group="fanout",
            name=f"last of {plan.sockets:,} sockets after the commit",
            value=last["p50"],
            unit="ms",
            maximum=200,
            p50_ms=last["p50"],
            p99_ms=last["p99"],
            memory_mb=memory_mb,
            cpu_us=cpu_s * 1e6 / plan.rounds / plan.sockets,
            floor=bare["last_after_answer_ms"]["p50"],
        ),
        Figure(
            group="fanout",
            name="the same since the request",
            value=whole["p50"],
            unit="ms",
            p50_ms=whole["p50"],
            p99_ms=whole["p99"],
        ),
        Figure(
            group="fanout",
            name=f"commit of {plan.sockets:,} notifications",
            value=commit["p50"],
            unit="ms",
            p50_ms=commit["p50"],
            p99_ms=commit["p99"],
        ),
    ]


def _event_message() -> bytes:
    """Return a message with the exact length of the hub's."""
    notification = {
        "id": "0" * 36,
        "title": TIME_PLACEHOLDER,
        "body": TEXT,
        "category": "bench",
        "createdAt": "2026-11-20T08:15:30.000Z",
    }
    event = {"kind": "ADDED", "cursor": "0" * 28, "unread": 10, "unseen": 10, "notification": notification}
    return orjson.dumps({"id": _operation_id(), "type": "next", "payload": {"data": {"inbox": event}}})


# ---------------------------------------------------------------------------------------------------- inbox


async def inbox(rig: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure a page of 20 and the counts of one large mailbox, one request after another."""
    mailbox = mailbox_of(TENANT, _user_id(0))
    began = time.monotonic()

    def progress(share: float) -> None:
        plan.progress(f"writing {plan.size:,} notifications: {share:.0%}, {time.monotonic() - began:.0f} s")

    seed.create_mailbox(rig.mongod.url, "inbox", mailbox, plan.size, progress)
    request = _write_request(rig, "page", _operation(INBOX_QUERY), user=_user_id(0))
    plan.progress("making the hub's indexes over them")
    async with rig.hub("inbox") as hub, _mongo_client(rig) as client:
        plan.progress("a page of 20 and the counts")
        pages = await _measure_posts(rig, plan, hub, request, connections=1)
        explained = await _explain_page(rig, client, hub, request)
        plan.progress("floor: the same page without the hub")
        direct_ms = await _best(plan, lambda: _read_directly(client, mailbox), lambda ms: ms)
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
            name="sorts in memory and scans in its plan",
            value=sum(stage in {"SORT", "COLLSCAN"} for stage in _stages(explained)),
            unit="",
            maximum=0,
        ),
        Figure(
            group="inbox",
            name="index keys that it looks at",
            value=explained["executionStats"]["totalKeysExamined"],
            unit="",
        ),
    ]


async def _explain_page(rig: BenchEnvironment, client: Mongo, hub: MeasuredProcess, request: object) -> dict[str, Any]:
    """Return MongoDB's explanation of the page query that the profiler recorded."""
    database = client["inbox"]
    await database.command("profile", 2)
    await rig.load("post", hub, request=request, connections=1, users=1, warm=0, seconds=0.2)
    await database.command("profile", 0)
    ran = await database["system.profile"].find_one({"command.aggregate": "notifications"})
    if ran is None:
        raise BenchError("MongoDB's profiler saw no page.")
    command = {key: ran["command"][key] for key in ("aggregate", "pipeline", "cursor", "hint")}
    return await database.command("explain", command, verbosity="executionStats")


def _stages(explained: Any) -> Iterator[str]:
    """Yield the stages of the winning plan at any depth."""
    if isinstance(explained, list):
        for each in explained:
            yield from _stages(each)
    elif isinstance(explained, dict):
        for key, value in explained.items():
            if key == "stage" and isinstance(value, str):
                yield value
            elif key.startswith("$"):
                yield key[1:].upper()
            if key not in {"rejectedPlans", "command", "parsedQuery", "executionStats"}:
                yield from _stages(value)


async def _read_directly(client: Mongo, mailbox: str) -> float:
    """Return the p99 of the two reads of a page, in ms."""
    database = client["inbox"]
    wanted = {"mailbox": mailbox, "state": {"$in": [state.value for state in VIEWS[InboxView.ACTIVE]]}}
    took_ms = []
    for _ in range(DIRECT_READS):
        began = time.perf_counter()
        await database.mailboxes.find_one({"_id": mailbox})
        await database.notifications.find(wanted, hint="page").sort("added_modseq", -1).limit(21).to_list()
        took_ms.append((time.perf_counter() - began) * 1000)
    return sorted(took_ms)[DIRECT_READS * 99 // 100]


@asynccontextmanager
async def _mongo_client(rig: BenchEnvironment) -> AsyncIterator[Mongo]:
    client: Mongo = AsyncMongoClient(rig.mongod.url, tz_aware=True)
    async with client:
        yield client


# ---------------------------------------------------------------------------------------------------- memory


async def memory(rig: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure the memory of an idle subscription."""
    plan.progress(f"{plan.sockets:,} idle subscriptions")
    sockets = _write_subscribers(rig, plan.sockets)
    async with rig.hub("memory") as hub:
        bytes_each, memory_mb = await _measure_idle(rig, hub, sockets, plan.sockets)
    plan.progress("floor: bare sockets")
    async with rig.baseline("plain", str(rig.write_file("event", _event_message()))) as floor:
        bare, _ = await _measure_idle(rig, floor, sockets, plan.sockets)
    return [
        Figure(
            group="memory",
            name=f"an idle subscription, of {plan.sockets:,}",
            value=bytes_each / 1000,
            unit="kB",
            maximum=30,
            memory_mb=memory_mb,
            floor=bare / 1000,
        ),
    ]


async def _measure_idle(
    rig: BenchEnvironment, target: MeasuredProcess, sockets: dict[str, object], count: int
) -> tuple[float, float]:
    """Return bytes per socket and the total memory in MB. Open some sockets first, to exclude shared memory."""
    first = _write_subscribers(rig, count // 10, "first", since=count)
    async with rig.idle(target, **first):
        await target.settle()
        before = target.memory_bytes
        async with rig.idle(target, **sockets):
            await target.settle()
            after = target.memory_bytes
    return (after - before) / count, after / MB


# ---------------------------------------------------------------------------------------------------- dispatch


async def dispatch(rig: BenchEnvironment, plan: Plan) -> list[Figure]:
    """Measure deliveries per second of one worker, and the wait of one delivery on an idle hub."""
    figures = []
    for name, delay_ms, least in (
        ("into nothing", None, 3500),
        ("a receiver that answers at once", 0, 1500),
        ("one that takes 100 ms", 100, 1000),
    ):
        plan.progress(f"deliveries {name}")
        worked = await _best(
            plan, functools.partial(_measure_dispatch, rig, plan, delay_ms), lambda worked: -worked.per_second
        )
        figures.append(
            Figure(
                group="dispatch",
                name=f"webhooks, {name}",
                value=worked.per_second,
                unit="/s",
                minimum=least,
                memory_mb=worked.memory_mb,
                cpu_us=worked.cpu_us,
            )
        )
    plan.progress("from a mutation to the call of a webhook")
    waits = await _measure_waits(rig, plan)
    middle, worst = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    return [
        *figures,
        Figure(
            group="dispatch",
            name="commit to call, p99",
            value=worst,
            unit="ms",
            maximum=50,
            p50_ms=middle,
            p99_ms=worst,
        ),
    ]


@dataclass(frozen=True)
class _DispatchResult:
    per_second: float
    cpu_us: float
    memory_mb: float


async def _measure_dispatch(rig: BenchEnvironment, plan: Plan, delay_ms: int | None) -> _DispatchResult:
    """Measure the drain of a full queue, after its first tenth."""
    database = f"dispatch-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        port = 1 if delay_ms is None else await stack.enter_async_context(rig.sink(delay_ms))
        queued = seed.create_deliveries(rig.mongod.url, database, plan.deliveries, f"http://127.0.0.1:{port}/")
        client = await stack.enter_async_context(_mongo_client(rig))
        async with Redis.from_url(rig.redis.url) as redis:
            lanes = Lanes(redis, f"{database}:", plan.deliveries)
            for start in range(0, len(queued), ENQUEUE_BATCH_SIZE):
                await lanes.put(queued[start : start + ENQUEUE_BATCH_SIZE])
            await lanes.mark_restored("deliveries")  # Redis has lost nothing
        started = rig.worker(database, null=delay_ms is None, egress_allow="127.0.0.0/8", concurrency="250")
        worker = await stack.enter_async_context(started)
        began = cpu_s = 0.0
        left_then = 0
        while left := await client[database].deliveries.count_documents({"due_at": {"$exists": True}}):
            if not began and left < plan.deliveries * 0.9:
                began, cpu_s, left_then = time.perf_counter(), worker.cpu_s, left
            await asyncio.sleep(0.05 if left < plan.deliveries / 10 else 0.5)  # the store has to count them
        took_s = time.perf_counter() - began
        done = await client[database].deliveries.count_documents({"status": {"$in": ["SENT", "DELIVERED"]}})
        if done != plan.deliveries:
            raise BenchError(f"{plan.deliveries - done} of {plan.deliveries} deliveries were not sent.")
        cpu_us = (worker.cpu_s - cpu_s) * 1e6 / left_then
        return _DispatchResult(left_then / took_s, cpu_us, worker.memory_bytes / MB)


async def _measure_waits(rig: BenchEnvironment, plan: Plan) -> list[float]:
    """Return the sorted waits from creation of a notification to its webhook call, in ms."""
    database = f"waits-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(rig.sink(0))
        hub = await stack.enter_async_context(rig.hub(database, egress_allow="127.0.0.0/8"))
        await stack.enter_async_context(rig.worker(database, egress_allow="127.0.0.0/8"))
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def ask(query: str, user: str | None, variables: dict[str, Any]) -> None:
            role = Role.USER if user else Role.SERVICE
            token = sign_token(SECRET, user=user, tenant=TENANT, role=role, expires_in_s=TOKEN_LIFETIME_S)
            headers = {"authorization": f"Bearer {token}"}
            body = {"query": query, "variables": variables}
            async with http.post(f"http://127.0.0.1:{hub.port}/graphql", json=body, headers=headers) as response:
                answer = await response.json()
            if "errors" in answer:
                raise BenchError(f"The hub refused: {answer['errors'][0]['message']}")

        await ask(CONNECT_WEBHOOK, _user_id(0), {"to": f"http://127.0.0.1:{port}/"})
        told = {"to": {"users": [_user_id(0)]}, "category": "bench", "channels": ["WEBHOOK"]}
        content = {"title": "t", "body": TEXT}
        ends_at = time.monotonic() + plan.seconds
        while time.monotonic() < ends_at:
            await ask(SEND, None, {"input": told | {"content": content}})
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        async with http.get(f"http://127.0.0.1:{port}/") as response:
            waits: list[float] = await response.json(content_type=None)
    if not waits:
        raise BenchError("No webhook was called.")
    return sorted(waits[WARMUP_CALLS:] or waits)


# ---------------------------------------------------------------------------------------------------- what is sent


def _user_id(number: int) -> str:
    return f"u{number:06d}"


def _send_input(*users: str) -> dict[str, Any]:
    to = {"users": list(users) or [f"u{USER_PLACEHOLDER}"]}
    return {"to": to, "category": "bench", "content": {"title": TIME_PLACEHOLDER, "body": TEXT}}


def _operation(query: str, **variables: Any) -> bytes:
    return orjson.dumps({"query": query, "variables": variables})


def _operation_id() -> str:
    """Return an id as long as those of clients."""
    return f"{USER_PLACEHOLDER}00-0000-4000-8000-000000000000"


def _write_request(rig: BenchEnvironment, name: str, body: bytes, user: str | None = None) -> object:
    """Write a complete HTTP request as a service, or as `user`. Return its file."""
    token = sign_token(
        SECRET, user=user, tenant=TENANT, role=Role.USER if user else Role.SERVICE, expires_in_s=TOKEN_LIFETIME_S
    )
    head = (
        "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return rig.write_file(f"{name}.http", head.encode() + body)


def _write_subscribers(rig: BenchEnvironment, count: int, name: str = "all", since: int = 0) -> dict[str, object]:
    """Write the files for one socket per user, from number `since` on."""
    users = [_user_id(number) for number in range(since, since + count)]
    tokens = [
        sign_token(SECRET, user=user, tenant=TENANT, role=Role.USER, expires_in_s=TOKEN_LIFETIME_S) for user in users
    ]
    message = {"id": _operation_id(), "type": "subscribe", "payload": {"query": SUBSCRIBE}}
    return {
        "tokens": rig.write_file(f"tokens-{name}", "\n".join(tokens)),
        "subscribe": rig.write_file("subscribe.json", orjson.dumps(message)),
    }


async def _best(plan: Plan, measure: Callable[[], Awaitable[T]], badness: Callable[[T], float]) -> T:
    return min([await measure() for _ in range(plan.repeat)], key=badness)


BENCHMARKS = {
    "send": send,
    "latency": latency,
    "fanout": fanout,
    "inbox": inbox,
    "memory": memory,
    "dispatch": dispatch,
}
