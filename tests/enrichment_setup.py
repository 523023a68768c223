"""A deployment whose tenants enrich their sends, and the receiver that answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import web

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests import template_calls
from tests.channel_setup import SHORT_TIMES
from tests.client import Json, Tenant, eventually
from tests.processes import Deployment
from tests.webhook_receiver import WebhookReceiver

ROTATE = "mutation { rotateEnrichmentSecret { secret } }"
SEND = "mutation ($input: SendInput!) { send(input: $input) { duplicate send { id status total } } }"
GET = "query ($id: ID!) { send(id: $id) { id status reason recipients title } }"
ACTIONS = "mutation ($id: ID!) {{ s: {action}(id: $id) {{ status }} }}"
SIMULATE = """query ($input: SendInput!, $enrich: Boolean) {
  simulate(input: $input, first: 1, enrich: $enrich) { decisions { channel title note } } }"""
RETRIES = '{"ENRICHMENT": [0.1]}'
CONCURRENCY = 8
WAITING = ("SCHEDULED", "PREPARING", "EXPANDING")
PAST = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = {"title": "Text", "body": ""}
SENT = {"state": "shipped", "detail": "with **care**", "internal": "margin 12 %"}
TEXTS = {"title": "Order {{ order }}: {{ enriched.state }}", "body": "{{ enriched.detail | default: '-' }}"}


@asynccontextmanager
async def enriching(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """Run a deployment whose workers may call receivers on this machine, in a database of its own."""
    mongod, redis = servers
    name = f"enriched{uuid4().hex[:8]}"
    own = {**SHORT_TIMES, "mongo_database": name, "redis_prefix": f"{name}:", "retry_schedule_by_channel": RETRIES}
    own["delivery_concurrency_by_channel"] = f'{{"ENRICHMENT": {CONCURRENCY}}}'
    own["shutdown_timeout_s"] = "2"  # for calls that do not end
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **own) as deployment:
        yield deployment


async def record(store: Database, id: str) -> Json:
    return await store.sends.find_one({"_id": id}) or {}


async def held(store: Database, id: str, reason: str) -> None:
    """Wait until the job of a send is held."""
    match = {"_id": id, "status": "HELD", "reason": reason}
    await eventually(lambda: store.enrichment_jobs.find_one(match))


class Enriched(Tenant):
    """A tenant with the category `orders` and the template `order`."""

    def __init__(self, deployment: Deployment, receiver: WebhookReceiver) -> None:
        super().__init__(f"t{uuid4().hex[:12]}", deployment.urls)
        self.receiver = receiver
        self.path = f"/{self.name}"

    async def __aenter__(self) -> "Enriched":
        return self

    async def set_up(self, **enrichment: Any) -> None:
        """Define the template, the secret, and the category."""
        await template_calls.upsert(self, **TEXTS)
        self.receiver.secrets[self.path] = await self.rotate()
        await self.enrich("orders", **enrichment)

    async def rotate(self) -> str:
        return str((await self.execute_as_admin(ROTATE))["rotateEnrichmentSecret"]["secret"])

    async def enrich(self, category: str, path: str = "", **enrichment: Any) -> None:
        given = {"url": f"{self.receiver.url}{path or self.path}", **enrichment}
        await self.define_category(category, "IN_APP", enrichment=given)

    def answer(self, answer: Any, status: int = 200, path: str = "") -> None:
        """Answer the next calls with a JSON value, or with a text."""
        text, kind = (answer, {"text": answer}) if isinstance(answer, str) else (None, {})
        more: Json = kind or {}

        def respond(*_: object) -> web.Response:
            return web.Response(status=status, **more) if text is not None else web.json_response(answer, status=status)

        self.receiver.responses[path or self.path] = respond

    def hold(self, answer: Json, path: str = "") -> asyncio.Event:
        """Answer the next calls after the event is set."""
        release = asyncio.Event()

        async def respond() -> web.Response:
            await release.wait()
            return web.json_response(answer)

        self.receiver.responses[path or self.path] = lambda *_: respond()
        return release

    async def called(self, id: str, times: int = 1) -> None:
        """Wait for the calls of a send."""

        async def received() -> bool:
            return len(self.receiver.received_at[id]) >= times

        await eventually(received)

    async def send_order(self, *users: str, **more: Any) -> Json:
        """Send with the template. Return `{duplicate, send}`."""
        given = {"to": {"users": list(users)}, "category": "orders", "template": {"key": "order"}, **more}
        given.setdefault("data", {"order": 7})
        sent: Json = (await self.execute(SEND, input=given))["send"]
        return sent

    async def get(self, id: str) -> Json:
        send: Json = (await self.execute(GET, id=id))["send"]
        return send

    async def change(self, action: str, id: str) -> str:
        """Cancel, recall, pause, or resume a send. Return its status."""
        return str((await self.execute(ACTIONS.format(action=action), id=id))["s"]["status"])

    async def prepared(self, id: str, within_s: float = 60) -> Json:
        """Wait until a send is decided. Return it."""

        async def decided() -> Json | None:
            send = await self.get(id)
            return None if send["status"] in WAITING else send

        found: Json = await eventually(decided, within_s)
        return found

    async def titles(self, user: str) -> list[str]:
        return [n["title"] for n in (await self.inbox(user))["nodes"]]

    async def simulated(self, enrich: bool | None = None, **more: Any) -> Json:
        """Return the only decision of a send to one user."""
        given = {"to": {"users": ["ann"]}, "category": "orders", "template": {"key": "order"}, "channels": ["IN_APP"]}
        fields = given | {"data": {"order": 7}} | more
        [simulation] = (await self.execute(SIMULATE, input=fields, enrich=enrich))["simulate"]
        decision: Json = next(one for one in simulation["decisions"] if one["channel"] == "IN_APP")
        return decision
