"""An outage of one provider does not affect the others."""

import asyncio
import logging
import time
from collections import defaultdict
from statistics import quantiles
from typing import Any

import pytest
from redis.asyncio import Redis as RedisClient

from hub.platform.circuit_breaker import FAILURE_THRESHOLD, WINDOW, Breakers
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import (
    CHANNELS,
    UPSERT_USERS,
    FakeChannels,
    deployment_with_channels,
    list_all_deliveries,
    wait_for_deliveries,
    wait_until_settled,
)
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled
from tests.provider_setup import SENDER

SENDS_PER_PHASE = scaled(30, 300)  # sends of a phase
SLOTS = 4
OPEN_S = 1
DOWN = {"MAIL": "421 4.3.2 down for a while"}

log = logging.getLogger(__name__)


class Traffic:
    """Sends over all channels, and when each of them was called."""

    def __init__(self, tenant: Tenant, fakes: FakeChannels, users: list[str]) -> None:
        self.tenant, self.fakes, self.users = tenant, fakes, users
        self.begun: dict[str, float] = {}

    async def phase(self) -> set[str]:
        """Send several times with short pauses. Return the ids."""
        ids = set()
        for number in range(SENDS_PER_PHASE):
            started_at = time.monotonic()
            user = self.users[number % len(self.users)]
            id = (await self.tenant.send(user, channels=list(CHANNELS)))["send"]["id"]
            self.begun[id] = started_at
            ids.add(id)
            await asyncio.sleep(0.02)
        return ids

    def p95_ms(self, found: list[Json], sends: set[str]) -> dict[str, int]:
        """Return the time from the call of `send` to the arrival, by channel."""
        arrivals, waits = self.fakes.arrivals(), defaultdict(list)
        for d in found:
            if d["sendId"] in sends:
                waits[d["channel"]].append(arrivals[d["id"]][0] - self.begun[d["sendId"]])
        return {channel: round(quantiles(part, n=20, method="inclusive")[18] * 1000) for channel, part in waits.items()}


def failed(emails: list[Json]) -> int:
    return sum(not attempt["ok"] for email in emails for attempt in email["attempts"])


@pytest.mark.serial
@pytest.mark.timeout(600)
async def test_outage_of_one_provider_does_not_affect_others_and_uses_no_attempts(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    users = [f"user-{number}" for number in range(5)]
    settings: dict[str, Any] = {
        "delivery_concurrency": str(SLOTS),
        "circuit_breaker_open_s": str(OPEN_S),
        "retry_schedule": "1s,1s,1s,1s,1s,1s",
    }
    settings |= {"redis_prefix": "down:"}
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (_, tenant, fakes),
        RedisClient.from_url(redis.url) as client,
    ):
        breakers = Breakers(client, "down:", 0)

        async def emails() -> list[Json]:
            return await list_all_deliveries(tenant, channels=["EMAIL"])

        async def others_there() -> bool:
            others = await list_all_deliveries(tenant, channels=list(CHANNELS[1:]))
            return all(d["status"] in {"SENT", "DELIVERED"} for d in others)

        async def openings() -> int:
            return int(await client.hget("down:breaker:smtp", "times") or 0)

        await fakes.add_addresses(tenant, *users)
        traffic = Traffic(tenant, fakes, users)
        before = await traffic.phase()
        await wait_until_settled(tenant, SENDS_PER_PHASE * 4, 30)
        fakes.mail.replies = DOWN
        down = await traffic.phase()
        await eventually(others_there)
        tried: defaultdict[int, list[int]] = defaultdict(list)  # failed calls, by how often the breaker had opened
        waiting: list[Json] = []
        first = await openings()
        while (times := await openings()) < first + 2:
            waiting = await emails()
            if await openings() == times:
                tried[times].append(failed(waiting))
            await asyncio.sleep(0.05)
        burnt = tried[first + 1][-1]
        assert burnt - tried[first][-1] == 1, "one probe each time, and no other call"
        assert FAILURE_THRESHOLD <= burnt - first <= WINDOW + SLOTS
        held = [d for d in waiting if d["reason"] == "PROVIDER_DOWN"]
        assert {d["status"] for d in held} == {"HELD"}
        assert sum(not d["attempts"] for d in held) >= SENDS_PER_PHASE - WINDOW - SLOTS - first
        fakes.mail.clear_fault()
        found = await wait_until_settled(tenant, SENDS_PER_PHASE * 8, 60)
        assert await breakers.list_open() == {}
        then, now = traffic.p95_ms(found, before), traffic.p95_ms(found, down)
        log.info("p95 in ms before %s, and while mail was down %s; %d mails tried in vain", then, now, burnt + 1)
        assert {d["status"] for d in found} == {"SENT", "DELIVERED"}
        assert {id: len(times) for id, times in fakes.arrivals().items()} == {d["id"]: 1 for d in found}
        for channel in CHANNELS[1:]:
            assert now[channel] < then[channel] + 500


