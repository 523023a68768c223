"""Subscriptions to topics: by the tenant, and as users see, leave and rejoin them."""

import asyncio
import random
from enum import Enum

import pytest

from hub.audience.topics import KEYS_SHOWN_MAX
from hub.model import mailbox_of
from hub.platform.connections import Database
from tests.client import Tenant
from tests.conftest import scaled
from tests.graphql_errors import expect_error
from tests.topics.calls import (
    LEAVE,
    ME,
    REJOIN,
    SUBSCRIBE,
    UNSUBSCRIBE,
    USER,
    leave,
    list_topics,
    own_topics,
    rejoin,
    subscribe,
    topics_of_user,
    unsubscribe,
    upsert_topic,
)

NOT_FOUND = ("NOT_FOUND", "topic")


async def test_subscribing_is_idempotent_and_creates_missing_users(tenant: Tenant) -> None:
    users = [f"u{n}" for n in range(1000)]
    assert await subscribe(tenant, "news", *users[:600]) == 600
    assert await subscribe(tenant, "news", *users[1:], "u1") == 400
    assert await subscribe(tenant, "news", *users) == 0
    assert (await list_topics(tenant))["nodes"][0]["subscribers"] == 1000
    assert await topics_of_user(tenant, "u999") == (["news"], {"news": False})


async def test_subscribing_does_not_change_existing_users(tenant: Tenant) -> None:
    query = "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id name email updatedAt } }"
    [before] = (await tenant.execute(query, u=[{"id": "alice", "name": "Alice", "email": "a@x.example"}]))[
        "upsertUsers"
    ]
    await subscribe(tenant, "news", "alice", "bob")
    assert (await tenant.execute('{ user(id: "alice") { id name email updatedAt } }'))["user"] == before
    sent = await tenant.send("alice", "bob")
    assert sent["send"]["recipients"] == 2


async def test_user_leaves_and_comes_back(tenant: Tenant) -> None:
    await upsert_topic(tenant, "news", name="News", visible=True)
    await subscribe(tenant, "news", "alice", "bob")
    left = await leave(tenant, "news", "alice")
    assert left["topic"] == {"key": "news", "name": "News", "visible": True, "subscribers": None}
    assert left["leftAt"]
    assert await leave(tenant, "news", "alice") == left
    assert await own_topics(tenant, "alice") == ([], {"news": True})
    assert await own_topics(tenant, "bob") == (["news"], {"news": False})
    assert (await list_topics(tenant))["nodes"][0]["subscribers"] == 1
    back = await rejoin(tenant, "news", "alice")
    assert back == {**left, "leftAt": None}
    assert await rejoin(tenant, "news", "alice") == back
    assert await own_topics(tenant, "alice") == (["news"], {"news": False})


async def test_user_who_left_stays_out_unless_forced(tenant: Tenant) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", "alice")
    await leave(tenant, "news", "alice")
    assert await subscribe(tenant, "news", "alice", "bob") == 1
    assert await own_topics(tenant, "alice") == ([], {"news": True})
    assert await subscribe(tenant, "news", "alice", "bob", force=True) == 1
    assert await own_topics(tenant, "alice") == (["news"], {"news": False})


async def test_nightly_synchronization_does_not_bring_back_a_user_who_left(tenant: Tenant) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", "alice", "bob")
    await leave(tenant, "news", "alice")
    for _ in range(2):
        assert await unsubscribe(tenant, "news", "alice", "bob", "nobody") == 1
        assert await own_topics(tenant, "alice") == await topics_of_user(tenant, "alice") == ([], {})
        assert await expect_error(rejoin(tenant, "news", "alice")) == NOT_FOUND, "the tenant took the user out"
        assert await subscribe(tenant, "news", "alice", "bob") == 1
        assert await own_topics(tenant, "alice") == ([], {"news": True})
        assert await own_topics(tenant, "bob") == (["news"], {"news": False})
    await unsubscribe(tenant, "news", "alice")
    assert await subscribe(tenant, "news", "alice", force=True) == 1
    assert await own_topics(tenant, "alice") == (["news"], {"news": False})


async def test_invisible_topic_does_not_exist_for_its_users(tenant: Tenant) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", "alice")
    await subscribe(tenant, "churn-risk", "alice")
    assert await own_topics(tenant, "alice") == (["news"], {"news": False})
    assert await topics_of_user(tenant, "alice") == (["churn-risk", "news"], {"churn-risk": False, "news": False})
    missing = await tenant.execute_raw(LEAVE, user="alice", t="missing")
    for topic in ("churn-risk", "missing"):
        for query in (LEAVE, REJOIN):
            response = await tenant.execute_raw(query, user="alice", t=topic)
            assert response == missing
    await leave(tenant, "news", "alice")
    await upsert_topic(tenant, "news", visible=False)
    assert await own_topics(tenant, "alice") == ([], {})
    assert await expect_error(rejoin(tenant, "news", "alice")) == NOT_FOUND


async def test_user_without_a_subscription_cannot_leave_or_rejoin(tenant: Tenant) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", "alice")
    for query in (LEAVE, REJOIN):
        assert await expect_error(tenant.execute(query, user="bob", t="news")) == NOT_FOUND
        assert await expect_error(tenant.execute(query, user="alice", t="\n")) == ("BAD_USER_INPUT", "topic")
        assert (await expect_error(tenant.execute(query, t="news")))[0] == "FORBIDDEN"
    assert await expect_error(unsubscribe(tenant, "missing", "alice")) == NOT_FOUND


