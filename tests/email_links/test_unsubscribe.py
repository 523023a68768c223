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
from tests.email_links.emails import ONE_CLICK, PER_LINK, Person, Post, buttons_of, call, skipped, unsubscribe_of
from tests.fake_providers import Amazon

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
        assert "Security can&#39;t be turned off" in page
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
    assert "HUB_RATE_LIMIT_PER_LINK" in page
    assert int(refused.headers["retry-after"]) > 0


async def test_key_is_made_once_by_processes_that_start_together(servers: tuple[Mongod, Redis]) -> None:
    async with AsyncMongoClient(servers[0].url) as client:
        database: Database = client[f"keys{secrets.token_hex(4)}"]
        keys = await asyncio.gather(*(load_signing_key(database) for _ in range(30)))
        assert len(set(keys)) == 1
        assert len(keys[0]) == 32
        await client.drop_database(database)
