"""Delivery reports and clicks: receipts, redirects, and the effect on other channels."""

import asyncio
from email.message import EmailMessage
from io import BytesIO

import pytest
from aiohttp import web

from hub.platform.connections import Database
from hub.utc_time import rfc3339
from tests.channel_setup import connect_webhook, list_deliveries, wait_for_deliveries
from tests.client import Json, Tenant, eventually
from tests.email_links.emails import PUBLIC_URL, EmailRecipient, FakeSes, link_paths, request_path, unsubscribe_path
from tests.mongo_assertions import stored_receipts
from tests.test_receipts import open_receipts, send_id
from tests.webhook_receiver import WebhookReceiver

ACTIONS = [
    {"key": "open", "label": "Open it", "url": "https://app.example/open?a=1&b=2", "primary": True},
    {"key": "local", "label": "Local", "url": "/inner"},
    {"key": "ignore", "label": "Ignore", "url": "https://app.example/ignore"},
]


async def receipt_kinds(store: Database, tenant: Tenant) -> list[tuple[str, str]]:
    found = await stored_receipts(store, tenant=tenant.name)
    return [(row["kind"], row["channel"]) for row in found if row["kind"] != "DELIVERY"]


async def test_reports_reach_a_paused_send(alice: EmailRecipient, tenant: Tenant) -> None:
    email = await alice.receive_email(content={"actionUrl": "https://app.example/x"})
    link = link_paths(email)["Open"]
    [sent] = await list_deliveries(tenant, channels=["EMAIL"], userId=alice.id)
    await tenant.execute("mutation ($id: ID!) { pauseSend(id: $id) { id } }", id=sent["sendId"])
    for report, status in (("delivered", "DELIVERED"), ("clicked", "READ")):
        await request_path(tenant, "POST", link, json={"event": report})
        await alice.wait_for_status(status)


async def test_delivered_and_clicked_reports_change_the_status_with_one_receipt(
    alice: EmailRecipient, tenant: Tenant, store: Database
) -> None:
    query = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
    async with WebhookReceiver() as receiver:
        created = await tenant.execute_as_admin(query, input={"url": f"{receiver.url}/events"})
        receiver.secrets["/events"] = created["createWebhook"]["secret"]
        email = await alice.receive_email(content={"actionUrl": "https://app.example/x"})
        link = link_paths(email)["Open"]
        for _ in range(2):
            response, _ = await request_path(
                tenant, "POST", link, data='{"event": "delivered"}'
            )  # as text, which needs no preflight
            assert response.status == 204
        await alice.wait_for_status("DELIVERED")
        assert (await tenant.inbox(alice.id))["unread"] == 1
        for _ in range(2):
            response, _ = await request_path(tenant, "POST", link, json={"event": "clicked"})
            assert response.status == 204
            assert response.headers["access-control-allow-origin"] == "*"
        await alice.wait_for_status("READ")
        inbox = await tenant.inbox(alice.id)
        assert inbox["unread"] == 0
        of_item = "query ($id: ID!) { send(id: $id) { notifications { nodes { deliveries { channel status } } } } }"
        clicked = (await list_deliveries(tenant, channels=["EMAIL"]))[0]
        [item] = (await tenant.execute(of_item, id=clicked["sendId"]))["send"]["notifications"]["nodes"]
        statuses = {one["channel"]: one["status"] for one in item["deliveries"]}
        assert statuses == {"IN_APP": "DELIVERED", "EMAIL": "READ"}, "the email proved the read, not the inbox"
        assert await receipt_kinds(store, tenant) == [("CLICKED", "EMAIL"), ("SEEN", "IN_APP"), ("READ", "IN_APP")]
        [delivered] = await stored_receipts(store, tenant=tenant.name, channel="EMAIL", status="DELIVERED")
        times_query = "query ($id: ID!) { delivery(id: $id) { createdAt sentAt deliveredAt clickedAt provider } }"
        times = (await tenant.execute(times_query, id=clicked["id"]))["delivery"]
        assert times.pop("provider") == "ses"
        assert list(times.values()) == sorted(times.values())
        assert times["deliveredAt"] == rfc3339(delivered["at"])

        async def all_told() -> bool:
            received = [call["type"] for call in receiver.bodies["/events"]]
            return received.count("notification.clicked") == 1 and "delivery.delivered" in received

        await eventually(all_told)
    response, _ = await request_path(tenant, "POST", link, json={"event": "delivered"})
    assert response.status == 204
    await alice.wait_for_status("READ")


