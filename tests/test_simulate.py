"""What `simulate` says would happen, and what the peers really got."""

import asyncio
import logging
import random
from collections import Counter
from typing import Any

from hub.model import Channel
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import CHANNELS, all_ended, running
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled

SENDS = scaled(60, 300)
USERS = [f"user-{number}" for number in range(12)]
CATEGORIES = ("news", "builds", "security", "nobody-defined")
OPTIONAL = ("news", "builds")
SIMULATE = "query ($i: SendInput!) { simulate(input: $i) { userId decisions { channel outcome reason } } }"
SEND = "mutation ($i: SendInput!) { send(input: $i) { send { id } } }"
WISH = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { channels { channel } } }"
START = "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }"
RECEIPTS = "subscription { receipts { status sendId userId channel reason } }"
SKIPPED = (
    "query ($id: ID!) { send(id: $id) { notifications(first: 100) { nodes { userId deliveries { channel status "
    "reason } } } } }"
)
Row = tuple[str, str, str]
"""Send, user, channel."""

log = logging.getLogger(__name__)


def some_wishes(chosen: random.Random) -> Json:
    """Switches, cells of the matrix, and mutes: over, going on, and none."""
    names = [channel.value for channel in Channel]
    cells: list[Json] = []
    for category in chosen.sample(OPTIONAL, chosen.randrange(len(OPTIONAL) + 1)):
        if chosen.random() < 0.4:
            cells.append({"category": category, "mutedUntil": chosen.choice(["2020-01-01T00:00:00Z", LATER, None])})
        else:
            enabled = chosen.choice([True, False, None])
            cells.append({"category": category, "channel": chosen.choice(names), "enabled": enabled})
    switches = [
        {"channel": name, "enabled": chosen.random() < 0.6} for name in chosen.sample(names, chosen.randrange(3))
    ]
    return {"channels": switches, "categories": cells}


LATER = "2090-01-01T00:00:00Z"


def a_send(chosen: random.Random, number: int) -> Json:
    names = [channel.value for channel in Channel]
    given: dict[str, Any] = {
        "to": {"users": chosen.sample(USERS, chosen.randrange(1, 5))},
        "category": chosen.choice(CATEGORIES),
        "content": {"title": f"Number {number}", "body": "there"},
    }
    if chosen.random() < 0.8:
        given["channels"] = chosen.sample(names, chosen.randrange(1, len(names)))
    if chosen.random() < 0.5:
        given["priority"] = chosen.choice(["CRITICAL", "HIGH", "LOW"])
    return given


async def test_peers_get_what_simulate_accepted_and_its_reasons_are_those_of_the_deliveries(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    chosen = random.Random(11)
    accepted: set[Row] = set()
    skipped: dict[Row, str] = {}
    async with running(mongod.url, redis.url, workers=1) as (_, tenant, outside), tenant.socket() as socket:
        receipts = await socket.subscribe(RECEIPTS)
        told: dict[Row, str] = {}

        async def listen() -> None:
            async for receipt in receipts:
                if receipt["status"] == "SKIPPED":
                    told[receipt["sendId"], receipt["userId"], receipt["channel"]] = receipt["reason"]

        await tenant.define("news", "IN_APP", "EMAIL", "WEBHOOK")
        await tenant.define("builds", "WEB_PUSH", "MOBILE_PUSH", "SMS")
        await tenant.define("security", "IN_APP", "EMAIL", "WEB_PUSH")
        unwanted = {"categories": [{"category": "security", "enabled": False}]}
        for user in USERS[::2]:
            await tenant.ask(WISH, user=user, input=unwanted)
        await tenant.define("security", "IN_APP", "EMAIL", "WEB_PUSH", required=True)
        for user in USERS:
            for channel in chosen.sample(CHANNELS, chosen.randrange(len(CHANNELS) + 1)):
                await outside.join(tenant, user, channels=[channel])
            if chosen.random() < 0.3:
                await outside.browser(tenant, user)
        listening = asyncio.create_task(listen())
        sends = []
        for number in range(SENDS):
            await tenant.ask(WISH, user=chosen.choice(USERS), input=some_wishes(chosen))
            if number % 20 == 10:
                await tenant.admin(START, input={"preferences": some_wishes(chosen)})
            given = a_send(chosen, number)
            foreseen = (await tenant.ask(SIMULATE, i=given))["simulate"]
            id = (await tenant.ask(SEND, i=given))["send"]["send"]["id"]
            sends.append(id)
            assert [one["userId"] for one in foreseen] == given["to"]["users"]
            for one in foreseen:
                for decision in one["decisions"]:
                    row = id, one["userId"], decision["channel"]
                    if decision["outcome"] == "ACCEPTED":
                        accepted.add(row)
                    else:
                        skipped[row] = decision["reason"]
            await all_there(tenant)  # before anybody changes their mind
        found = await all_ended(tenant, len(outside.came()), 30)
        got = {(d["sendId"], d["userId"], d["channel"]) for d in found if d["id"] in outside.came()}
        assert {d["id"] for d in found} == outside.came().keys()
        listed: dict[Row, tuple[str, str | None]] = {}
        for id in sends:
            for n in (await tenant.ask(SKIPPED, id=id))["send"]["notifications"]["nodes"]:
                for d in n["deliveries"]:
                    listed[id, n["userId"], d["channel"]] = d["status"], d["reason"]
        got |= {row for row in listed if row[2] == "IN_APP" and listed[row][0] == "DELIVERED"}
        asked = {row: reason for row, reason in skipped.items() if reason != "NOT_REQUESTED"}

        async def all_told() -> bool:
            return len(told) >= len(asked)

        await eventually(all_told, 20)
        listening.cancel()
        log.info("%d sends: %d arrived, %s", SENDS, len(got), dict(Counter(skipped.values())))
        assert got == accepted
        assert told == asked
        assert listed.items() >= {(row, ("SKIPPED", asked[row])) for row in asked if row in listed}
        shown = {row[:2] for row in listed}
        assert {row for row in asked if row[:2] in shown} == {row for row in listed if listed[row][0] == "SKIPPED"}
        assert {"MUTED", "PREFERENCE", "NO_ADDRESS", "NOT_CONFIGURED"} <= set(asked.values())


async def all_there(tenant: Tenant) -> None:
    """Nothing waits to be sent."""
    query = "{ deliveries(filter: {statuses: [ACCEPTED, HELD, RETRYING, PROCESSING]}) { nodes { id } } }"

    async def none_waits() -> bool:
        return not (await tenant.ask(query))["deliveries"]["nodes"]

    await eventually(none_waits, 30)