async def test_subscriptions_have_pages_and_topics_are_shown_up_to_a_hundred(tenant: Tenant) -> None:
    visible = [f"v{n:03}" for n in range(KEYS_SHOWN_MAX + 5)]
    await asyncio.gather(*(upsert_topic(tenant, key, visible=True) for key in visible))
    await asyncio.gather(*(subscribe(tenant, key, "alice") for key in [*visible, "hidden"]))
    for query, user, shown in ((ME, "alice", visible), (USER, None, ["hidden", *visible])):
        variables = {} if user else {"id": "alice"}
        found: list[str] = []
        after: str | None = None
        while True:
            seen = (await tenant.execute(query, user=user, n=50, a=after, **variables))["user"]
            found += [one["topic"]["key"] for one in seen["subscriptions"]["nodes"]]
            assert seen["topics"] == shown[:KEYS_SHOWN_MAX]
            after = seen["subscriptions"]["pageInfo"]["endCursor"]
            if not seen["subscriptions"]["pageInfo"]["hasNextPage"]:
                break
        assert found == shown
    assert await expect_error(tenant.execute(ME, user="alice", a="!")) == ("BAD_USER_INPUT", "after")


@pytest.mark.parametrize("query", [SUBSCRIBE, UNSUBSCRIBE])
async def test_invalid_calls_are_rejected(tenant: Tenant, query: str) -> None:
    for topic, users, expected in [
        ("", ["alice"], ("BAD_USER_INPUT", "topic")),
        ("a\u200bb", ["alice"], ("BAD_USER_INPUT", "topic")),
        ("news", [], ("BAD_USER_INPUT", "users")),
        ("news", ["alice", ""], ("BAD_USER_INPUT", "users")),
        ("news", ["x"] * 1001, ("TOO_LARGE", "users")),
    ]:
        assert await expect_error(tenant.execute(query, t=topic, u=users)) == expected
    assert (await expect_error(tenant.execute(query, user="alice", t="news", u=["alice"])))[0] == "FORBIDDEN"
    assert (await list_topics(tenant))["nodes"] == []


async def test_user_with_too_many_topics_is_named_and_nothing_is_stored(tenant: Tenant, database: Database) -> None:
    await subscribe(tenant, "first", "alice")
    await database.users.update_one({"_id": mailbox_of(tenant.name, "alice")}, {"$set": {"subscription_count": 1000}})
    response = await tenant.execute_raw(SUBSCRIBE, t="second", u=["bob", "alice"])
    [error] = response["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("TOO_LARGE", "users")
    assert "`alice`" in error["message"]
    assert [topic["key"] for topic in (await list_topics(tenant))["nodes"]] == ["first"]
    assert (await tenant.execute(USER, id="bob"))["user"] is None
    await unsubscribe(tenant, "first", "alice")
    assert await subscribe(tenant, "second", "bob", "alice") == 2


class State(Enum):
    ACTIVE, LEFT, REMOVED = range(3)


class Model:
    """The rules of the table in `hub/audience/topics.py`, for the users of one topic."""

    def __init__(self) -> None:
        self.users: dict[str, State] = {}

    def subscribe(self, users: list[str], *, force: bool) -> int:
        changed = 0
        for user in users:
            state = self.users.get(user)
            if state is None or (force and state is not State.ACTIVE):
                self.users[user] = State.ACTIVE
                changed += 1
            elif state is State.REMOVED:
                self.users[user] = State.LEFT
        return changed

    def unsubscribe(self, users: list[str]) -> int:
        changed = 0
        for user in users:
            if self.users.get(user) is State.ACTIVE:
                del self.users[user]
                changed += 1
            elif self.users.get(user) is State.LEFT:
                self.users[user] = State.REMOVED
        return changed

    def leave(self, user: str) -> bool:
        return self._move(user, State.LEFT)

    def rejoin(self, user: str) -> bool:
        return self._move(user, State.ACTIVE)

    def _move(self, user: str, state: State) -> bool:
        """Return False if the user is not found."""
        if self.users.get(user) not in (State.ACTIVE, State.LEFT):
            return False
        self.users[user] = state
        return True

    def seen(self, user: str) -> bool | None:
        """Return True if the user has left, and None if the user does not see the topic."""
        return {State.ACTIVE: False, State.LEFT: True}.get(self.users.get(user, State.REMOVED))


async def test_random_changes_agree_with_a_simple_model(tenant: Tenant, database: Database) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    users, topics = [f"u{n}" for n in range(6)], {key: Model() for key in ("a", "b")}
    for key in topics:
        await upsert_topic(tenant, key, visible=True)
    await tenant.send(*users)
    for step in range(scaled(80, 2000)):
        key = chance.choice(list(topics))
        model, some = topics[key], chance.sample(users, chance.randint(1, 4))
        user, force = some[0], chance.random() < 0.2
        match chance.randrange(4):
            case 0:
                assert await subscribe(tenant, key, *some, force=force) == model.subscribe(some, force=force), seed
            case 1:
                assert await unsubscribe(tenant, key, *some) == model.unsubscribe(some), seed
            case 2 | 3 as way:
                query, move = (LEAVE, model.leave) if way == 2 else (REJOIN, model.rejoin)
                response = await tenant.execute_raw(query, user=user, t=key)
                assert ("errors" not in response) == move(user), (seed, step, response)
        active, seen = await own_topics(tenant, user)
        assert seen == {key: left for key, one in topics.items() if (left := one.seen(user)) is not None}, seed
        assert active == [key for key, left in seen.items() if not left], seed
    for topic in (await list_topics(tenant))["nodes"]:
        states = list(topics[topic["key"]].users.values())
        assert topic["subscribers"] == states.count(State.ACTIVE), seed
    for user in users:
        stored = await database.users.find_one({"_id": mailbox_of(tenant.name, user)})
        assert stored
        assert stored.get("subscription_count", 0) == sum(user in one.users for one in topics.values()), seed
