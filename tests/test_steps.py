"""Steps of sends and categories: later deliveries that the recipient can stop."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from hub.inbox import state
from hub.model import Channel, InboxState
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import FakeChannels, connect_webhook, deployment_with_channels, list_deliveries
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.strategies import NOW, new_notification
from tests.webhook_data import CALLS, DELETE, create_endpoint
from tests.webhook_receiver import WebhookReceiver

SHORT, LONG = "PT1S", "PT1H"
STEPS = "query ($id: ID!) { send(id: $id) { steps { channels after unless } counts { channel status count } } }"
SIMULATE = (
    "query ($i: SendInput!) { simulate(input: $i) { decisions { channel step unless outcome reason dueAt title } } }"
)
RECEIPTS = "subscription ($send: ID!) { receipts(sendId: $send) { kind status channel reason } }"
CANCEL = "mutation ($id: ID!) { cancelSend(id: $id) { status } }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"
REMOVE_DEVICE = "mutation ($id: ID!) { removeDevice(id: $id) }"
OF_NOTIFICATION = (
    "query ($id: ID!) { send(id: $id) { notifications(first: 100, hidden: true) { nodes { id deliveries { id channel "
    "deviceId step unless status reason dueAt } } } } }"
)

Running = tuple[Tenant, FakeChannels]


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    mongod, redis = servers
    async with deployment_with_channels(mongod.url, redis.url, workers=1) as (_, tenant, fakes):
        yield tenant, fakes


def step(*channels: str, after: str = SHORT, unless: str = "READ") -> Json:
    return {"channels": list(channels), "after": after, "unless": unless}


async def send_steps(tenant: Tenant, user: str, *steps: Json, **more: Any) -> str:
    """Return the id of the send."""
    id: str = (await tenant.send(user, steps=list(steps), **more))["send"]["id"]
    return id


async def deliveries_of(tenant: Tenant, send: str) -> list[Json]:
    """Return all deliveries of the only notification, ordered by step."""
    [n] = (await tenant.execute(OF_NOTIFICATION, id=send))["send"]["notifications"]["nodes"]
    return sorted(n["deliveries"], key=lambda delivery: (delivery["step"], delivery["id"]))


async def ended(tenant: Tenant, send: str) -> list[Json]:
    """Wait until no delivery of a send waits. Return them."""

    async def found() -> list[Json] | None:
        rows = await deliveries_of(tenant, send)
        waiting = {"ACCEPTED", "HELD", "PROCESSING", "RETRYING"}
        return None if waiting & {row["status"] for row in rows} else rows

    rows: list[Json] = await eventually(found)
    return rows


def outcomes(rows: list[Json]) -> list[tuple[int, str, str, str | None]]:
    return [(row["step"], row["channel"], row["status"], row["reason"]) for row in rows]


@pytest.mark.parametrize("channel", ["EMAIL", "WEB_PUSH"])
async def test_same_channel_in_three_steps_sends_three_messages_with_three_ids(running: Running, channel: str) -> None:
    """Opening, reading, and archiving do not stop the steps of a send with `requireAck`."""
    tenant, fakes = running
    user = f"ann-{channel.lower()}"
    await fakes.add_addresses(tenant, user, channels=[channel])
    steps = [step(channel, after=after) for after in ("PT0S", "PT1S", "PT2S")]
    send = await send_steps(tenant, user, *steps, channels=["IN_APP"], requireAck=True)
    rows = await deliveries_of(tenant, send)
    assert [row["unless"] for row in rows] == ["READ", *["ACKNOWLEDGED"] * 3]
    stored = (await tenant.execute(STEPS, id=send))["send"]["steps"]
    assert [step["unless"] for step in stored] == ["ACKNOWLEDGED"] * 3
    assert all(row["dueAt"] and row["reason"] == "STEP" for row in rows if row["status"] == "HELD")
    [id] = {row["id"][:36] for row in rows}
    for mark in ("markSeen", "markRead", "archive"):
        await tenant.mark(user, mark, id)
    rows = await ended(tenant, send)
    assert [row["status"] for row in rows] == ["READ", "SENT", "SENT", "SENT"]
    ids = [row["id"] for row in rows[1:]]
    assert [id.rpartition("-")[2] for id in ids] == ["1", "2", "3"]
    if channel == "EMAIL":
        assert fakes.arrivals().keys() >= set(ids)
    else:
        assert len(fakes.arrivals()[f"{id}-{rows[1]['deviceId']}"]) == 3


async def test_acknowledgment_stops_the_steps_that_are_left(running: Running) -> None:
    tenant, fakes = running
    await fakes.add_addresses(tenant, "bob", channels=["EMAIL"])
    steps = [step("EMAIL", after="PT0S"), step("EMAIL", after=LONG), step("EMAIL", after=LONG, unless="SEEN")]
    send = await send_steps(tenant, "bob", *steps, channels=["IN_APP"], requireAck=True)
    [id] = {row["id"][:36] for row in await deliveries_of(tenant, send)}
    await tenant.execute("mutation ($ids: [ID!]!) { acknowledge(ids: $ids) { changed } }", user="bob", ids=[id])
    rows = await ended(tenant, send)
    assert outcomes(rows)[2:] == [
        (2, "EMAIL", "SKIPPED", "ALREADY_ACKNOWLEDGED"),
        (3, "EMAIL", "SKIPPED", "ALREADY_ACKNOWLEDGED"),
    ]


@pytest.mark.parametrize(
    ("mark", "unless", "reason"),
    [
        ("markSeen", "SEEN", "ALREADY_SEEN"),
        ("markRead", "SEEN", "ALREADY_SEEN"),
        ("markRead", "READ", "ALREADY_READ"),
        ("archive", "READ", "ALREADY_READ"),
        ("snooze", "READ", "SNOOZED"),
    ],
)
async def test_step_ends_at_once_when_the_recipient_stops_it(
    running: Running, mark: str, unless: str, reason: str
) -> None:
    tenant, fakes = running
    user = f"{mark}-{unless}".lower()
    await fakes.add_addresses(tenant, user, channels=["EMAIL"])
    send = await send_steps(tenant, user, step("EMAIL", after=LONG, unless=unless), channels=["IN_APP"])
    [id] = {row["id"][:36] for row in await deliveries_of(tenant, send)}
    await tenant.mark(user, mark, id, until="2090-01-01T00:00:00Z" if mark == "snooze" else None)
    assert outcomes(await ended(tenant, send))[1:] == [(1, "EMAIL", "SKIPPED", reason)]


async def test_stopped_step_has_one_receipt_and_calls_only_endpoints_that_name_the_event(
    running: Running, receiver: WebhookReceiver
) -> None:
    tenant, fakes = running
    await fakes.add_addresses(tenant, "carl", channels=["EMAIL"])
    for path, names in (("/all", None), ("/skipped", ["delivery.skipped"])):
        _, receiver.secrets[path] = await create_endpoint(tenant, f"{receiver.url}{path}", names)
    steps = [step("EMAIL", after=LONG), step("EMAIL", after="PT2H")]
    async with tenant.socket() as socket:
        send = await send_steps(tenant, "carl", *steps, channels=["IN_APP"])
        receipts = await socket.subscribe(RECEIPTS, send=send)
        [id] = {row["id"][:36] for row in await deliveries_of(tenant, send)}
        await tenant.mark("carl", "markRead", id)
        found = await receipts.take(5)
    assert [row["reason"] for row in found if row["status"] == "SKIPPED"] == ["ALREADY_READ"] * 2

    async def called() -> bool:
        return len(receiver.bodies["/skipped"]) == 2 and len(receiver.bodies["/all"]) == 3

    await eventually(called)
    endpoints = (await tenant.execute_as_admin(CALLS, first=10))["webhooks"]
    events = [sorted(call["event"] for call in endpoint["calls"]["nodes"]) for endpoint in endpoints]
    assert ["delivery.skipped"] * 2 in events
    assert ["notification.created", "notification.read", "notification.seen"] in events
    for endpoint in endpoints:
        await tenant.execute_as_admin(DELETE, id=endpoint["id"])


async def test_step_goes_to_the_devices_of_the_moment_it_is_due(running: Running) -> None:
    tenant, fakes = running
    send = await send_steps(tenant, "dora", step("WEB_PUSH", "EMAIL"))
    paths = {await fakes.add_browser(tenant, "dora") for _ in range(3)}
    rows = await ended(tenant, send)
    expected = [(1, "EMAIL", "SKIPPED", "NO_ADDRESS"), *[(1, "WEB_PUSH", "SENT", None)] * 3]
    assert sorted(outcomes(rows), key=lambda row: row[1]) == expected
    assert len({row["deviceId"] for row in rows if row["channel"] == "WEB_PUSH"}) == len(paths) == 3
    assert {path for path, _ in fakes.push.received_at} >= paths


async def test_step_in_the_inbox_shows_the_notification_when_it_is_due(running: Running) -> None:
    tenant, _ = running
    async with tenant.feed("eve", (await tenant.inbox("eve"))["position"]) as feed:
        send = await send_steps(tenant, "eve", step("IN_APP"))
        [row] = await deliveries_of(tenant, send)
        assert (row["status"], row["reason"], row["step"]) == ("HELD", "STEP", 1)
        assert not (await tenant.inbox("eve"))["nodes"]
        [event] = await feed.take(1)
    assert (event["kind"], event["unread"], event["unseen"]) == ("ADDED", 1, 1)
    assert outcomes(await ended(tenant, send)) == [(1, "IN_APP", "DELIVERED", None)]
    [after] = await deliveries_of(tenant, send)
    assert after["id"] == row["id"]
    query = "query ($id: ID!) { delivery(id: $id) { id step status } }"
    assert (await tenant.execute(query, id=row["id"]))["delivery"]["step"] == 1
    counts = (await tenant.execute(STEPS, id=send))["send"]["counts"]
    assert counts == [{"channel": "IN_APP", "status": "DELIVERED", "count": 1}]


async def test_second_step_in_the_inbox_returns_the_notification_to_the_top(running: Running) -> None:
    tenant, _ = running
    steps = [step("IN_APP", after="PT0S"), step("IN_APP", unless="NEVER")]
    send = await send_steps(tenant, "fay", *steps, title="First")
    await tenant.send("fay", title="Second")
    [id] = {row["id"][:36] for row in await deliveries_of(tenant, send)}
    await tenant.mark("fay", "markRead", id)

    async def titles() -> bool:
        page = await tenant.inbox("fay")
        return [n["title"] for n in page["nodes"]] == ["First", "Second"] and page["unread"] == 2

    await eventually(titles)
    assert outcomes(await ended(tenant, send)) == [(2, "IN_APP", "DELIVERED", None)]


async def test_steps_of_the_category_apply_if_a_send_names_neither_channels_nor_steps(running: Running) -> None:
    tenant, fakes = running
    await fakes.add_addresses(tenant, "gus", channels=["EMAIL"])
    steps = [step("IN_APP", after="PT0S"), step("EMAIL", after=LONG, unless="SEEN")]
    await tenant.define_category("orders", "EMAIL", steps=steps)
    cases: list[tuple[Json, list[tuple[int, str, str]]]] = [
        ({}, [(1, "IN_APP", "DELIVERED"), (2, "EMAIL", "HELD")]),
        ({"channels": ["IN_APP"]}, [(0, "IN_APP", "DELIVERED")]),
        ({"steps": [step("EMAIL", after=LONG)]}, [(1, "EMAIL", "HELD")]),
    ]
    for more, expected in cases:
        send = (await tenant.send("gus", category="orders", **more))["send"]["id"]
        assert [row[:3] for row in outcomes(await deliveries_of(tenant, send))] == expected
        stored = (await tenant.execute(STEPS, id=send))["send"]["steps"]
        assert len(stored) == len({step for step, *_ in expected} - {0})
    categories = (await tenant.execute("{ categories { key steps { channels after unless } } }"))["categories"]
    assert {category["key"]: category["steps"] for category in categories}["orders"] == steps


async def test_simulate_and_counts_show_held_steps(running: Running) -> None:
    tenant, fakes = running
    await fakes.add_addresses(tenant, "hal", channels=["EMAIL"])
    more: Json = {"channels": ["IN_APP"], "steps": [step("EMAIL", after=LONG), step("SMS", "IN_APP", after="PT0S")]}
    fields = {"to": {"users": ["hal"]}, "category": "news", "content": {"title": "Hello", "body": ""}, **more}
    [simulation] = (await tenant.execute(SIMULATE, i=fields))["simulate"]
    rows = [(row["step"], row["channel"], row["outcome"], row["reason"]) for row in simulation["decisions"]]
    assert [row for row in rows if row[3] != "NOT_REQUESTED"] == [
        (0, "IN_APP", "ACCEPTED", None),
        (1, "EMAIL", "HELD", "STEP"),
        (2, "SMS", "SKIPPED", "NOT_CONFIGURED"),
        (2, "IN_APP", "ACCEPTED", None),
    ]
    [held] = [row for row in simulation["decisions"] if row["outcome"] == "HELD"]
    assert (bool(held["dueAt"]), held["title"]) == (True, "Hello")
    send = (await tenant.send("hal", **more))["send"]["id"]
    counts = (await tenant.execute(STEPS, id=send))["send"]["counts"]
    assert [(row["channel"], row["status"], row["count"]) for row in counts] == [
        ("EMAIL", "HELD", 1),
        ("IN_APP", "DELIVERED", 1),
        ("SMS", "SKIPPED", 1),
    ]
    assert [row["status"] for row in await list_deliveries(tenant, sendId=send, statuses=["HELD"])] == ["HELD"]


async def test_cancelled_and_erased_and_removed_while_held(running: Running, receiver: WebhookReceiver) -> None:
    """Neither the user nor a message comes back."""
    tenant, fakes = running
    users = ("ida", "jon", "kim")
    await fakes.add_addresses(tenant, *users, channels=["EMAIL"])
    sends = {user: await send_steps(tenant, user, step("EMAIL", "IN_APP"), step("WEBHOOK")) for user in users}
    await tenant.execute(CANCEL, id=sends["ida"])
    await tenant.execute_as_admin(ERASE, id="jon")
    await connect_webhook(tenant, receiver, "kim")
    [device] = (await tenant.execute("{ me { devices { id } } }", user="kim"))["me"]["devices"]
    await tenant.execute(REMOVE_DEVICE, user="kim", id=device["id"])
    rows = await ended(tenant, sends["kim"])
    assert outcomes(rows)[:2] == [(1, "EMAIL", "SENT", None), (1, "IN_APP", "DELIVERED", None)]
    assert outcomes(rows)[2:] == [(2, "WEBHOOK", "SKIPPED", "NO_ADDRESS")]
    assert {row[2:] for row in outcomes(await ended(tenant, sends["ida"]))} == {("CANCELLED", "CANCELLED")}
    assert not (await tenant.execute(OF_NOTIFICATION, id=sends["jon"]))["send"]["notifications"]["nodes"]
    assert (await tenant.execute("query ($id: ID!) { user(id: $id) { id } }", id="jon"))["user"] is None


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([], "input.steps"),
        ([step("EMAIL")] * 11, "input.steps"),
        ([step()], "input.steps.0.channels"),
        ([step("EMAIL", after="P91D")], "input.steps.0.after"),
        ([step("EMAIL"), step("EMAIL", unless="ACKNOWLEDGED")], "input.steps.1.unless"),
    ],
)
async def test_invalid_steps_are_refused(tenant: Tenant, steps: list[Json], field: str) -> None:
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.send("ann", steps=steps)
    assert refused.value.errors[0]["extensions"]["field"] == field


async def test_steps_of_a_category_cannot_wait_for_an_acknowledgment(running: Running) -> None:
    tenant, _ = running
    fields = {
        "key": "news",
        "name": "News",
        "defaultChannels": ["IN_APP"],
        "steps": [step("EMAIL", unless="ACKNOWLEDGED")],
    }
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute_as_admin("mutation ($i: CategoryInput!) { upsertCategory(input: $i) { key } }", i=fields)
    assert refused.value.errors[0]["extensions"]["field"] == "input.steps.0.unless"


def test_notification_that_a_click_marked_while_it_was_hidden_is_shown_as_new() -> None:
    clicked = replace(new_notification("n", "acme/ann", hidden=True), seen_at=NOW, read_at=NOW, read_on=Channel.EMAIL)
    shown = state.with_state(state.shown(clicked, 1))
    assert (shown.state, shown.read_at, shown.in_app_step) == (InboxState.NEW, None, 1)
