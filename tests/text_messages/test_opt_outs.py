"""Numbers that reply STOP."""

import asyncio
import itertools
import json
import subprocess
from datetime import UTC, datetime, timedelta

from aiohttp import web

from hub.audience.opt_outs import plain_number
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import wait_for_deliveries, wait_until_settled
from tests.cli_commands import run_command
from tests.client import Tenant
from tests.fake_providers import FakeHTTPServer
from tests.fake_twilio import ACCOUNT, TOKEN, FakeTwilio, error
from tests.processes import SECRET, Deployment
from tests.text_messages.recipients import SMS, WHATSAPP, add, newest, sent, texts
from tests.text_messages.twilio_requests import EMPTY, SENDER, incoming, post, receive

SIMULATE = "query ($input: SendInput!) { simulate(input: $input) { decisions { channel outcome reason } } }"


async def test_number_that_opted_out_gets_nothing_until_start_in_any_tenant(
    tenant: Tenant, deployment: Deployment, twilio: FakeTwilio, number: str
) -> None:
    async with Tenant(f"{tenant.name}-2", deployment.urls) as other:
        await add(tenant, number, "alice", "bob")
        await add(other, f"{number[:3]} {number[3:6]} {number[6:]}", "carol")
        people = [(tenant, "alice"), (tenant, "bob"), (other, "carol")]
        for one, user in people:
            await sent(one, user)
        assert texts(twilio, number) == 3
        assert await receive(tenant, number, " Stop! ") == EMPTY

        await add(other, number, "dave")
        await tenant.execute_as_admin('mutation { deleteUser(id: "bob") }')
        await add(tenant, number, "bob")
        await other.define_category("alarm", "SMS", required=True)
        lift = 'mutation ($to: String!) { liftSuppression(userId: "alice", address: $to) }'
        assert (await tenant.execute_as_admin(lift, to=number))["liftSuppression"] is False
        for one, user in [*people, (other, "dave")]:
            for more in ({}, {"priority": "CRITICAL"}, {"category": "alarm"}):
                await one.send(user, **SMS, **more)
                assert await newest(one, user, "SMS") == ("SKIPPED", "OPTED_OUT")
            request = {"to": {"users": [user]}, "category": "news", "content": {"title": "x", "body": ""}, **SMS}
            [simulated] = (await one.execute(SIMULATE, input=request))["simulate"]
            assert {"channel": "SMS", "outcome": "SKIPPED", "reason": "OPTED_OUT"} in simulated["decisions"]
        exported = (await tenant.execute_as_admin('mutation { exportUser(id: "bob") }'))["exportUser"]
        [opt_out] = (json.loads(exported) if isinstance(exported, str) else exported)["optOuts"]
        assert (opt_out["sender"], opt_out["how"]) == (SENDER, "STOP")
        await sent(tenant, "alice", **WHATSAPP)
        assert (texts(twilio, number), texts(twilio, number, "whatsapp:")) == (3, 1), "WhatsApp is another sender"

        assert await receive(other, number, "START") == EMPTY
        for one, user in [*people, (other, "dave")]:
            await sent(one, user)
        assert texts(twilio, number) == 7


async def test_opt_out_of_whatsapp_does_not_concern_sms(
    tenant: Tenant, twilio: FakeTwilio, store: Database, number: str
) -> None:
    """Both senders may be in one messaging service."""
    service = f"MG{'3' * 32}"
    whatsapp, more = f"whatsapp:{number}", {"To": f"whatsapp:{SENDER}", "MessagingServiceSid": service}
    await add(tenant, number, "alice")
    assert await receive(tenant, number, "STOP", MessagingServiceSid=service) == EMPTY
    assert await receive(tenant, whatsapp, "Yes", **more) == EMPTY
    for sender in (SENDER, service):
        assert await store["opt_outs"].find_one({"_id": f"{sender} {number}"})
    assert await receive(tenant, number, "START", MessagingServiceSid=service) == EMPTY
    assert await receive(tenant, whatsapp, "PARAR", **more) == EMPTY
    assert not await store["opt_outs"].find_one({"_id": f"{service} {number}"})
    await tenant.send("alice", **WHATSAPP)
    assert await newest(tenant, "alice", "WHATSAPP") == ("SKIPPED", "OPTED_OUT")
    await sent(tenant, "alice")
    assert (texts(twilio, number), texts(twilio, number, "whatsapp:")) == (1, 0)


