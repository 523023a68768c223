"""Every item of a digest is in exactly one message while workers are killed, and is sent alone without its digest."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest
from redis.asyncio import Redis as RedisClient

from hub import utc_time
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import CHANNELS, FakeChannels
from tests.client import GraphQLErrors, Json, eventually
from tests.conftest import scaled
from tests.digest_setup import (
    CANCEL,
    HOUR,
    RECALL,
    TITLE,
    Running,
    digest_deployment,
    end_windows,
    mails_to,
    text_of,
    wait_for_ends,
)
from tests.inbox_watchers import find_log_faults

USERS = scaled(8, 50)
ITEMS = scaled(120, 1000)
KILLS = scaled(4, 30)
READ_CHANNELS = {"EMAIL", "WEBHOOK"}  # whose messages this test reads
COUNTS = "query ($id: ID!) { send(id: $id) { counts { channel status count } } }"


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    async with digest_deployment(servers) as opened:
        yield opened


async def retried(call: Callable[[], Awaitable[Json]]) -> Json:
    """Repeat a call while it is UNAVAILABLE: the transaction of a killed worker locks its mailboxes for some seconds."""

    async def succeeded() -> Json | None:
        try:
            return await call()
        except GraphQLErrors as error:
            if error.code != "UNAVAILABLE":
                raise
            return None

    found: Json = await eventually(succeeded, 60)
    return found


def messages_by_title(fakes: FakeChannels, users: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """Return the ids of the messages by email and webhook in which each title arrived. No message is empty."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for user in users:
        for mail in mails_to(fakes, user):
            titles = set(TITLE.findall(text_of(mail) + str(mail["Subject"])))
            assert titles
            for title in titles:
                found["EMAIL", title].add(str(mail["Message-ID"]))
        for body in fakes.receiver.bodies[f"/{user}"]:
            items = body["data"].get("items", [body["data"]])
            assert items
            for item in items:
                found["WEBHOOK", item["title"]].add(body["data"]["id"])
    return found


async def test_every_item_is_in_one_message_while_workers_are_killed(running: Running) -> None:
    """Sends whose items opened a digest are cancelled and recalled meanwhile: nobody else's item is lost."""
    deployment, tenant, fakes, database = running
    users = [f"user-{n}" for n in range(USERS)]
    await fakes.add_addresses(tenant, *users)
    numbers = iter(range(ITEMS))
    stopped: set[str] = set()
    sends: dict[str, str] = {}

    kills = 0

    async def send_all() -> None:
        for n in numbers:
            while n > ITEMS * (kills + 1) / KILLS:  # items join during all kills
                await asyncio.sleep(0.05)
            title, user = f"item-{n}", random.choice(users)
            more: Json = {"channels": list(CHANNELS), "digest": HOUR, "idempotencyKey": title}
            send = (await retried(lambda: tenant.send(user, title=title, **more)))["send"]["id"]  # noqa: B023
            sends[send] = title
            if random.random() < 0.1:
                stop = random.choice((CANCEL, RECALL))
                await retried(lambda: tenant.execute(stop, id=send))  # noqa: B023
                stopped.add(send)

    async def end_all() -> None:
        while True:
            await end_windows(database)
            await asyncio.sleep(0.5)

    async def kill_all() -> None:
        nonlocal kills
        while kills < KILLS:
            worker = deployment.workers[kills % 2]
            worker.kill()
            await worker.start()
            kills += 1

    ending = asyncio.create_task(end_all())
    await asyncio.gather(kill_all(), *(send_all() for _ in range(4)))

    async def ended() -> bool:
        waiting = {"status": {"$in": ["HELD", "ACCEPTED", "PROCESSING", "RETRYING"]}}
        return not await database.deliveries.count_documents({"mailbox": {"$regex": "^acme/user-"}} | waiting)

    try:
        await eventually(ended, 120)
    finally:
        ending.cancel()
    await check_items(running, users, sends, stopped)


