"""Digests that users choose: they take precedence over those of senders, and a change applies to what waits."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hub import utc_time
from hub.platform.connections import Database
from tests.channel_setup import FakeChannels, list_deliveries
from tests.client import Json, Tenant, eventually
from tests.digest_setup import HOUR, find
from tests.quiet_hours.times import later, set_default_times, set_times, simulate

EMAIL: Json = {"channels": ["IN_APP", "EMAIL"]}
SPREAD = timedelta(minutes=2)
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
NONE: Json = {"digest": None, "digestAt": None, "digestDays": None}


async def choose(tenant: Tenant, user: str = "alice", channel: str | None = "EMAIL", **digest: Any) -> None:
    await set_times(tenant, user, categories=[{"category": "news", "channel": channel, **digest}])


async def open_digest(tenant: Tenant) -> Json:
    """Return the only open digest."""
    [digest], _ = await find(tenant, statuses=["HELD"])
    return digest


async def wait_for_end(tenant: Tenant, at: datetime) -> None:
    """Wait until the only open digest leaves within two minutes after `at`."""

    async def moved() -> bool:
        due_at = datetime.fromisoformat((await open_digest(tenant))["dueAt"])
        return timedelta() <= due_at - at <= SPREAD

    await eventually(moved)


async def opened_at(database: Database, tenant: Tenant) -> datetime:
    doc = await database.deliveries.find_one({"tenant": tenant.name, "open": True})
    assert doc
    at: datetime = doc["created_at"]
    return at


def clock_in(**delta: float) -> tuple[str, datetime]:
    """Return a local time in UTC some time from now, and its instant."""
    at = (datetime.now(UTC) + timedelta(**delta)).replace(second=0, microsecond=0)
    return f"{at:%H:%M}", at


async def test_choice_takes_precedence_over_the_send_and_the_category(acme: Tenant, alice: str) -> None:
    """All sends of the category join one digest on the chosen channel. `simulate` and the inbox say so."""
    await acme.define_category("news", "IN_APP", "EMAIL", "WEB_PUSH", digest="PT3H")
    await choose(acme, digest="PT2H")
    outcome, reason, due_at = await simulate(acme, alice, "EMAIL")
    assert (outcome, reason) == ("HELD", "DIGEST")
    assert timedelta(hours=1.9) < datetime.fromisoformat(due_at or "") - datetime.now(UTC) <= timedelta(hours=2)
    await acme.send(alice)
    [due_at] = [one["dueAt"] for one in (await find(acme, statuses=["HELD"]))[0] if one["channel"] == "EMAIL"]
    for digest in (HOUR, {**HOUR, "key": "b", "lookback": "PT1H"}, HOUR):
        assert await simulate(acme, alice, "EMAIL", digest=digest) == ("HELD", "DIGEST", due_at)
        await acme.send(alice, digest=digest)
    digests, _ = await find(acme, statuses=["HELD"])
    [email] = [one for one in digests if one["channel"] == "EMAIL"]
    assert (email["dueAt"], email["itemCount"]) == (due_at, 4)
    pushes = [one["itemCount"] for one in digests if one["channel"] == "WEB_PUSH"]
    assert sorted(pushes) == [1, 2], "by the category and by the key of the send; one left alone"
    query = "{ inbox { nodes { deliveries { channel status reason dueAt } } } }"
    for n in (await acme.execute(query, user=alice))["inbox"]["nodes"]:
        assert {"channel": "EMAIL", "status": "HELD", "reason": "DIGEST", "dueAt": email["dueAt"]} in n["deliveries"]


async def test_nothing_is_gathered_with_a_window_of_zero(acme: Tenant, alice: str) -> None:
    await acme.define_category("news", "IN_APP", "EMAIL", "WEB_PUSH", digest="PT3H")
    await choose(acme, digest="PT0S")
    assert await simulate(acme, alice, "EMAIL", digest=HOUR) == ("ACCEPTED", None, None)
    assert (await simulate(acme, alice, "WEB_PUSH", digest=HOUR))[:2] == ("HELD", "DIGEST")
    await acme.send(alice, digest=HOUR)
    assert (await open_digest(acme))["channel"] == "WEB_PUSH"


async def test_default_of_the_tenant_applies_to_users_without_a_choice(acme: Tenant, alice: str) -> None:
    await acme.define_category("news", "IN_APP", "EMAIL", "WEB_PUSH")
    await set_default_times(acme, categories=[{"category": "news", "digest": "PT2H"}])
    await choose(acme, digest="PT0S")
    await acme.send(alice)
    assert (await open_digest(acme))["channel"] == "WEB_PUSH"


async def test_daily_digest_leaves_at_the_local_time_on_the_chosen_days(acme: Tenant, alice: str) -> None:
    zone = ZoneInfo("Pacific/Auckland")
    await acme.define_category("news", "IN_APP", "EMAIL")
    await acme.execute(UPSERT, users=[{"id": alice, "timezone": zone.key}])
    local = datetime.now(zone).replace(second=0, microsecond=0, tzinfo=None) + timedelta(hours=2)
    for days_later in (0, 3):
        at = local + timedelta(days=days_later)
        days = [at.isoweekday()] if days_later else None
        await choose(acme, digestAt=f"{at:%H:%M}", digestDays=days)
        _, _, due_at = await simulate(acme, alice, "EMAIL")
        assert timedelta() <= datetime.fromisoformat(due_at or "") - at.replace(tzinfo=zone) <= SPREAD
    await acme.send(alice, **EMAIL)
    await wait_for_end(acme, at.replace(tzinfo=zone))


async def test_critical_and_required_sends_pass_a_choice(acme: Tenant, alice: str) -> None:
    """A LOW send of a required category is gathered. The digest of a send also gathers a required category."""
    await acme.define_category("news", "IN_APP", "EMAIL")
    await choose(acme, digest="PT2H")
    assert (await simulate(acme, alice, "EMAIL", **EMAIL, priority="CRITICAL"))[0] == "ACCEPTED"
    await acme.define_category("news", "IN_APP", "EMAIL", required=True)
    assert (await simulate(acme, alice, "EMAIL", **EMAIL))[0] == "ACCEPTED"
    await acme.send(alice, **EMAIL)
    assert (await find(acme))[0] == []
    assert (await simulate(acme, alice, "EMAIL", **EMAIL, priority="LOW"))[:2] == ("HELD", "DIGEST")
    assert (await simulate(acme, alice, "EMAIL", **EMAIL, digest=HOUR))[:2] == ("HELD", "DIGEST")


async def test_digest_leaves_early_for_an_item_that_the_choice_does_not_concern(acme: Tenant, alice: str) -> None:
    """A MEDIUM send of a required category waits as long as its category says. `simulate` says so."""
    await acme.define_category("news", "IN_APP", "EMAIL", required=True, digest="PT10M")
    await choose(acme, digest="P7D")
    await acme.send(alice, **EMAIL, priority="LOW")
    first = await open_digest(acme)
    assert datetime.fromisoformat(first["dueAt"]) > datetime.now(UTC) + timedelta(days=6)
    latest = datetime.now(UTC) + timedelta(minutes=11)
    _, _, due_at = await simulate(acme, alice, "EMAIL", **EMAIL)
    assert datetime.fromisoformat(due_at or "") < latest
    await acme.send(alice, **EMAIL)
    await acme.send(alice, **EMAIL, priority="LOW")
    digest = await open_digest(acme)
    assert (digest["id"], digest["itemCount"]) == (first["id"], 3)
    assert datetime.fromisoformat(digest["dueAt"]) < latest


async def test_digest_that_quiet_hours_hold_keeps_its_end_when_deliveries_join(
    acme: Tenant, alice: str, database: Database
) -> None:
    await acme.define_category("news", "WEB_PUSH")
    await choose(acme, channel="WEB_PUSH", digest="PT1H")
    await set_times(acme, alice, doNotDisturbUntil=later(hours=5))
    await acme.send(alice)
    await database.deliveries.update_one({"tenant": acme.name, "open": True}, {"$set": {"due_at": utc_time.now()}})

    async def held() -> Json | None:
        digest = await open_digest(acme)
        return digest if digest["reason"] == "DO_NOT_DISTURB" else None

    first = await eventually(held)
    assert (await simulate(acme, alice, "WEB_PUSH"))[2] == first["dueAt"]
    await acme.send(alice)
    digest = await open_digest(acme)
    assert (digest["id"], digest["itemCount"], digest["dueAt"]) == (first["id"], 2, first["dueAt"])


async def test_new_default_of_the_tenant_applies_to_later_sends(acme: Tenant, alice: str) -> None:
    """The digest that is open leaves with them."""
    await acme.define_category("news", "IN_APP", "EMAIL")
    for window, minutes in (("P7D", 7 * 24 * 60), ("PT15M", 15)):
        await set_default_times(acme, categories=[{"category": "news", "digest": window}])
        end = datetime.now(UTC) + timedelta(minutes=minutes)

        async def applies(at: datetime = end) -> bool:
            _, _, due_at = await simulate(acme, alice, "EMAIL", **EMAIL)
            return timedelta() <= datetime.fromisoformat(due_at or "") - at < SPREAD

        await eventually(applies)
        await acme.send(alice, **EMAIL)
    digest = await open_digest(acme)
    assert digest["itemCount"] == 2
    assert datetime.fromisoformat(digest["dueAt"]) - end < SPREAD


async def test_changed_choice_moves_the_end_of_an_open_digest(
    acme: Tenant, alice: str, channels: FakeChannels, database: Database
) -> None:
    """A window starts when the digest opened. Without the choice, the digest leaves, with all its items."""
    await acme.define_category("news", "IN_APP", "EMAIL")
    await choose(acme, digest="PT2H")
    for _ in range(2):
        await acme.send(alice, **EMAIL)
    first, opened = await open_digest(acme), await opened_at(database, acme)
    await choose(acme, digest="PT5H")
    await wait_for_end(acme, opened + timedelta(hours=5))
    text, at = clock_in(hours=3)
    await choose(acme, digestAt=text)
    await wait_for_end(acme, at)
    await acme.send(alice, **EMAIL)
    digest = await open_digest(acme)
    assert (digest["id"], digest["itemCount"]) == (first["id"], 3)
    await acme.execute(UPSERT, users=[{"id": alice, "timezone": "Asia/Kolkata"}])  # 5:30 ahead: passed, so tomorrow
    await wait_for_end(acme, at + timedelta(hours=24 - 5.5))
    await choose(acme, **NONE)

    async def sent() -> bool:
        found = await list_deliveries(acme, statuses=["SENT"])
        return first["id"] in {one["id"] for one in found} and len(found) == 4

    await eventually(sent)
    assert first["id"] in channels.arrivals()


async def test_choice_applies_to_the_open_digest_of_a_send(acme: Tenant, alice: str, database: Database) -> None:
    """Another change of the preferences keeps its end. Without the choice, the window of the category applies."""
    await acme.define_category("news", "IN_APP", "EMAIL")
    await acme.send(alice, digest=HOUR)
    opened = await opened_at(database, acme) - timedelta(minutes=30)
    await database.deliveries.update_one({"tenant": acme.name, "open": True}, {"$set": {"created_at": opened}})
    await set_times(acme, alice, dailyLimit=5)

    async def decided_again() -> bool:
        doc = await database.deliveries.find_one({"tenant": acme.name, "open": True})
        return bool(doc and doc.get("revision"))

    await eventually(decided_again)
    await wait_for_end(acme, opened + timedelta(hours=1.5))
    await choose(acme, digest="PT4H")
    await wait_for_end(acme, opened + timedelta(hours=4))
    await acme.define_category("news", "IN_APP", "EMAIL", digest="PT6H")
    await choose(acme, **NONE)
    await wait_for_end(acme, opened + timedelta(hours=6))
    await choose(acme, digest="PT0S")
    await eventually(lambda: _sent(acme), 20)


async def _sent(tenant: Tenant) -> bool:
    return bool(await list_deliveries(tenant, statuses=["SENT"]))


async def test_digest_that_is_due_is_compared_with_the_latest_choice(
    acme: Tenant, alice: str, database: Database
) -> None:
    """The digest is due before the task that follows changes of preferences."""
    await acme.define_category("news", "IN_APP", "EMAIL")
    await choose(acme, digest="PT1H")
    await acme.send(alice, **EMAIL)
    opened = await opened_at(database, acme)
    later = {"preferences.categories.0.digests.EMAIL.window_s": 4 * 3600}
    await database.users.update_one({"_id": f"{acme.name}/{alice}"}, {"$set": later, "$inc": {"revision": 1}})
    await database.deliveries.update_one({"tenant": acme.name, "open": True}, {"$set": {"due_at": utc_time.now()}})
    await wait_for_end(acme, opened + timedelta(hours=4))
