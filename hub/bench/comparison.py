"""Other servers in the same run: `hub bench --against`.

The servers are in `tests/bench/`. Each has a mutation `send`, with the same four writes in one transaction as a send of
the hub, and subscriptions with the pub/sub of its own library.
"""

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.bench.benchmark_servers import MB, BenchEnvironment
from hub.bench.payloads import TEXT, TIME_PLACEHOLDER, USER_PLACEHOLDER, operation, write_request, write_subscribers
from hub.bench.plan import Plan
from hub.bench.post_load import measure_posts
from hub.bench.results import Figure

FOLDER = Path(__file__).parents[2] / "tests" / "bench"
NODE_MINIMUM = (20, 19)
SEND = "mutation($input: SendInput!) { send(input: $input) { id } }"
SUBSCRIBE = "subscription($to: ID!) { notifications(to: $to) { id to title body category createdAt } }"
TOPIC = "all"
CONNECTIONS = 64


class ServerUnavailable(Exception):
    """A server cannot run on this machine. The text contains the reason."""


@dataclass(frozen=True)
class Server:
    name: str
    command: tuple[str, ...]


SERVERS = (
    Server("strawberry", (sys.executable, str(FOLDER / "strawberry_server.py"))),
    Server("yoga", ("node", str(FOLDER / "yoga.mjs"))),
    Server("mercurius", ("node", str(FOLDER / "mercurius.mjs"))),
)


async def select_servers() -> tuple[list[Server], str]:
    """Return the servers that can run, after the installation of their packages, and a sentence about the others."""
    try:
        await _install_packages()
    except ServerUnavailable as error:
        without_node = [server for server in SERVERS if server.command[0] != "node"]
        skipped = [server.name for server in SERVERS if server not in without_node]
        return without_node, f"Skipped {' and '.join(skipped)}: {error}"
    return list(SERVERS), ""


async def _install_packages() -> None:
    """Install the packages of the servers with Node into `tests/bench/node_modules`, if the lock file changed."""
    if not shutil.which("node") or not shutil.which("npm") or await _node_version() < NODE_MINIMUM:
        wanted = ".".join(map(str, NODE_MINIMUM))
        raise ServerUnavailable(f"Node {wanted} or later and npm are not installed (apt-get install nodejs npm).")
    installed, lock = FOLDER / "node_modules" / ".installed", FOLDER / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    code, output = await _run("npm", "ci", "--silent")
    if code:
        raise ServerUnavailable(f"npm could not install the packages of {FOLDER}: {output[-500:]}")
    installed.touch()


async def _node_version() -> tuple[int, ...]:
    """Return the version of Node, or an empty tuple if Node cannot run."""
    code, output = await _run("node", "--version")
    parts = output.strip().lstrip("v").split(".")
    return tuple(int(part) for part in parts if part.isdecimal()) if not code else ()


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*command, cwd=FOLDER, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    output = (await process.communicate())[0]
    return process.returncode or 0, output.decode(errors="replace")


async def compare_send(env: BenchEnvironment, plan: Plan, server: Server, hub: float) -> Figure:
    """Measure sends to one user each."""
    request = write_request(env, "send", operation(SEND, input=_send_input(f"u{USER_PLACEHOLDER}")))
    async with env.other_server(server.name, *server.command) as target:
        result = await measure_posts(env, plan, target, request, CONNECTIONS)
    return result.figure("send", f"{server.name}, the same four writes in a transaction", "/s", hub=hub)


async def compare_fanout(env: BenchEnvironment, plan: Plan, server: Server, hub: float) -> Figure:
    """Measure one event to all sockets, which subscribe to the same topic.

    The response may follow the last message, so the commit is measured before: the response time without sockets.
    """
    request = write_request(env, "all", operation(SEND, input=_send_input(TOPIC)))
    sockets = write_subscribers(env, plan.sockets, query=SUBSCRIBE, to=TOPIC)
    async with env.other_server(server.name, *server.command) as target:
        commit = await measure_posts(env, plan, target, request, 1)
        result, cpu_s = await env.load("fanout", target, request=request, rounds=plan.rounds, **sockets)
        memory_mb = target.memory_bytes / MB
    last = {name: max(0.0, result["last_after_request_ms"][name] - commit.p50_ms) for name in ("p50", "p99")}
    return Figure(
        group="fanout",
        name=f"{server.name}, last of {plan.sockets:,} sockets after the commit",
        value=last["p50"],
        unit="ms",
        p50_ms=last["p50"],
        p99_ms=last["p99"],
        memory_mb=memory_mb,
        cpu_us=cpu_s * 1e6 / plan.rounds / plan.sockets,
        hub=hub,
    )


COMPARISONS: Mapping[str, Callable[[BenchEnvironment, Plan, Server, float], Awaitable[Figure]]] = {
    "send": compare_send,
    "fanout": compare_fanout,
}
"""The comparison by the name of a benchmark. `hub` is the value of the first figure of that benchmark."""


def _send_input(to: str) -> dict[str, Any]:
    return {"to": to, "title": TIME_PLACEHOLDER, "body": TEXT, "category": "bench"}
