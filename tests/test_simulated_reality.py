"""`simulate` equals reality: random sends, preferences, and times are simulated, sent, and compared with what the
servers of the channels received, while the clock is moved."""

import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from msgspec import Struct

from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import (
    CHANNELS,
    UPSERT_USERS,
    FakeChannels,
    deployment_with_channels,
    list_all_deliveries,
    list_deliveries,
    wait_for_deliveries,
)
from tests.client import Json, Tenant, eventually
from tests.clocks import advance
from tests.conftest import FULL_SCALE, scaled
from tests.preference_calls import UPDATE_PREFERENCES
from tests.random_sends import ZONES, random_preferences, random_send
from tests.test_moved_clock import instant

ROUNDS = scaled(2, 50)
SENDS_PER_ROUND = 10
USERS_PER_ROUND = 4
PUSH = {"WEB_PUSH", "MOBILE_PUSH"}
LEFT = {"SENT", "DELIVERED"}
ENDS = {"SENT", "DELIVERED", "READ", "FAILED", "SKIPPED", "CANCELLED", "EXPIRED"}
TOLERANCE = timedelta(seconds=5)  # between a simulation and the send
SIMULATE = "query ($i: SendInput!) { simulate(input: $i) { userId decisions { channel step outcome reason dueAt } } }"
SEND = "mutation ($i: SendInput!) { send(input: $i) { send { id } } }"
UPDATE_TENANT = "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }"
SENT = (
    "query ($id: ID!) { send(id: $id) { status notifications(first: 100, hidden: true) { nodes { id userId createdAt "
    "deliveries { id notificationId channel deviceId step status reason dueAt digestId } } } } }"
)
DELIVERIES = (
    "query ($a: String) { deliveries(first: 100, after: $a) { nodes { id notificationId channel deviceId status "
    "digestId attempts { at } } pageInfo { hasNextPage endCursor } } }"
)
SCHEDULED = "{ sends(statuses: [SCHEDULED], first: 100) { nodes { sendAt } } }"
Row = tuple[str, str, str, int]
"""Send, user, channel, and step."""

log = logging.getLogger(__name__)


class Held(Struct, frozen=True):
    """A delivery that the simulation predicted to wait until `due_at` at least."""

    row: Row
    due_at: datetime


