"""Throttles: at most so many sends per recipient and key leave the hub in a window."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.decide.plan import Decision, Plan
from hub.decide.throttle import Throttle, throttled
from hub.inbox.window_counts import empty_count
from hub.model import Category, Channel, DeliveryStatus, Priority, User
from hub.model import Tenant as StoredTenant
from hub.platform.connections import Database
from tests.channel_setup import connect_webhook, list_all_deliveries
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.collapse.inboxes import whole_inbox
from tests.preference_calls import update_preferences
from tests.strategies import NOW
from tests.webhook_receiver import WebhookReceiver

HOUR: Json = {"key": "cpu", "limit": 3, "window": "PT1H"}
DECISIONS = "query ($i: SendInput!) { simulate(input: $i) { decisions { channel outcome reason } } }"
CONCURRENT = 50


@pytest.fixture
async def tenant(tenant: Tenant, receiver: WebhookReceiver) -> Tenant:
    """A tenant whose user alice has a webhook."""
    await connect_webhook(tenant, receiver, "alice")
    return tenant


async def webhook_outcome(tenant: Tenant, **more: Any) -> tuple[str, str | None]:
    """Send to alice. Return status and reason of the channel WEBHOOK."""
    fields = {"channels": ["IN_APP", "WEBHOOK"], "throttle": HOUR} | more
    sent = await tenant.send("alice", **fields)
    query = """query ($id: ID!) { send(id: $id) { notifications(hidden: true) { nodes {
      deliveries { channel status reason } } } } }"""
    [n] = (await tenant.execute(query, id=sent["send"]["id"]))["send"]["notifications"]["nodes"]
    [row] = [row for row in n["deliveries"] if row["channel"] == "WEBHOOK"]
    return "LEFT" if row["status"] != "SKIPPED" else "SKIPPED", row["reason"]


async def simulated(tenant: Tenant, **more: Any) -> dict[str, tuple[str, str | None]]:
    fields: Json = {"to": {"users": ["alice"]}, "category": "news", "content": {"title": "T", "body": ""}}
    fields |= {"channels": ["IN_APP", "WEBHOOK"], "throttle": HOUR} | more
    [user] = (await tenant.execute(DECISIONS, i=fields))["simulate"]
    return {row["channel"]: (row["outcome"], row["reason"]) for row in user["decisions"]}


async def test_sends_over_the_limit_stay_in_the_inbox_and_simulate_says_so(tenant: Tenant) -> None:
    for _ in range(3):
        assert (await simulated(tenant))["WEBHOOK"] == ("ACCEPTED", None)
        assert (await webhook_outcome(tenant))[0] == "LEFT"
    assert (await simulated(tenant))["WEBHOOK"] == ("SKIPPED", "THROTTLED")
    assert await webhook_outcome(tenant) == ("SKIPPED", "THROTTLED")
    other_key = HOUR | {"key": "memory"}
    assert (await webhook_outcome(tenant, throttle=other_key))[0] == "LEFT"
    assert (await webhook_outcome(tenant, throttle=None))[0] == "LEFT"
    assert (await whole_inbox(tenant))["unread"] == 6
    assert len(await list_all_deliveries(tenant)) == 5


async def test_send_that_does_not_leave_the_hub_is_not_counted(tenant: Tenant) -> None:
    for channels in (["IN_APP"], ["IN_APP", "EMAIL"]):
        await tenant.send("alice", throttle=HOUR | {"limit": 1}, channels=channels)
    assert (await webhook_outcome(tenant, throttle=HOUR | {"limit": 1}))[0] == "LEFT"


async def test_throttled_send_is_shown_unless_the_user_switched_the_inbox_off(tenant: Tenant) -> None:
    one: Json = HOUR | {"limit": 1}
    assert (await webhook_outcome(tenant, throttle=one, channels=["WEBHOOK"]))[0] == "LEFT"
    assert (await whole_inbox(tenant))["nodes"] == [], "it was not requested for the inbox"
    assert await simulated(tenant, throttle=one, channels=["WEBHOOK"]) == {
        **{channel.value: ("SKIPPED", "NOT_REQUESTED") for channel in Channel},
        "IN_APP": ("ACCEPTED", None),
        "WEBHOOK": ("SKIPPED", "THROTTLED"),
    }
    assert await webhook_outcome(tenant, throttle=one, channels=["WEBHOOK"]) == ("SKIPPED", "THROTTLED")
    assert len((await whole_inbox(tenant))["nodes"]) == 1
    await update_preferences(tenant, "alice", channels=[{"channel": "IN_APP", "enabled": False}])
    assert await webhook_outcome(tenant, throttle=one, channels=["WEBHOOK"]) == ("SKIPPED", "THROTTLED")
    assert len((await whole_inbox(tenant))["nodes"]) == 1


async def test_window_starts_with_the_first_counted_send_and_ends(tenant: Tenant) -> None:
    short: Json = {"key": "k", "window": "PT2S"}  # the limit is 1
    assert (await webhook_outcome(tenant, throttle=short))[0] == "LEFT"
    assert await webhook_outcome(tenant, throttle=short) == ("SKIPPED", "THROTTLED")

    async def allowed() -> bool:
        return (await simulated(tenant, throttle=short))["WEBHOOK"] == ("ACCEPTED", None)

    await eventually(allowed)
    assert (await webhook_outcome(tenant, throttle=short))[0] == "LEFT"
    assert await webhook_outcome(tenant, throttle=short) == ("SKIPPED", "THROTTLED")


@pytest.mark.parametrize("channels", [["IN_APP", "WEBHOOK"], ["WEBHOOK"]])
async def test_concurrent_sends_from_two_processes_keep_the_exact_limit(
    tenant: Tenant, store: Database, receiver: WebhookReceiver, channels: list[str]
) -> None:
    await asyncio.gather(
        *(
            tenant.send("alice", title=f"{number}", throttle=HOUR | {"limit": 5}, channels=channels)
            for number in range(CONCURRENT)
        )
    )
    stored = await store.notifications.find({"mailbox": f"{tenant.name}/alice"}).to_list()
    assert len(stored) == CONCURRENT
    shown = CONCURRENT if "IN_APP" in channels else CONCURRENT - 5
    assert (await whole_inbox(tenant))["unread"] == shown
    assert sum(n.get("skipped", {}).get("WEBHOOK") == "THROTTLED" for n in stored) == CONCURRENT - 5
    assert len(await list_all_deliveries(tenant)) == 5

    async def arrived() -> bool:
        return len(receiver.received_at) == 5

    await eventually(arrived)
    [count] = await store.window_counts.find({"_id": {"$regex": f"^{tenant.name}/alice\n"}}).to_list()
    assert count["count"] == 5


async def test_sends_of_one_batch_and_several_recipients_are_counted_one_by_one(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "bob")
    await tenant.send("bob", throttle=HOUR, channels=["WEBHOOK"])
    query = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
    one: Json = {"to": {"users": ["alice", "bob"]}, "category": "news", "content": {"title": "T", "body": ""}}
    await tenant.execute(query, inputs=[one | {"throttle": HOUR, "channels": ["WEBHOOK"]}] * 10)
    left = [row["userId"] for row in await list_all_deliveries(tenant)]
    assert sorted(left) == ["alice"] * 3 + ["bob"] * 3


async def test_steps_over_the_limit_are_skipped_and_a_send_with_only_steps_is_counted(tenant: Tenant) -> None:
    one: Json = HOUR | {"limit": 1}
    steps = [{"channels": ["WEBHOOK"], "after": "PT1H"}]
    for _ in range(2):
        await tenant.send("alice", throttle=one, steps=steps)
    await tenant.send("alice", throttle=one, channels=["IN_APP"], steps=steps)
    rows = [(row["status"], row["reason"]) for row in await list_all_deliveries(tenant)]
    assert sorted(rows) == [("HELD", "STEP"), ("SKIPPED", "THROTTLED"), ("SKIPPED", "THROTTLED")]
    assert (await whole_inbox(tenant))["unread"] == 2, "the inbox shows what was throttled"


@pytest.mark.parametrize("throttle", [None, HOUR])
async def test_hidden_send_waits_for_a_transaction_that_erases_the_mailbox(
    tenant: Tenant, store: Database, throttle: Json | None
) -> None:
    """Otherwise its notification and its count would belong to no user."""
    await tenant.send("alice", channels=["WEBHOOK"])
    mailbox = {"_id": f"{tenant.name}/alice"}
    async with store.client.start_session() as session:
        async with await session.start_transaction():
            await store.mailboxes.delete_one(mailbox, session=session)
            sent = asyncio.create_task(tenant.send("alice", channels=["WEBHOOK"], throttle=throttle))
            await asyncio.sleep(0.5)
            assert not sent.done()
        await sent
    assert await store.mailboxes.count_documents(mailbox) == 1


async def test_counts_of_an_erased_user_are_deleted(tenant: Tenant, store: Database) -> None:
    await webhook_outcome(tenant)
    match = {"_id": {"$regex": f"^{tenant.name}/alice"}}
    assert await store.window_counts.count_documents(match) == 1
    await tenant.execute_as_admin('mutation { deleteUser(id: "alice") }')
    assert await store.window_counts.count_documents(match) == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"key": ""}, "key"),
        ({"limit": 0}, "limit"),
        ({"window": "PT0S"}, "window"),
        ({"window": "P31DT1S"}, "window"),
    ],
)
async def test_invalid_throttle_is_rejected(tenant: Tenant, changes: Json, field: str) -> None:
    with pytest.raises(GraphQLErrors) as rejected:
        await tenant.send("alice", throttle=HOUR | changes)
    [error] = rejected.value.errors
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["field"] == f"input.throttle.{field}"


EMAIL = Decision(Channel.EMAIL, DeliveryStatus.ACCEPTED)
PLAN = Plan(Priority.MEDIUM, hidden=False, decisions=(EMAIL,), skipped={}, external=(EMAIL,))


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 4), st.integers(1, 60))
def test_no_window_of_counted_sends_exceeds_the_limit(pauses_s: list[int], limit: int, window_s: int) -> None:
    throttle, now = Throttle(key="k", window_s=window_s, limit=limit), NOW
    count, started, in_window = empty_count("id", now), None, 0
    for pause_s in pauses_s:
        now += timedelta(seconds=pause_s)
        if started is None or now >= started + timedelta(seconds=window_s):
            started, in_window = now, 0
        plan, count = throttled(
            throttle,
            PLAN,
            Category(key="c", name="c"),
            StoredTenant(id="t"),
            User(id="t/a", created_at=NOW, updated_at=NOW),
            count,
            now,
        )
        assert bool(plan.external) == (in_window < limit)
        in_window += bool(plan.external)
        assert (count.started_at, count.count) == (started, in_window)
        assert plan.external or plan.skipped == {"EMAIL": "THROTTLED"}
