"""`hub doctor`: check a hub and its environment."""

import asyncio
import contextlib
import difflib
import os
import sys
from functools import partial
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from hub.cli.data_dir import DataDirectory
from hub.cli.doctor_health import HealthReport, query_hub, read_stores
from hub.cli.encryption_check import check_encryption
from hub.cli.environment_checks import check_channels, check_intake, check_listening, check_machine, check_operations
from hub.cli.findings import CheckFailed, Findings, Report
from hub.cli.output import print_json
from hub.cli.store_checks import check_mongo, check_queue, check_redis
from hub.cli.target_hub import (
    DEFAULT_DATA,
    Data,
    Tenant,
    Token,
    Url,
    describe_faults,
    fail,
    is_set,
    resolve_hub,
    variable_name,
)
from hub.platform import connections
from hub.runtime import listen, tls
from hub.settings import ConfigurationError, Settings

MONGO_TIMEOUT_S = 2.0
CONNECTION_SETTINGS = ("mongo_url", "redis_url", "jwt_secret", "jwks_url")  # if one is set, read the environment only
SERVER_SETTINGS = ("mongo_url", "redis_url")
CLIENT_VARIABLES = {"HUB_URL", "HUB_TOKEN"}  # options of commands that call a hub
FAILURES = (
    CheckFailed,
    ConfigurationError,
    listen.PortUnavailable,
    tls.CertificateError,
    connections.StoreUnavailable,
)


def doctor(
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check the running hub, the settings, MongoDB, Redis, the channels, and the queues.

    Prints the changes to make. Exits with status 1 if a check fails.

    Queries the hub at --url, or the `hub dev` process that uses the --data folder, with the admin role. Then checks the
    servers and keys in the environment. If the environment contains none, checks those of the `hub dev` process.
    Without a running hub, reads the state of the hub from MongoDB and Redis.

    Example: hub doctor --url https://hub.example.org
    """
    report = Report(prints=not json)
    try:
        diagnose(report, DataDirectory(data), url, token, tenant)
        if json:
            print_json(report.to_json())
        elif not report.failure:
            print("All is well.", flush=True)
        if report.failure:
            fail(report.failure)
    except BrokenPipeError:  # the reader has ended (`hub doctor | head`): avoid an error for buffered output at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def diagnose(report: Report, data_dir: DataDirectory, url: str, token: str, tenant: str) -> None:
    """Run all checks. If something is wrong, set the `failure` of the report. Exit if there is nothing to check."""
    _report_unknown_variables(report)
    from_environment = any(is_set(name) for name in CONNECTION_SETTINGS)
    health, healthy = None, True
    if url or (not from_environment and data_dir.running and data_dir.is_locked()):
        hub = resolve_hub(url, token, data_dir.folder)
        report.begin(f"The hub at {hub.url}, tenant {tenant}")
        health = query_hub(hub, tenant)
        healthy = health.print_lines(report.add)
    if url and not any(is_set(name) for name in SERVER_SETTINGS):
        report.add("note", "MongoDB and Redis are not checked: this environment has no HUB_MONGO_URL and HUB_REDIS_URL")
    else:
        try:
            settings = doctor_settings(data_dir)
        except ValidationError as error:
            for fault in describe_faults(error):
                report.add("wrong", fault)
            report.failure = "The settings are invalid: correct them and run this again."
            return
        report.begin(
            "This shell's environment, which may differ from the running hub's"
            if from_environment
            else f"This machine, and the servers of the hub dev on {data_dir.folder}"
        )
        healthy = asyncio.run(_check_environment(report, settings, health, tenant)) and healthy
    if not healthy:
        report.failure = "Something is wrong."


def doctor_settings(data_dir: DataDirectory) -> Settings:
    """Return the settings of the environment or of the running `hub dev`, never a mixture of both."""
    checks: dict[str, Any] = {"commit_deadline_s": MONGO_TIMEOUT_S}
    if any(is_set(name) for name in CONNECTION_SETTINGS):
        return Settings(**checks)
    running = data_dir.running
    if running is None:
        fail(
            f"No hub dev runs on {data_dir.folder}: start it, choose its folder with --data, or set HUB_MONGO_URL, "
            "HUB_REDIS_URL and HUB_JWT_SECRET."
        )
    if not data_dir.is_locked():
        fail(f"The hub dev on {data_dir.folder} did not shut down cleanly (stale running.json). Start it again.")
    servers: dict[str, Any] = {
        "mode": "development",
        "mongo_url": running.mongo_url,
        "redis_url": running.redis_url,
        "jwt_secret": running.secret,
        "app_url": running.url,
    }
    return Settings(**checks, **{name: value for name, value in servers.items() if not is_set(name)})


def _report_unknown_variables(report: Report) -> None:
    for name in sorted(set(os.environ) - CLIENT_VARIABLES):
        if name.startswith("HUB_") and name.removeprefix("HUB_").lower() not in Settings.model_fields:
            matches = difflib.get_close_matches(name, map(variable_name, Settings.model_fields), 1)
            suggestion = f": did you mean {matches[0]}?" if matches else "."
            report.add("note", f"{name} is not a setting of the hub{suggestion}")


async def _check_environment(report: Report, settings: Settings, health: HealthReport | None, tenant: str) -> bool:
    """Report the findings. Return True if all checks passed. Without `health`, read the state from the stores."""
    healthy, read_here = True, health is None
    running = {**health.configured_channels} if health else {}
    for check in (
        check_machine,
        check_listening,
        check_operations,
        check_mongo,
        check_encryption,
        check_redis,
        partial(check_channels, running),
        check_intake,
        check_queue,
    ):
        findings = Findings()
        problem = None
        try:
            await check(settings, findings)
        except FAILURES as error:
            problem = str(error)
            healthy = False
        for line in findings.lines:
            report.add(*line)
        if problem:
            report.add("wrong", problem)
        elif read_here and check is check_mongo and (health := await _read_state(settings, tenant)):
            running |= health.configured_channels
    if read_here and health:
        report.add(
            "note",
            f"no running hub was queried (set --url or HUB_URL); its state in MongoDB and Redis, tenant {tenant}:",
        )
        healthy = health.print_lines(report.add) and healthy
    return healthy


async def _read_state(settings: Settings, tenant: str) -> HealthReport | None:
    """Return the state of the hub from its stores, or None if a store is unavailable. Other checks report that."""
    with contextlib.suppress(PyMongoError, connections.StoreUnavailable):
        return await read_stores(settings, tenant)
    return None
