"""`hub doctor`."""

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

from hub.cli.data_dir import Home
from hub.cli.health_report import Report, ask_hub, read_stores
from hub.cli.targets import DEFAULT_DATA, Data, Tenant, Token, Url, fail, faults, hub_of, is_set, variable
from hub.ids import id_time
from hub.model import Channel
from hub.outbox.lanes import Lanes
from hub.platform import connections
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import Database, first_line
from hub.platform.redis_keys import REDIS_ERRORS
from hub.runtime import listen, tls
from hub.settings import SNS_PLATFORM_KINDS, ConfigurationError, Settings
from hub.status import deliveries
from hub.webhooks import webhook_calls

OLDEST_MONGODB = (6, 0)
OLDEST_REDIS = (6, 2)
SKEW_S = 2.0  # tokens and cursors carry times
WAIT_S = 2.0
LONGEST_LIFETIME_S = 6  # see docs/adr, Transactions
CONNECTIONS = ("mongo_url", "redis_url", "jwt_secret", "jwks_url")  # with one of them, the environment alone counts
SERVERS = ("mongo_url", "redis_url")
FEW_FILES = 10_000
RECOMMENDED_PYTHON = (3, 12)
NOTE = "note: "  # before a finding that is not quite well
CLIENT_VARIABLES = {"HUB_URL", "HUB_TOKEN"}  # read by the commands that call a hub


WANTS = {
    Channel.EMAIL: "HUB_SMTP_URL and HUB_EMAIL_FROM, or HUB_SES_FROM and AWS_REGION",
    Channel.WEB_PUSH: "HUB_VAPID_PRIVATE_KEY and HUB_VAPID_SUBJECT (`hub vapid` makes them)",
    Channel.MOBILE_PUSH: "HUB_SNS_PLATFORM_FCM or HUB_SNS_PLATFORM_APNS",
    Channel.WEBHOOK: "HUB_WEBHOOKS=true",
}
"""Which settings a channel waits for. Channels that are not here cannot be set up yet."""
LATE_S = 60.0  # what is due for longer says that workers are missing, or too few


class _Bad(Exception):
    """Something is wrong; the text says what to change."""


