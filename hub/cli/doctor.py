"""`hub doctor`: check a hub and its environment."""

import asyncio
import contextlib
import difflib
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from pymongo.errors import PyMongoError

from hub.cli.data_dir import DataDirectory
from hub.cli.health_report import HealthReport, query_hub, read_stores
from hub.cli.targets import (
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
from hub.ids import id_time
from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform import connections
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import Database, first_line
from hub.platform.redis_keys import REDIS_ERRORS
from hub.runtime import listen, tls
from hub.settings import ConfigurationError, Settings
from hub.settings.types import SNS_PLATFORM_KINDS
from hub.status import deliveries
from hub.webhooks import webhook_calls

MIN_MONGODB_VERSION = (6, 0)
MIN_REDIS_VERSION = (6, 2)
MAX_CLOCK_SKEW_S = 2.0  # tokens and cursors contain times
CHECK_TIMEOUT_S = 2.0
MAX_TRANSACTION_LIFETIME_S = 6  # see docs/adr, Transactions
CONNECTION_SETTINGS = (
    "mongo_url",
    "redis_url",
    "jwt_secret",
    "jwks_url",
)  # with one of them, the environment alone counts
SERVER_SETTINGS = ("mongo_url", "redis_url")
MIN_OPEN_FILES = 10_000
RECOMMENDED_PYTHON = (3, 12)
NOTE_PREFIX = "note: "  # prefix of a finding that is a warning
CLIENT_VARIABLES = {"HUB_URL", "HUB_TOKEN"}  # options of commands that call a hub


REQUIRED_SETTINGS = {
    Channel.EMAIL: "HUB_SMTP_URL and HUB_SMTP_FROM, or HUB_SES_FROM and AWS_REGION",
    Channel.WEB_PUSH: "HUB_VAPID_PRIVATE_KEY and HUB_VAPID_SUBJECT (`hub vapid` creates them)",
    Channel.MOBILE_PUSH: "HUB_SNS_PLATFORM_FCM or HUB_SNS_PLATFORM_APNS",
    Channel.WEBHOOK: "HUB_PERSONAL_WEBHOOKS=true",
}
"""The settings that each channel requires. Other channels are not implemented yet."""
OVERDUE_S = 60.0  # deliveries overdue for longer mean that there are too few workers


class _CheckFailed(Exception):
    """A check failed; the text says what to change."""


def doctor(url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Check the running hub, settings, MongoDB, Redis, channels and the queue.

    Says what to change. Exits with code 1 if something is wrong.

    Queries the hub at --url, or the `hub dev` that runs on --data, with role admin. Then checks the servers and keys of
    the environment, or those of that `hub dev` if the environment has none. Without a running hub, its state is read
    from MongoDB and Redis.

    Example: hub doctor --url https://hub.example.org
    """
    try:
        _diagnose(DataDirectory(data), url, token, tenant)
    except BrokenPipeError:  # `hub doctor | head` ended: avoid an error for buffered output at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _diagnose(data_dir: DataDirectory, url: str, token: str, tenant: str) -> None:
    _report_unknown_variables()
    from_environment = any(is_set(name) for name in CONNECTION_SETTINGS)
    report = None
    if url or (not from_environment and data_dir.running and data_dir.is_locked()):
        hub = resolve_hub(url, token, data_dir.folder)
        print(f"The hub at {hub.url}, tenant {tenant}:", flush=True)
        report = query_hub(hub, tenant)
        healthy = report.print_lines(_print)
    if url and not any(is_set(name) for name in SERVER_SETTINGS):
        _print("note", "MongoDB and Redis are not checked: this environment has no HUB_MONGO_URL and HUB_REDIS_URL")
    else:
        try:
            settings = _settings(data_dir)
        except ValidationError as error:
            for fault in describe_faults(error):
                _print("wrong", fault)
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
    """Return the settings of the environment, or of the running `hub dev`. The two are never mixed."""
    found: dict[str, Any] = {"commit_deadline_s": CHECK_TIMEOUT_S}  # the time limit of the MongoDB check
    if any(is_set(name) for name in CONNECTION_SETTINGS):
        return Settings(**found)
    running = data_dir.running
    if running is None:
        fail(
            f"No hub dev runs on {data_dir.folder}: start it, choose its folder with --data, or set HUB_MONGO_URL, "
            "HUB_REDIS_URL and HUB_JWT_SECRET."
        )
    if not data_dir.is_locked():
        fail(f"The hub dev on {data_dir.folder} did not shut down cleanly (stale running.json). Start it again.")
    known: dict[str, Any] = {
        "mode": "development",
        "mongo_url": running.mongo_url,
        "redis_url": running.redis_url,
        "jwt_secret": running.secret,
        "app_url": running.url,
    }
    return Settings(**found, **{name: value for name, value in known.items() if not is_set(name)})


def _report_unknown_variables() -> None:
    for name in sorted(set(os.environ) - CLIENT_VARIABLES):
        if name.startswith("HUB_") and name.removeprefix("HUB_").lower() not in Settings.model_fields:
            matches = difflib.get_close_matches(name, map(variable_name, Settings.model_fields), 1)
            _print("note", f"{name} is not a setting of the hub{f': did you mean {matches[0]}?' if matches else '.'}")


async def _check_environment(settings: Settings, report: HealthReport | None, tenant: str) -> bool:
    """Print the findings. Return True if all checks passed. Without a `report`, read the state of the hub here."""
    _print("ok", f"settings: mode {settings.mode}, tokens checked with {_token_keys(settings)}")
    files = listen.raise_open_file_limit()
    if 0 <= files < MIN_OPEN_FILES:
        _print(
            "note",
            f"a process may open only {files} files, and each socket needs one: raise the hard limit (ulimit -Hn)",
        )
    else:
        _print("ok", "a process may open enough files for its sockets")
    if sys.version_info < RECOMMENDED_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        _print(
            "note", f"Python {version} works; 3.12 or later is recommended, whose asyncio survives more cancellations"
        )
    healthy, read_here = True, report is None
    senders = {**report.configured_channels} if report else {}
    for check in (
        _check_listening,
        _check_operations,
        _check_mongo,
        _check_redis,
        partial(_check_channels, senders),
        _check_queue,
    ):
        findings: list[str] = []
        problem = None
        try:
            await check(settings, findings)
        except (
            _CheckFailed,
            ConfigurationError,
            listen.PortUnavailable,
            tls.CertificateError,
            connections.StoreUnavailable,
        ) as bad:
            problem = str(bad)
            healthy = False
        for finding in findings:
            _print("note" if finding.startswith(NOTE_PREFIX) else "ok", finding.removeprefix(NOTE_PREFIX))
        if problem:
            _print("wrong", problem)
        elif read_here and check is _check_mongo and (report := await _read_state(settings, tenant)):
            senders |= report.configured_channels
    if read_here and report:
        how = "no running hub was asked (set --url or HUB_URL)"
        _print("note", f"{how}; its state in MongoDB and Redis, tenant {tenant}:")
        healthy = report.print_lines(_print) and healthy
    return healthy


async def _read_state(settings: Settings, tenant: str) -> HealthReport | None:
    """Read the state of the hub from its stores. Return None if they do not respond: other checks report that."""
    with contextlib.suppress(PyMongoError, connections.StoreUnavailable):
        return await read_stores(settings, tenant)
    return None


def _print(word: str, text: str) -> None:
    print(f"{word:<5}  {text}", flush=True)


def _token_keys(settings: Settings) -> str:
    names = ["HUB_JWT_SECRET"] * bool(settings.jwt_secret) + ["HUB_JWKS_URL"] * bool(settings.jwks_url)
    return " and ".join(names)


async def _check_listening(settings: Settings, findings: list[str]) -> None:
    """Check the host, the certificate and the allowed origins. The port may be in use by the running hub."""
    for listener in listen.bind(settings.host, 0):
        listener.close()
    if tls.server_context(settings):
        findings.append(f"the certificate is valid ({settings.ssl_certfile})")
    if settings.allowed_origins:
        findings.append(f"browsers may call from {', '.join(settings.allowed_origins)} (HUB_ALLOWED_ORIGINS)")


async def _check_operations(settings: Settings, findings: list[str]) -> None:
    from hub.api.execution.persisted_queries import SETTING, read_manifest
    from hub.api.execution.query_cache import QueryCache
    from hub.api.schema.root import make_schema

    if settings.operation_allowlist:
        listed = read_manifest(settings.operation_allowlist, QueryCache(make_schema()._schema, settings).pin)
        findings.append(f"{len(listed.texts)} persisted operations; others are rejected ({SETTING})")


async def _check_mongo(settings: Settings, findings: list[str]) -> None:
    async with connections.mongo(settings) as database:
        try:
            await _check_replica_set(database, settings, findings)
        except PyMongoError as error:
            raise _CheckFailed(f"MongoDB does not answer as it should (HUB_MONGO_URL): {first_line(error)}") from None


async def _check_replica_set(database: Database, settings: Settings, findings: list[str]) -> None:
    before = time.time()
    hello = await database.command("hello")
    after = time.time()
    findings.append(f"MongoDB answers in {(after - before) * 1000:.0f} ms")
    version = (await database.client.server_info())["version"]
    findings.append(_check_version("MongoDB", version, MIN_MONGODB_VERSION))
    if "setName" not in hello:
        raise _CheckFailed(
            "MongoDB is not a replica set, which transactions require: start it with --replSet and run rs.initiate()."
        )
    findings.append(
        f"MongoDB is the replica set {hello['setName']}, {len(hello['hosts'])} member(s), and has a primary"
    )
    findings.append(_check_clock("MongoDB", hello["localTime"].astimezone(UTC).timestamp(), (before + after) / 2))
    findings.append(await _check_indexes(database, settings))
    lifetime_s = await _transaction_lifetime_s(database)
    if lifetime_s and lifetime_s > MAX_TRANSACTION_LIFETIME_S:
        findings.append(
            f"{NOTE_PREFIX}MongoDB keeps abandoned transactions for {lifetime_s} s, and the inboxes in them locked: "
            f"set its transactionLifetimeLimitSeconds to {MAX_TRANSACTION_LIFETIME_S}"
        )


async def _transaction_lifetime_s(database: Database) -> int | None:
    """Return None if the MongoDB user is not allowed to read it."""
    with contextlib.suppress(PyMongoError):
        answer = await database.client.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
        return int(answer["transactionLifetimeLimitSeconds"])
    return None


async def _check_indexes(database: Database, settings: Settings) -> str:
    from hub.runtime.container import indexes

    missing = []
    count = 0
    for stage in indexes(settings):
        for collection, models in stage.items():
            there = await database[collection].index_information()
            for model in models:
                count += 1
                if model.document["name"] not in there:
                    missing.append(f"{collection}.{model.document['name']}")
    if missing:
        raise _CheckFailed(
            f"{len(missing)} of {count} indexes are missing in the database {settings.mongo_database} "
            f"(HUB_MONGO_DATABASE): {', '.join(missing)}. `hub serve` and `hub work` create them at startup."
        )
    return f"all {count} indexes exist"


async def _check_redis(settings: Settings, findings: list[str]) -> None:
    async with connections.redis(settings) as redis:
        try:
            before = time.time()
            seconds, micros = await redis.time()
            after = time.time()
            findings.append(f"Redis answers in {(after - before) * 1000:.0f} ms")
            info = await redis.info()
        except (*REDIS_ERRORS, ValueError) as error:
            raise _CheckFailed(f"Redis does not answer as it should (HUB_REDIS_URL): {first_line(error)}") from None
        findings.append(_check_version("Redis", info["redis_version"], MIN_REDIS_VERSION))
        findings.append(_check_clock("Redis", seconds + micros / 1e6, (before + after) / 2))
        policy = str(info.get("maxmemory_policy", ""))
        if info.get("maxmemory") and policy.startswith("allkeys"):  # other policies keep keys without an expiry
            findings.append(
                f"{NOTE_PREFIX}Redis evicts keys when its memory is full, which delays queued deliveries: "
                f"set its maxmemory-policy to noeviction (it is {policy})"
            )


async def _check_channels(senders: Mapping[Channel, str], settings: Settings, findings: list[str]) -> None:
    """Check the channels of the environment. `senders` maps channels of running workers to their provider."""
    configured = settings.provided
    if up := [channel for channel in REQUIRED_SETTINGS if channel in configured]:
        findings.append(f"channels with a provider: {', '.join(up)}")
    for channel, wants in REQUIRED_SETTINGS.items():
        if channel in configured:
            continue
        if channel in senders:
            findings.append(
                f"{channel} is not set up in this environment; running workers send it through {senders[channel]}"
            )
            continue
        if settings.mode == "development":
            findings.append(f"{channel} has no provider: /dev/outbox shows its messages; to send, set {wants}")
        else:
            findings.append(f"{NOTE_PREFIX}{channel} is not set up and is skipped (NOT_CONFIGURED): set {wants}")
    if key := settings.vapid_private_key.get_secret_value():
        from hub.api.schema.devices import vapid_public_key

        findings.append(f"web push: browsers subscribe with the public key {vapid_public_key(key)}")
    findings += await _check_aws(settings)
    if settings.smtp_url:
        findings += await _check_smtp(settings.smtp_url)
    if not settings.public_url and Channel.EMAIL in configured:
        findings.append(f"{NOTE_PREFIX}emails have no unsubscribe link: set HUB_PUBLIC_URL")
    if not settings.app_url:
        findings.append(
            f"{NOTE_PREFIX}links that are a path, such as /builds/7, get no button in emails and do not work outside "
            "your app: set HUB_APP_URL"
        )


async def _check_aws(settings: Settings) -> list[str]:
    """Check region and key without a call to AWS. The region of SNS is part of the ARNs."""
    used = [variable_name(name) for name in ("ses_from", *SNS_PLATFORM_KINDS) if getattr(settings, name)]
    if not used:
        return []
    from hub.send import aws

    try:
        region, key = await aws.detect_credentials()
    except aws.AWS_ERRORS as error:
        raise _CheckFailed(
            f"the AWS variables and files cannot be used ({', '.join(used)}): {first_line(error)}"
        ) from None
    if settings.ses_from and not region:
        raise _CheckFailed("HUB_SES_FROM needs AWS_REGION too: set a region of Amazon SES, such as eu-west-1.")
    if not key:
        names = ", ".join(used)
        return [f"{NOTE_PREFIX}no AWS key found, required by {names}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"]
    return [f"AWS is called with the key from {key}{f', SES in {region}' if settings.ses_from else ''}"]


async def _check_smtp(url: str) -> list[str]:
    """Check whether the mail server accepts connections. Skip the check if the URL has no port."""
    parts = urlsplit(url)
    port = parts.port or (465 if parts.scheme == "smtps" else None)
    if port is None:
        return []
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return [f"{NOTE_PREFIX}no mail server responds at {parts.hostname}:{port} (HUB_SMTP_URL): emails are delayed"]
    writer.close()
    return [f"a mail server responds at {parts.hostname}:{port}"]


async def _check_queue(settings: Settings, findings: list[str]) -> None:
    """Report overdue deliveries, lanes and open circuit breakers. Other checks report unavailable stores."""
    with contextlib.suppress(PyMongoError, *REDIS_ERRORS, ValueError, connections.StoreUnavailable):
        async with connections.mongo(settings) as database, connections.redis(settings) as redis:
            for collection, what in (
                (deliveries.COLLECTION, "deliveries"),
                (webhook_calls.COLLECTION, "webhook calls"),
            ):
                findings.append(await _count_overdue(database, collection, what))
            lanes = Lanes(redis, settings.redis_prefix, settings.lane_max_ids)
            for depth in await lanes.depths([*Channel, webhook_calls.LANE]):
                waited_s = (datetime.now(UTC) - id_time(depth.oldest)).total_seconds()
                findings.append(
                    f"{depth.waiting} on the lanes of {depth.channel} {depth.priority}, the oldest accepted "
                    f"{waited_s:.0f} s ago"
                )
            for name, wait_s in (await Breakers(redis, settings.redis_prefix, 0).list_open()).items():
                findings.append(
                    f"{NOTE_PREFIX}{name} fails and is not called for another {wait_s:.0f} s (open circuit breaker)"
                )


async def _count_overdue(database: Database, collection: str, what: str) -> str:
    """Count entries that are due but not yet on a lane."""
    now = datetime.now(UTC)
    due = {"lane": {"$gt": ""}, "due_at": {"$lte": now}}
    count = {"$group": {"_id": None, "count": {"$sum": 1}, "first": {"$min": "$due_at"}}}
    cursor = await database[collection].aggregate([{"$match": due}, count], hint="due")
    found = await cursor.to_list()
    if not found:
        return f"no {what} are overdue"
    late_s = (now - found[0]["first"]).total_seconds()
    text = f"{found[0]['count']} {what} are due, the first since {late_s:.0f} s"
    return f"{NOTE_PREFIX}{text}: start more `hub work` processes" if late_s > OVERDUE_S else text


def _check_version(name: str, version: str, oldest: tuple[int, int]) -> str:
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < oldest:
        raise _CheckFailed(f"{name} {version} is too old: the hub needs {oldest[0]}.{oldest[1]} or later.")
    return f"{name} {version}"


def _check_clock(name: str, theirs: float, ours: float) -> str:
    skew = theirs - ours
    if abs(skew) > MAX_CLOCK_SKEW_S:
        raise _CheckFailed(f"The clock of {name} differs from this machine's by {skew:+.1f} s: run NTP on both.")
    return f"the clocks of {name} and this machine agree within {abs(skew):.1f} s"