async def check_items(running: Running, users: list[str], sends: dict[str, str], stopped: set[str]) -> None:
    """Check the items and digests of sends (id to title), of which `stopped` were cancelled or recalled."""
    _, tenant, fakes, database = running
    items = await database.deliveries.find({"send": {"$in": list(sends)}}).to_list()
    assert len(items) == ITEMS * len(CHANNELS)
    assert {one["status"] for one in items} <= {"SENT", "DELIVERED", "CANCELLED"}
    assert {one["send"] for one in items if one["status"] == "CANCELLED"} <= stopped
    sent = [one for one in items if one["status"] != "CANCELLED"]
    joined, carried = Counter(one["digest_id"] for one in items), Counter(one["digest_id"] for one in sent)
    digests = {one["_id"]: one async for one in database.deliveries.find({"_id": {"$in": list(joined)}})}
    assert {id: digest["joined"] for id, digest in digests.items()} == joined
    assert {id for id, digest in digests.items() if digest["status"] == "SKIPPED"} == joined.keys() - carried.keys()
    assert all(digests[id]["item_count"] >= 1 for id in carried)
    arrived = messages_by_title(fakes, users)
    assert {len(messages) for messages in arrived.values()} == {1}
    assert arrived.keys() >= {(one["channel"], sends[one["send"]]) for one in sent if one["channel"] in READ_CHANNELS}
    arrivals = {id[:36] for id in fakes.arrivals()}  # with one item, a push has the id of its notification
    assert all({one["digest_id"], one["notification"]} & arrivals for one in sent)
    by_send: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for one in items:
        by_send[one["send"]][one["channel"], one["status"]] += 1
    assert by_send.keys() == sends.keys()
    for id, expected in by_send.items():
        rows = (await tenant.execute(COUNTS, id=id))["send"]["counts"]
        assert {(r["channel"], r["status"]): r["count"] for r in rows if r["channel"] != "IN_APP"} == expected


async def test_items_of_a_lost_digest_are_sent_alone(running: Running, servers: tuple[Mongod, Redis]) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "quin", channels=["EMAIL"])
    for n in range(2):
        await tenant.send("quin", title=f"item-{n}", channels=["EMAIL"], digest=HOUR)
    await database.deliveries.delete_one({"mailbox": "acme/quin", "open": True})
    async with RedisClient.from_url(servers[1].url) as redis:  # the next round is now, and not within a minute
        for key in await redis.keys("*tick_lock:lost_digests"):
            await redis.delete(key)
    digests, items = await wait_for_ends(tenant, "quin", 2)
    assert not digests
    assert {(one["status"], one["digestId"]) for one in items} == {("SENT", None)}
    assert sorted(mail["Subject"] for mail in mails_to(fakes, "quin")) == ["item-0", "item-1"]


async def test_digest_that_cannot_be_prepared_fails_with_its_items(running: Running) -> None:
    """It was tried every 5 s for ever."""
    deployment, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "rita", channels=["EMAIL"])
    for n in range(2):
        await tenant.send("rita", title=f"item-{n}", channels=["EMAIL"], digest=HOUR)
    digest = {"mailbox": "acme/rita", "open": True}
    ended = {"due_at": utc_time.now(), "mailbox": "acme/nobody"}  # this damage is not expected
    await database.deliveries.update_one(digest, {"$set": ended})
    _, items = await wait_for_ends(tenant, "rita", 2)
    assert {(one["status"], one["reason"]) for one in items} == {("FAILED", "POISON")}
    stored = await database.deliveries.find_one({"_id": items[0]["digestId"]})
    assert stored
    assert (stored["status"], stored["reason"], stored["lease_expirations"]) == ("FAILED", "POISON", 5)
    assert [(one["provider"], one["error"]) for one in stored["attempts"]] == [
        ("hub", "the hub could not prepare the message (KeyError)")
    ]
    for worker in deployment.workers:
        assert all("digest_preparation_failed" in line for line in find_log_faults([worker]))
        worker.forget_log()
