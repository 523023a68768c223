"""The decisions of `simulate`, compared with the deliveries that really arrive."""

import asyncio
import logging
from collections import Counter
from random import Random

from hub.model import Channel
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import CHANNELS, FakeChannels, deployment_with_channels, wait_until_settled
from tests.client import Json, Tenant, eventually
from tests.conftest import scaled

SENDS = scaled(30, 300)
USERS = [f"user-{number}" for number in range(12)]
CATEGORIES = ("news", "builds", "security", "nobody-defined")
OPTIONAL = ("news", "builds")
LATER = "2090-01-01T00:00:00Z"
SIMULATE = "query ($i: SendInput!) { simulate(input: $i) { userId decisions { channel deviceId outcome reason } } }"
SEND = "mutation ($i: SendInput!) { send(input: $i) { send { id } } }"
UPDATE_PREFERENCES = (
    "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { channels { channel } } }"
)
UPDATE_TENANT = "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }"
RECEIPTS = "subscription { receipts { status sendId userId channel reason } }"
SKIPPED = (
    "query ($id: ID!) { send(id: $id) { notifications(first: 100) { nodes { userId deliveries { channel status "
    "reason } } } } }"
)
Row = tuple[str, str, str]
"""Send, user, channel."""

log = logging.getLogger(__name__)


def random_preferences(random: Random) -> Json:
    """Return switches, cells of the matrix, and mutes that have ended, last, or are removed."""
    names = [channel.value for channel in Channel]
    cells: list[Json] = []
    for category in random.sample(OPTIONAL, random.randrange(len(OPTIONAL) + 1)):
        if random.random() < 0.4:
            cells.append({"category": category, "mutedUntil": random.choice(["2020-01-01T00:00:00Z", LATER, None])})
        else:
            enabled = random.choice([True, False, None])
            cells.append({"category": category, "channel": random.choice(names), "enabled": enabled})
    switches = [
        {"channel": name, "enabled": random.random() < 0.6} for name in random.sample(names, random.randrange(3))
    ]
    return {"channels": switches, "categories": cells}


def random_send(random: Random, number: int) -> Json:
    names = [channel.value for channel in Channel]
    input: Json = {
        "to": {"users": random.sample(USERS, random.randrange(1, 5))},
        "category": random.choice(CATEGORIES),
        "content": {"title": f"Number {number}", "body": "there"},
    }
    if random.random() < 0.8:
        input["channels"] = random.sample(names, random.randrange(1, len(names)))
    if random.random() < 0.5:
        input["priority"] = random.choice(["CRITICAL", "HIGH", "LOW"])
    return input


