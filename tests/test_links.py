"""Links in mails and pushes: unsubscribing, delivered and clicked; and what SES tells of bounces and complaints."""

import asyncio
import base64
import email
import email.policy
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.message import EmailMessage
from html import unescape
from io import BytesIO
from typing import Any
from uuid import uuid4

import aioboto3
import pytest
from aiohttp import ClientResponse, web
from cryptography.hazmat.primitives.asymmetric import rsa
from pymongo import AsyncMongoClient

from hub.api.public.sns_signature import SNSVerifier
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.signed_links import LinkPurpose, SignedLinks, load_signing_key
from tests.client import Json, Tenant, eventually
from tests.fake_providers import Amazon
from tests.fake_sns import CERTIFICATE, Topic, certificate
from tests.processes import Deployment
from tests.receiver import Receiver
from tests.test_dispatch import QUICK, connect, deliveries, ended
from tests.test_preferences import refusal
from tests.worlds import SENDER

PUBLIC = "https://hub.example"
ARN = "arn:aws:sns:eu-west-1:123456789012:ses"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PER_LINK = 60
ACTIONS = [
    {"key": "open", "label": "Open it", "url": "https://app.example/open?a=1&b=2", "primary": True},
    {"key": "local", "label": "Local", "url": "/inner"},
    {"key": "ignore", "label": "Ignore", "url": "https://app.example/ignore"},
]


class Post:
    """Amazon's two services: mails that SES took, and the topic that tells of them."""

    def __init__(self, amazon: Amazon, topic: Topic) -> None:
        self.amazon = amazon
        self.topic = topic

    def mails(self, to: str) -> list[EmailMessage]:
        found = []
        for _, asked in self.amazon.requests:
            if asked.get("Destination", {}).get("ToAddresses") == [to]:
                raw = base64.b64decode(asked["Content"]["Raw"]["Data"])
                mail = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
                assert isinstance(mail, EmailMessage)
                found.append(mail)
        return found


