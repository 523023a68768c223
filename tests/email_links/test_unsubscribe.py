"""Unsubscribe links: pages, one-click, forged tokens, and their rate limit."""

import asyncio
import base64
import hashlib
import secrets

from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.signed_links import LinkPurpose, SignedLinks, load_signing_key
from tests.client import Tenant
from tests.email_links.emails import (
    MAX_REQUESTS_PER_LINK,
    ONE_CLICK,
    PUBLIC_URL,
    EmailRecipient,
    FakeSes,
    link_paths,
    request_path,
    skipped_channels,
    unsubscribe_path,
)
from tests.fake_providers import FakeAmazon
from tests.mongo_assertions import stored_receipts


async def test_unsubscribe_link_asks_unsubscribes_with_one_click_and_can_be_undone(
    alice: EmailRecipient, tenant: Tenant, store: Database
) -> None:
    await tenant.execute_as_admin('mutation { updateTenant(input: { name: "Ac<me>" }) { id } }')
    await tenant.define_category("news", "IN_APP", "EMAIL")
    link = unsubscribe_path(await alice.receive_email())
    before = await alice.stored_user(store)
    for method in ("GET", "HEAD"):
        response, page = await request_path(tenant, method, link)
        assert response.status == 200
        assert "preferences" not in await alice.stored_user(store)
        assert await alice.stored_user(store) == before, "GET changes nothing"
        headers = response.headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
        assert "noindex" in headers["x-robots-tag"]
    _, page = await request_path(tenant, "GET", link)
    style = hashlib.sha256(page.partition("<style>")[2].partition("</style>")[0].encode()).digest()
    assert f"'sha256-{base64.b64encode(style).decode()}'" in response.headers["content-security-policy"]
    assert "Unsubscribe from News?" in page
    assert "Ac&lt;me&gt;" in page
    assert '<form method="post" action="?"><button>Unsubscribe</button></form>' in page
    for _ in range(2):  # as a mail program does it, twice
        response, page = await request_path(tenant, "POST", link, data=ONE_CLICK)
        assert response.status == 200
        assert "You are unsubscribed" in page
    assert (await alice.stored_user(store))["preferences"] == {
        "categories": [{"category": "news", "channels": {"EMAIL": False}}]
    }
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
    assert await skipped_channels(tenant, alice.id) == [("EMAIL", "PREFERENCE")]
    await alice.receive_email(category="other")
    _, page = await request_path(tenant, "GET", link)
    assert 'action="?undo"' in page
    _, page = await request_path(tenant, "POST", f"{link}?undo")
    assert "You are subscribed again" in page
    await alice.receive_email()


async def test_email_that_waits_when_the_user_unsubscribes_is_not_sent(
    alice: EmailRecipient, tenant: Tenant, ses: FakeSes
) -> None:
    link = unsubscribe_path(await alice.receive_email())
    ses.amazon.fault = FakeAmazon.json_error(503, "ServiceUnavailable")
    try:
        await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
        await alice.wait_for_status("RETRYING")
        await request_path(tenant, "POST", link, data=ONE_CLICK)
    finally:
        ses.amazon.clear_fault()
    assert (await alice.wait_for_status("SKIPPED"))["reason"] == "PREFERENCE"
    assert len(ses.emails(alice.address)) == 1


async def test_required_category_cannot_be_unsubscribed(alice: EmailRecipient, tenant: Tenant, store: Database) -> None:
    link = unsubscribe_path(await alice.receive_email(category="security"))
    await tenant.define_category("security", "IN_APP", "EMAIL", required=True)
    before = await alice.stored_user(store)
    for method, status in (("GET", 200), ("POST", 403)):
        response, page = await request_path(tenant, method, link)
        assert response.status == status
        assert "Security can&#39;t be turned off" in page
        assert "<button" not in page
    assert await alice.stored_user(store) == before
    email = await alice.receive_email(category="security")
    assert email["List-Unsubscribe"] is None, "a required category has no unsubscribe link"


