"""The pages of the operator console while many deliveries arrive.

With HUB_TEST_SCALE=full, 500 deliveries per second are sent, and the time for which the pages block is checked, too."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from hub.api.token_signing import sign_token
from hub.model import Role
from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.test_demo import WITHIN_MS
from tests.channel_setup import SHORT_TIMES, connect_webhook
from tests.client import Tenant
from tests.conftest import FULL_SCALE, scaled
from tests.processes import SECRET, Deployment
from tests.webhook_receiver import WebhookReceiver

expect.set_options(timeout=WITHIN_MS)
pytestmark = pytest.mark.timeout(600)

PER_SECOND = scaled(50, 500)
USERS = 20
BATCHES_PER_SECOND = 5
STAY_S = scaled(7, 13)  # on each page, which reads at least once meanwhile
BLOCKED_MAX_MS = 200
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
WATCH = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
  }).observe({ type: "longtask" });
}"""

log = logging.getLogger(__name__)


class Sender:
    """Sends webhooks to users in turn, PER_SECOND of them. `sent` is the number of deliveries so far."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.sent = 0

    async def send_batch(self) -> None:
        inputs = [
            {
                "to": {"users": [f"user-{number % USERS}"]},
                "category": "live",
                "content": {"title": f"Live {self.sent + number}", "body": "Of many"},
                "channels": ["WEBHOOK"],
            }
            for number in range(PER_SECOND // BATCHES_PER_SECOND)
        ]
        await self._tenant.execute(SEND_MANY, inputs=inputs)
        self.sent += len(inputs)

    async def run(self) -> None:
        """Send until cancelled. If the hub is slower, as fast as it responds."""
        next_at = time.monotonic()
        while True:
            await self.send_batch()
            next_at = max(next_at + 1 / BATCHES_PER_SECOND, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))


@asynccontextmanager
async def sending(tenant: Tenant) -> AsyncIterator[Sender]:
    sender = Sender(tenant)
    running = asyncio.create_task(sender.run())
    began = time.monotonic()
    try:
        yield sender
    finally:
        log.info("%.0f deliveries/s were sent", sender.sent / (time.monotonic() - began))
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled(), "sending ended early"


async def newest(page: Page) -> int:
    """Return the number in the newest title of a list."""
    texts = await page.locator("main tr[data-row]").all_inner_texts()
    return max((int(number) for text in texts for number in re.findall(r"Live (\d+)", text)), default=-1)


async def test_live_pages_do_not_block_while_many_deliveries_arrive(
    built_front_end: object,  # noqa: ARG001 - the hub serves it
    servers: tuple[Mongod, Redis],
    browser: Browser,
    receiver: WebhookReceiver,
) -> None:
    mongod, redis = servers
    name = f"live{uuid4().hex[:8]}"
    settings = {**SHORT_TIMES, "mongo_database": name, "redis_prefix": f"{name}:", "scheduler_interval_s": "0.5"}
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running,
        Tenant(name, running.urls) as tenant,
    ):
        await connect_webhook(tenant, receiver, *(f"user-{number}" for number in range(USERS)))
        token = sign_token(SECRET, user="ops", tenant=name, role=Role.ADMIN, expires_in_s=3600)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        async with sending(tenant) as sender:
            await page.goto(f"{tenant.urls[0].replace('/graphql', '/console/')}#token={token}")
            await expect(page.locator(".tiles .figure").first).to_have_text(re.compile(r"\d"))
            await page.evaluate(WATCH)
            for link, has_titles in (("Overview", False), ("Deliveries", True), ("Sends", True), ("Queue", False)):
                await page.get_by_role("navigation").get_by_role("link", name=link).first.click()
                await expect(page.get_by_role("heading", level=1)).to_contain_text(link)
                before = sender.sent
                await page.evaluate("window.longest = 0")
                await asyncio.sleep(STAY_S)
                longest_ms = await page.evaluate("window.longest")
                log.info("%s: the longest task took %.0f ms", link, longest_ms)
                assert not FULL_SCALE or longest_ms <= BLOCKED_MAX_MS, link
                if has_titles:
                    assert await newest(page) >= before, f"{link} shows nothing that was sent since it was opened"
        assert errors == []
        await page.close()