def doctor(url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """Ask the running hub how it is, and check settings, MongoDB, Redis, channels and the queue.

    Says what to change, and ends with code 1 if something is wrong.

    Asks the hub at --url, or the `hub dev` that runs on --data, with role admin. Then checks what the environment
    names; if it names no server and no key, the servers of that `hub dev`. Without a hub to ask, its state is read from
    MongoDB and Redis.

    Example: hub doctor --url https://hub.example.org
    """
    try:
        _doctor(Home(data), url, token, tenant)
    except BrokenPipeError:  # `hub doctor | head` has seen enough; what is still buffered must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _doctor(home: Home, url: str, token: str, tenant: str) -> None:
    _strangers()
    named = any(is_set(name) for name in CONNECTIONS)
    report = None
    if url or (not named and home.running and home.is_taken()):
        hub = hub_of(url, token, home.folder)
        print(f"The hub at {hub.url}, tenant {tenant}:", flush=True)
        report = ask_hub(hub, tenant)
        well = report.say(_say)
    if url and not any(is_set(name) for name in SERVERS):
        _say("note", "this shell's environment names no MongoDB and no Redis: they are not checked from here")
    else:
        try:
            settings = _settings(home)
        except ValidationError as error:
            for fault in faults(error):
                _say("wrong", fault)
            fail("The settings are wrong: mend them and ask again.")
        whose = (
            "This shell's environment, which is not the running hub's by itself"
            if named
            else f"This machine, and the servers of the hub dev on {home.folder}"
        )
        print(f"{whose}:", flush=True)
        well = asyncio.run(_examine(settings, report, tenant)) and (report is None or not report.problems)
    if not well:
        fail("Something is wrong.")
    print("All is well.", flush=True)


def _settings(home: Home) -> Settings:
    """Those of the environment alone, or of the `hub dev` that runs: never some of each."""
    found: dict[str, Any] = {"commit_deadline_s": WAIT_S}  # for MongoDB to be found
    if any(is_set(name) for name in CONNECTIONS):
        return Settings(**found)
    running = home.running
    if running is None:
        fail(
            f"No hub dev runs on {home.folder}: start one, name its folder with --data, or set HUB_MONGO_URL, "
            "HUB_REDIS_URL and HUB_JWT_SECRET."
        )
    if not home.is_taken():
        fail(f"The hub dev on {home.folder} is gone without a farewell: its running.json is left over. Start it again.")
    known: dict[str, Any] = {
        "mode": "development",
        "mongo_url": running.mongo_url,
        "redis_url": running.redis_url,
        "jwt_secret": running.secret,
        "app_url": running.url,
    }
    return Settings(**found, **{name: value for name, value in known.items() if not is_set(name)})


def _strangers() -> None:
    for name in sorted(set(os.environ) - CLIENT_VARIABLES):
        if name.startswith("HUB_") and name.removeprefix("HUB_").lower() not in Settings.model_fields:
            near = difflib.get_close_matches(name, map(variable, Settings.model_fields), 1)
            _say("note", f"{name} is no setting of the hub{f': did you mean {near[0]}?' if near else '.'}")


async def _examine(settings: Settings, report: Report | None, tenant: str) -> bool:
    """Says what it finds; whether all was well. Without a `report` of the running hub, its state is read here."""
    _say("ok", f"settings: mode {settings.mode}, tokens checked with {_keys(settings)}")
    files = listen.raise_open_file_limit()
    if 0 <= files < FEW_FILES:
        _say(
            "note",
            f"a process here may open {files} files only, and each socket is one: raise the hard limit (ulimit -Hn)",
        )
    else:
        _say("ok", "a process may open enough files here, one for each socket")
    if sys.version_info < RECOMMENDED_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        _say("note", f"Python {version} works; 3.12 or later is recommended, whose asyncio survives more cancellations")
    well, unasked = True, report is None
    senders = {**report.senders} if report else {}
    for stage in (_listening, _operations, _mongo, _redis, partial(_channels, senders), _queue):
        findings: list[str] = []
        trouble = None
        try:
            await stage(settings, findings)
        except (
            _Bad,
            ConfigurationError,
            listen.PortUnavailable,
            tls.CertificateError,
            connections.StoreUnavailable,
        ) as bad:
            trouble = str(bad)
            well = False
        for finding in findings:
            _say("note" if finding.startswith(NOTE) else "ok", finding.removeprefix(NOTE))
        if trouble:
            _say("wrong", trouble)
        elif unasked and stage is _mongo and (report := await _state(settings, tenant)):
            senders |= report.senders
    if unasked and report:
        how = "no running hub was asked (--url or HUB_URL names one)"
        _say("note", f"{how}; this is what MongoDB and Redis hold of it, tenant {tenant}:")
        well = report.say(_say) and well
    return well


async def _state(settings: Settings, tenant: str) -> Report | None:
    """The state of the hub as its stores hold it. None where they do not answer, which is found by itself."""
    with contextlib.suppress(PyMongoError, connections.StoreUnavailable):
        return await read_stores(settings, tenant)
    return None


def _say(word: str, text: str) -> None:
    print(f"{word:<5}  {text}", flush=True)


def _keys(settings: Settings) -> str:
    names = ["HUB_JWT_SECRET"] * bool(settings.jwt_secret) + ["HUB_JWKS_URL"] * bool(settings.jwks_url)
    return " and ".join(names)


async def _listening(settings: Settings, findings: list[str]) -> None:
    """Where the API listens, how, and to which browsers. The port itself may be the running hub's."""
    for listener in listen.bind(settings.host, 0):
        listener.close()
    if tls.server_context(settings):
        findings.append(f"the certificate can be used ({settings.ssl_certfile})")
    if settings.allowed_origins:
        findings.append(f"browsers may call from {', '.join(settings.allowed_origins)} (HUB_ALLOWED_ORIGINS)")


async def _operations(settings: Settings, findings: list[str]) -> None:
    from hub.api.execution.persisted_queries import SETTING, read_manifest
    from hub.api.execution.query_cache import Documents
    from hub.api.schema.root import make_schema

    if settings.persisted_operations:
        listed = read_manifest(settings.persisted_operations, Documents(make_schema()._schema, settings).pin)
        findings.append(f"{len(listed.texts)} operations are listed, and no others run ({SETTING})")


async def _mongo(settings: Settings, findings: list[str]) -> None:
    async with connections.mongo(settings) as database:
        try:
            await _examine_mongo(database, settings, findings)
        except PyMongoError as error:
            raise _Bad(f"MongoDB does not answer as it should (HUB_MONGO_URL): {first_line(error)}") from None


async def _examine_mongo(database: Database, settings: Settings, findings: list[str]) -> None:
    before = time.time()
    hello = await database.command("hello")
    after = time.time()
    findings.append(f"MongoDB answers in {(after - before) * 1000:.0f} ms")
    version = (await database.client.server_info())["version"]
    findings.append(_new_enough("MongoDB", version, OLDEST_MONGODB))
    if "setName" not in hello:
        raise _Bad("MongoDB is no replica set, and transactions need one: start it with --replSet and rs.initiate().")
    findings.append(
        f"MongoDB is the replica set {hello['setName']}, {len(hello['hosts'])} member(s), and has a primary"
    )
    findings.append(_same_time("MongoDB", hello["localTime"].astimezone(UTC).timestamp(), (before + after) / 2))
    findings.append(await _indexes(database, settings))
    lifetime_s = await _transaction_lifetime_s(database)
    if lifetime_s and lifetime_s > LONGEST_LIFETIME_S:
        findings.append(
            f"{NOTE}MongoDB keeps abandoned transactions for {lifetime_s} s, and the inboxes in them locked: "
            f"set its transactionLifetimeLimitSeconds to {LONGEST_LIFETIME_S}"
        )


async def _transaction_lifetime_s(database: Database) -> int | None:
    """None where the hub's user may not ask."""
    with contextlib.suppress(PyMongoError):
        answer = await database.client.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
        return int(answer["transactionLifetimeLimitSeconds"])
    return None


async def _indexes(database: Database, settings: Settings) -> str:
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
        raise _Bad(
            f"{len(missing)} of {count} indexes are missing in the database {settings.mongo_database} "
            f"(HUB_MONGO_DATABASE): {', '.join(missing)}. `hub serve` and `hub work` make them when they start."
        )
    return f"all {count} indexes are there"


async def _redis(settings: Settings, findings: list[str]) -> None:
    async with connections.redis(settings) as redis:
        try:
            before = time.time()
            seconds, micros = await redis.time()
            after = time.time()
            findings.append(f"Redis answers in {(after - before) * 1000:.0f} ms")
            info = await redis.info()
        except (*REDIS_ERRORS, ValueError) as error:
            raise _Bad(f"Redis does not answer as it should (HUB_REDIS_URL): {first_line(error)}") from None
        findings.append(_new_enough("Redis", info["redis_version"], OLDEST_REDIS))
        findings.append(_same_time("Redis", seconds + micros / 1e6, (before + after) / 2))
        policy = str(info.get("maxmemory_policy", ""))
        if info.get("maxmemory") and policy.startswith("allkeys"):  # others leave alone what has no expiry
            findings.append(
                f"{NOTE}Redis evicts any key when its memory is full, and what waits to be sent then leaves late: "
                f"set its maxmemory-policy to noeviction (it is {policy})"
            )


async def _channels(senders: Mapping[Channel, str], settings: Settings, findings: list[str]) -> None:
    """What the environment sets up. `senders`: what running workers send through."""
    there = settings.provided
    if up := [channel for channel in WANTS if channel in there]:
        findings.append(f"channels with a provider: {', '.join(up)}")
    for channel, wants in WANTS.items():
        if channel in there:
            continue
        if channel in senders:
            findings.append(
                f"{channel} is not set up in this environment; running workers send it through {senders[channel]}"
            )
            continue
        if settings.mode == "development":
            findings.append(f"{channel} has no provider: /dev/outbox shows what it would send; it wants {wants}")
        else:
            findings.append(
                f"{NOTE}{channel} is not set up, and sends that name it skip it (NOT_CONFIGURED): set {wants}"
            )
    if key := settings.vapid_private_key.get_secret_value():
        from hub.api.schema.devices import vapid_public_key

        findings.append(f"web push: browsers subscribe with the public key {vapid_public_key(key)}")
    findings += await _amazon(settings)
    if settings.smtp_url:
        findings += await _mail_server(settings.smtp_url)
    if not settings.public_url and Channel.EMAIL in there:
        findings.append(f"{NOTE}mails have no link to unsubscribe: set HUB_PUBLIC_URL")
    if not settings.app_url:
        findings.append(
            f"{NOTE}links that are a path, such as /builds/7, make no button in mails and lead nowhere from outside "
            "your app: set HUB_APP_URL"
        )


async def _amazon(settings: Settings) -> list[str]:
    """Whether a region and a key are found, as far as can be told without a call. The region of SNS stands in the
    ARNs."""
    used = [variable(name) for name in ("ses_from", *SNS_PLATFORM_KINDS) if getattr(settings, name)]
    if not used:
        return []
    from hub.send import aws

    try:
        region, key = await aws.detect_credentials()
    except aws.AWS_ERRORS as error:
        raise _Bad(f"AWS's own variables and files can't be used ({', '.join(used)}): {first_line(error)}") from None
    if settings.ses_from and not region:
        raise _Bad("HUB_SES_FROM needs AWS_REGION too: Amazon SES is reached in a region, such as eu-west-1.")
    if not key:
        names = ", ".join(used)
        return [f"{NOTE}no key for Amazon is found here, and it is needed by {names}: set AWS_ACCESS_KEY_ID and so on"]
    return [f"Amazon is called with the key from {key}{f', SES in {region}' if settings.ses_from else ''}"]


async def _mail_server(url: str) -> list[str]:
    """Whether somebody listens there, as seen from here. Not asked where the address leaves the port open."""
    parts = urlsplit(url)
    port = parts.port or (465 if parts.scheme == "smtps" else None)
    if port is None:
        return []
    try:
        async with asyncio.timeout(WAIT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return [f"{NOTE}no mail server answers at {parts.hostname}:{port} from here (HUB_SMTP_URL): mails wait"]
    writer.close()
    return [f"a mail server answers at {parts.hostname}:{port}"]


async def _queue(settings: Settings, findings: list[str]) -> None:
    """What waits, and who is left alone. Where the stores do not answer, that is said already."""
    with contextlib.suppress(PyMongoError, *REDIS_ERRORS, ValueError, connections.StoreUnavailable):
        async with connections.mongo(settings) as database, connections.redis(settings) as redis:
            for collection, what in (
                (deliveries.COLLECTION, "deliveries"),
                (webhook_calls.COLLECTION, "webhook calls"),
            ):
                findings.append(await _overdue(database, collection, what))
            lanes = Lanes(redis, settings.redis_prefix, settings.lane_max)
            for depth in await lanes.depths([*Channel, webhook_calls.LANE]):
                waited_s = (datetime.now(UTC) - id_time(depth.oldest)).total_seconds()
                findings.append(
                    f"{depth.waiting} on the lanes of {depth.channel} {depth.priority}, the oldest accepted "
                    f"{waited_s:.0f} s ago"
                )
            for name, wait_s in (await Breakers(redis, settings.redis_prefix, 0).list_open()).items():
                findings.append(f"{NOTE}{name} fails, and is left alone for {wait_s:.0f} s more (circuit breaker)")


async def _overdue(database: Database, collection: str, what: str) -> str:
    """What nobody has put on a lane although its time has come."""
    now = datetime.now(UTC)
    due = {"lane": {"$gt": ""}, "due_at": {"$lte": now}}
    count = {"$group": {"_id": None, "count": {"$sum": 1}, "first": {"$min": "$due_at"}}}
    cursor = await database[collection].aggregate([{"$match": due}, count], hint="due")
    found = await cursor.to_list()
    if not found:
        return f"no {what} are overdue"
    late_s = (now - found[0]["first"]).total_seconds()
    text = f"{found[0]['count']} {what} are due, the first since {late_s:.0f} s"
    return f"{NOTE}{text}: start `hub work`, or more of it" if late_s > LATE_S else text


def _new_enough(name: str, version: str, oldest: tuple[int, int]) -> str:
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < oldest:
        raise _Bad(f"{name} {version} is too old: the hub needs {oldest[0]}.{oldest[1]} or later.")
    return f"{name} {version}"


def _same_time(name: str, theirs: float, ours: float) -> str:
    skew = theirs - ours
    if abs(skew) > SKEW_S:
        raise _Bad(f"The clock of {name} differs from this machine's by {skew:+.1f} s: run NTP on both.")
    return f"the clocks of {name} and this machine agree within {abs(skew):.1f} s"
