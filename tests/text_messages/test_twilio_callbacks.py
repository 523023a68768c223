"""Statuses of messages, and the signatures of requests from Twilio."""

import asyncio
import json

from aiohttp import web

from hub.platform.connections import Database
from tests.channel_setup import wait_for_deliveries
from tests.client import Json, Tenant
from tests.fake_twilio import FakeTwilio
from tests.processes import Deployment
from tests.telemetry import log_lines
from tests.text_messages.recipients import SMS, WHATSAPP, add, has_status, newest, sent
from tests.text_messages.twilio_requests import PUBLIC_URL, SENDER, incoming, post, signature, status


async def test_request_without_a_valid_signature_is_rejected(
    tenant: Tenant, deployment: Deployment, store: Database, number: str
) -> None:
    form = incoming(number, "STOP & <go>")
    form["Body"] = "STOP"
    url = f"{PUBLIC_URL}/providers/twilio"
    valid = signature(url, form)
    for changed, signed, query in (
        (form, "", ""),
        (form, "é", ""),
        (form, valid[:-2] + "==", ""),
        (form, signature(url, form, token="another"), ""),
        (form, signature(url.replace("https", "http"), form), ""),
        (form, signature("https://evil.example/providers/twilio", form), ""),
        (form, valid, "?x=1"),
        (form | {"Body": "START"}, valid, ""),
        (form | {"From": f"{number}0"}, valid, ""),
        (form | {"More": "x"}, valid, ""),
        ({name: value for name, value in form.items() if name != "SmsStatus"}, valid, ""),
        ({}, "", ""),
        (dict.fromkeys(map(str, range(300)), "x"), valid, ""),
    ):
        assert (await post(tenant, changed, signed=signed, query=query))[0] == 403
    assert not await store["opt_outs"].find_one({"_id": f"{SENDER} {number}"})
    lines = log_lines(*deployment.apis, event="twilio_request_rejected")
    assert 0 < len(lines) <= 2 * len(deployment.apis), "each reason once per process"
    assert number not in str(lines)
    assert (await post(tenant, form, signed=signature(f"{PUBLIC_URL}:443/providers/twilio", form)))[0] == 200
    fragment = f"{url}#rc=5&rp=5xx,ct,rt"
    assert (await post(tenant, form, signed=signature(fragment, form)))[0] == 200
    assert (await post(tenant, form, query="?x=1", signed=signature(f"{url}?x=1", form)))[0] == 200
    example = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    assert signature("https://mycompany.com/myapp.php?foo=1&bar=2", example, "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


async def test_statuses_move_a_delivery_forward_only(tenant: Tenant, store: Database, number: str) -> None:
    await add(tenant, number, "alice")
    sms = await sent(tenant, "alice")

    async def report(delivery: Json, *values: str) -> None:
        for value in values:
            assert (await post(tenant, status(delivery["providerId"], value, number, 30003)))[0] == 204

    await report(sms, "queued", "sending", "sent")
    await has_status(tenant, sms, "SENT")
    await report(sms, "delivered", "delivered", "sent", "undelivered", "failed")
    found = await has_status(tenant, sms, "DELIVERED")
    assert len(found["attempts"]) == 1
    whatsapp = await sent(tenant, "alice", **WHATSAPP)
    assert (await tenant.inbox("alice"))["unread"] == 2
    await report(whatsapp, "read", "delivered", "sent", "failed")
    await has_status(tenant, whatsapp, "READ")
    assert (await tenant.inbox("alice"))["unread"] == 1, "read in WhatsApp"
    unknown = status(f"SM{'0' * 32}", "undelivered", number, 21610)
    assert (await post(tenant, unknown))[0] == 503, "perhaps it is not stored yet"
    assert await store["opt_outs"].find_one({"_id": f"{SENDER} {number}"}), "recorded before the delivery is read"


async def test_status_before_the_result_is_stored_is_not_lost(tenant: Tenant, twilio: FakeTwilio, number: str) -> None:
    await add(tenant, number, "alice")
    reports: list[asyncio.Task[bool]] = []
    original = twilio.respond

    async def report(sid: str) -> bool:
        """Repeat the call as Twilio does. Return True if it was accepted."""
        for _ in range(6):
            if (await post(tenant, status(sid, "delivered", number)))[0] != 503:
                return True
        return False

    async def respond(request: web.Request, body: bytes) -> web.Response:
        response = await original(request, body)
        reports.append(asyncio.create_task(report(json.loads(response.text or "")["sid"])))
        await asyncio.sleep(0.1)
        return response

    twilio.respond = respond  # type: ignore[method-assign]
    try:
        await tenant.send("alice", **SMS)
        await wait_for_deliveries(tenant, "DELIVERED")
    finally:
        twilio.respond = original  # type: ignore[method-assign]
    assert await reports[0]


async def test_failed_message_is_explained_and_a_gone_number_is_suppressed(
    tenant: Tenant, store: Database, number: str
) -> None:
    await add(tenant, number, "alice", "bob")
    for code, reason in ((30003, "REFUSED"), (30008, "REFUSED"), (30499, "REFUSED"), (30005, "ADDRESS_GONE")):
        delivery = await sent(tenant, "alice", priority="CRITICAL")
        form = status(delivery["providerId"], "undelivered", number, code)
        for _ in range(2):
            assert (await post(tenant, form))[0] == 204
        found = await has_status(tenant, delivery, "FAILED")
        assert found["reason"] == reason
        last = found["attempts"][-1]
        assert (len(found["attempts"]), last["ok"], last["provider"]) == (2, False, "twilio")
        assert str(code) in last["error"]
    await tenant.send("alice", **SMS)
    assert await newest(tenant, "alice", "SMS") == ("SKIPPED", "SUPPRESSED")
    await sent(tenant, "alice", **WHATSAPP)
    await sent(tenant, "bob")

    delivery = await sent(tenant, "bob")
    assert (await post(tenant, status(delivery["providerId"], "failed", number, 21610)))[0] == 204
    await tenant.send("bob", **SMS)
    assert await newest(tenant, "bob", "SMS") == ("SKIPPED", "OPTED_OUT")
    assert await store["opt_outs"].find_one({"_id": f"{SENDER} {number}", "how": "21610"})
