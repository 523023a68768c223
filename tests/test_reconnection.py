"""Everybody loses the server at once, and comes back at once."""

import asyncio
import time
from random import Random

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.listen import raise_open_file_limit
from tests.bulk_clients import Line, asked_until, hanging_up, open_all, percentile, subscribed
from tests.client import Tenant, eventually
from tests.conftest import FULL, scaled
from tests.processes import Deployment, Process

pytestmark = pytest.mark.alone

CLIENTS = scaled(500, 5000)
USERS = [f"user{number}" for number in range(CLIENTS)]
PACE = scaled(1, 6) / 6
BACK_WITHIN_S = 30.0
AT_ONCE = 500  # users of one send
ANSWERED_WITHIN_MS = 5000.0  # an unrelated query: the machine may be busy, a hub that answers nobody is not


class Crowd:
    """One client a user, and what each of them has to hear."""

    def __init__(self, tenant: Tenant, teller: Process) -> None:
        self._tenant = tenant
        self._teller = teller
        self.lines = {user: Line(tenant.token(user)) for user in USERS}
        self.expected: dict[str, list[str]] = {user: [] for user in USERS}

    async def tell(self, title: str, users: list[str]) -> None:
        for start in range(0, len(users), AT_ONCE):
            await self._tenant.send(*users[start : start + AT_ONCE], title=title, url=self._teller.url)
        for user in users:
            self.expected[user].append(title)

    async def tell_some(self, title: str, random: Random) -> None:
        await self.tell(title, random.sample(USERS, CLIENTS // 10))

    async def all_heard(self) -> bool:
        return all(len(line.heard) >= len(self.expected[user]) for user, line in self.lines.items())

    @property
    def away(self) -> int:
        """Who was told nothing yet of what they missed."""
        return sum(line.heard == ["before"] for line in self.lines.values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM"] if FULL else ["SIGKILL"])
async def test_everybody_who_lost_the_server_is_back_within_30_s_and_missed_nothing(
    servers: tuple[Mongod, Redis], ending: str
) -> None:
    raise_open_file_limit()
    random = Random(ending)
    async with Deployment(*(server.url for server in servers), apis=2, workers=0) as running:
        lost, other = running.apis
        async with Tenant(f"reconnection-{ending.lower()}", running.urls) as tenant:
            await tenant.send("somebody-else")
            crowd = Crowd(tenant, other)
            lines = list(crowd.lines.values())
            async with hanging_up(lines):
                await crowd.tell("made", USERS)
                crowd.expected = {user: [] for user in USERS}  # they listen from now on
                await open_all(lines, lost.port)
                await subscribed(lost, CLIENTS, tenant)
                await crowd.tell("before", USERS)
                await eventually(crowd.all_heard, 30)
                coming = [asyncio.create_task(line.stay(lost.port, random, PACE)) for line in lines]

                gone_at = time.monotonic()
                if ending == "SIGKILL":
                    lost.kill()
                else:
                    assert await lost.stop() == 0
                    assert all(line.codes == [1012] for line in lines)
                await crowd.tell("away", USERS)
                for number in range(2):
                    await crowd.tell_some(f"away {number}", random)
                await lost.start()
                serving_s = time.monotonic() - gone_at

                stop = asyncio.Event()
                asking = [asyncio.create_task(asked_until(stop, tenant, api.url)) for api in (lost, other)]
                number = 0
                while crowd.away:
                    await crowd.tell_some(f"meanwhile {number}", random)
                    number += 1
                    assert time.monotonic() < gone_at + BACK_WITHIN_S, (
                        f"{crowd.away} are still away:\n{lost.log[-3000:]}"
                    )
                    await asyncio.sleep(0.05)
                back_s = time.monotonic() - gone_at
                await crowd.tell("last", USERS)
                await eventually(crowd.all_heard, 30)
                stop.set()
                restarted, beside = [await answers for answers in asking]
                for task in coming:
                    task.cancel()
                await asyncio.gather(*coming, return_exceptions=True)
    said = (
        f"{CLIENTS} clients, {ending}: serving again after {serving_s:.1f} s, all back after {back_s:.1f} s, "
        f"{number} sends meanwhile; others' queries p50/p99/max "
        + ", ".join(
            f"{name} {percentile(took, 0.5):.0f}/{percentile(took, 0.99):.0f}/{max(took):.0f} ms ({len(took)})"
            for name, took in (("restarted", restarted), ("other", beside))
        )
    )
    print(said)  # noqa: T201 - the measured figures
    assert [line.errors for line in lines if line.errors] == []
    for user, line in crowd.lines.items():
        assert line.heard == crowd.expected[user], user
        assert line.others == []
    assert max(restarted + beside) < ANSWERED_WITHIN_MS, said