async def test_report_before_the_call_is_settled_counts(
    alice: EmailRecipient, tenant: Tenant, ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, acknowledged = ses.amazon.respond, asyncio.Event()

    async def slow(request: web.Request, body: bytes) -> web.Response:
        response = await original(request, body)
        await asyncio.wait_for(acknowledged.wait(), 10)
        return response

    monkeypatch.setattr(ses.amazon, "respond", slow)
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"], content={"actionUrl": "https://app.example/x"})

    async def exists() -> list[EmailMessage]:
        return ses.emails(alice.address)

    [email] = await eventually(exists)
    reporting = asyncio.create_task(
        request_path(tenant, "POST", link_paths(email)["Open"], json={"event": "delivered"})
    )
    await asyncio.sleep(0.3)
    acknowledged.set()
    assert (await reporting)[0].status == 204
    await alice.wait_for_status("DELIVERED")


async def test_report_without_an_event_is_rejected(alice: EmailRecipient, tenant: Tenant) -> None:
    link = link_paths(await alice.receive_email(content={"actionUrl": "https://app.example/x"}))["Open"]
    for body in (
        b"",
        b"{}",
        b"[]",
        b'"clicked"',
        b'{"event": "read"}',
        b'{"event": ["clicked"]}',
        b"\xff",
        b"[" * 5000,
    ):
        response, received = await request_path(tenant, "POST", link, data=body)
        assert response.status == 400, body
        assert "errors" in received
    for path in (link, "/providers/ses"):
        response, received = await request_path(tenant, "POST", path, data=BytesIO(b"x" * (2 << 20)))
        assert response.status == 413
        assert "HUB_REQUEST_MAX_BYTES" in received
    await alice.wait_for_status("SENT")


async def test_email_buttons_record_the_click_and_redirect_only_to_urls_of_the_notification(
    alice: EmailRecipient, tenant: Tenant
) -> None:
    email = await alice.receive_email(content={"actionUrl": "https://app.example/own", "actions": ACTIONS})
    buttons = link_paths(email)
    token = buttons["Hello"]
    assert buttons == {
        "Hello": token,
        "Open it": f"{token}?to=0",
        "Local": f"{token}?to=1",
        "Ignore": f"{token}?to=2",
        "Unsubscribe from news": unsubscribe_path(email),
    }
    plain = email.get_body(("plain",))
    assert plain
    assert "Open it: https://app.example/open?a=1&b=2" in plain.get_content(), "the text shows the URL of a link"
    evil = "https://evil.example"
    for query in ("?to=3", "?to=-1", "?to=99999999999", "?to=", f"?to={evil}", "?to=//evil.example", "?to=²"):
        response, page = await request_path(tenant, "GET", token + query)
        assert response.status == 404, query
        assert "evil" not in str(response.headers) + page
    response, _ = await request_path(
        tenant, "GET", f"{token}?url={evil}&next={evil}", headers={"sec-purpose": "prefetch"}
    )
    assert response.headers["location"] == "https://app.example/own"
    response, _ = await request_path(tenant, "HEAD", token)
    assert (response.status, response.headers["location"]) == (303, "https://app.example/own")
    assert (await tenant.inbox(alice.id))["unread"] == 1, "nobody has clicked yet"
    response, _ = await request_path(tenant, "GET", f"{token}?to=0")
    assert (response.status, response.headers["location"]) == (303, "https://app.example/open?a=1&b=2")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert (await tenant.inbox(alice.id))["unread"] == 0
    await alice.wait_for_status("READ")


async def test_relative_url_is_absolute_in_emails_and_unchanged_in_the_inbox(
    alice: EmailRecipient, tenant: Tenant
) -> None:
    async with WebhookReceiver() as receiver:
        await connect_webhook(tenant, receiver, alice.id)
        content = {"actionUrl": "/builds/7?a=1", "imageUrl": "/seven.png"}
        email = await alice.receive_email("IN_APP", "WEBHOOK", "EMAIL", content=content)
        await wait_for_deliveries(tenant, "DELIVERED")
        [received] = receiver.bodies[f"/{alice.id}"]
    complete = {"actionUrl": "https://app.example/builds/7?a=1", "imageUrl": "https://app.example/seven.png"}
    assert {name: received["data"][name] for name in complete} == complete
    plain, html = email.get_body(("plain",)), email.get_body(("html",))
    assert plain
    assert html
    assert f"Open: {complete['actionUrl']}" in plain.get_content()
    assert f'src="{complete["imageUrl"]}"' in html.get_content()
    response, _ = await request_path(tenant, "GET", link_paths(email)["Open"])
    assert (response.status, response.headers["location"]) == (303, complete["actionUrl"])
    [n] = (await tenant.execute("{ inbox { nodes { actionUrl imageUrl } } }", user=alice.id))["inbox"]["nodes"]
    assert n == content


async def test_click_in_an_email_skips_the_other_channels(alice: EmailRecipient, tenant: Tenant) -> None:
    async with WebhookReceiver() as receiver:
        await connect_webhook(tenant, receiver, alice.id)
        receiver.responses[f"/{alice.id}"] = lambda *_: web.Response(status=503, headers={"retry-after": "60"})
        fields: Json = {"content": {"actionUrl": "https://app.example/x"}}
        await tenant.send(alice.id, channels=["EMAIL", "WEBHOOK"], **fields)
        await wait_for_deliveries(tenant, "RETRYING")
        await wait_for_deliveries(tenant, "SENT")
        [email] = alice.ses.emails(alice.address)
        response, _ = await request_path(tenant, "GET", link_paths(email)["Open"])
        assert response.status == 303
        [waiting] = await wait_for_deliveries(tenant, "SKIPPED")
        assert (waiting["channel"], waiting["reason"]) == ("WEBHOOK", "ALREADY_READ")


async def test_click_on_a_hidden_notification_is_stored_as_read_with_a_receipt(
    alice: EmailRecipient, tenant: Tenant, store: Database
) -> None:
    query = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
    async with WebhookReceiver() as receiver:
        created = await tenant.execute_as_admin(query, input={"url": f"{receiver.url}/events"})
        receiver.secrets["/events"] = created["createWebhook"]["secret"]
        await connect_webhook(tenant, receiver, alice.id)
        going = asyncio.Event()
        receiver.responses[f"/{alice.id}"] = lambda *_: going
        fields: Json = {"content": {"actionUrl": "https://app.example/x"}}
        await tenant.send(alice.id, channels=["EMAIL", "WEBHOOK"], **fields)
        await wait_for_deliveries(tenant, "SENT")
        await wait_for_deliveries(tenant, "PROCESSING")
        [email] = alice.ses.emails(alice.address)
        for _ in range(2):
            response, _ = await request_path(tenant, "POST", link_paths(email)["Open"], json={"event": "clicked"})
            assert response.status == 204
        [clicked] = await list_deliveries(tenant, channels=["EMAIL"])
        assert clicked["status"] == "READ", "with the payload"
        going.set()
        await wait_for_deliveries(tenant, "DELIVERED")  # a click in the email does not concern the webhook
        assert await receipt_kinds(store, tenant) == [("CLICKED", "EMAIL"), ("SEEN", "EMAIL"), ("READ", "EMAIL")]

        async def all_told() -> bool:
            received = {(call["type"], call["data"]["channel"]) for call in receiver.bodies["/events"]}
            return {("notification.clicked", "EMAIL"), ("notification.read", "EMAIL")} <= received

        await eventually(all_told)
    page = await tenant.inbox(alice.id)
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)
    [hidden] = await store["notifications"].find({"mailbox": f"{tenant.name}/{alice.id}"}).to_list()
    assert hidden["read_at"]
    assert "modseq" not in hidden, "it takes no number, so the inbox has not changed"


