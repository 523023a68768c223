"""Random operations of users and services, and clients that follow the inboxes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

from tests.client import Json, Replica, Tenant, eventually

CATEGORIES = ["news", "bills", "chat"]
TAGS = ["red", "blue"]
COLLAPSE_KEYS = ["build", "likes"]
RESOLVE = "mutation ($key: String!, $users: [ID!]) { resolve(collapseKey: $key, users: $users) }"
ACT = "mutation ($id: ID!, $key: String!) { act(id: $id, key: $key) { changed } }"
ACTIONS = [{"key": "yes", "label": "Yes"}, {"key": "no", "label": "No"}]
PRIORITIES = ["LOW", "MEDIUM", "HIGH"]
MARKS = [*["markRead"] * 3, *["markSeen"] * 2, "markUnread", "archive", "unarchive", "unsnooze", "acknowledge", "act"]
MARKS += ["pin", "unpin"]
ALL_MARKS = ["markAllSeen", "markAllRead", "archiveAll"]


def instant_ahead(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


class FollowingClient:
    """A client with a subscription. `events`: every event, over all its connections."""

    def __init__(self, tenant: Tenant, user: str) -> None:
        self.tenant = tenant
        self.user = user
        self.replica = Replica()
        self.events: list[Json] = []
        self.resyncs = 0

    async def load(self) -> None:
        await self.replica.load(self.tenant, self.user)

    async def follow(self, cut: Random | None = None, max_events: int = 1) -> None:
        """Follow the inbox until cancelled. With `cut`, each connection lasts for 0 to `max_events` events, and the next one
        resumes.
        On RESYNC, load the inbox again."""
        while True:
            left = cut.randint(0, max_events) if cut else None
            async with self.tenant.feed(self.user, self.replica.cursor) as feed:
                feed.socket.read_timeout_s = None
                while left is None or left > 0:
                    event = await anext(feed)
                    if event["kind"] == "RESYNC":
                        self.resyncs += 1
                        async for more in feed:
                            raise AssertionError(f"after RESYNC: {more}")
                        await self.load()
                        break
                    self.events.append(event)
                    self.replica.apply(event)
                    left = left and left - 1

    async def caught_up(self, modseq: int) -> None:
        async def exists() -> bool:
            return self.replica.modseq >= modseq

        await eventually(exists)


@asynccontextmanager
async def follow_inboxes(
    *watchers: FollowingClient, cut: Random | None = None, max_events: int = 1
) -> AsyncIterator[None]:
    """Follow the inboxes while the body runs. An error of a client is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watcher.follow(cut, max_events)) for watcher in watchers]
        yield
        for task in tasks:
            task.cancel()


class RandomUsers:
    """Executes random operations, with the choices of a `Random`. Users act on their replica of the inbox."""

    def __init__(self, tenant: Tenant, replicas: dict[str, Replica]) -> None:
        self.tenant = tenant
        self.replicas = replicas
        self.users = sorted(replicas)
        self.sent: dict[str, int] = {}

    async def act(self, random: Random, *, no_clock_changes: bool = False, no_resync: bool = False) -> None:
        """Execute one operation. `no_clock_changes`: no operation that the clock would change soon. `no_resync`: no operation that
        the
        feed may answer with RESYNC."""
        dice = random.random()
        if dice < 0.35:
            await self.send(random, no_clock_changes=no_clock_changes)
        elif dice < 0.80:
            await self.mark(random)
        elif dice < 0.90:
            await self.snooze(random, no_clock_changes=no_clock_changes)
        else:
            await self.mark_all(random, no_resync=no_resync)

    async def send(self, random: Random, *, no_clock_changes: bool = False) -> None:
        users = random.sample(self.users, random.choice([1, 2, 3, len(self.users)]) if len(self.users) > 3 else 1)
        expiring = not no_clock_changes and random.random() < 0.15
        collapsing = not no_clock_changes and random.random() < 0.25  # it removes notifications, as expiry does
        sent = await self.tenant.send(
            *users,
            title=f"{random.choice(['Build', 'Deploy', 'Invoice'])} {random.randint(1, 1000)}",
            category=random.choice(CATEGORIES),
            content={"actions": ACTIONS},
            tags=random.sample(TAGS, random.randint(0, 2)),
            priority=random.choice(PRIORITIES),
            requireAck=random.random() < 0.3,
            pinned=random.random() < 0.2,
            **({"expiresAt": instant_ahead(seconds=random.uniform(0.3, 3))} if expiring else {}),
            **(Json(channels=["EMAIL"]) if random.random() < 0.05 else {}),
            **(Json(collapseKey=random.choice(COLLAPSE_KEYS)) if collapsing else {}),
        )
        self.sent[sent["send"]["id"]] = len(users)
        if collapsing and random.random() < 0.2:
            named = users if random.random() < 0.5 else None
            await self.tenant.execute(RESOLVE, key=random.choice(COLLAPSE_KEYS), users=named)

    async def mark(self, random: Random) -> None:
        user, ids = self._pick(random)
        field = random.choice(MARKS)
        if field != "act":
            await self.tenant.mark(user, field, *ids)
        elif ids:
            await self.act_on(user, ids[0], random.choice(ACTIONS)["key"])

    async def act_on(self, user: str, id: str, key: str) -> None:
        """Take an action. It may fail: the notification was removed, has no actions, or another one was taken."""
        response = await self.tenant.execute_raw(ACT, user=user, id=id, key=key)
        codes = {error["extensions"]["code"] for error in response.get("errors", [])}
        assert codes <= {"CONFLICT", "NOT_FOUND", "BAD_USER_INPUT"}

    async def snooze(self, random: Random, *, no_clock_changes: bool = False) -> None:
        user, ids = self._pick(random)
        short = not no_clock_changes and random.random() < 0.8
        until = instant_ahead(seconds=random.uniform(0.5, 3)) if short else instant_ahead(hours=random.randint(1, 9))
        await self.tenant.mark(user, "snooze", *ids, until=until)

    async def mark_all(self, random: Random, *, no_resync: bool = False) -> None:
        dice = random.random()
        expected: Json = {}
        if dice > 0.3:
            expected["view"] = random.choice(["ACTIVE", "ACTIVE", "UNREAD", "SNOOZED", "ARCHIVED", "ALL"])
            narrowings: list[Json] = [
                {"search": random.choice(["build 1", "deploy 2", "invoice 3"])},
                {"search": random.choice(["build", "deploy", "invoice"])},
                {"categories": random.sample(CATEGORIES, random.randint(1, 2))},
                {"tags": [random.choice(TAGS)]},
                {"pinned": random.random() < 0.5},
                {},
            ]
            expected |= narrowings[0] if no_resync else random.choice(narrowings)
        await self.tenant.mark_all(random.choice(self.users), random.choice(ALL_MARKS), **expected)

    def _pick(self, random: Random) -> tuple[str, list[str]]:
        user = random.choice(self.users)
        order = self.replicas[user].order
        newest = order[:30] if random.random() < 0.8 else order
        return user, random.sample(newest, min(len(newest), random.choice([1, 1, 2, 5])))
