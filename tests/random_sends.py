"""Random sends and preferences."""

from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from hub.model import Channel
from tests.client import Json

EVERY_DAY = [1, 2, 3, 4, 5, 6, 7]
NAMES = [channel.value for channel in Channel]
LATER = "2090-01-01T00:00:00Z"
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu")


def at(now: datetime, minutes: int) -> str:
    return (now + timedelta(minutes=minutes)).isoformat()


def random_window(random: Random, now: datetime) -> Json:
    """Return a window that does not begin or end within half an hour."""
    zone = random.choice(ZONES)
    begins = random.choice([-500, -60, -60, 60])
    ends = begins + random.choice([120, 420, 600])
    start, end = (
        f"{(now + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)):%H:%M}" for minutes in (begins, ends + 30)
    )
    days = random.choice([EVERY_DAY, EVERY_DAY, random.sample(EVERY_DAY, 4)])
    allow = random.choice(["CRITICAL", "CRITICAL", "HIGH", "MEDIUM", "LOW"])
    return {"start": start, "end": end, "timezone": zone, "days": days, "allow": allow}


def random_preferences(random: Random, now: datetime) -> Json:
    """Return switches, cells of the matrix, mutes that have ended or last, quiet hours, and limits."""
    cells: list[Json] = []
    for category in random.sample(["news", "builds"], random.randrange(3)):
        if random.random() < 0.4:
            cells.append({"category": category, "mutedUntil": random.choice(["2020-01-01T00:00:00Z", LATER])})
        else:
            cells.append({"category": category, "channel": random.choice(NAMES), "enabled": random.random() < 0.5})
    switches = [
        {"channel": name, "enabled": random.random() < 0.6} for name in random.sample(NAMES, random.randrange(3))
    ]
    fields: Json = {"channels": switches, "categories": cells}
    if random.random() < 0.6:
        fields["quietSchedule"] = [random_window(random, now) for _ in range(random.randrange(3))]
    if random.random() < 0.3:
        fields["doNotDisturbUntil"] = at(now, random.choice([40, 600]))
    if random.random() < 0.4:
        fields["dailyLimit"] = random.choice([0, 1, 2])
    return fields


def random_steps(random: Random) -> list[Json]:
    return [
        {
            "channels": random.sample(NAMES[:6], random.randrange(1, 4)),
            "after": random.choice(["PT0S", "PT30M", "PT5H"]),
            "unless": random.choice(["SEEN", "READ", "NEVER"]),
        }
        for _ in range(random.randrange(1, 3))
    ]


def random_digest(random: Random) -> Json:
    digest: Json = {"key": random.choice("ab"), "window": random.choice(["PT30M", "PT4H"])}
    return digest | random.choice([{}, {"mode": "SLIDING", "max": "PT6H"}, {"lookback": "PT1H"}])


def random_send(random: Random, users: list[str], now: datetime, number: int) -> Json:
    fields: Json = {
        "to": {"users": random.sample(users, random.randrange(1, 3))},
        "category": random.choice(["news", "builds", "security", "social", "orders", "undefined"]),
        "content": {"title": f"Number {number}", "body": "there"},
        "requireAck": random.random() < 0.2,
    }
    options: list[tuple[float, Json]] = [
        (0.7, {"channels": random.sample(NAMES, random.randrange(1, len(NAMES)))}),
        (0.4, {"priority": random.choice(["CRITICAL", "HIGH", "MEDIUM", "LOW"])}),
        (0.3, {"steps": random_steps(random)}),
        (0.3, {"digest": random_digest(random)}),
        (0.1, {"digest": {"key": "few", "window": "PT4H", "maxItems": 2}}),
        (0.4, {"throttle": {"key": "t", "limit": random.choice([1, 1, 2]), "window": "PT6H"}}),
        (0.15, {"collapseKey": random.choice("cd")}),
        (0.2, {"expiresAt": at(now, random.choice([45, 1200, 5000]))}),
        (0.1, {"sendAt": at(now, random.choice([20, 300])), "expiresAt": None}),
    ]
    for chance, option in options:
        if random.random() < chance:
            fields |= option
    return fields