async def test_link_of_a_recalled_notification_does_not_redirect(alice: EmailRecipient, tenant: Tenant) -> None:
    link = link_paths(await alice.receive_email(content={"actionUrl": "https://app.example/x"}))["Open"]
    [delivery] = await list_deliveries(tenant)
    await tenant.execute("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=delivery["sendId"])
    response, page = await request_path(tenant, "GET", link)
    assert response.status == 404
    assert "no longer exists" in page


async def test_pages_of_any_origin_may_only_report(alice: EmailRecipient, tenant: Tenant) -> None:
    link = link_paths(await alice.receive_email(content={"actionUrl": "https://app.example/x"}))["Open"]
    requesting = {
        "origin": "https://elsewhere.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    response, _ = await request_path(tenant, "OPTIONS", link, headers=requesting)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-headers"] == "content-type"
    assert "access-control-allow-credentials" not in response.headers
    response, _ = await request_path(tenant, "OPTIONS", "/graphql", headers=requesting)
    assert response.status == 400


async def test_receipt_has_the_link_to_the_page_of_its_recipient(tenant: Tenant) -> None:
    async with open_receipts(tenant, await send_id(tenant, "ann/lee")) as feed:
        [receipt] = await feed.take(1)
    assert receipt["consoleUrl"] == f"{PUBLIC_URL}/console/users/ann%2Flee"
