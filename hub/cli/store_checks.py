"""Checks of `hub doctor` that read MongoDB and Redis: the servers, the indexes, and the queue."""

import contextlib
import re
import time
from datetime import UTC, timedelta

from pymongo.errors import PyMongoError
from redis.asyncio import Redis as RedisClient
from redis.exceptions import ClusterDownError, MovedError

from hub.backup.backup_record import read_newest
from hub.cli.findings import CheckFailed, Findings
from hub.enrichment import jobs
from hub.events import event_store
from hub.model import Channel
from hub.outbox.due_counts import DueCounts
from hub.outbox.lanes import Lanes
from hub.outbox.restored_jobs import count_held
from hub.platform import connections, index_builds
from hub.platform.circuit_breaker import Breakers
from hub.platform.connections import Database, first_line
from hub.platform.hub_clock import read_clocks
from hub.platform.index_builds import names_of
from hub.platform.redis_errors import REDIS_ERRORS
from hub.settings import Settings
from hub.status import deliveries, restored_sends
from hub.utc_time import HubTime, RealTime, elapsed
from hub.webhooks import webhook_calls

MIN_MONGODB_VERSION = (6, 0)
MIN_REDIS_VERSION = (6, 2)
MAX_CLOCK_SKEW_S = 2.0  # tokens and cursors contain times
MAX_TRANSACTION_LIFETIME_S = 6  # see docs/adr/0007-limit-transactions-to-6-seconds.md
HASH_TAG = re.compile(r"^[^{]*\{[^}]+\}")
HELD_TENANTS_MAX = 10  # tenants whose work is held since a restore
BACKUP_MAX_AGE_S = 26 * 3600.0  # of HubBackupOld: one backup per day, and the time that it takes
OVERDUE_S = 60.0  # a longer delay means that there are too few workers


async def check_mongo(settings: Settings, findings: Findings) -> None:
    async with connections.mongo(settings) as database:
        try:
            await _check_replica_set(database, settings, findings)
        except PyMongoError as error:
            raise CheckFailed(f"MongoDB cannot be used (HUB_MONGO_URL): {first_line(error)}") from None


async def _check_replica_set(database: Database, settings: Settings, findings: Findings) -> None:
    before = time.time()
    hello = await database.command("hello")
    after = time.time()
    findings.ok(f"MongoDB responds in {(after - before) * 1000:.0f} ms")
    version = (await database.client.server_info())["version"]
    findings.ok(_check_version("MongoDB", version, MIN_MONGODB_VERSION))
    if "setName" not in hello:
        raise CheckFailed(
            "MongoDB is not a replica set, which transactions require: start it with --replSet and run rs.initiate()."
        )
    findings.ok(f"MongoDB is the replica set {hello['setName']}, {len(hello['hosts'])} member(s), and has a primary")
    findings.ok(_check_clock("MongoDB", hello["localTime"].astimezone(UTC).timestamp(), (before + after) / 2))
    findings.ok(await _check_indexes(database, settings))
    _, hub_clock = await read_clocks(database, movable=settings.mode == "development")
    if hub_clock.ahead:
        findings.note(f"the hub's clock is {hub_clock.ahead} ahead of real time (`hub clock`)")
    lifetime_s = await _transaction_lifetime_s(database)
    if lifetime_s and lifetime_s > MAX_TRANSACTION_LIFETIME_S:
        findings.note(
            f"MongoDB keeps abandoned transactions for {lifetime_s} s, and the inboxes in them locked: "
            f"set its transactionLifetimeLimitSeconds to {MAX_TRANSACTION_LIFETIME_S}"
        )
    await _report_backup(database, settings, findings)


async def _report_backup(database: Database, settings: Settings, findings: Findings) -> None:
    """Report the age of the newest backup. Without one, the operator may use other means, such as snapshots."""
    newest = await read_newest(database)
    if not newest:
        if settings.mode != "development":
            findings.ok("`hub backup` has made no backup of this database")
        return
    age_s = time.time() - newest.timestamp()
    text = f"the newest backup of `hub backup` is {age_s / 3600:.1f} hours old"
    if age_s > BACKUP_MAX_AGE_S:
        findings.note(f"{text}: check the job that runs it")
    else:
        findings.ok(text)


async def _transaction_lifetime_s(database: Database) -> int | None:
    """Return the limit, or None if the MongoDB user is not allowed to read it."""
    with contextlib.suppress(PyMongoError):
        parameter = await database.client.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
        return int(parameter["transactionLifetimeLimitSeconds"])
    return None


async def _check_indexes(database: Database, settings: Settings) -> str:
    from hub.runtime.indexes import indexes

    state = await index_builds.compare(database, *indexes(settings))
    where = f"in the database {settings.mongo_database} (HUB_MONGO_DATABASE)"
    if different := state.different + state.other_expiry:
        raise CheckFailed(
            f"{len(different)} of {state.count} indexes {where} have other keys or options: {names_of(different)}. "
            "Restart the processes if a setting was changed. Otherwise drop them, and run `hub migrate`."
        )
    if state.missing:
        raise CheckFailed(
            f"{len(state.missing)} of {state.count} indexes are missing {where}: {names_of(state.missing)}. Run "
            "`hub migrate`."
        )
    return f"all {state.count} indexes exist"


