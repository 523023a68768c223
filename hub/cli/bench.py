"""`hub bench`: measure a hub on this machine."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Benchmark(StrEnum):
    SEND = "send"
    LATENCY = "latency"
    FANOUT = "fanout"
    INBOX = "inbox"
    MEMORY = "memory"
    DISPATCH = "dispatch"
    DIGEST = "digest"
    STORAGE = "storage"
    EXPANSION = "expansion"
    ALL = "all"


Audience = Annotated[int, typer.Option(help="Number of users of the tenant in the `expansion` benchmark.", min=1000)]
Into = Annotated[Path, typer.Option(help="Folder in which `all` writes benchmarks.md and benchmarks.svg.")]


def bench(
    name: Annotated[Benchmark, typer.Argument(help="The benchmark to run.")] = Benchmark.ALL,
    seconds: Annotated[float, typer.Option(help="Duration of one measurement, in seconds.", min=0.5)] = 5,
    repeat: Annotated[int, typer.Option(help="Number of measurements; the best result is reported.", min=1)] = 3,
    size: Annotated[
        int, typer.Option(help="Number of notifications in the mailbox of the `inbox` benchmark.", min=100)
    ] = 1_000_000,
    sockets: Annotated[
        int, typer.Option(help="Number of open sockets in the `fanout` and `memory` benchmarks.", min=10)
    ] = 5_000,
    deliveries: Annotated[
        int, typer.Option(help="Number of queued deliveries in the `dispatch` benchmark.", min=100)
    ] = 20_000,
    items: Annotated[int, typer.Option(help="Number of held items in the `digest` benchmark.", min=100)] = 100_000,
    digests: Annotated[int, typer.Option(help="Number of digests in the `digest` benchmark.", min=1)] = 1_000,
    recipients: Annotated[int, typer.Option(help="Number of recipients in the `storage` benchmark.", min=100)] = 5_000,
    audience: Audience = 50_000,
    into: Into = Path("infra"),
) -> None:
    """Measure the performance of a hub on this machine.

    Starts separate MongoDB, Redis, and hub processes. Processes that are already running are not affected. Requires a
    checkout of the source code.

    Example: hub bench send --seconds 2
    """
    try:
        from hub.bench import benchmark_servers, runner
        from hub.bench.benchmarks import BENCHMARKS
        from hub.bench.plan import Plan
    except ModuleNotFoundError as error:
        if error.name != "hub.bench":
            raise
        sys.exit("`hub bench` is not part of the installed package: run it from a checkout of the source (make bench).")
    from hub.platform.server_programs import ServerError

    if name is Benchmark.ALL and not into.is_dir():
        sys.exit(f"The folder {into} does not exist: choose the folder for benchmarks.md with --into.")
    plan = Plan(
        seconds=seconds,
        repeat=repeat,
        size=size,
        sockets=sockets,
        deliveries=deliveries,
        items=items,
        digests=digests,
        recipients=recipients,
        audience=audience,
        progress=runner.Progress(sys.stderr),
    )
    names = list(BENCHMARKS) if name is Benchmark.ALL else [name.value]
    try:
        result = asyncio.run(runner.run_benchmarks(names, plan))
    except (benchmark_servers.BenchError, ServerError) as error:
        sys.exit(str(error))
    print(result.text())
    if result.failures:
        sys.exit(1)
    if name is Benchmark.ALL:
        print(f"\nWritten: {', '.join(str(path) for path in result.write(into))}")
