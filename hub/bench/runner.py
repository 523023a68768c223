"""The run of benchmarks and the report of the results: the table, `benchmarks.md`, and its chart."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from hub.bench import chart
from hub.bench.benchmark_servers import BenchEnvironment, BenchError
from hub.bench.benchmarks import BENCHMARKS
from hub.bench.comparison import COMPARISONS, Server, select_servers
from hub.bench.plan import Plan
from hub.bench.results import Figure, rows, table


class Progress:
    """Prints the current step. On a terminal, the step is printed over the previous one."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""

    def __call__(self, text: str) -> None:
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{text}" if text else "\r\x1b[K")
        elif text and text.partition(":")[0] != self._last.partition(":")[0]:
            self._out.write(f"{text}\n")
        self._out.flush()
        self._last = text


@dataclass(frozen=True)
class Report:
    figures: Sequence[Figure]
    plan: Plan
    pinned: bool
    took_s: float
    load: float  # load average before the run
    failures: Sequence[str] = ()
    skipped: str = ""  # a sentence about other servers that could not run

    def text(self) -> str:
        """Return the report for a terminal."""
        return "\n\n".join(filter(None, [table(self.figures), self.conditions, self.skipped, *self.failures]))

    @property
    def conditions(self) -> str:
        cores = (
            "the measured process pinned to one core, the rest to another"
            if self.pinned
            else "nothing pinned to a core"
        )
        return (
            f"Best of {self.plan.repeat}, {self.plan.seconds:g} s each; {cores}; "
            f"load average before: {self.load:.1f}; {self.took_s:.0f} s in total."
        )

    def write(self, folder: Path) -> list[Path]:
        """Write benchmarks.md and its chart. Return their paths."""
        page, picture = folder / "benchmarks.md", folder / "benchmarks.svg"
        page.write_text(self._render_page())
        picture.write_text(chart.draw(self.figures))
        return [page, picture]

    def _render_page(self) -> str:
        head, *lines = rows(self.figures)
        cells = ["| " + " | ".join(head) + " |", "|" + " --- |" + " ---: |" * (len(head) - 1)]
        cells += ["| " + " | ".join(line) + " |" for line in lines]
        parts = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "strawberry-graphql", "pymongo", "redis"))
        return PAGE_TEMPLATE.format(
            table="\n".join(cells),
            conditions="\n\n".join(filter(None, [self.conditions, self.skipped])),
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}, {parts}",
            date=datetime.now(UTC).date(),
            sockets=f"{self.plan.sockets:,}",
            users=f"{self.plan.users:,}",
            rate=self.plan.rate,
            rounds=self.plan.rounds,
            deliveries=f"{self.plan.deliveries:,}",
            items=f"{self.plan.items:,}",
            digests=f"{self.plan.digests:,}",
            recipients=f"{self.plan.recipients:,}",
            audience=f"{self.plan.audience:,}",
        )


async def run_benchmarks(names: Sequence[str], plan: Plan) -> Report:
    """Run the named benchmarks one after another on the same servers."""
    started_at = time.monotonic()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    figures: list[Figure] = []
    failures: list[str] = []
    if plan.against and not COMPARISONS.keys() & set(names):
        raise BenchError(f"Other servers are measured only in: {', '.join(COMPARISONS)}.")
    servers, skipped = await select_servers() if plan.against else ([], "")
    plan.progress("starting MongoDB and Redis")
    async with BenchEnvironment() as env:
        for name in names:
            try:
                measured = await BENCHMARKS[name](env, plan)
                figures += measured
                figures += await _compare(env, plan, name, servers, measured[0].value)
            except BenchError as error:  # the results of the other benchmarks are still useful
                failures.append(f"{name} could not be measured: {error}")
        pinned = env.pinned
    plan.progress("")
    return Report(figures, plan, pinned, time.monotonic() - started_at, load, failures, skipped)


async def _compare(env: BenchEnvironment, plan: Plan, name: str, servers: Sequence[Server], hub: float) -> list[Figure]:
    """Measure other servers, if there is a comparison for this benchmark."""
    figures = []
    for server in servers if name in COMPARISONS else ():
        plan.progress(f"{name}: {server.name}")
        figures.append(await COMPARISONS[name](env, plan, server, hub))
    return figures


PAGE_TEMPLATE = """# Benchmarks

Written by `hub bench all` (or `make bench`) on {date}. Do not edit; run it again.

![The figures next to their targets](benchmarks.svg)

{table}

{conditions}

Machine: {machine}.

- **send**: 64 connections in a closed loop, one API process; every response follows a majority-committed, journaled
  transaction with mailbox, notification, receipt and send record. Its floor parses JSON, inserts one document without
  waiting for the journal, publishes and responds.
- **latency**: {users} open subscriptions, {rate} sends per second to random users, measured from the time at
  which each send was due.
- **fanout**: one send to {sockets} users with one socket each, median of {rounds} rounds. The commit is the HTTP
  response. Its floor writes the same bytes to the same number of bare WebSockets. The burst and the messages per second
  are events that another process publishes, without storing them: 20 events to all sockets, one after the other, and
  one event to 100 of 1,000 sockets every 10 ms.
- **inbox**: one request after another; the plans come from MongoDB's profiler. Its floor is the p99 of the
  same two reads without the hub.
- **memory**: resident memory of the API process before and after {sockets} sockets with one subscription each.
  Its floor is the same with bare WebSockets of the same server library.
- **dispatch**: one worker process and {deliveries} deliveries to webhooks, all on their lanes: claimed, checked,
  called and settled with their receipts. The wait is from the creation of a notification to the call, including its
  commit.
- **digest**: one worker process and {digests} digests with {items} items in total, due at the same time. Each
  digest is closed, read, checked, sent to a webhook and settled; its items get their status and receipts. The memory
  is the largest during the run.
- **storage**: the growth of MongoDB by sends with a text of 150 characters and an idempotency key, to 1,000 users or to
  one user each, per recipient. All sends reach {recipients} users. "On disk" is the size of the files after a
  checkpoint, compressed, without space for reuse.
- **expansion**: sends to everyone, in a tenant with {audience} users, by one worker process. The memory is the largest
  of the worker, and with readers, that of the API process. The readers get events as fast as they can be sent. The
  email of the send that is canceled is due in a day. The critical sends are those of another tenant, to one user each;
  their floor is the same p95 while nothing is expanded.

"CPU us each" is the CPU time of the process per send, notification, event, page or item; load on the machine affects it
least. "floor" is the result of a minimal program that does only what any hub must do. "of floor" is 1 if the hub is as
good as that program.

Rows with the name of another server are written by `hub bench all --against`. "hub is" says how many times as good the
hub is in the same run. These servers authenticate nobody and limit nothing. They store a send with the same four writes
in one transaction, majority-committed and journaled. Their event to {sockets} sockets is one send to one topic, by the
pub/sub of their library, while the send of the hub has one notification for each user.
"""
