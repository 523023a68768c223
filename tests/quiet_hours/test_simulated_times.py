"""`simulate` predicts when the deliveries of a send leave, for random preferences of users and tenants."""

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from random import Random

from tests.channel_setup import FakeChannels
from tests.client import Json, Tenant
from tests.conftest import scaled
from tests.quiet_hours.times import later, set_default_times, set_times, window

USERS = scaled(60, 500)
SIMULATE = "query ($i: SendInput!) { simulate(input: $i) { decisions { channel outcome reason dueAt } } }"
SENT = (
    "query ($id: ID!) { send(id: $id) { notifications(hidden: true) { nodes { deliveries { channel status reason dueAt } "
    "} } } }"
)
SEND = "mutation ($i: SendInput!) { send(input: $i) { send { id } } }"
EVERY_DAY = [1, 2, 3, 4, 5, 6, 7]

log = logging.getLogger(__name__)


def random_window(random: Random) -> Json:
    """Return a window that does not begin or end while the test runs."""
    begins = random.choice([-600, -60, -60, 60])
    days = random.choice([EVERY_DAY, EVERY_DAY, random.sample(EVERY_DAY, 4)])
    allow = random.choice(["CRITICAL", "CRITICAL", "HIGH", "MEDIUM", "LOW"])
    ends = begins + random.choice([120, 480, 700])
    return window(timedelta(minutes=begins), timedelta(minutes=ends + 30), days=days, allow=allow)


def random_times(random: Random) -> Json:
    times: Json = {}
    if random.random() < 0.8:
        times["quietSchedule"] = [random_window(random) for _ in range(random.randrange(1, 3))]
    if random.random() < 0.3:
        times["doNotDisturbUntil"] = later(minutes=random.choice([30, 600]))
    if random.random() < 0.4:
        times["dailyLimit"] = random.choice([0, 1, 2])
    if random.random() < 0.5:
        times["categories"] = [{"category": "news", **random_digest(random)}]
    return times


def random_digest(random: Random) -> Json:
    channel = random.choice(["EMAIL", "WEB_PUSH", None])
    if random.random() < 0.5:
        return {"channel": channel, "digest": "PT0S"}
    at = window(timedelta(hours=3), timedelta(hours=4))["start"]
    return {"channel": channel, "digestAt": at, "digestDays": random.sample(EVERY_DAY, 4)}


async def test_simulate_predicts_times_and_reasons(acme: Tenant, channels: FakeChannels) -> None:
    await acme.define_category("news", "IN_APP")
    await acme.define_category("security", "IN_APP", required=True)
    await set_default_times(acme, quietHours=random_window(Random(4)), dailyLimit=2)
    outcomes: Counter[tuple[str, str | None]] = Counter()
    at_once = asyncio.Semaphore(20)

    async def compare(number: int) -> None:
        async with at_once:
            await compare_sends(number)

    async def compare_sends(number: int) -> None:
        user, random = f"user{number}", Random(number)
        await channels.add_addresses(acme, user, channels=["WEB_PUSH", "EMAIL"])
        times = random_times(random) if number % 6 else {"quietSchedule": [], "dailyLimit": 0}
        await set_times(acme, user, **times)
        for _ in range(3):
            requested = random.sample(["IN_APP", "EMAIL", "WEB_PUSH", "SMS"], random.randrange(1, 4))
            input: Json = {
                "to": {"users": [user]},
                "category": random.choice(["news", "security"]),
                "content": {"title": "T", "body": "B"},
                "channels": requested,
                "priority": random.choice(["CRITICAL", "HIGH", "MEDIUM", "LOW"]),
            }
            if random.random() < 0.3:
                input["expiresAt"] = later(minutes=random.choice([45, 2000]))
            [simulated] = (await acme.execute(SIMULATE, i=input))["simulate"]
            id = (await acme.execute(SEND, i=input))["send"]["send"]["id"]
            [n] = (await acme.execute(SENT, id=id))["send"]["notifications"]["nodes"]
            found = {one["channel"]: one for one in n["deliveries"]}
            for decision in simulated["decisions"]:
                if decision["reason"] == "NOT_REQUESTED":
                    assert decision["channel"] not in found
                    continue
                real = found[decision["channel"]]
                outcomes[decision["outcome"], decision["reason"]] += 1
                if decision["outcome"] == "ACCEPTED":
                    assert real["status"] not in {"HELD", "SKIPPED"}
                else:
                    expected = (decision["outcome"], decision["reason"], decision["dueAt"])
                    assert (real["status"], real["reason"], real["dueAt"]) == expected

    await asyncio.gather(*(compare(number) for number in range(USERS)))
    log.info("%s", dict(outcomes))
    assert outcomes.keys() >= {
        ("HELD", "QUIET_HOURS"),
        ("HELD", "DO_NOT_DISTURB"),
        ("HELD", "DIGEST"),
        ("SKIPPED", "DAILY_LIMIT"),
    }