@pytest.mark.serial
async def test_email_falls_back_to_the_second_provider_immediately(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    users = [f"user-{number}" for number in range(5)]
    settings: dict[str, Any] = {
        "delivery_concurrency": str(SLOTS),
        "circuit_breaker_open_s": "1",
        "ses_from": SENDER,
        "retry_schedule": "600s",
    }
    async with deployment_with_channels(mongod.url, redis.url, workers=1, **settings) as (_, tenant, fakes):
        await fakes.add_addresses(tenant, *users, channels=["EMAIL"])
        fakes.mail.replies = DOWN
        for _ in range(8):
            await tenant.send(*users, channels=["EMAIL"])
        await wait_until_settled(tenant, 40, 30)
        await asyncio.sleep(1.5)  # probes are due, and fail over too
        for _ in range(4):
            await tenant.send(*users, channels=["EMAIL"])
            await asyncio.sleep(0.3)
        found = await wait_until_settled(tenant, 60, 30)
        assert {d["status"] for d in found} == {"SENT"}
        assert fakes.mail.emails == []
        ways = [[(attempt["provider"], attempt["ok"]) for attempt in d["attempts"]] for d in found]
        tried = ways.count([("smtp", False), ("ses", True)])
        log.info("of %d mails %d were tried at the first provider", len(found), tried)
        assert tried + ways.count([("ses", True)]) == len(found)
        assert FAILURE_THRESHOLD < tried <= WINDOW + SLOTS + 4
        fakes.mail.clear_fault()

        async def first_again() -> bool:
            await tenant.send(users[0], channels=["EMAIL"])
            return bool(fakes.mail.emails)

        await eventually(first_again)


async def test_gone_browser_is_called_once_and_an_outage_removes_no_device(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, workers=1) as (_, tenant, fakes):
        removed, away, well = [await fakes.add_browser(tenant, "alice") for _ in range(3)]
        fakes.push.replies = {removed: [410], away: [503, 503]}

        async def devices() -> int:
            return len((await tenant.execute("{ me { devices { id } } }", user="alice"))["me"]["devices"])

        await tenant.send("alice", channels=["WEB_PUSH"])
        found = await wait_until_settled(tenant, 3, 30)
        assert sorted((d["status"], d["reason"], len(d["attempts"])) for d in found) == [
            ("FAILED", "ADDRESS_GONE", 1),
            ("SENT", None, 1),
            ("SENT", None, 3),
        ]
        assert await devices() == 2
        await tenant.send("alice", channels=["WEB_PUSH"])
        await wait_for_deliveries(tenant, "SENT", 4)
        assert len(await list_all_deliveries(tenant)) == 5
        assert fakes.push.call_counts == {removed: 1, away: 4, well: 2}
        assert await devices() == 2


async def test_only_the_address_that_was_called_is_suppressed(
    servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, workers=1, provider_timeout_s="10") as (
        _,
        tenant,
        fakes,
    ):
        requested, moved, response = asyncio.Event(), asyncio.Event(), fakes.mail._reply

        async def slow(command: str) -> str | None:
            if command == "RCPT":
                requested.set()
                await moved.wait()
            return await response(command)

        async def living_at(address: str) -> None:
            await tenant.execute(UPSERT_USERS, users=[{"id": "alice", "email": f"{address}@people.example"}])

        monkeypatch.setattr(fakes.mail, "_reply", slow)
        fakes.mail.replies = {"RCPT": "550 5.1.1 <{address}>: no such user"}
        await living_at("old")
        await tenant.send("alice", channels=["EMAIL"])
        await asyncio.wait_for(requested.wait(), 20)
        await living_at("new")
        moved.set()
        [failed] = await wait_for_deliveries(tenant, "FAILED")
        assert failed["reason"] == "ADDRESS_GONE"
        fakes.mail.clear_fault()

        async def recounted(status: str) -> bool:
            """Send another one. Return how it ends."""
            sent = (await tenant.send("alice", channels=["EMAIL"]))["send"]
            query = "query ($id: ID!) { send(id: $id) { counts { channel status } } }"

            async def settled() -> list[Json]:
                rows: list[Json] = (await tenant.execute(query, id=sent["id"]))["send"]["counts"]
                return [row for row in rows if row["status"] in {"SENT", "SKIPPED"}]

            return {row["status"] for row in await eventually(settled)} == {status}

        assert await recounted("SENT"), "at the new address"
        await living_at("old")
        assert await eventually(lambda: recounted("SKIPPED"), 20)
        assert [email["to"] for email in fakes.mail.emails] == ["new@people.example"]
