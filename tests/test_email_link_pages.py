"""Signed links as mail programs pass them on, and their pages in the language of the reader."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant, eventually
from tests.fake_providers import FakeMailServer
from tests.processes import Deployment

PUBLIC, APP = "https://hub.example", "https://app.example"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


@pytest.fixture(scope="module")
async def mail_server() -> AsyncIterator[FakeMailServer]:
    async with FakeMailServer() as server:
        yield server


@pytest.fixture(scope="module")
async def email_deployment(servers: tuple[Mongod, Redis], mail_server: FakeMailServer) -> AsyncIterator[Deployment]:
    """One API process, and a worker that sends emails over SMTP."""
    mongod, redis = servers
    settings = {
        "mongo_database": "mail",
        "redis_prefix": "mail:",
        "public_url": PUBLIC,
        "app_url": APP,
        "smtp_url": f"smtp://127.0.0.1:{mail_server.port}",
        "smtp_from": "Acme <no-reply@acme.example>",
    }
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(email_deployment: Deployment) -> AsyncIterator[Tenant]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(Tenant(f"t{uuid4().hex[:12]}", email_deployment.urls))


async def receive_email(tenant: Tenant, server: FakeMailServer, locale: str, **content: Any) -> tuple[str, str]:
    """Return text and HTML of an email to a user with that locale."""
    user = f"u{uuid4().hex[:8]}"
    address = f"{user}@people.example"
    await tenant.execute(UPSERT, users=[{"id": user, "email": address, "locale": locale}])
    await tenant.send(user, channels=["IN_APP", "EMAIL"], content=content)

    async def exists() -> EmailMessage | None:
        return next((email for email in server.emails if email["To"] == address), None)

    email = await eventually(exists)
    return email.get_body(("plain",)).get_content(), email.get_body(("html",)).get_content()


async def fetch(tenant: Tenant, method: str, path: str, **headers: str) -> tuple[int, str, str]:
    """Return status, text and redirect target."""
    url = tenant.next_url().removesuffix("/graphql") + path
    async with tenant.http.request(method, url, allow_redirects=False, headers=headers) as response:
        return response.status, await response.text(), response.headers.get("location", "")


def path_of(kind: str, text: str) -> str:
    found = re.search(rf"{PUBLIC}(/{kind}/[\w.-]+)", text)
    assert found
    return found[1]


async def test_link_followed_by_punctuation_works(tenant: Tenant, mail_server: FakeMailServer) -> None:
    actions = [{"key": "a", "label": "Approve"}, {"key": "b", "label": "Build", "url": "https://ci.example/1"}]
    text, html = await receive_email(tenant, mail_server, "en", actions=actions)
    unsubscribe, receipt = path_of("unsubscribe", text), path_of("r", html)
    for mark in (".", ">", ",", ")", "_", "*", "...", ").", "。", "”", "'", "]"):
        assert (await fetch(tenant, "GET", unsubscribe + quote(mark)))[0] == 200, mark
        status, _, target = await fetch(tenant, "GET", f"{receipt}?to=1{quote(mark)}")
        assert (status, target) == (303, "https://ci.example/1"), mark
    for mark in ("x", "=", "%0a", ".x", "%00", "A."):
        assert (await fetch(tenant, "GET", unsubscribe + mark))[0] == 404, mark
    status, page, _ = await fetch(tenant, "GET", f"{receipt}?to=0{quote(').')}")
    assert (status, ">Approve</button>" in page) == (200, True)
    assert f"Approve: {PUBLIC}{receipt}?to=0\r\n" in text
    status, page, _ = await fetch(tenant, "POST", f"{unsubscribe}.")
    assert (status, "You are unsubscribed" in page) == (200, True)


@pytest.mark.parametrize(
    ("locale", "tag", "direction", "asks", "done", "opens"),
    [
        ("de-AT", "de", "ltr", "News abbestellen?", "Sie haben sich abgemeldet", ">Öffnen</a>"),
        ("ar", "ar", "rtl", "هل تريد إلغاء الاشتراك", "تم إلغاء اشتراكك", ">فتح</a>"),
        ("ja", "ja", "ltr", "Newsの配信を停止しますか", "配信を停止しました", ">開く</a>"),
    ],
)
async def test_email_and_page_are_in_the_language_of_the_recipient(
    tenant: Tenant, mail_server: FakeMailServer, locale: str, tag: str, direction: str, asks: str, done: str, opens: str
) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL")
    text, html = await receive_email(tenant, mail_server, locale, actionUrl="/x")
    assert opens in html
    assert "Unsubscribe" not in text + html
    assert "You were named" not in text + html
    link = path_of("unsubscribe", text)
    for method, expected in (("GET", asks), ("POST", done)):
        status, page, _ = await fetch(tenant, method, link, **{"accept-language": "fr"})
        assert status == 200
        assert expected in page
        assert f'<html lang="{tag}" dir="{direction}">' in page


async def test_page_of_an_invalid_link_is_in_the_language_of_the_browser(tenant: Tenant) -> None:
    status, page, _ = await fetch(
        tenant, "GET", "/unsubscribe/1.x.y", **{"accept-language": "sv, fr-CA;q=0.9, en;q=0.1"}
    )
    assert status == 404
    assert "est pas valide</h1>" in page
    assert '<html lang="fr" dir="ltr">' in page
    assert "This link is not valid" in (await fetch(tenant, "GET", "/r/1.x.y"))[1]