class Comparison:
    """Sends that were simulated, and compared with reality."""

    def __init__(self, tenant: Tenant, fakes: FakeChannels) -> None:
        self._tenant = tenant
        self.fakes = fakes
        self._devices: dict[tuple[str, str], int] = {}
        self.ahead = timedelta()
        self.outcomes: Counter[tuple[str, str | None]] = Counter()
        self.scheduled: dict[str, datetime] = {}
        self._held: list[Held] = []
        self._sends: list[str] = []

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def create_user(self, user: str, random: Random) -> None:
        channels = random.sample(CHANNELS, random.randrange(len(CHANNELS) + 1))
        await self.fakes.add_addresses(self._tenant, user, channels=channels)
        if random.random() < 0.4:
            await self.fakes.add_browser(self._tenant, user)
            channels.append("WEB_PUSH")
        self._devices |= {(user, name): count for name, count in Counter(channels).items()}
        if random.random() < 0.5:
            await self._tenant.execute(UPSERT_USERS, users=[{"id": user, "timezone": random.choice(ZONES)}])
        fields = random_preferences(random, self.now)
        await self._tenant.execute(UPDATE_PREFERENCES, user=user, input=fields)

    async def send(self, fields: Json) -> None:
        """Simulate a send, send it, and compare the decisions with the deliveries and arrivals."""
        simulated = (await self._tenant.execute(SIMULATE, i=fields))["simulate"]
        id = (await self._tenant.execute(SEND, i=fields))["send"]["send"]["id"]
        self._sends.append(id)
        await self.wait_until_nothing_moves()
        sent = (await self._tenant.execute(SENT, id=id))["send"]
        assert [user["userId"] for user in simulated] == fields["to"]["users"]
        if "sendAt" in fields:
            assert (sent["status"], sent["notifications"]["nodes"]) == ("SCHEDULED", [])
            self._compare_scheduled(id, instant(fields["sendAt"]), simulated)
            return
        real = {n["userId"]: rows_of(n) for n in sent["notifications"]["nodes"]}
        for user in simulated:
            rows = real[user["userId"]]
            for decision in user["decisions"]:
                self._compare(id, user["userId"], decision, rows)
                if decision["reason"] == "DIGEST" and fields.get("digest", {}).get("key") == "few":
                    self._held.pop()  # the second delivery ends the window
            self._compare_arrivals([row for found in rows.values() for row in found if not row["digestId"]])

    def _compare_scheduled(self, id: str, send_at: datetime, simulated: list[Json]) -> None:
        self.scheduled[id] = send_at
        for decision in (one for user in simulated for one in user["decisions"]):
            assert decision["outcome"] in {"HELD", "SKIPPED"}
            self.outcomes[decision["outcome"], decision["reason"]] += 1
            if decision["outcome"] == "HELD":
                assert instant(decision["dueAt"]) >= send_at - timedelta(milliseconds=1)

    def _compare_arrivals(self, rows: list[Json]) -> None:
        """Check that what left arrived, and that nothing else did."""
        left = Counter(arrival_of(row) for row in rows if row["status"] in LEFT and row["channel"] != "IN_APP")
        arrivals = self.fakes.arrivals()
        assert all(len(arrivals.get(arrival, ())) == left[arrival] for arrival in map(arrival_of, rows))

    def _compare(self, id: str, user: str, decision: Json, real: dict[tuple[str, int], list[Json]]) -> None:
        channel, step, outcome, reason = (decision[name] for name in ("channel", "step", "outcome", "reason"))
        found = real.get((channel, step), [])
        self.outcomes[outcome, reason] += 1
        if reason == "NOT_REQUESTED":
            assert not found
        elif (channel, outcome) == ("IN_APP", "ACCEPTED"):
            rows = [row for (name, _), rows in real.items() if name == "IN_APP" for row in rows]
            assert "DELIVERED" in {row["status"] for row in rows}
        elif outcome == "ACCEPTED":
            assert {row["status"] for row in found} <= LEFT
            assert len(found) == self._devices[user, channel]
        elif outcome == "HELD":
            self._held.append(Held((id, user, channel, step), instant(decision["dueAt"])))
            assert len(found) == (1 if reason == "STEP" or channel == "IN_APP" else self._devices[user, channel])
            if instant(decision["dueAt"]) < self.now:  # the last item of a digest
                return
            assert {(row["status"], row["reason"]) for row in found} == {("HELD", reason)}
            late = [instant(row["dueAt"]) - instant(decision["dueAt"]) for row in found]
            assert all(abs(by) < TOLERANCE for by in late)
        else:
            assert [(row["status"], row["reason"]) for row in found] == [(outcome, reason)]

    async def end_quiet_hours(self) -> None:
        """Let what waits leave now."""
        waiting = await list_all_deliveries(self._tenant, statuses=["HELD"])
        for user in {one["userId"] for one in waiting}:
            await self._tenant.execute(UPDATE_PREFERENCES, user=user, input={"quietSchedule": []})

        async def nothing_waits() -> bool:
            return not await list_deliveries(self._tenant, statuses=["HELD"])

        await eventually(nothing_waits, 60)
        await self.wait_until_nothing_moves()

    async def check_ends(self) -> None:
        """Compare the ends of all deliveries with the predicted times and with what arrived."""
        deliveries = {one["id"]: one for one in (await self._list_everything())}
        assert {one["status"] for one in deliveries.values()} <= ENDS
        times: dict[Row, list[datetime]] = defaultdict(list)
        for id in self._sends:
            sent = (await self._tenant.execute(SENT, id=id))["send"]
            assert sent["status"] != "SCHEDULED"
            for n in sent["notifications"]["nodes"]:
                assert id not in self.scheduled or instant(n["createdAt"]) >= self.scheduled[id]
                for row in n["deliveries"]:
                    attempts = deliveries.get(row["digestId"] or row["id"], {}).get("attempts", ())
                    times[id, n["userId"], row["channel"], row["step"]] += [instant(one["at"]) for one in attempts]
        assert not [held for held in self._held if any(time < held.due_at for time in times[held.row])]
        assert sum(bool(times[held.row]) for held in self._held) > len(self._held) / 4
        carried: dict[str, list[Json]] = defaultdict(list)
        for one in deliveries.values():
            if one["digestId"] and one["status"] in LEFT:
                carried[one["digestId"]].append(one)
        left = Counter(
            arrival_of(one, carried[one["id"]])
            for one in deliveries.values()
            if one["status"] in LEFT and not one["digestId"]
        )
        assert {arrival: len(at) for arrival, at in self.fakes.arrivals().items()} == left

    async def _list_everything(self) -> list[Json]:
        """Return all stored deliveries, also digests."""
        found: list[Json] = []
        cursor = None
        while True:
            page = (await self._tenant.execute(DELIVERIES, a=cursor))["deliveries"]
            found += page["nodes"]
            cursor = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return found

    async def wait_until_nothing_moves(self) -> None:
        async def nothing_moves() -> bool:
            return not await list_deliveries(self._tenant, statuses=["ACCEPTED", "RETRYING", "PROCESSING"])

        await eventually(nothing_moves)

    async def move_clock(self, url: str, minutes: int) -> None:
        self.ahead = timedelta(milliseconds=(await advance(self._tenant, url, f"PT{minutes}M"))["aheadMs"])

    async def advance(self, url: str, minutes: int) -> None:
        """Move the clock, and wait until everything that is due has left or ended."""
        await self.move_clock(url, minutes)
        now = self.now

        async def nothing_is_due() -> bool:
            scheduled = (await self._tenant.execute(SCHEDULED))["sends"]["nodes"]
            if any(instant(send["sendAt"]) <= now for send in scheduled):
                return False
            held = await list_all_deliveries(self._tenant, statuses=["HELD"])
            return all(one["dueAt"] and instant(one["dueAt"]) > now for one in held)

        await eventually(nothing_is_due, 60)
        await self.wait_until_nothing_moves()