async def test_forged_altered_and_foreign_tokens_change_nothing(
    alice: EmailRecipient, tenant: Tenant, store: Database, ses: FakeSes
) -> None:
    bob = await EmailRecipient(tenant, ses).create()
    email = await alice.receive_email(content={"actionUrl": "https://app.example/x"})
    token = unsubscribe_path(email).removeprefix("/unsubscribe/")
    receipt = link_paths(email)["Open"].removeprefix("/r/")
    foreign = unsubscribe_path(await bob.receive_email()).removeprefix("/unsubscribe/")
    _, id, seal = token.split(".")
    forged = [
        *(token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :] for at in range(len(token))),
        receipt,
        f"1.{foreign.split('.')[1]}.{seal}",
        f"1.{id}.{receipt.split('.')[2]}",
        f"1.{id}.{seal}",
        f"2.{foreign.split('.')[1]}.{seal}",
        f"2.{id}.{foreign.split('.')[2]}",
        f"1.{id}",
        f"1.{id}.",
        token + "=",
        token + "%0a",
        token.upper(),
        SignedLinks(b"another key").sign(LinkPurpose.UNSUBSCRIBE, receipt.split(".")[1]),
        SignedLinks(b"another key", PUBLIC_URL).unsubscribe_url(f"{tenant.name}/{alice.id}", "news", "").split("/")[-1],
        "%00" * 50,
        "é" * 22,
        "x" * 5000,
    ]
    people = [await user.stored_user(store) for user in (alice, bob)]
    count = len(await stored_receipts(store))
    for invalid in forged:
        for method, path in (("GET", "unsubscribe"), ("POST", "unsubscribe")):
            response, page = await request_path(
                tenant, method, f"/{path}/{invalid}", data=ONE_CLICK if method == "POST" else None
            )
            assert response.status == 404, invalid
            assert id not in page
    for invalid in [token, *(f[: len(receipt)] for f in (receipt[:-1] + "A", "1.x.y"))]:
        if invalid == receipt:
            continue
        for method in ("GET", "POST"):
            response, _ = await request_path(tenant, method, f"/r/{invalid}", json={"event": "clicked"})
            assert response.status == 404, invalid
    assert [await user.stored_user(store) for user in (alice, bob)] == people
    assert len(await stored_receipts(store)) == count
    assert (await tenant.inbox(alice.id))["unread"] == 1


async def test_link_of_an_erased_user_is_not_found(alice: EmailRecipient, tenant: Tenant, store: Database) -> None:
    email = await alice.receive_email(content={"actionUrl": "https://app.example/x"})
    await tenant.execute_as_admin("mutation ($id: ID!) { deleteUser(id: $id) }", id=alice.id)
    for method, path in (("POST", unsubscribe_path(email)), ("GET", link_paths(email)["Open"])):
        response, _ = await request_path(tenant, method, path)
        assert response.status == 404
    assert await store["users"].find_one({"_id": f"{tenant.name}/{alice.id}"}) is None


async def test_links_work_after_the_delivery_was_deleted(
    alice: EmailRecipient, tenant: Tenant, store: Database
) -> None:
    """Unsubscribing also works after the notification was deleted."""
    email = await alice.receive_email(content={"actionUrl": "https://app.example/x"})
    unsubscribe, button = unsubscribe_path(email), link_paths(email)["Open"]
    of_delivery = SignedLinks(await load_signing_key(store)).sign(LinkPurpose.UNSUBSCRIBE, button.split(".")[1])
    mailbox = {"mailbox": f"{tenant.name}/{alice.id}"}
    assert (await store["deliveries"].delete_many(mailbox)).deleted_count == 1
    response, _ = await request_path(tenant, "GET", button)
    assert (response.status, response.headers["location"]) == (303, "https://app.example/x")
    assert (await tenant.inbox(alice.id))["unread"] == 0
    response, _ = await request_path(tenant, "GET", f"/unsubscribe/{of_delivery}")
    assert response.status == 200
    await store["notifications"].delete_many(mailbox)
    for path in (button, f"/unsubscribe/{of_delivery}"):
        response, _ = await request_path(tenant, "GET", path)
        assert response.status == 404
    _, page = await request_path(tenant, "POST", unsubscribe, data=ONE_CLICK)
    assert "You are unsubscribed" in page


async def test_link_of_a_user_with_a_long_id_fits_into_its_header(tenant: Tenant, ses: FakeSes) -> None:
    """The link contains only the id of the delivery."""
    user = EmailRecipient(tenant, ses)
    user.id = "ü" * 256
    link = unsubscribe_path(await (await user.create()).receive_email())
    assert len(link) < 100
    _, page = await request_path(tenant, "POST", link, data=ONE_CLICK)
    assert "You are unsubscribed" in page


async def test_link_used_too_often_is_rate_limited(alice: EmailRecipient, tenant: Tenant) -> None:
    link = unsubscribe_path(await alice.receive_email())
    responses = [await request_path(tenant, "GET", link) for _ in range(2 * MAX_REQUESTS_PER_LINK + 10)]
    assert responses[0][0].status == 200
    refused, page = responses[-1]
    assert refused.status == 429
    assert "HUB_RATE_LIMIT_PER_LINK" in page
    assert int(refused.headers["retry-after"]) > 0


async def test_signing_key_is_created_once_by_processes_that_start_together(servers: tuple[Mongod, Redis]) -> None:
    async with AsyncMongoClient(servers[0].url) as client:
        database: Database = client[f"keys{secrets.token_hex(4)}"]
        keys = await asyncio.gather(*(load_signing_key(database) for _ in range(30)))
        assert len(set(keys)) == 1
        assert len(keys[0]) == 32
        await client.drop_database(database)
