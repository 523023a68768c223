"""`hub doctor`."""

import asyncio
import contextlib
import difflib
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

from pydantic import ValidationError
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from hub import connections
from hub.cli.environment import DEFAULT_DATA, Data, fail, faults, is_set, variable
from hub.cli.home import Home, Running
from hub.connections import Database
from hub.settings import Settings

OLDEST_MONGODB = (6, 0)
OLDEST_REDIS = (6, 2)
SKEW_S = 2.0  # tokens and cursors carry times
WAIT_S = 2.0
LONGEST_LIFETIME_S = 6  # see infra/decisions.md, Transactions
CLIENT_VARIABLES = {"HUB_URL", "HUB_TOKEN"}  # read by the commands that call a hub


class _Bad(Exception):
    """Something is wrong; the text says what to change."""


def doctor(data: Data = DEFAULT_DATA) -> None:
    """Check settings, MongoDB and Redis.

    Says what to change, and ends with code 1 if something is wrong.

    Checks what the environment names; else the servers of the `hub dev` that runs on --data.

    Example: hub doctor
    """
    running = Home(data).running
    try:
        settings = _settings(running)
    except ValidationError as error:
        for fault in faults(error):
            print(f"wrong  {fault}")
        fail("The settings are wrong: mend them and ask again.")
    if not asyncio.run(_examine(settings)):
        fail("Something is wrong.")
    print("All is well.")


def _settings(running: Running | None) -> Settings:
    found: dict[str, Any] = {"commit_deadline_s": WAIT_S}  # for MongoDB to be found
    if running:
        known = {
            "mode": "development",
            "mongo_url": running.mongo_url,
            "redis_url": running.redis_url,
            "jwt_secret": running.secret,
        }
        found |= {name: value for name, value in known.items() if not is_set(name)}
    return Settings(**found)


async def _examine(settings: Settings) -> bool:
    """Prints a line a finding; whether all was well."""
    for name in sorted(set(os.environ) - CLIENT_VARIABLES):
        if name.startswith("HUB_") and name.removeprefix("HUB_").lower() not in Settings.model_fields:
            near = difflib.get_close_matches(name, map(variable, Settings.model_fields), 1)
            print(f"note   {name} is no setting of the hub{f': did you mean {near[0]}?' if near else '.'}")
    print(f"ok     settings: mode {settings.mode}, tokens checked with {_keys(settings)}")
    well = True
    for stage in (_mongo(settings), _redis(settings)):
        try:
            async for finding in stage:
                print(f"ok     {finding}")
        except _Bad as bad:
            print(f"wrong  {bad}")
            well = False
    return well


def _keys(settings: Settings) -> str:
    names = ["HUB_JWT_SECRET"] * bool(settings.jwt_secret) + ["HUB_JWKS_URL"] * bool(settings.jwks_url)
    return " and ".join(names)


async def _mongo(settings: Settings) -> AsyncIterator[str]:
    async with connections.mongo(settings) as database:
        try:
            async for finding in _examine_mongo(database, settings):
                yield finding
        except PyMongoError as error:
            raise _Bad(f"MongoDB does not answer as it should (HUB_MONGO_URL): {_first_line(error)}") from None


async def _examine_mongo(database: Database, settings: Settings) -> AsyncIterator[str]:
    before = time.time()
    hello = await database.command("hello")
    after = time.time()
    yield f"MongoDB answers in {(after - before) * 1000:.0f} ms"
    version = (await database.client.server_info())["version"]
    yield _new_enough("MongoDB", version, OLDEST_MONGODB)
    if "setName" not in hello:
        raise _Bad("MongoDB is no replica set, and transactions need one: start it with --replSet and rs.initiate().")
    yield f"MongoDB is the replica set {hello['setName']}, {len(hello['hosts'])} member(s), and has a primary"
    yield _same_time("MongoDB", hello["localTime"].astimezone(UTC).timestamp(), (before + after) / 2)
    yield await _indexes(database, settings)
    lifetime_s = await _transaction_lifetime_s(database)
    if lifetime_s and lifetime_s > LONGEST_LIFETIME_S:
        print(
            f"note   MongoDB keeps abandoned transactions for {lifetime_s} s, and the inboxes in them locked: "
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


async def _redis(settings: Settings) -> AsyncIterator[str]:
    async with connections.redis(settings) as redis:
        try:
            before = time.time()
            seconds, micros = await redis.time()
            after = time.time()
            yield f"Redis answers in {(after - before) * 1000:.0f} ms"
            version = (await redis.info("server"))["redis_version"]
        except (RedisError, OSError, ValueError) as error:
            raise _Bad(f"Redis does not answer as it should (HUB_REDIS_URL): {_first_line(error)}") from None
        yield _new_enough("Redis", version, OLDEST_REDIS)
        yield _same_time("Redis", seconds + micros / 1e6, (before + after) / 2)


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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(", Timeout:")[0] if str(error) else type(error).__name__