class Simulations:
    """Sends that were simulated first. `accepted` and `skipped` are the decisions of the simulations. `targets`: the
    accepted ones outside the inbox, with their devices."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.sends: list[str] = []
        self.accepted: set[Row] = set()
        self.targets: Counter[tuple[str, ...]] = Counter()
        self.skipped: dict[Row, str] = {}

    async def send(self, input: Json) -> None:
        simulated = (await self._tenant.execute(SIMULATE, i=input))["simulate"]
        id = (await self._tenant.execute(SEND, i=input))["send"]["send"]["id"]
        self.sends.append(id)
        assert [user["userId"] for user in simulated] == input["to"]["users"]
        for user in simulated:
            for decision in user["decisions"]:
                row = id, user["userId"], decision["channel"]
                if decision["outcome"] == "ACCEPTED":
                    self.accepted.add(row)
                    if decision["channel"] != "IN_APP":
                        self.targets[(*row, decision["deviceId"])] += 1
                else:
                    self.skipped[row] = decision["reason"]

    async def list_deliveries(self) -> dict[Row, tuple[str, str | None]]:
        """Return status and reason of all deliveries, also the skipped ones, of notifications in inboxes."""
        rows: dict[Row, tuple[str, str | None]] = {}
        for id in self.sends:
            for n in (await self._tenant.execute(SKIPPED, id=id))["send"]["notifications"]["nodes"]:
                for delivery in n["deliveries"]:
                    rows[id, n["userId"], delivery["channel"]] = delivery["status"], delivery["reason"]
        return rows


async def create_users(tenant: Tenant, fakes: FakeChannels, random: Random) -> None:
    """Define the categories, and give each user some addresses and a preference that becomes ineffective."""
    await tenant.define_category("news", "IN_APP", "EMAIL", "WEBHOOK")
    await tenant.define_category("builds", "WEB_PUSH", "MOBILE_PUSH", "SMS")
    await tenant.define_category("security", "IN_APP", "EMAIL", "WEB_PUSH")
    disabled = {"categories": [{"category": "security", "enabled": False}]}
    for user in USERS[::2]:
        await tenant.execute(UPDATE_PREFERENCES, user=user, input=disabled)
    await tenant.define_category("security", "IN_APP", "EMAIL", "WEB_PUSH", required=True)
    for user in USERS:
        for channel in random.sample(CHANNELS, random.randrange(len(CHANNELS) + 1)):
            await fakes.add_addresses(tenant, user, channels=[channel])
        if random.random() < 0.3:
            await fakes.add_browser(tenant, user)


async def test_simulate_predicts_the_arrivals_and_the_reasons_of_skipped_deliveries(
    servers: tuple[Mongod, Redis],
) -> None:
    mongod, redis = servers
    random = Random(11)
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1) as (_, tenant, fakes),
        tenant.socket() as socket,
    ):
        socket.read_timeout_s = None
        receipts = await socket.subscribe(RECEIPTS)
        received: dict[Row, str] = {}

        async def collect_receipts() -> None:
            async for receipt in receipts:
                if receipt["status"] == "SKIPPED":
                    received[receipt["sendId"], receipt["userId"], receipt["channel"]] = receipt["reason"]

        await create_users(tenant, fakes, random)
        collecting = asyncio.create_task(collect_receipts())
        simulations = Simulations(tenant)
        for number in range(SENDS):
            await tenant.execute(UPDATE_PREFERENCES, user=random.choice(USERS), input=random_preferences(random))
            if number % 20 == 10:
                await tenant.execute_as_admin(UPDATE_TENANT, input={"preferences": random_preferences(random)})
            await simulations.send(random_send(random, number))
            await wait_until_nothing_waits(tenant)  # before the next change of a preference
        deliveries = await wait_until_settled(tenant, len(fakes.arrivals()), 30)
        assert {delivery["id"] for delivery in deliveries} == fakes.arrivals().keys()
        arrived = {(delivery["sendId"], delivery["userId"], delivery["channel"]) for delivery in deliveries}
        targets = Counter((one["sendId"], one["userId"], one["channel"], one["deviceId"]) for one in deliveries)
        assert targets == simulations.targets
        listed = await simulations.list_deliveries()
        arrived |= {row for row in listed if row[2] == "IN_APP" and listed[row][0] == "DELIVERED"}
        requested = {row: reason for row, reason in simulations.skipped.items() if reason != "NOT_REQUESTED"}

        async def all_received() -> bool:
            return len(received) >= len(requested)

        await eventually(all_received)
        collecting.cancel()
        log.info("%d sends: %d arrived, %s", SENDS, len(arrived), dict(Counter(simulations.skipped.values())))
        assert arrived == simulations.accepted
        assert received == requested
        assert listed.items() >= {(row, ("SKIPPED", requested[row])) for row in requested if row in listed}
        in_inboxes = {row[:2] for row in listed}
        skipped = {row for row in listed if listed[row][0] == "SKIPPED"}
        assert {row for row in requested if row[:2] in in_inboxes} == skipped
        assert {"MUTED", "PREFERENCE", "NO_ADDRESS", "NOT_CONFIGURED"} <= set(requested.values())


async def wait_until_nothing_waits(tenant: Tenant) -> None:
    query = "{ deliveries(filter: {statuses: [ACCEPTED, HELD, RETRYING, PROCESSING]}) { nodes { id } } }"

    async def nothing_waits() -> bool:
        return not (await tenant.execute(query))["deliveries"]["nodes"]

    await eventually(nothing_waits)


async def test_simulation_notes_a_category_and_a_user_that_do_not_exist(tenant: Tenant) -> None:
    await tenant.send("alice", category="news")
    query = "query ($i: SendInput!) { simulate(input: $i) { decisions { note } } }"

    async def note(user: str, category: str) -> str | None:
        input = {"to": {"users": [user]}, "category": category, "content": {"title": "a", "body": ""}}
        [simulation] = (await tenant.execute(query, i=input))["simulate"]
        [text] = {decision["note"] for decision in simulation["decisions"]}
        return text and str(text)

    no_category = "The category does not exist and would be created."
    no_user = "The user does not exist and would be created."
    assert await note("alice", "news") is None
    assert await note("alice", "newz") == no_category
    assert await note("alise", "news") == no_user
    assert await note("alise", "newz") == f"{no_category} {no_user}"