def arrival_of(delivery: Json, carried: Sequence[Json] = ()) -> str:
    """Return what identifies a delivery at its server. A push contains the id of its notification, or of a digest with
    several notifications."""
    if delivery["channel"] not in PUSH or not delivery["deviceId"]:
        return str(delivery["id"])
    if len(carried) > 1:
        return f"{delivery['id']}-{delivery['deviceId']}"
    return f"{(carried or [delivery])[0]['notificationId']}-{delivery['deviceId']}"


def rows_of(notification: Json) -> dict[tuple[str, int], list[Json]]:
    rows: dict[tuple[str, int], list[Json]] = defaultdict(list)
    for row in notification["deliveries"]:
        rows[row["channel"], row["step"]].append(row)
    return rows


@pytest.fixture(scope="module")
async def comparison(servers: tuple[Mongod, Redis]) -> AsyncIterator[tuple[Comparison, Tenant]]:
    mongod, redis = servers
    async with deployment_with_channels(
        mongod.url, redis.url, workers=1, mode="development", retry_schedule="36000s"
    ) as (_, tenant, fakes):
        yield Comparison(tenant, fakes), tenant


@pytest.mark.timeout(600)
async def test_simulate_predicts_what_arrives_when_and_why_not(comparison: tuple[Comparison, Tenant]) -> None:
    """Each round has new users, because a later change of preferences would change what waits."""
    compared, tenant = comparison
    random = Random(11)
    await tenant.define_category("news", "IN_APP", "EMAIL", "WEBHOOK")
    await tenant.define_category("builds", "WEB_PUSH", "MOBILE_PUSH", "SMS")
    await tenant.define_category("security", "IN_APP", "EMAIL", "WEB_PUSH", required=True)
    await tenant.define_category("social", "IN_APP", "EMAIL", "WEB_PUSH", digest="PT1H")
    steps = [{"channels": ["IN_APP"], "after": "PT0S"}, {"channels": ["WEB_PUSH", "EMAIL"], "after": "PT2H"}]
    await tenant.define_category("orders", "IN_APP", steps=steps)
    for round in range(ROUNDS):
        if round % 3 == 1:
            preferences = random_preferences(random, compared.now)
            await tenant.execute_as_admin(UPDATE_TENANT, input={"preferences": preferences})
        users = [f"user-{round}-{number}" for number in range(USERS_PER_ROUND)]
        for user in users:
            await compared.create_user(user, random)
        for number in range(SENDS_PER_ROUND):
            await compared.send(random_send(random, users, compared.now, number))
        await compared.advance(tenant.urls[0], random.choice([25, 50, 130, 310]))
    for _ in range(2):  # the steps of scheduled sends follow the publication
        await compared.advance(tenant.urls[0], 4 * 24 * 60)
    await compared.end_quiet_hours()
    await compared.check_ends()
    log.info("%s", dict(compared.outcomes))
    if not FULL_SCALE:  # which outcomes a few sends have depends on the time of day
        return
    assert compared.outcomes.keys() >= {
        *[("ACCEPTED", None)],
        *[("HELD", reason) for reason in ("STEP", "DIGEST", "SCHEDULED", "QUIET_HOURS", "DO_NOT_DISTURB")],
        *[("SKIPPED", reason) for reason in ("MUTED", "PREFERENCE", "NO_ADDRESS")],
        *[("SKIPPED", reason) for reason in ("DAILY_LIMIT", "THROTTLED")],
    }


async def test_retry_that_meets_the_start_of_quiet_hours_waits_for_their_end(
    comparison: tuple[Comparison, Tenant],
) -> None:
    """The first call fails before the window, and the retry is due in it. The delivery waits by itself."""
    compared, other = comparison
    async with Tenant("retries", other.urls) as tenant:
        path = await compared.fakes.add_browser(tenant, "alice")
        compared.fakes.push.replies[path] = [503]
        start, end = (f"{compared.now + timedelta(hours=hours):%H:%M}" for hours in (1, 23))
        quiet = {"quietHours": {"start": start, "end": end, "timezone": "UTC"}}
        await tenant.execute(UPDATE_PREFERENCES, user="alice", input=quiet)
        await tenant.send("alice", channels=["WEB_PUSH"])
        [retrying] = await wait_for_deliveries(tenant, "RETRYING")
        await compared.move_clock(tenant.urls[0], 20 * 60)
        [held] = await wait_for_deliveries(tenant, "HELD")
        assert (held["id"], held["reason"], len(held["attempts"])) == (retrying["id"], "QUIET_HOURS", 1)
        query = "query ($id: ID!) { delivery(id: $id) { digestId } }"
        assert (await tenant.execute(query, id=held["id"]))["delivery"]["digestId"] is None
        await compared.move_clock(tenant.urls[0], 4 * 60)
        [sent] = await wait_for_deliveries(tenant, "SENT")
        assert len(sent["attempts"]) == compared.fakes.push.call_counts[path] == 2
        assert instant(sent["attempts"][1]["at"]) >= instant(held["dueAt"])
