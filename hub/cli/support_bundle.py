"""`hub support-bundle`: a zip file for a bug report, without secrets and personal data."""

import asyncio
import importlib.metadata
import os
import platform
import sys
import zipfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from hub import __version__
from hub.cli.data_dir import PRIVATE_MODE, DataDirectory
from hub.cli.doctor import SERVER_SETTINGS, diagnose, doctor_settings
from hub.cli.findings import Report
from hub.cli.redaction import redact_log_line, redact_text
from hub.cli.settings import rows
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, is_set
from hub.platform import connections
from hub.platform.hub_clock import read_clocks
from hub.platform.redis_errors import REDIS_ERRORS
from hub.settings import Settings
from hub.utc_time import elapsed

LOG_LINES_MAX = 5000  # of each log
SHOWN_KINDS = ("seconds", "days", "bytes", "characters", "integer", "number", "`")
"""The beginnings of the kinds of settings whose values are shown. Texts, lists, and paths may name people."""
README = """This file was written by `hub support-bundle`.

versions.json  the versions of the hub, Python, the packages, and the operating system
settings.json  the settings; texts, lists, paths, and secrets are only marked as set
doctor.json    the results of `hub doctor`
queue.json     how many deliveries wait, by channel and priority, and the open circuit breakers by provider
log-N.jsonl    the last lines of each log, without the fields that name people

Email addresses, phone numbers, and web addresses are replaced. Look through the files before you share them.
"""


def support_bundle(
    file: Annotated[
        Path | None, typer.Argument(help="The zip file to write.", show_default="hub-support-<time>.zip")
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", help="A file with the log of a hub process, or - for stdin. May be repeated."),
    ] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Write a zip file for a bug report: versions, settings, the checks of `hub doctor`, the queue, and log lines.

    The file has no secrets and no personal data: texts in settings, and the fields of log lines that name people, are
    left out. The hub writes its logs to stderr, so pass what your supervisor stored.

    Example: hub support-bundle --log hub-serve.log --log hub-work.log
    """
    path = file or Path(f"hub-support-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")
    logs = [list(_last_lines(source)) for source in log or ()]
    report = Report(prints=False)
    queue: dict[str, Any] = {"error": "The settings name no MongoDB and Redis."}
    try:
        diagnose(report, DataDirectory(data), url, token, tenant)
        if not url or any(is_set(name) for name in SERVER_SETTINGS):
            queue = _queue(DataDirectory(data))
    except SystemExit:  # its message was printed
        report.failure = "There was nothing to check."
    entries: dict[str, Any] = {
        "versions.json": _versions(),
        "settings.json": list(_settings()),
        "doctor.json": _redacted(report.to_json()),
        "queue.json": _redacted(queue),
    }
    _write(path, entries, logs)
    size_kb = path.stat().st_size / 1000
    print(f"{path} has {size_kb:.0f} kB and {sum(map(len, logs))} log lines. Look through it before you share it.")
    if not logs:
        print("It has no log lines: pass a log with --log.")


def _write(path: Path, entries: dict[str, Any], logs: list[list[str]]) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("README.txt", README)
        for name, value in entries.items():
            bundle.writestr(name, orjson.dumps(value, option=orjson.OPT_INDENT_2))
        for number, lines in enumerate(logs, 1):
            bundle.writestr(f"log-{number}.jsonl", "".join(f"{line}\n" for line in lines))
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as output:
            output.write(buffer.getvalue())
    except FileExistsError:
        fail(f"{path} exists already: choose another file.")
    except OSError as error:
        fail(f"Cannot write {path}: {error.strerror}.")


def _last_lines(source: str) -> Iterator[str]:
    """Yield the last lines of a log that can be shared."""
    try:
        if source == "-":
            yield from _shareable(sys.stdin)
        else:
            with Path(source).open(errors="replace") as lines:
                yield from _shareable(lines)
    except OSError as error:
        fail(f"Cannot read the log {source}: {error.strerror}.")


def _shareable(lines: Iterable[str]) -> Iterator[str]:
    for line in deque(lines, LOG_LINES_MAX):
        if redacted := redact_log_line(line):
            yield redacted


def _versions() -> dict[str, Any]:
    packages = {found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}
    return {
        "hub": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": dict(sorted(packages.items())),
    }


def _settings() -> Iterator[dict[str, str]]:
    for row in rows():
        shown = row.value == row.default or row.kind.startswith(SHOWN_KINDS)
        yield {"name": row.variable, "value": row.value if shown else "(set)"}


def _redacted(value: Any) -> Any:
    """Return JSON values with every text redacted."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, list):
        return [_redacted(each) for each in value]
    return {key: _redacted(each) for key, each in value.items()} if isinstance(value, dict) else value


def _queue(data_dir: DataDirectory) -> dict[str, Any]:
    """Return the state of the queue in MongoDB and Redis, or why it cannot be read."""
    try:
        return asyncio.run(_read_queue(doctor_settings(data_dir)))
    except ValidationError:
        return {"error": "The settings are invalid."}
    except (PyMongoError, connections.StoreUnavailable, *REDIS_ERRORS) as error:
        return {"error": connections.first_line(error)}


async def _read_queue(settings: Settings) -> dict[str, Any]:
    from hub.outbox.lanes import Lanes
    from hub.platform.circuit_breaker import Breakers
    from hub.runtime.due_sample import CHANNELS, DueSampler
    from hub.runtime.queue_metrics import provider_label

    async with connections.mongo(settings) as database, connections.redis(settings) as redis:
        _, hub_clock = await read_clocks(database, movable=settings.mode == "development")
        lanes = Lanes(redis, settings.redis_prefix, settings.lane_max_ids)
        depths = await lanes.depths(CHANNELS)
        due = await DueSampler(database, redis, settings, lanes).count(depths, hub_clock.now)
        opened = await Breakers(redis, settings.redis_prefix, 0).list_open()
        return {
            "lanes": [
                {"channel": one.channel, "priority": one.priority, "waiting": one.waiting, "tenants": one.lanes}
                for one in depths
            ],
            "due": [
                {
                    "channel": one.channel,
                    "priority": one.priority,
                    "waiting": one.waiting,
                    "oldestSeconds": round(elapsed(one.since, hub_clock.now()).total_seconds()),
                }
                for one in due
            ],
            "openBreakers": dict(Counter(map(provider_label, opened))),
        }
