"""`hub doctor`: check a hub and its environment."""

import asyncio
import contextlib
import difflib
import os
import sys
from functools import partial
from typing import Any

from pydantic import ValidationError
from pymongo.errors import PyMongoError

from hub.cli.data_dir import DataDirectory
from hub.cli.doctor_health import HealthReport, query_hub, read_stores
from hub.cli.encryption_check import check_encryption
from hub.cli.environment_checks import check_channels, check_listening, check_machine, check_operations
from hub.cli.findings import CheckFailed, Findings, print_finding
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


def doctor(url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Check the running hub, the settings, MongoDB, Redis, the channels, and the queue.

    Prints the changes to make. Exits with status 1 if a check fails.

    Queries the hub at --url, or the `hub dev` process that uses the --data folder, with the admin role. Then checks the
    servers and keys in the environment. If the environment contains none, checks those of the `hub dev` process.
    Without a running hub, reads the state of the hub from MongoDB and Redis.

    Example: hub doctor --url https://hub.example.org
    """
    try:
        _diagnose(DataDirectory(data), url, token, tenant)
    except BrokenPipeError:  # the reader has ended (`hub doctor | head`): avoid an error for buffered output at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _diagnose(data_dir: DataDirectory, url: str, token: str, tenant: str) -> None:
    _report_unknown_variables()
    from_environment = any(is_set(name) for name in CONNECTION_SETTINGS)
    report = None
    if url or (not from_environment and data_dir.running and data_dir.is_locked()):
        hub = resolve_hub(url, token, data_dir.folder)
        print(f"The hub at {hub.url}, tenant {tenant}:", flush=True)
        report = query_hub(hub, tenant)
        healthy = report.print_lines(print_finding)
    if url and not any(is_set(name) for name in SERVER_SETTINGS):
        print_finding(
            "note", "MongoDB and Redis are not checked: this environment has no HUB_MONGO_URL and HUB_REDIS_URL"
        )
    else:
        try:
            settings = _settings(data_dir)
        except ValidationError as error:
            for fault in describe_faults(error):
                print_finding("wrong", fault)
            fail("The settings are invalid: correct them and run this again.")
        source = (
            "This shell's environment, which may differ from the running hub's"
            if from_environment
            else f"This machine, and the servers of the hub dev on {data_dir.folder}"
        )
        print(f"{source}:", flush=True)
        healthy = asyncio.run(_check_environment(settings, report, tenant)) and (report is None or not report.problems)
    if not healthy:
        fail("Something is wrong.")
    print("All is well.", flush=True)


def _settings(data_dir: DataDirectory) -> Settings:
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


def _report_unknown_variables() -> None:
    for name in sorted(set(os.environ) - CLIENT_VARIABLES):
        if name.startswith("HUB_") and name.removeprefix("HUB_").lower() not in Settings.model_fields:
            matches = difflib.get_close_matches(name, map(variable_name, Settings.model_fields), 1)
            print_finding(
                "note", f"{name} is not a setting of the hub{f': did you mean {matches[0]}?' if matches else '.'}"
            )


async def _check_environment(settings: Settings, report: HealthReport | None, tenant: str) -> bool:
    """Print the findings. Return True if all checks passed. Without a `report`, read the state from the stores."""
    healthy, read_here = True, report is None
    running = {**report.configured_channels} if report else {}
    for check in (
        check_machine,
        check_listening,
        check_operations,
        check_mongo,
        check_encryption,
        check_redis,
        partial(check_channels, running),
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
            print_finding(*line)
        if problem:
            print_finding("wrong", problem)
        elif read_here and check is check_mongo and (report := await _read_state(settings, tenant)):
            running |= report.configured_channels
    if read_here and report:
        print_finding(
            "note",
            f"no running hub was queried (set --url or HUB_URL); its state in MongoDB and Redis, tenant {tenant}:",
        )
        healthy = report.print_lines(print_finding) and healthy
    return healthy


async def _read_state(settings: Settings, tenant: str) -> HealthReport | None:
    """Return the state of the hub from its stores, or None if a store is unavailable. Other checks report that."""
    with contextlib.suppress(PyMongoError, connections.StoreUnavailable):
        return await read_stores(settings, tenant)
    return None
