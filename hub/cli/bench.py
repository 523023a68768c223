"""`hub bench`: how fast a hub is on this machine."""

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
    ALL = "all"


def bench(
    what: Annotated[Benchmark, typer.Argument(help="Which figures.")] = Benchmark.ALL,
    seconds: Annotated[float, typer.Option(help="How long one measurement takes.", min=0.5)] = 5,
    repeat: Annotated[int, typer.Option(help="Measure so often and keep the best.", min=1)] = 3,
    size: Annotated[int, typer.Option(help="Notifications in the mailbox of `inbox`.", min=100)] = 1_000_000,
    sockets: Annotated[int, typer.Option(help="Sockets of `fanout` and `memory`.", min=10)] = 5_000,
    deliveries: Annotated[int, typer.Option(help="Deliveries in the queue of `dispatch`.", min=100)] = 20_000,
    into: Annotated[Path, typer.Option(help="Where `all` writes benchmarks.md and benchmarks.svg.")] = Path("infra"),
) -> None:
    """Measure a hub with servers of its own, on this machine; nothing that runs is touched.

    Example: hub bench send --seconds 2
    """
    from hub.bench import environment, report, runs
    from hub.platform.embedded_servers import ServerError

    if what is Benchmark.ALL and not into.is_dir():
        sys.exit(f"There is no folder {into} to write benchmarks.md into: name one with --into.")
    plan = runs.Plan(
        seconds=seconds,
        repeat=repeat,
        size=size,
        sockets=sockets,
        deliveries=deliveries,
        progress=report.Progress(sys.stderr),
    )
    chosen = list(runs.BENCHMARKS) if what is Benchmark.ALL else [what.value]
    try:
        report_found = asyncio.run(report.run_benchmarks(chosen, plan))
    except (environment.BenchError, ServerError) as error:
        sys.exit(str(error))
    print(report_found.text())
    if report_found.failures:
        sys.exit(1)
    if what is Benchmark.ALL:
        print(f"\nWritten: {', '.join(str(path) for path in report_found.write(into))}")