async def check_redis(settings: Settings, findings: Findings) -> None:
    async with connections.redis(settings) as redis:
        try:
            before = time.time()
            seconds, micros = await redis.time()
            after = time.time()
            findings.ok(f"Redis responds in {(after - before) * 1000:.0f} ms")
            info = await redis.info()
        except (*REDIS_ERRORS, ValueError) as error:
            raise CheckFailed(f"Redis cannot be used (HUB_REDIS_URL): {first_line(error)}") from None
        findings.ok(_check_version("Redis", info["redis_version"], MIN_REDIS_VERSION))
        findings.ok(_check_clock("Redis", seconds + micros / 1e6, (before + after) / 2))
        if info.get("cluster_enabled"):
            findings.ok(await _check_cluster(redis, settings.redis_prefix))
        policy = str(info.get("maxmemory_policy", ""))
        if info.get("maxmemory") and policy.startswith("allkeys"):  # other policies keep keys without an expiry
            findings.note(
                "Redis evicts keys when its memory is full, which delays queued deliveries: "
                f"set its maxmemory-policy to noeviction (it is {policy})"
            )


async def _check_cluster(redis: RedisClient, prefix: str) -> str:
    """Check that all keys are in one hash slot, because scripts use several keys, and that this node has the slot."""
    if not HASH_TAG.search(prefix):
        raise CheckFailed(
            "Redis runs in cluster mode, in which a script may only use keys of one hash slot: set HUB_REDIS_PREFIX "
            "to a prefix with a hash tag, such as {hub}:"
        )
    try:
        await redis.get(f"{prefix}doctor")
    except MovedError:
        raise CheckFailed(
            f"Redis runs in cluster mode, and another node has the hash slot of {prefix} (HUB_REDIS_PREFIX). The hub "
            "calls one node only: use a server without cluster mode, or a cluster with one shard."
        ) from None
    except ClusterDownError as error:
        raise CheckFailed(f"Redis runs in cluster mode, and its hash slots are not assigned: {error}.") from None
    return f"Redis runs in cluster mode, and all keys are in the hash slot of {prefix}"


async def check_queue(settings: Settings, findings: Findings) -> None:
    """Report overdue deliveries, lanes, and open circuit breakers. Other checks report unavailable stores."""
    with contextlib.suppress(PyMongoError, *REDIS_ERRORS, ValueError, connections.StoreUnavailable):
        async with connections.mongo(settings) as database, connections.redis(settings) as redis:
            server_clock, hub_clock = await read_clocks(database, movable=settings.mode == "development")
            for collection, items in (
                (deliveries.COLLECTION, "deliveries"),
                (webhook_calls.COLLECTION, "webhook calls"),
                (event_store.COLLECTION, "events"),
                (jobs.COLLECTION, "preparations of sends"),
            ):
                counts = DueCounts(database, collection, settings.requeue_after_s)
                await _report_overdue(counts, items, hub_clock.now(), findings)
                await _report_expired_leases(database, collection, items, server_clock.now(), findings)
            await _report_held(database, findings)
            lanes = Lanes(redis, settings.redis_prefix, settings.lane_max_ids)
            for depth in await lanes.depths([*Channel, webhook_calls.LANE, event_store.LANE, jobs.LANE]):
                findings.ok(f"{depth.waiting} on the lanes of {depth.channel} {depth.priority}")
            for name, wait_s in (await Breakers(redis, settings.redis_prefix, 0).list_open()).items():
                findings.note(f"{name} fails and is not called for another {wait_s:.0f} s (open circuit breaker)")


async def _report_overdue(counts: DueCounts, items: str, now: HubTime, findings: Findings) -> None:
    """Report the number of entries that are due but not on a lane."""
    due = (await counts.read(now)).values()
    if not due:
        findings.ok(f"no {items} are overdue")
        return
    late_s = elapsed(min(group.since for group in due), now).total_seconds()
    text = f"{sum(group.waiting for group in due)} {items} are due, the first since {late_s:.0f} s"
    if late_s > OVERDUE_S:
        findings.note(f"{text}: start more `hub work` processes")
    else:
        findings.ok(text)


async def _report_expired_leases(
    database: Database, collection: str, items: str, now: RealTime, findings: Findings
) -> None:
    """Report claimed entries whose worker died, if no scheduler has put them back."""
    late = now - timedelta(seconds=OVERDUE_S)
    if expired := await database[collection].count_documents({"leased_until": {"$lte": late}}, hint="leases"):
        findings.note(f"{expired} {items} are claimed by workers that died: start `hub work`, which sends them again")


async def _report_held(database: Database, findings: Findings) -> None:
    """Report what is held since a restore."""
    held = {
        "deliveries": await count_held(database[deliveries.COLLECTION], HELD_TENANTS_MAX),
        "webhook calls": await count_held(database[webhook_calls.COLLECTION], HELD_TENANTS_MAX),
        "events": await count_held(database[event_store.COLLECTION], HELD_TENANTS_MAX),
        "sends": await restored_sends.count_paused(database, HELD_TENANTS_MAX),
    }
    for tenant in dict.fromkeys(tenant for counts in held.values() for tenant in counts):
        counts = ", ".join(f"{found[tenant]:,} {items}" for items, found in held.items() if tenant in found)
        findings.note(
            f"{counts} of the tenant {tenant} are held since a restore, because they may have been sent before: "
            f"release them with `hub replay --reason restored --tenant {tenant}`"
        )


def _check_version(name: str, version: str, minimum: tuple[int, int]) -> str:
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < minimum:
        raise CheckFailed(f"{name} {version} is too old: the hub requires {minimum[0]}.{minimum[1]} or later.")
    return f"{name} {version}"


def _check_clock(name: str, server_s: float, local_s: float) -> str:
    skew_s = server_s - local_s
    if abs(skew_s) > MAX_CLOCK_SKEW_S:
        raise CheckFailed(f"The clock of {name} differs from this machine's by {skew_s:+.1f} s: run NTP on both.")
    return f"the clocks of {name} and this machine agree within {abs(skew_s):.1f} s"