TWO_FORMS = [
    ("+525512{}", "+5215512{}"),
    ("+541112{}", "+5491112{}"),
    ("+5531987{}", "+553187{}"),
    ("+553187{}", "+5531987{}"),
]
"""A number as it is stored, and as WhatsApp may report it."""


async def test_stop_from_another_form_of_the_number_is_recorded(tenant: Tenant, number: str) -> None:
    for user, (stored, reported) in enumerate(TWO_FORMS):
        digits, following = (f"{user}{last}{number[-4:]}" for last in (0, 1))
        await add(tenant, stored.format(digits), f"u{user}")
        await receive(tenant, f"whatsapp:{reported.format(following)}", "STOP", To=f"whatsapp:{SENDER}")
        await tenant.send(f"u{user}", **WHATSAPP)
        assert (await newest(tenant, f"u{user}", "WHATSAPP"))[0] != "SKIPPED"
        await receive(tenant, f"whatsapp:{reported.format(digits)}", "STOP", To=f"whatsapp:{SENDER}")
        await tenant.send(f"u{user}", **WHATSAPP)
        assert await newest(tenant, f"u{user}", "WHATSAPP") == ("SKIPPED", "OPTED_OUT")


def test_numbers_of_landlines_and_other_countries_have_one_form() -> None:
    for number in ("+553132234567", "+552134567890", "+4915112345678", "+5491112345", "+15215550123", "+5511987654321"):
        assert plain_number(f"whatsapp:{number}") == number


async def test_stop_after_the_decision_prevents_the_call(
    tenant: Tenant, deployment: Deployment, twilio: FakeTwilio, number: str
) -> None:
    await add(tenant, number, "alice")
    for worker in deployment.workers:
        await worker.stop()
    try:
        await tenant.send("alice", **SMS)
        await tenant.send("alice", steps=[{"channels": ["SMS"], "after": "PT1S", "unless": "NEVER"}])
        await receive(tenant, number, "STOP")
    finally:
        await asyncio.gather(*(worker.start() for worker in deployment.workers))
    found = await wait_until_settled(tenant, 2, 20)
    assert {(one["status"], one["reason"], len(one["attempts"])) for one in found} == {("SKIPPED", "OPTED_OUT", 0)}
    assert texts(twilio, number) == 0


WORDS = {
    "stop": [
        "Stopall",
        "UNSUBSCRIBE.",
        "cancel",
        "end",
        "Quit",
        "revoke",
        "Opt-out",
        "STOPP",
        "abmelden",
        "¡Alto!",
        "baja",
    ],
    "start": ["start", "Yes", "UNSTOP", "Anmelden", "alta"],
    "other": ["please stop", "stop sending me this", "", "ok", "startup", "\U0001f6d1", "STOP START"],
}


async def test_words_are_recorded_and_answered_empty(tenant: Tenant, store: Database, number: str) -> None:
    id = f"{SENDER} {number}"
    for stop, start in itertools.zip_longest(WORDS["stop"], WORDS["start"], fillvalue="START"):
        assert await receive(tenant, number, stop) == EMPTY
        assert await store["opt_outs"].find_one({"_id": id})
        for other in WORDS["other"]:
            assert await receive(tenant, number, other) == EMPTY
            assert await store["opt_outs"].find_one({"_id": id})
        assert await receive(tenant, number, start) == EMPTY
        assert not await store["opt_outs"].find_one({"_id": id})
    assert "Reply STOP" in await receive(tenant, number, "help")
    assert "Antworten Sie STOP" in await receive(tenant, number, "Hilfe?")
    assert "Responda STOP" in await receive(tenant, number, "AYUDA")
    assert await receive(tenant, number, "HELP", OptOutType="HELP") == EMPTY, "Twilio has answered"
    service = f"MG{'2' * 32}"
    assert await receive(tenant, number, "nie wieder", OptOutType="STOP", MessagingServiceSid=service) == EMPTY
    found = {doc["_id"] async for doc in store["opt_outs"].find({"_id": {"$regex": f"{number[1:]}$"}})}
    assert found == {id, f"{service} {number}"}, "a word of Advanced Opt-Out; the service is a sender, too"


