"""Digests: deliveries with one key leave in one message per recipient, channel, and device."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from hub import utc_time
from hub.decide.digest import digest_key
from hub.platform.embedded_servers import Mongod, Redis
from hub.send.digest_preparation import SLICE_SIZE
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
    find,
    mails_to,
    text_of,
    wait_for_ends,
)
from tests.template_sends import send_template, store_template

LARGE = scaled(1200, 10_000)
COUNTS = "query ($id: ID!) { send(id: $id) { counts { channel status count reasons { reason count } } } }"
MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    async with digest_deployment(servers) as opened:
        yield opened


async def test_several_sends_leave_in_one_message_per_channel(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "anna", channels=["EMAIL", "WEBHOOK"])
    channels = ["IN_APP", "EMAIL", "WEBHOOK"]
    sends = [
        (await tenant.send("anna", title=f"item-{n}", channels=channels, digest=HOUR))["send"]["id"] for n in range(3)
    ]
    digests, items = await find(tenant, userId="anna")
    assert {one["channel"]: one["itemCount"] for one in digests} == {"EMAIL": 3, "WEBHOOK": 3}
    assert [[n["title"] for n in one["items"]] for one in digests] == [["item-2", "item-1", "item-0"]] * 2
    assert {one["sendId"] for one in digests} == {sends[2]}
    due = {one["id"]: one["dueAt"] for one in digests}
    assert Counter(one["digestId"] for one in items) == dict.fromkeys(due, 3)
    assert all(
        (one["status"], one["reason"], one["dueAt"]) == ("HELD", "DIGEST", due[one["digestId"]]) for one in items
    )
    page = await tenant.inbox("anna")
    assert [n["title"] for n in page["nodes"]] == ["item-2", "item-1", "item-0"]
    await end_windows(database, "anna")
    digests, items = await wait_for_ends(tenant, "anna", 8)
    assert Counter((one["channel"], one["status"]) for one in items) == {
        ("EMAIL", "SENT"): 3,
        ("WEBHOOK", "DELIVERED"): 3,
    }
    assert [len(one["attempts"]) for one in (*digests, *items)] == [1, 1, *[0] * 6]
    [mail] = mails_to(fakes, "anna")
    assert mail["Subject"] == "news: 3 new notifications"
    assert TITLE.findall(text_of(mail)) == ["item-2", "item-1", "item-0"]
    assert str(mail["Message-ID"]).strip("<").partition("@")[0] in due
    [body] = fakes.receiver.bodies["/anna"]
    assert (body["type"], body["data"]["count"]) == ("notification.digest", 3)
    assert [item["title"] for item in body["data"]["items"]] == ["item-2", "item-1", "item-0"]

    async def counted() -> bool:
        counts = (await tenant.execute(COUNTS, id=sends[0]))["send"]["counts"]
        return [(one["channel"], one["status"], one["count"]) for one in counts] == [
            ("EMAIL", "SENT", 1), ("IN_APP", "DELIVERED", 1), ("WEBHOOK", "DELIVERED", 1),
        ]  # fmt: skip

    await eventually(counted)
    later = (await tenant.send("anna", title="item-3", channels=channels, digest=HOUR))["send"]["id"]
    digests, _ = await find(tenant, userId="anna", statuses=["HELD"])
    assert [(one["sendId"], one["itemCount"]) for one in digests] == [(later, 1)] * 2


async def test_item_ends_alone_and_the_digest_leaves_without_it(running: Running) -> None:
    """Read, cancelled, recalled, replaced, expired and archived items are not in the message."""
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "ben", channels=["EMAIL"])
    options = [{}, {}, {}, {}, {"collapseKey": "one"}, {"collapseKey": "one"}, {}]
    sent = []
    for n, option in enumerate(options):
        sent.append(
            (await tenant.send("ben", title=f"item-{n}", channels=["IN_APP", "EMAIL"], digest=HOUR, **option))["send"][
                "id"
            ]
        )
    notifications = {n["title"]: n["id"] for n in (await tenant.inbox("ben"))["nodes"]}
    await tenant.execute(CANCEL, id=sent[0])
    await tenant.execute(RECALL, id=sent[1])
    await tenant.mark("ben", "markRead", notifications["item-2"])
    await tenant.mark("ben", "archive", notifications["item-3"])
    await end_windows(database, "ben")
    [digest], items = await wait_for_ends(tenant, "ben", 8)
    ends = {one["sendId"]: (one["status"], one["reason"]) for one in items}
    assert [ends[id] for id in sent] == [
        ("CANCELLED", "CANCELLED"), ("CANCELLED", "RECALLED"), ("SKIPPED", "ALREADY_READ"), ("SKIPPED", "ALREADY_READ"),
        ("CANCELLED", "REPLACED"), ("SENT", None), ("SENT", None),
    ]  # fmt: skip
    assert digest["itemCount"] == 2
    [mail] = mails_to(fakes, "ben")
    assert TITLE.findall(text_of(mail)) == ["item-6", "item-5"]


async def test_one_item_that_is_left_is_sent_as_itself(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "cleo", channels=["EMAIL", "WEBHOOK"])
    first = (await tenant.send("cleo", title="item-1", channels=["EMAIL", "WEBHOOK"], digest=HOUR))["send"]["id"]
    await tenant.send("cleo", title="item-2", body="The body", channels=["EMAIL", "WEBHOOK"], digest=HOUR)
    await tenant.execute(CANCEL, id=first)
    await end_windows(database, "cleo")
    await wait_for_ends(tenant, "cleo", 6)
    [mail] = mails_to(fakes, "cleo")
    assert mail["Subject"] == "item-2"
    assert "The body" in text_of(mail)
    [body] = fakes.receiver.bodies["/cleo"]
    assert (body["type"], body["data"]["title"]) == ("notification.created", "item-2")
    assert body["timestamp"] > body["data"]["createdAt"], "the time when the digest became due"


async def test_digest_without_items_is_not_sent(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "dora", channels=["EMAIL"])
    send = (await tenant.send("dora", channels=["EMAIL"], digest=HOUR))["send"]["id"]
    await tenant.execute(CANCEL, id=send)
    await end_windows(database, "dora")
    [digest], [item] = await wait_for_ends(tenant, "dora", 2)
    assert (digest["status"], digest["reason"]) == ("SKIPPED", "EMPTY")
    assert (item["status"], item["reason"]) == ("CANCELLED", "CANCELLED")
    assert not mails_to(fakes, "dora")


async def test_items_that_nobody_wants_end_with_their_reasons(running: Running) -> None:
    """The digest of a category that was muted in the meantime ends without a call."""
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "emil", channels=["EMAIL"])
    for n in range(2):
        await tenant.send("emil", title=f"item-{n}", channels=["EMAIL"], digest=HOUR)
    mute = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { dailyLimit } }"
    off = {"categories": [{"category": "news", "channel": "EMAIL", "enabled": False}]}
    await tenant.execute(mute, user="emil", input=off)
    await end_windows(database, "emil")
    [digest], items = await wait_for_ends(tenant, "emil", 3)
    assert (digest["status"], digest["reason"]) == ("SKIPPED", "EMPTY")
    assert {(one["status"], one["reason"]) for one in items} == {("SKIPPED", "PREFERENCE")}
    assert not mails_to(fakes, "emil")


async def test_digests_differ_by_key_category_and_device(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "fay", channels=["EMAIL", "WEB_PUSH"])
    await fakes.add_browser(tenant, "fay")
    kinds: list[Json] = [{}, {"digest": {**HOUR, "key": "post-2"}}, {"category": "other"}]
    kinds += [{"category": "a", "digest": {**HOUR, "key": "b/c"}}, {"category": "a/b", "digest": {**HOUR, "key": "c"}}]
    for more in kinds:
        for n in range(2):
            await tenant.send("fay", title=f"item-{n}", **{"channels": ["EMAIL", "WEB_PUSH"], "digest": HOUR, **more})
    assert await end_windows(database, "fay") == 15
    digests, items = await wait_for_ends(tenant, "fay", 45)
    assert Counter(one["channel"] for one in digests) == {"EMAIL": 5, "WEB_PUSH": 10}
    assert {one["itemCount"] for one in digests} == {2}
    assert {one["status"] for one in (*digests, *items)} == {"SENT"}
    pushes = [push for push, _ in fakes.push.pushes if push["id"] in {one["id"] for one in digests}]
    assert len(pushes) == 10
    assert {push["body"] for push in pushes} == {"item-1\nitem-0"}
    assert {push["data"]["count"] for push in pushes} == {2}


async def test_critical_sends_leave_immediately(running: Running) -> None:
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "gus", channels=["EMAIL"])
    await tenant.send("gus", title="item-1", channels=["EMAIL"], priority="CRITICAL", digest=HOUR)
    [], [delivery] = await wait_for_ends(tenant, "gus", 1)
    assert (delivery["status"], delivery["digestId"]) == ("SENT", None)


async def test_failed_digest_is_replayed_with_the_items_that_failed_with_it(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "hugo", channels=["EMAIL"])
    sends = [
        (await tenant.send("hugo", title=f"item-{n}", channels=["EMAIL"], digest=HOUR))["send"]["id"] for n in range(3)
    ]
    await tenant.execute(CANCEL, id=sends[0])
    fakes.mail.replies = {"DATA": "554 5.7.1 no"}
    try:
        await end_windows(database, "hugo")
        [digest], items = await wait_for_ends(tenant, "hugo", 4)
    finally:
        fakes.mail.clear_fault()
    assert (digest["status"], digest["reason"]) == ("FAILED", "REFUSED")
    assert Counter((one["status"], one["reason"]) for one in items) == {
        ("FAILED", "REFUSED"): 2, ("CANCELLED", "CANCELLED"): 1,
    }  # fmt: skip
    item = next(one for one in items if one["status"] == "FAILED")
    replay = "mutation ($ids: [ID!]!) { replay(ids: $ids) }"
    assert (await tenant.execute(replay, ids=[item["id"]]))["replay"] == 1
    [digest], items = await wait_for_ends(tenant, "hugo", 4)
    assert Counter(one["status"] for one in (digest, *items)) == {"SENT": 3, "CANCELLED": 1}
    [mail] = mails_to(fakes, "hugo")
    assert TITLE.findall(text_of(mail)) == ["item-2", "item-1"]


async def test_erased_user_gets_no_digest(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "iris", channels=["EMAIL"])
    await tenant.send("iris", channels=["EMAIL"], digest=HOUR)
    await tenant.execute_as_admin('mutation { deleteUser(id: "iris") }')
    assert await database.deliveries.count_documents({"mailbox": "acme/iris"}) == 0


async def test_quiet_hours_and_daily_limit_concern_the_digest_once(running: Running) -> None:
    """A digest in quiet hours waits until they end, and more items join."""
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "jana", channels=["WEB_PUSH"])
    change = "mutation ($input: PreferencesInput!) { updatePreferences(input: $input) { dailyLimit } }"
    until = (utc_time.now() + timedelta(hours=2)).isoformat()
    await tenant.execute(change, user="jana", input={"doNotDisturbUntil": until, "dailyLimit": 1})
    await tenant.send("jana", title="item-1", channels=["WEB_PUSH"], digest=HOUR)
    await end_windows(database, "jana")

    async def held_longer() -> bool:
        digests, _ = await find(tenant, userId="jana")
        return digests[0]["reason"] == "DO_NOT_DISTURB"

    await eventually(held_longer)
    await tenant.send("jana", title="item-2", channels=["WEB_PUSH"], digest=HOUR)
    await tenant.execute(change, user="jana", input={"doNotDisturbUntil": None})
    [digest], items = await wait_for_ends(tenant, "jana", 3)
    assert (digest["status"], digest["itemCount"]) == ("SENT", 2)
    await tenant.send("jana", title="item-3", channels=["WEB_PUSH"], digest=HOUR)
    await end_windows(database, "jana")
    digests, items = await wait_for_ends(tenant, "jana", 5)
    assert Counter(one["reason"] for one in digests) == {None: 1, "DAILY_LIMIT": 1}
    assert Counter(one["reason"] for one in items) == {None: 2, "DAILY_LIMIT": 1}

    async def shown() -> bool:
        return [n["title"] for n in (await tenant.inbox("jana"))["nodes"]] == ["item-3"]

    await eventually(shown)
    _, items = await find(tenant, userId="jana", statuses=["SKIPPED"])
    assert Counter((one["reason"], one["digestId"]) for one in items) == {("DAILY_LIMIT", None): 1}


async def test_items_have_the_texts_of_their_templates_for_the_channel(running: Running) -> None:
    """The templates have texts for emails only. An item whose texts cannot be rendered ends by itself."""
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "mia", channels=["EMAIL"])
    await store_template(tenant, "mail", channel="EMAIL", title="item-{{ n }} for {{ user.id }}")
    await store_template(tenant, "broken", channel="EMAIL", title="item-{{ user.attributes.unknown }}")
    for n in range(2):
        await send_template(tenant, "mia", key="mail", template_data={"n": n}, channels=["EMAIL"], digest=HOUR)
    await send_template(tenant, "mia", key="broken", channels=["EMAIL"], digest=HOUR)
    await end_windows(database, "mia")
    [digest], items = await wait_for_ends(tenant, "mia", 4)
    assert (digest["status"], digest["itemCount"]) == ("SENT", 2)
    assert Counter((one["status"], one["reason"]) for one in items) == {
        ("SENT", None): 2,
        ("FAILED", "TEMPLATE_ERROR"): 1,
    }
    [mail] = mails_to(fakes, "mia")
    assert mail["Subject"] == "news: 2 new notifications"
    assert re.findall(r"item-\d for mia", text_of(mail)) == ["item-1 for mia", "item-0 for mia"]


async def test_item_that_is_replaced_in_its_own_batch_is_cancelled(running: Running) -> None:
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "lena", channels=["EMAIL"])
    one = {"to": {"users": ["lena"]}, "category": "news", "channels": ["IN_APP", "EMAIL"], "digest": HOUR}
    inputs = [one | {"content": {"title": f"item-{n}", "body": ""}, "collapseKey": "likes"} for n in range(3)]
    await tenant.execute(MANY, inputs=inputs)

    async def ended() -> bool:
        _, items = await find(tenant, userId="lena", channels=["EMAIL"])
        return Counter((one["status"], one["reason"]) for one in items) == {
            ("HELD", "DIGEST"): 1,
            ("CANCELLED", "REPLACED"): 2,
        }

    await eventually(ended)


async def test_simulate_says_when_the_digest_leaves(running: Running) -> None:
    _, tenant, fakes, _ = running
    await fakes.add_addresses(tenant, "kim", channels=["EMAIL"])
    query = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome reason dueAt } } }"
    one = {"to": {"users": ["kim"]}, "category": "news", "content": {"title": "T", "body": ""}, "channels": ["EMAIL"]}

    async def decision(**more: Any) -> Json:
        [simulation] = (await tenant.execute(query, input={**one, **more}))["simulate"]
        found: Json = next(one for one in simulation["decisions"] if one["channel"] == "EMAIL")
        return found

    before = await decision(digest=HOUR)
    assert (before["outcome"], before["reason"]) == ("HELD", "DIGEST")
    await tenant.send("kim", channels=["EMAIL"], digest=HOUR)
    [digest], _ = await find(tenant, userId="kim")
    assert digest["dueAt"] >= before["dueAt"]
    assert (await decision(digest={**HOUR, "window": "P1D"}))["dueAt"] == digest["dueAt"]
    assert (await decision(digest=HOUR, priority="CRITICAL"))["outcome"] == "ACCEPTED"


async def test_busy_mailbox_does_not_delay_the_digests_of_others(running: Running) -> None:
    """Its digest is due first, and every transaction that writes the mailbox conflicts."""
    _, tenant, fakes, database = running
    for user in ("nils", "olga"):
        await fakes.add_addresses(tenant, user, channels=["EMAIL"])
        await tenant.send(user, channels=["EMAIL"], digest=HOUR)
    match = {"mailbox": {"$in": ["acme/nils", "acme/olga"]}, "open": True}
    async with database.client.start_session() as session, await session.start_transaction():
        await database.mailboxes.update_one({"_id": "acme/nils"}, {"$inc": {"locks": 1}}, session=session)
        await database.deliveries.update_many(match, {"$set": {"due_at": utc_time.now()}})
        [digest], _ = await wait_for_ends(tenant, "olga", 2)
        assert digest["status"] == "SENT"
        [digest], _ = await find(tenant, userId="nils")
        assert digest["status"] == "HELD"
        await session.abort_transaction()


async def test_items_that_cannot_be_decoded_do_not_hide_the_older_ones(running: Running) -> None:
    """They fill the first slice that the worker reads, and end with the reason UNREADABLE."""
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "pia", channels=["EMAIL"])
    await tenant.send("pia", title="item-0", channels=["EMAIL"], digest=HOUR)
    one = {"to": {"users": ["pia"]}, "category": "news", "channels": ["EMAIL"], "digest": HOUR}
    for count in (SLICE_SIZE // 2, SLICE_SIZE - SLICE_SIZE // 2):
        await tenant.execute(MANY, inputs=[one | {"content": {"title": "later", "body": ""}}] * count)
    items = {"mailbox": "acme/pia", "digest_id": {"$exists": True}}
    oldest = await database.deliveries.find_one(items, sort=[("_id", 1)])
    assert oldest
    await database.deliveries.update_many(items | {"_id": {"$ne": oldest["_id"]}}, {"$unset": {"category": ""}})
    await end_windows(database, "pia")

    async def sent() -> bool:
        return await database.deliveries.count_documents({"mailbox": "acme/pia", "status": "SENT"}) == 2

    await eventually(sent)
    [mail] = mails_to(fakes, "pia")
    assert mail["Subject"] == "item-0"
    failed = items | {"status": "FAILED", "reason": "UNREADABLE"}
    assert await database.deliveries.count_documents(failed) == SLICE_SIZE


@pytest.mark.parametrize(
    ("digest", "field"),
    [
        ({"key": "a", "window": "PT9S"}, "input.digest.window"),
        ({"key": "a", "window": "P32D"}, "input.digest.window"),
        ({"key": "", "window": "PT1H"}, "input.digest.key"),
    ],
)
async def test_bad_digest_is_refused(running: Running, digest: Json, field: str) -> None:
    with pytest.raises(GraphQLErrors) as raised:
        await running[1].send("lea", digest=digest)
    assert raised.value.code == "BAD_USER_INPUT"
    assert raised.value.errors[0]["extensions"]["field"] == field


async def test_large_digest_is_sent_once_and_all_its_items_end(running: Running) -> None:
    _, tenant, fakes, database = running
    await fakes.add_addresses(tenant, "mona", channels=["EMAIL"])
    one = {"to": {"users": ["mona"]}, "category": "news", "channels": ["EMAIL"], "digest": HOUR}
    for start in range(0, LARGE, 400):
        inputs = [
            {**one, "content": {"title": f"item-{n}", "body": "x" * 300}} for n in range(start, min(start + 400, LARGE))
        ]
        assert len((await tenant.execute(MANY, inputs=inputs))["sendMany"]) == len(inputs)
    assert await end_windows(database, "mona") == 1

    async def ended() -> bool:
        return await database.deliveries.count_documents({"mailbox": "acme/mona", "status": "SENT"}) == LARGE + 1

    await eventually(ended, scaled(60, 180))
    [mail] = mails_to(fakes, "mona")
    titles = TITLE.findall(text_of(mail))
    assert len(set(titles)) == 100
    assert f"and {LARGE - 100} more" in text_of(mail)
    assert len(mail.get_body(("html",)).get_content().encode()) < 102 * 1024
    [digest] = await database.deliveries.find(
        {"mailbox": "acme/mona", "digest_key": digest_key("news", "post-1")}
    ).to_list()
    assert (digest["item_count"], len(digest["attempts"])) == (LARGE, 1)
