"""Emails that the fake SES accepted, their recipients, and the links in them."""

import base64
import email
import email.policy
import re
from email.message import EmailMessage
from html import unescape
from typing import Any
from uuid import uuid4

from aiohttp import ClientResponse

from hub.platform.connections import Database
from tests.channel_setup import list_deliveries
from tests.client import Json, Tenant, eventually
from tests.fake_providers import FakeAmazon
from tests.fake_sns import FakeSnsTopic

PUBLIC_URL = "https://hub.example"
TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:ses"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
MAX_REQUESTS_PER_LINK = 60


class FakeSes:
    """Fakes of two Amazon services: the emails that SES accepted, and the topic that publishes their events."""

    def __init__(self, amazon: FakeAmazon, topic: FakeSnsTopic) -> None:
        self.amazon = amazon
        self.topic = topic

    def emails(self, to: str) -> list[EmailMessage]:
        found = []
        for _, requested in self.amazon.requests:
            if requested.get("Destination", {}).get("ToAddresses") == [to]:
                raw = base64.b64decode(requested["Content"]["Raw"]["Data"])
                message = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
                assert isinstance(message, EmailMessage)
                found.append(message)
        return found


class EmailRecipient:
    """A user with an email address, and the emails to that user."""

    def __init__(self, tenant: Tenant, ses: FakeSes) -> None:
        self.id = f"u{uuid4().hex[:8]}"
        self.address = f"{self.id}@people.example"
        self.tenant, self.ses = tenant, ses

    async def create(self) -> "EmailRecipient":
        query = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
        await self.tenant.execute(query, users=[{"id": self.id, "email": self.address}])
        return self

    async def receive_email(self, *channels: str, category: str = "news", **more: Any) -> EmailMessage:
        """Send an email. Return it once it is accepted."""
        existing = len(self.ses.emails(self.address))
        await self.tenant.send(self.id, category=category, channels=list(channels) or ["IN_APP", "EMAIL"], **more)

        async def exists() -> list[EmailMessage]:
            return self.ses.emails(self.address)[existing:]

        [message] = await eventually(exists)
        await self.wait_for_status("SENT")
        return message

    async def wait_for_status(self, status: str) -> Json:
        """Return the newest delivery once it has that status."""

        async def exists() -> Json | None:
            newest = (await list_deliveries(self.tenant, userId=self.id))[0]
            return newest if newest["status"] == status else None

        found: Json = await eventually(exists)
        return found

    async def stored_user(self, store: Database) -> Json:
        doc = await store["users"].find_one({"_id": f"{self.tenant.name}/{self.id}"})
        assert doc
        return doc


def unsubscribe_path(message: EmailMessage) -> str:
    """Return the path of the link in the List-Unsubscribe header."""
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.fullmatch(rf"<{PUBLIC_URL}(/unsubscribe/[\w.-]+)>", str(message["List-Unsubscribe"]))
    assert found
    return found[1]


def link_paths(message: EmailMessage) -> dict[str, str]:
    """Return the URLs of all links in the email, by label."""
    html = message.get_body(("html",))
    assert html
    found = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', html.get_content())
    return {unescape(label): unescape(href).removeprefix(PUBLIC_URL) for href, label in found}


def url_of(tenant: Tenant, path: str) -> str:
    return tenant.next_url().removesuffix("/graphql") + path


async def request_path(tenant: Tenant, method: str, path: str, **fields: Any) -> tuple[ClientResponse, str]:
    async with tenant.http.request(method, url_of(tenant, path), allow_redirects=False, **fields) as response:
        return response, await response.text()


async def skipped_channels(tenant: Tenant, user: str) -> list[tuple[str, str]]:
    """Return the skipped channels of the newest notification with their reasons."""
    query = "{ inbox(first: 1) { nodes { deliveries { channel status reason } } } }"
    [n] = (await tenant.execute(query, user=user))["inbox"]["nodes"]
    return [(row["channel"], row["reason"]) for row in n["deliveries"] if row["status"] == "SKIPPED"]