async def test_repeated_message_does_not_change_a_later_one(tenant: Tenant, store: Database, number: str) -> None:
    start, stop = incoming(number, "START"), incoming(number, "STOP")
    for form in (start, stop, start, start):
        assert await post(tenant, form) == (200, EMPTY)
    assert await store["opt_outs"].find_one({"_id": f"{SENDER} {number}"}), "the START is older"
    assert await post(tenant, incoming(number, "START")) == (200, EMPTY)
    assert await post(tenant, stop) == (200, EMPTY)
    assert not await store["opt_outs"].find_one({"_id": f"{SENDER} {number}"}), "the STOP is older"


async def sync(servers: tuple[Mongod, Redis], twilio: FakeTwilio, **settings: str) -> subprocess.CompletedProcess[str]:
    own = {"jwt_secret": SECRET, "mongo_url": servers[0].url, "mongo_database": "texts", "twilio_url": twilio.url}
    account = {"twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN, "sms_from": SENDER, "whatsapp_from": SENDER}
    return await asyncio.to_thread(run_command, "opt-outs", "sync", "--since", "3d", **own | account | settings)


async def test_replies_that_did_not_reach_the_hub_are_recorded_afterwards(
    tenant: Tenant, servers: tuple[Mongod, Redis], twilio: FakeTwilio, store: Database, number: str
) -> None:
    service, now = f"MG{'4' * 32}", datetime.now(UTC)
    people = {name: f"{number}{digit}" for digit, name in enumerate(("ann", "ben", "cid", "dan", "eve", "fay", "gus"))}

    async def opted_out(name: str, sender: str = SENDER) -> bool:
        return await store["opt_outs"].find_one({"_id": f"{sender} {people[name]}"}) is not None

    twilio.receive(people["ann"], "STOP", SENDER, now - timedelta(days=4))
    twilio.receive(people["ben"], "Abmelden!", SENDER, now - timedelta(hours=30))
    twilio.receive(people["cid"], "STOP", SENDER, now - timedelta(hours=29))
    twilio.receive(people["cid"], "thanks", SENDER, now - timedelta(hours=28))
    twilio.receive(people["cid"], "START", SENDER, now - timedelta(hours=27))
    twilio.receive(f"whatsapp:{people['dan']}", "BAJA", f"whatsapp:{SENDER}", now - timedelta(hours=26))
    twilio.receive(people["eve"], "START", SENDER, now - timedelta(hours=25))
    assert await receive(tenant, people["eve"], "halt", OptOutType="STOP") == EMPTY
    twilio.receive(people["fay"], "STOP", "+15550002222", now - timedelta(hours=24), service)
    for _ in range(1000):
        twilio.receive(people["gus"], "ok", SENDER, now - timedelta(hours=23))
    for expected in ("STOP: 2 recorded. START: 2 recorded.\n", "STOP: 0 recorded. START: 0 recorded.\n"):
        done = await sync(servers, twilio)
        assert (done.stdout, done.stderr) == (expected, "")
        assert [name for name in people if await opted_out(name)] == ["ben", "eve"], "STOP of `eve` is newer than START"
        assert await opted_out("dan", f"whatsapp:{SENDER}")

    done = await sync(servers, twilio, sms_from=service, whatsapp_from="")
    assert done.stdout == "STOP: 2 recorded. START: 0 recorded.\n", done.stderr
    assert await opted_out("fay", service)
    refused = await sync(servers, twilio, twilio_auth_token="another")
    assert (refused.returncode, "HTTP 401" in refused.stderr) == (1, True)


async def test_fallback_provider_is_not_called_after_a_stop(
    tenant: Tenant, twilio: FakeTwilio, amazon: FakeHTTPServer, number: str
) -> None:
    """STOP arrives during the call of Twilio, which then fails."""
    await add(tenant, number, "alice", "bob")
    original = twilio.respond

    async def respond(request: web.Request, body: bytes) -> web.Response:  # noqa: ARG001 - replaces a method
        if b"Stopped" in body:
            await receive(tenant, number, "STOP")
        return error(503, 20503)()

    twilio.respond = respond  # type: ignore[method-assign]
    try:
        await tenant.send("alice", **SMS, title="Continued")
        await wait_for_deliveries(tenant, "SENT")
        assert amazon.calls == 1
        await tenant.send("alice", **SMS, title="Stopped")
        [found] = await wait_for_deliveries(tenant, "SKIPPED")
    finally:
        twilio.respond = original  # type: ignore[method-assign]
    assert (found["status"], found["reason"]) == ("SKIPPED", "OPTED_OUT")
    assert [one["provider"] for one in found["attempts"]] == ["twilio"]
    assert amazon.calls == 1