@pytest.fixture(scope="module")
async def post(moto_url: str) -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        amazon = await stack.enter_async_context(Amazon(moto_url))
        topic = await stack.enter_async_context(Topic(ARN))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_ENDPOINT_URL", amazon.url)
        environment.setenv("AWS_ENDPOINT_URL_SNS", topic.url)
        environment.setenv("AWS_REGION", "eu-west-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        client = await stack.enter_async_context(aioboto3.Session().client("sesv2", region_name="eu-west-1"))
        await client.create_email_identity(EmailIdentity="no-reply@acme.example")
        yield Post(amazon, topic)


@pytest.fixture(scope="module")
async def mailing(servers: tuple[Mongod, Redis], post: Post) -> AsyncIterator[Deployment]:  # noqa: ARG001 - it says where Amazon is
    """Two API processes and a worker that mails through SES."""
    mongod, redis = servers
    settings = {
        **QUICK,
        "mongo_database": "links",
        "redis_prefix": "links:",
        "public_url": f"{PUBLIC}/",
        "app_url": "https://app.example/",
        "ses_from": SENDER,
        "sns_topics": f"{ARN} {ARN}-2",
        "allowed_origins": "https://app.example",
        "rate_per_link": str(PER_LINK),
    }
    async with Deployment(mongod.url, redis.url, apis=2, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(mailing: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", mailing.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis], mailing: Deployment) -> AsyncIterator[Database]:  # noqa: ARG001 - it makes the indexes
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["links"]


class Person:
    """Somebody with a mail address, and what their mails hold."""

    def __init__(self, tenant: Tenant, post: Post) -> None:
        self.id = f"u{uuid4().hex[:8]}"
        self.address = f"{self.id}@people.example"
        self.tenant, self.post = tenant, post

    async def arrive(self) -> "Person":
        query = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
        await self.tenant.ask(query, users=[{"id": self.id, "email": self.address}])
        return self

    async def mailed(self, *channels: str, category: str = "news", **more: Any) -> EmailMessage:
        """The next mail, sent and taken."""
        known = len(self.post.mails(self.address))
        await self.tenant.send(self.id, category=category, channels=list(channels) or ["IN_APP", "EMAIL"], **more)

        async def there() -> list[EmailMessage]:
            return self.post.mails(self.address)[known:]

        [mail] = await eventually(there, 20)
        await self.settled("SENT")
        return mail

    async def settled(self, status: str) -> Json:
        """The newest delivery, in that state."""

        async def there() -> Json | None:
            newest = (await deliveries(self.tenant, userId=self.id))[0]
            return newest if newest["status"] == status else None

        found: Json = await eventually(there, 20)
        return found

    async def user(self, store: Database) -> Json:
        doc = await store["users"].find_one({"_id": f"{self.tenant.name}/{self.id}"})
        assert doc
        return doc


@pytest.fixture
async def alice(tenant: Tenant, post: Post) -> Person:
    return await Person(tenant, post).arrive()


def unsubscribe_of(mail: EmailMessage) -> str:
    """The path of the link in its header."""
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.fullmatch(rf"<{PUBLIC}(/unsubscribe/[\w.-]+)>", str(mail["List-Unsubscribe"]))
    assert found
    return found[1]


def buttons_of(mail: EmailMessage) -> dict[str, str]:
    """Label to address, of everything that can be clicked in it."""
    html = mail.get_body(("html",))
    assert html
    found = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', html.get_content())
    return {unescape(label): unescape(href).removeprefix(PUBLIC) for href, label in found}


def at(tenant: Tenant, path: str) -> str:
    return tenant.next_url().removesuffix("/graphql") + path


async def call(tenant: Tenant, method: str, path: str, **given: Any) -> tuple[ClientResponse, str]:
    async with tenant.http.request(method, at(tenant, path), allow_redirects=False, **given) as response:
        return response, await response.text()


async def skipped(tenant: Tenant, user: str) -> list[tuple[str, str]]:
    """What the newest notification did not go out on, and why."""
    query = "{ inbox(first: 1) { nodes { deliveries { channel status reason } } } }"
    [n] = (await tenant.ask(query, user=user))["inbox"]["nodes"]
    return [(row["channel"], row["reason"]) for row in n["deliveries"] if row["status"] == "SKIPPED"]


# ---------------------------------------------------------------- unsubscribing


async def test_link_asks_acts_at_one_click_and_leads_back(alice: Person, tenant: Tenant, store: Database) -> None:
    await tenant.admin('mutation { updateTenant(input: { name: "Ac<me>" }) { id } }')
    await tenant.define("news", "IN_APP", "EMAIL")
    link = unsubscribe_of(await alice.mailed())
    before = await alice.user(store)
    for method in ("GET", "HEAD"):
        response, page = await call(tenant, method, link)
        assert response.status == 200
        assert "preferences" not in await alice.user(store)
        assert await alice.user(store) == before, "asking changes nothing"
        headers = response.headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
        assert "noindex" in headers["x-robots-tag"]
    _, page = await call(tenant, "GET", link)
    style = hashlib.sha256(page.partition("<style>")[2].partition("</style>")[0].encode()).digest()
    assert f"'sha256-{base64.b64encode(style).decode()}'" in response.headers["content-security-policy"]
    assert "Unsubscribe from News?" in page
    assert "Ac&lt;me&gt;" in page
    assert '<form method="post" action="?"><button>Unsubscribe</button></form>' in page
    for _ in range(2):  # as a mail program does it, and again
        response, page = await call(tenant, "POST", link, data=ONE_CLICK)
        assert response.status == 200
        assert "You are unsubscribed" in page
    assert (await alice.user(store))["preferences"] == {
        "categories": [{"category": "news", "channels": {"EMAIL": False}}]
    }
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
    assert await skipped(tenant, alice.id) == [("EMAIL", "PREFERENCE")]
    await alice.mailed(category="other")
    _, page = await call(tenant, "GET", link)
    assert 'action="?undo"' in page
    _, page = await call(tenant, "POST", f"{link}?undo")
    assert "You are subscribed again" in page
    await alice.mailed()


async def test_what_waits_when_somebody_unsubscribes_is_not_sent(alice: Person, tenant: Tenant, post: Post) -> None:
    link = unsubscribe_of(await alice.mailed())
    post.amazon.fault = Amazon.json_error(503, "ServiceUnavailable")
    try:
        await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
        await alice.settled("RETRYING")
        await call(tenant, "POST", link, data=ONE_CLICK)
    finally:
        post.amazon.heal()
    assert (await alice.settled("SKIPPED"))["reason"] == "PREFERENCE"
    assert len(post.mails(alice.address)) == 1


async def test_required_category_says_why_it_stays(alice: Person, tenant: Tenant, store: Database) -> None:
    link = unsubscribe_of(await alice.mailed(category="security"))
    await tenant.define("security", "IN_APP", "EMAIL", required=True)
    before = await alice.user(store)
    for method, status in (("GET", 200), ("POST", 403)):
        response, page = await call(tenant, method, link)
        assert response.status == status
        assert "Security can&#x27;t be switched off" in page
        assert "<button" not in page
    assert await alice.user(store) == before
    mail = await alice.mailed(category="security")
    assert mail["List-Unsubscribe"] is None, "no way out is offered where there is none"


async def test_forged_altered_and_foreign_tokens_do_nothing(
    alice: Person, tenant: Tenant, store: Database, post: Post
) -> None:
    bob = await Person(tenant, post).arrive()
    mail = await alice.mailed(content={"actionUrl": "https://app.example/x"})
    token = unsubscribe_of(mail).removeprefix("/unsubscribe/")
    receipt = buttons_of(mail)["Open"].removeprefix("/r/")
    theirs = unsubscribe_of(await bob.mailed()).removeprefix("/unsubscribe/")
    _, id, seal = token.split(".")
    forged = [
        *(token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :] for at in range(len(token))),
        receipt,
        f"1.{theirs.split('.')[1]}.{seal}",
        f"1.{id}.{theirs.split('.')[2]}",
        f"1.{id}.{receipt.split('.')[2]}",
        f"2.{id}.{seal}",
        f"1.{id}",
        f"1.{id}.",
        token + "=",
        token + "%0a",
        token.upper(),
        SignedLinks(b"another key").sign(LinkPurpose.UNSUBSCRIBE, id),
        "%00" * 50,
        "é" * 22,
        "x" * 5000,
    ]
    people = [await person.user(store) for person in (alice, bob)]
    count = await store["receipts"].count_documents({})
    for wrong in forged:
        for method, path in (("GET", "unsubscribe"), ("POST", "unsubscribe")):
            response, page = await call(
                tenant, method, f"/{path}/{wrong}", data=ONE_CLICK if method == "POST" else None
            )
            assert response.status == 404, wrong
            assert id not in page
    for wrong in [token, *(f[: len(receipt)] for f in (receipt[:-1] + "A", "1.x.y"))]:
        if wrong == receipt:
            continue
        for method in ("GET", "POST"):
            response, _ = await call(tenant, method, f"/r/{wrong}", json={"event": "clicked"})
            assert response.status == 404, wrong
    assert [await person.user(store) for person in (alice, bob)] == people
    assert await store["receipts"].count_documents({}) == count
    assert (await tenant.inbox(alice.id))["unread"] == 1


async def test_link_of_somebody_who_was_erased_leads_nowhere(alice: Person, tenant: Tenant, store: Database) -> None:
    mail = await alice.mailed(content={"actionUrl": "https://app.example/x"})
    await tenant.admin("mutation ($id: ID!) { deleteUser(id: $id) }", id=alice.id)
    for method, path in (("POST", unsubscribe_of(mail)), ("GET", buttons_of(mail)["Open"])):
        response, _ = await call(tenant, method, path)
        assert response.status == 404
    assert await store["users"].find_one({"_id": f"{tenant.name}/{alice.id}"}) is None


async def test_link_that_is_used_too_often_is_refused_for_a_while(alice: Person, tenant: Tenant) -> None:
    link = unsubscribe_of(await alice.mailed())
    answers = [await call(tenant, "GET", link) for _ in range(2 * PER_LINK + 10)]
    assert answers[0][0].status == 200
    refused, page = answers[-1]
    assert refused.status == 429
    assert "HUB_RATE_PER_LINK" in page
    assert int(refused.headers["retry-after"]) > 0


async def test_key_is_made_once_by_processes_that_start_together(servers: tuple[Mongod, Redis]) -> None:
    async with AsyncMongoClient(servers[0].url) as client:
        database: Database = client[f"keys{secrets.token_hex(4)}"]
        keys = await asyncio.gather(*(load_signing_key(database) for _ in range(30)))
        assert len(set(keys)) == 1
        assert len(keys[0]) == 32
        await client.drop_database(database)


# ---------------------------------------------------------------- delivered and clicked


async def kinds(store: Database, tenant: Tenant) -> list[tuple[str, str]]:
    found = store["receipts"].find({"tenant": tenant.name, "kind": {"$ne": "DELIVERY"}}).sort("_id")
    return [(doc["kind"], doc["channel"]) async for doc in found]


async def test_delivered_and_clicked_move_the_state_and_the_click_is_told_once(
    alice: Person, tenant: Tenant, store: Database
) -> None:
    query = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
    async with Receiver() as receiver:
        made = await tenant.admin(query, input={"url": f"{receiver.url}/events"})
        receiver.secrets["/events"] = made["createWebhook"]["secret"]
        mail = await alice.mailed(content={"actionUrl": "https://app.example/x"})
        link = buttons_of(mail)["Open"]
        for _ in range(2):
            response, _ = await call(tenant, "POST", link, data='{"event": "delivered"}')  # as text, without preflight
            assert response.status == 204
        await alice.settled("DELIVERED")
        assert (await tenant.inbox(alice.id))["unread"] == 1
        for _ in range(2):
            response, _ = await call(tenant, "POST", link, json={"event": "clicked"})
            assert response.status == 204
            assert response.headers["access-control-allow-origin"] == "*"
        await alice.settled("READ")
        inbox = await tenant.inbox(alice.id)
        assert inbox["unread"] == 0
        of_item = "query ($id: ID!) { send(id: $id) { notifications { nodes { deliveries { channel status } } } } }"
        clicked = (await deliveries(tenant, channels=["EMAIL"]))[0]
        [item] = (await tenant.ask(of_item, id=clicked["sendId"]))["send"]["notifications"]["nodes"]
        statuses = {one["channel"]: one["status"] for one in item["deliveries"]}
        assert statuses == {"IN_APP": "DELIVERED", "EMAIL": "READ"}, "the mail proved it, not the inbox"
        assert await kinds(store, tenant) == [("CLICKED", "EMAIL"), ("SEEN", "IN_APP"), ("READ", "IN_APP")]
        delivered = {"tenant": tenant.name, "channel": "EMAIL", "status": "DELIVERED"}
        assert await store["receipts"].count_documents(delivered) == 1

        async def all_told() -> bool:
            told = [call["type"] for call in receiver.got["/events"]]
            return told.count("notification.clicked") == 1 and "delivery.delivered" in told

        await eventually(all_told, 15)
    response, _ = await call(tenant, "POST", link, json={"event": "delivered"})
    assert response.status == 204
    await alice.settled("READ")


async def test_report_that_comes_before_its_call_is_settled_counts(
    alice: Person, tenant: Tenant, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, answered = post.amazon.right, asyncio.Event()

    async def slow(request: web.Request, body: bytes) -> web.Response:
        response = await right(request, body)
        await asyncio.wait_for(answered.wait(), 10)
        return response

    monkeypatch.setattr(post.amazon, "right", slow)
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"], content={"actionUrl": "https://app.example/x"})

    async def there() -> list[EmailMessage]:
        return post.mails(alice.address)

    [mail] = await eventually(there, 20)
    reporting = asyncio.create_task(call(tenant, "POST", buttons_of(mail)["Open"], json={"event": "delivered"}))
    await asyncio.sleep(0.3)
    answered.set()
    assert (await reporting)[0].status == 204
    await alice.settled("DELIVERED")


async def test_report_that_says_nothing_is_refused(alice: Person, tenant: Tenant) -> None:
    link = buttons_of(await alice.mailed(content={"actionUrl": "https://app.example/x"}))["Open"]
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
        response, told = await call(tenant, "POST", link, data=body)
        assert response.status == 400, body
        assert "errors" in told
    for path in (link, "/providers/ses"):
        response, told = await call(tenant, "POST", path, data=BytesIO(b"x" * (2 << 20)))
        assert response.status == 413
        assert "HUB_BODY_MAX_BYTES" in told
    await alice.settled("SENT")


async def test_buttons_of_a_mail_count_and_lead_only_where_the_notification_says(alice: Person, tenant: Tenant) -> None:
    mail = await alice.mailed(content={"actionUrl": "https://app.example/own", "actions": ACTIONS})
    buttons = buttons_of(mail)
    token = buttons["Hello"]
    assert buttons == {
        "Hello": token,
        "Open it": f"{token}?to=0",
        "Local": f"{token}?to=1",
        "Ignore": f"{token}?to=2",
        "Unsubscribe from news": unsubscribe_of(mail),
    }
    plain = mail.get_body(("plain",))
    assert plain
    assert "Open it: https://app.example/open?a=1&b=2" in plain.get_content(), "text shows where a link leads"
    evil = "https://evil.example"
    for query in ("?to=3", "?to=-1", "?to=99999999999", "?to=", f"?to={evil}", "?to=//evil.example", "?to=²"):
        response, page = await call(tenant, "GET", token + query)
        assert response.status == 404, query
        assert "evil" not in str(response.headers) + page
    response, _ = await call(tenant, "GET", f"{token}?url={evil}&next={evil}", headers={"sec-purpose": "prefetch"})
    assert response.headers["location"] == "https://app.example/own"
    response, _ = await call(tenant, "HEAD", token)
    assert (response.status, response.headers["location"]) == (303, "https://app.example/own")
    assert (await tenant.inbox(alice.id))["unread"] == 1, "nobody has clicked yet"
    response, _ = await call(tenant, "GET", f"{token}?to=0")
    assert (response.status, response.headers["location"]) == (303, "https://app.example/open?a=1&b=2")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert (await tenant.inbox(alice.id))["unread"] == 0
    await alice.settled("READ")


async def test_path_within_the_app_is_a_whole_address_outside_and_a_path_in_the_inbox(
    alice: Person, tenant: Tenant
) -> None:
    async with Receiver() as receiver:
        await connect(tenant, receiver, alice.id)
        content = {"actionUrl": "/builds/7?a=1", "imageUrl": "/seven.png"}
        mail = await alice.mailed("IN_APP", "WEBHOOK", "EMAIL", content=content)
        await ended(tenant, "DELIVERED")
        [told] = receiver.got[f"/{alice.id}"]
    whole = {"actionUrl": "https://app.example/builds/7?a=1", "imageUrl": "https://app.example/seven.png"}
    assert {name: told["data"][name] for name in whole} == whole
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain
    assert html
    assert f"Open: {whole['actionUrl']}" in plain.get_content()
    assert f'src="{whole["imageUrl"]}"' in html.get_content()
    response, _ = await call(tenant, "GET", buttons_of(mail)["Open"])
    assert (response.status, response.headers["location"]) == (303, whole["actionUrl"])
    [n] = (await tenant.ask("{ inbox { nodes { actionUrl imageUrl } } }", user=alice.id))["inbox"]["nodes"]
    assert n == content


async def test_click_on_a_mail_keeps_other_channels_quiet(alice: Person, tenant: Tenant) -> None:
    async with Receiver() as receiver:
        await connect(tenant, receiver, alice.id)
        receiver.answers[f"/{alice.id}"] = lambda *_: web.Response(status=503, headers={"retry-after": "60"})
        given: Json = {"content": {"actionUrl": "https://app.example/x"}}
        await tenant.send(alice.id, channels=["EMAIL", "WEBHOOK"], **given)
        await ended(tenant, "RETRYING")
        await ended(tenant, "SENT")
        [mail] = alice.post.mails(alice.address)
        response, _ = await call(tenant, "GET", buttons_of(mail)["Open"])
        assert response.status == 303
        [waiting] = await ended(tenant, "SKIPPED")
        assert (waiting["channel"], waiting["reason"]) == ("WEBHOOK", "ALREADY_READ")


async def test_click_on_what_is_not_in_the_inbox_is_a_read_that_lasts_and_is_told(
    alice: Person, tenant: Tenant, store: Database
) -> None:
    query = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
    async with Receiver() as receiver:
        made = await tenant.admin(query, input={"url": f"{receiver.url}/events"})
        receiver.secrets["/events"] = made["createWebhook"]["secret"]
        await connect(tenant, receiver, alice.id)
        going = asyncio.Event()
        receiver.answers[f"/{alice.id}"] = lambda *_: going
        given: Json = {"content": {"actionUrl": "https://app.example/x"}}
        await tenant.send(alice.id, channels=["EMAIL", "WEBHOOK"], **given)
        await ended(tenant, "SENT")
        await ended(tenant, "PROCESSING")
        [mail] = alice.post.mails(alice.address)
        for _ in range(2):
            response, _ = await call(tenant, "POST", buttons_of(mail)["Open"], json={"event": "clicked"})
            assert response.status == 204
        [clicked] = await deliveries(tenant, channels=["EMAIL"])
        assert clicked["status"] == "READ", "with the answer"
        going.set()
        await ended(tenant, "DELIVERED")  # a click in the mail says nothing of the webhook
        assert await kinds(store, tenant) == [("CLICKED", "EMAIL"), ("SEEN", "EMAIL"), ("READ", "EMAIL")]

        async def all_told() -> bool:
            told = {(call["type"], call["data"]["channel"]) for call in receiver.got["/events"]}
            return {("notification.clicked", "EMAIL"), ("notification.read", "EMAIL")} <= told

        await eventually(all_told, 15)
    page = await tenant.inbox(alice.id)
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)
    [hidden] = await store["notifications"].find({"mailbox": f"{tenant.name}/{alice.id}"}).to_list()
    assert hidden["read_at"]
    assert "modseq" not in hidden, "it takes no number, and so is no change of the inbox"


async def test_recalled_notification_leads_nowhere(alice: Person, tenant: Tenant) -> None:
    link = buttons_of(await alice.mailed(content={"actionUrl": "https://app.example/x"}))["Open"]
    [delivery] = await deliveries(tenant)
    await tenant.ask("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=delivery["sendId"])
    response, page = await call(tenant, "GET", link)
    assert response.status == 404
    assert "not there any more" in page


async def test_pages_of_any_origin_may_report_and_nothing_else(alice: Person, tenant: Tenant) -> None:
    link = buttons_of(await alice.mailed(content={"actionUrl": "https://app.example/x"}))["Open"]
    asking = {
        "origin": "https://elsewhere.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    response, _ = await call(tenant, "OPTIONS", link, headers=asking)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-headers"] == "content-type"
    assert "access-control-allow-credentials" not in response.headers
    response, _ = await call(tenant, "OPTIONS", "/graphql", headers=asking)
    assert response.status == 400


# ---------------------------------------------------------------- bounces and complaints


async def tell(tenant: Tenant, message: Json) -> int:
    response, _ = await call(tenant, "POST", "/providers/ses", json=message, headers={"content-type": "text/plain"})
    return response.status


@pytest.mark.parametrize(
    ("kind", "reason", "why"), [("Bounce", "ADDRESS_GONE", "bounced"), ("Complaint", "SUPPRESSED", "complained")]
)
@pytest.mark.parametrize("version", ["1", "2"])
async def test_bounce_and_complaint_suppress_the_address_and_fail_the_delivery(
    alice: Person, tenant: Tenant, store: Database, post: Post, kind: str, reason: str, why: str, version: str
) -> None:
    await alice.mailed()
    delivery = await alice.settled("SENT")
    for _ in range(2):  # SNS tells at least once
        told = post.topic.told(kind, delivery["providerId"], alice.address.upper(), version=version)
        assert await tell(tenant, told) == 204
    assert (await alice.settled("FAILED"))["reason"] == reason
    assert (await alice.user(store))["suppressed"] == {alice.address: why}
    failed = {"tenant": tenant.name, "channel": "EMAIL", "status": "FAILED"}
    assert await store["receipts"].count_documents(failed) == 1
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
    assert await skipped(tenant, alice.id) == [("EMAIL", "SUPPRESSED")]


SUPPRESSIONS = "query ($n: Int, $after: String) { suppressions(first: $n, after: $after) { edges { cursor } nodes { userId address reason } pageInfo { hasNextPage endCursor } } }"
LIFT = "mutation ($id: ID!, $address: String!) { liftSuppression(userId: $id, address: $address) }"


async def test_suppressed_addresses_are_listed_page_by_page_and_lifted_by_an_administrator(
    tenant: Tenant, post: Post, store: Database
) -> None:
    people = sorted([await Person(tenant, post).arrive() for _ in range(3)], key=lambda person: person.id)
    asked = zip(people, ("Bounce", "Complaint", "Bounce"), strict=True)
    for person, kind in asked:
        await person.mailed()
        id = (await person.settled("SENT"))["providerId"]
        assert await tell(tenant, post.topic.told(kind, id, person.address)) == 204
    await people[0].arrive()  # a profile that comes again changes nothing
    older = {"suppressed.zoe@people\uff0eexample": "gone"}  # one who has changed her address
    await store["users"].update_one({"_id": f"{tenant.name}/{people[0].id}"}, {"$set": older})
    async with Tenant(f"{tenant.name}-2", tenant.urls) as other:
        assert (await other.admin(SUPPRESSIONS))["suppressions"]["nodes"] == []

    rows: list[Json] = []
    after = None
    for expected in (3, 1):
        page = (await tenant.admin(SUPPRESSIONS, n=3, after=after))["suppressions"]
        assert len(page["nodes"]) == len(page["edges"]) == expected
        rows += page["nodes"]
        after = page["pageInfo"]["endCursor"]
    assert page["pageInfo"]["hasNextPage"] is False
    assert rows[:1] + rows[2:] == [
        {"userId": person.id, "address": person.address, "reason": why}
        for person, why in zip(people, ("bounced", "complained", "bounced"), strict=True)
    ]
    assert (rows[1]["userId"], rows[1]["reason"]) == (people[0].id, "gone")
    first = people[0]
    bounced = (await deliveries(tenant, userId=first.id))[0]["id"]
    replay = "mutation ($id: ID!) { replay(ids: [$id]) }"
    assert (await tenant.ask(replay, id=bounced))["replay"] == 1

    async def still_suppressed() -> bool:
        [found] = await deliveries(tenant, userId=first.id)
        return (found["status"], found["reason"]) == ("FAILED", "SUPPRESSED")

    await eventually(still_suppressed, 20)
    assert (await tenant.admin(LIFT, id=first.id, address=first.address.upper()))["liftSuppression"] is True
    assert (await tenant.admin(LIFT, id=first.id, address=first.address))["liftSuppression"] is False
    assert [row["address"] for row in (await tenant.admin(SUPPRESSIONS))["suppressions"]["nodes"]] == [
        row["address"] for row in rows[1:]
    ]
    assert (await tenant.ask(replay, id=bounced))["replay"] == 1
    await first.settled("SENT")
    assert len(post.mails(first.address)) == 2
    for query, variables in ((SUPPRESSIONS, {}), (LIFT, {"id": first.id, "address": first.address})):
        assert await refusal(tenant.ask(query, **variables)) == ("FORBIDDEN", None)
    assert await refusal(tenant.admin(LIFT, id="nobody", address="a@b.c")) == ("NOT_FOUND", None)
    for wrong in ("", "x", "!", after + "=", "YQ"[:1] + "é"):
        assert await refusal(tenant.admin(SUPPRESSIONS, after=wrong)) == ("BAD_USER_INPUT", "after")


async def test_delivery_and_transient_bounce_suppress_nobody_and_a_late_bounce_still_counts(
    alice: Person, tenant: Tenant, store: Database, post: Post
) -> None:
    await alice.mailed()
    id = (await alice.settled("SENT"))["providerId"]
    assert await tell(tenant, post.topic.told("Bounce", id, alice.address, bounceType="Transient")) == 204
    assert await tell(tenant, post.topic.told("Complaint", id, alice.address, complaintFeedbackType="not-spam")) == 204
    await alice.settled("SENT")
    assert await tell(tenant, post.topic.told("Delivery", id, alice.address)) == 204
    await alice.settled("DELIVERED")
    assert "suppressed" not in await alice.user(store)
    assert await tell(tenant, post.topic.told("Bounce", id, alice.address)) == 204
    await alice.settled("FAILED")


async def test_mail_that_is_not_known_is_told_again_while_it_is_fresh(tenant: Tenant, post: Post) -> None:
    fresh = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    assert await tell(tenant, post.topic.told("Bounce", "another", "x@y.example", timestamp=fresh)) == 503
    assert (
        await tell(tenant, post.topic.told("Bounce", "another", "x@y.example", timestamp="2020-01-01T00:00:00Z")) == 204
    )
    assert await tell(tenant, post.topic.message("Successfully validated SNS topic.")) == 204


async def test_message_that_no_topic_of_ours_signed_is_refused(
    alice: Person, tenant: Tenant, store: Database, post: Post
) -> None:
    await alice.mailed()
    id = (await alice.settled("SENT"))["providerId"]
    good = post.topic.told("Bounce", id, alice.address)
    stranger = Topic(ARN)
    stranger.url = post.topic.url
    text = good["Message"]
    calls = post.topic.calls
    wrong: list[Any] = [
        {**good, "Message": text.replace(alice.address, "bob@people.example")},
        {**good, "Message": text + " "},
        {**good, "Timestamp": "2027-01-01T00:00:00.000Z"},
        {**good, "Subject": "new"},
        {**good, "Type": "SubscriptionConfirmation", "SubscribeURL": post.topic.url, "Token": "t"},
        {**good, "TopicArn": f"{ARN}-2"},
        {**good, "SignatureVersion": "1"},
        {**good, "SignatureVersion": "3"},
        {**good, "Signature": ""},
        {**good, "Signature": "no base64"},
        {name: value for name, value in good.items() if name != "Signature"},
        stranger.told("Bounce", id, alice.address),
        {**good, "TopicArn": "arn:aws:sns:eu-west-1:999999999999:other"},
        *({**good, "SigningCertURL": url} for url in elsewhere(post.topic.url)),
        {"notificationType": "Bounce"},
        [],
        "text",
        None,
    ]
    for message in wrong:
        assert await tell(tenant, message) == 403, message
    assert post.topic.calls - calls <= len(tenant.urls), "the certificate, once a process"
    assert "suppressed" not in await alice.user(store)
    await alice.settled("SENT")


async def test_subscription_is_confirmed_at_amazon_only(tenant: Tenant, post: Post) -> None:
    def asking(url: str) -> Json:
        return post.topic.message("You have chosen.", "SubscriptionConfirmation", SubscribeURL=url, Token="t0k")

    path = "/?Action=ConfirmSubscription&Token=t0k"
    for url in (
        "https://evil.example/",
        "http://127.0.0.1:1/",
        f"{post.topic.url}@evil.example/",
        "file:///etc/passwd",
        "",
    ):
        assert await tell(tenant, asking(url)) == 403
    assert path not in post.topic.asked
    assert await tell(tenant, asking(post.topic.url + path)) == 204
    assert post.topic.asked.count(path) == 1
    other = post.topic.message(
        "",
        "SubscriptionConfirmation",
        SubscribeURL=post.topic.url + path,
        Token="t0k",
        TopicArn="arn:aws:sns:eu-west-1:1:x",
    )
    assert await tell(tenant, other) == 403
    assert post.topic.asked.count(path) == 1


def elsewhere(right: str) -> list[str]:
    """Addresses that are not Amazon's, where `right` is."""
    return [
        f"{right}/elsewhere.pem",
        f"{right}{CERTIFICATE}?x=1#{right}".replace("?x=1#", "/../"),
        f"http://sns.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.us-east-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com.evil.example{CERTIFICATE}",
        f"https://evil.example/sns.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com@evil.example{CERTIFICATE}",
        f"https://evil.example\\@sns.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com:8443{CERTIFICATE}",
        f"https://bucket.s3.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com.cn{CERTIFICATE}",
        "https://[::1",
        "",
    ]


async def test_only_the_topics_own_region_of_sns_is_amazon() -> None:
    """Without a stand-in for Amazon, as in production."""
    sns = SNSVerifier(OutboundHTTP(), (ARN,))
    assert sns.is_sns_url(f"https://sns.eu-west-1.amazonaws.com{CERTIFICATE}", ARN)
    assert sns.is_sns_url(
        f"https://sns.cn-north-1.amazonaws.com.cn{CERTIFICATE}", "arn:aws-cn:sns:cn-north-1:123456789012:ses"
    )
    for url in elsewhere("http://127.0.0.1:4566"):
        assert not sns.is_sns_url(url, ARN), url
    for topic in ("arn:aws:sns:eu-west-1.evil.example/:1:x", "arn:aws:sns::1:x", ""):
        assert not sns.is_sns_url(f"https://sns.eu-west-1.amazonaws.com{CERTIFICATE}", topic)


async def test_certificate_that_has_expired_or_is_none_checks_nothing(tenant: Tenant, post: Post) -> None:
    good = post.topic.message("x")
    kept = post.topic.certificate
    other = certificate(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    try:
        for number, pem in enumerate((b"", b"-----BEGIN CERTIFICATE-----\n", other)):
            post.topic.certificate = pem
            url = f"{post.topic.url}/SimpleNotificationService-{number}.pem"
            assert await tell(tenant, {**good, "SigningCertURL": url}) == 403
    finally:
        post.topic.certificate = kept
