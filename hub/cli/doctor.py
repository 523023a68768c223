"""`hub doctor`."""

import asyncio
import contextlib
import difflib
import os
import sys
import time
from datetime import UTC
from typing import Any

from pydantic import ValidationError
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from hub import connections
from hub.cli.environment import DEFAULT_DATA, Data, fail, faults, is_set, variable
from hub.cli.home import Home
from hub.connections import Database, first_line
from hub.settings import Settings

OLDEST_MONGODB = (6, 0)
OLDEST_REDIS = (6, 2)
SKEW_S = 2.0  # tokens and cursors carry times
WAIT_S = 2.0
LONGEST_LIFETIME_S = 6  # see infra/decisions.md, Transactions
CONNECTIONS = ("mongo_url", "redis_url", "jwt_secret", "jwks_url")  # with one of them, the environment alone counts
NOTE = "note: "  # before a finding that is not quite well
CLIENT_VARIABLES = {"HUB_URL", "HUB_TOKEN"}  # read by the commands that call a hub


class _Bad(Exception):
    """Something is wrong; the text says what to change."""


def doctor(data: Data = DEFAULT_DATA) -> None:
    """Check settings, MongoDB and Redis.

    Says what to change, and ends with code 1 if something is wrong.

    Checks what the environment names; if it names no server and no key, the `hub dev` that runs on --data.

    Example: hub doctor
    """
    try:
        _doctor(Home(data))
    except BrokenPipeError:  # `hub doctor | head` has seen enough; what is still buffered must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _doctor(home: Home) -> None:
    _strangers()
    try:
        settings = _settings(home)
    except ValidationError as error:
        for fault in faults(error):
            _say("wrong", fault)
        fail("The settings are wrong: mend them and ask again.")
    if not asyncio.run(_examine(settings)):
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
    }
    return Settings(**found, **{name: value for name, value in known.items() if not is_set(name)})


def _strangers() -> None:
    for name in sorted(set(os.environ) - CLIENT_VARIABLES):
        if name.startswith("HUB_") and name.removeprefix("HUB_").lower() not in Settings.model_fields:
            near = difflib.get_close_matches(name, map(variable, Settings.model_fields), 1)
            _say("note", f"{name} is no setting of the hub{f': did you mean {near[0]}?' if near else '.'}")


async def _examine(settings: Settings) -> bool:
    """Says what it finds; whether all was well."""
    _say("ok", f"settings: mode {settings.mode}, tokens checked with {_keys(settings)}")
    well = True
    for stage in (_mongo, _redis):
        findings: list[str] = []
        trouble = None
        try:
            await stage(settings, findings)
        except (_Bad, connections.Unreachable) as bad:
            trouble = str(bad)
            well = False
        for finding in findings:
            _say("note" if finding.startswith(NOTE) else "ok", finding.removeprefix(NOTE))
        if trouble:
            _say("wrong", trouble)
    return well


def _say(word: str, text: str) -> None:
    print(f"{word:<5}  {text}", flush=True)


def _keys(settings: Settings) -> str:
    names = ["HUB_JWT_SECRET"] * bool(settings.jwt_secret) + ["HUB_JWKS_URL"] * bool(settings.jwks_url)
    return " and ".join(names)


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
    from hub.__main__ import indexes

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
            version = (await redis.info("server"))["redis_version"]
        except (RedisError, OSError, ValueError) as error:
            raise _Bad(f"Redis does not answer as it should (HUB_REDIS_URL): {first_line(error)}") from None
        findings.append(_new_enough("Redis", version, OLDEST_REDIS))
        findings.append(_same_time("Redis", seconds + micros / 1e6, (before + after) / 2))


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
