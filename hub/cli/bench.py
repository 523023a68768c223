"""`hub bench`: measure a hub on this machine."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hub.bench.runner import Report


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


Seconds = Annotated[float, typer.Option(help="Duration of one measurement, in seconds.", min=0.5)]
Repeat = Annotated[int, typer.Option(help="Number of measurements; the best result is reported.", min=1)]
Size = Annotated[int, typer.Option(help="Number of notifications in the mailbox of the `inbox` benchmark.", min=100)]
Sockets = Annotated[int, typer.Option(help="Number of open sockets in the `fanout` and `memory` benchmarks.", min=10)]
Deliveries = Annotated[int, typer.Option(help="Number of queued deliveries in the `dispatch` benchmark.", min=100)]
Items = Annotated[int, typer.Option(help="Number of held items in the `digest` benchmark.", min=100)]
Digests = Annotated[int, typer.Option(help="Number of digests in the `digest` benchmark.", min=1)]
Recipients = Annotated[int, typer.Option(help="Number of recipients in the `storage` benchmark.", min=100)]
Audience = Annotated[int, typer.Option(help="Number of users of the tenant in the `expansion` benchmark.", min=1000)]
Into = Annotated[Path, typer.Option(help="Folder in which `all` writes benchmarks.md and benchmarks.svg.")]
Check = Annotated[
    bool,
    typer.Option("--check", help="Fail if a ratio to a floor is worse than the recorded one. Writes no benchmarks.md."),
]
Against = Annotated[
    bool,
    typer.Option(
        "--against",
        help="In `send` and `fanout`, also measure servers with Strawberry, Yoga, and Mercurius. Needs Node.",
    ),
]
Record = Annotated[bool, typer.Option("--record", help="Record the ratios to the floors for `--check`.")]


def bench(
    name: Annotated[Benchmark, typer.Argument(help="The benchmark to run.")] = Benchmark.ALL,
    seconds: Seconds = 5,
    repeat: Repeat = 3,
    size: Size = 1_000_000,
    sockets: Sockets = 5_000,
    deliveries: Deliveries = 20_000,
    items: Items = 100_000,
    digests: Digests = 1_000,
    recipients: Recipients = 5_000,
    audience: Audience = 50_000,
    into: Into = Path("infra"),
    against: Against = False,
    check: Check = False,
    record: Record = False,
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

    if check and record:
        sys.exit("Choose one of --check and --record.")
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
        against=against,
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
    _finish(result, names, into if name is Benchmark.ALL else None, check=check, record=record)


def _finish(report: "Report", names: list[str], into: Path | None, *, check: bool, record: bool) -> None:
    """Compare the ratios, or write the page and record the ratios. Exit with code 1 if there are regressions."""
    from hub.bench.regressions import RECORD, find_regressions, read_record, write_record

    if check:
        if faults := find_regressions(report.figures, names, read_record()):
            sys.exit("\n" + "\n".join(faults))
        print("\nNo ratio to a floor is worse than its limit.")
        return
    if into:
        print(f"\nWritten: {', '.join(str(path) for path in report.write(into))}")
    if record:
        write_record(report.figures, names)
        print(f"\nThe ratios are recorded in {RECORD}.")
