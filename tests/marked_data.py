"""A tenant in which every personal text and every content contains a marker."""

import base64
import binascii
import json
import re
from typing import Any

from msgspec import Struct

from hub.model import mailbox_of
from hub.platform.connections import Database
from hub.utc_time import now
from tests.client import Json, Tenant, eventually

MARK = "zqmarker"
DIGITS = "15198765"  # the middle of the phone number
EMAIL, PHONE = f"{MARK}@{MARK}.example", f"+49{DIGITS}432"
USER = "kim"
TOPIC, CATEGORY, TEMPLATE = "flights", "news", "greeting"
BASE64 = re.compile(r"[\w+/-]{16,}")


class Ids(Struct, frozen=True):
    """The ids of the marked records."""

    send: str
    notification: str
    delivery: str
    device: str
    event: str
    webhook: str
    key: str


async def create_marked_data(tenant: Tenant, database: Database) -> Ids:
    """Create a user, a device, a template, a topic, a send, a failed delivery, and an event with the marker."""
    profile = {"id": USER, "name": MARK, "email": EMAIL, "phone": PHONE, "attributes": {MARK: MARK}}
    await tenant.execute("mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }", u=[profile])
    connect = (
        f'mutation {{ connectWebhook(url: "https://{MARK}.example/{MARK}", label: "{MARK}") {{ device {{ id }} }} }}'
    )
    device = (await tenant.execute(connect, user=USER))["connectWebhook"]["device"]["id"]
    await tenant.execute(f'mutation {{ subscribeToTopic(topic: "{TOPIC}", users: ["{USER}"]) }}')
    text = {"key": TEMPLATE, "title": "Hi {{ user.name }}", "body": f"{MARK} {{{{ user.email }}}}", "note": MARK}
    await tenant.execute_as_admin("mutation ($i: TemplateInput!) { upsertTemplate(input: $i) { key } }", i=text)
    sent = await _send(tenant)
    [row] = await _deliveries(tenant, sent)
    failed = {"at": now(), "provider": "webhook", "ok": False, "error": f"550 <{EMAIL}> {PHONE} {MARK}", "ms": 5}
    change = {
        "status": "FAILED",
        "reason": "REFUSED",
        "attempts": [failed],
        "ended_at": now(),
        "lane": "",
        "due_at": None,
    }
    await database.deliveries.update_one({"_id": row["id"]}, {"$set": change | {"claim": None, "leased_until": None}})
    suppressed = {EMAIL: "bounced", f"whatsapp:{PHONE}": "gone"}
    await database.users.update_one({"_id": mailbox_of(tenant.name, USER)}, {"$set": {"suppressed": suppressed}})
    event = {"source": f"/{MARK}", "type": "shop.paid", "subject": MARK, "data": {MARK: MARK}}
    publish = "mutation ($i: EventInput!) { publishEvent(input: $i) { id } }"
    published = (await tenant.execute(publish, i=event))["publishEvent"]["id"]
    webhook = f'mutation {{ createWebhook(input: {{url: "https://{MARK}.example/{MARK}", events: ["send.paused"]}}) {{ endpoint {{ id }} }} }}'
    endpoint = (await tenant.execute_as_admin(webhook))["createWebhook"]["endpoint"]["id"]
    key = f'mutation {{ createServiceKey(input: {{name: "{MARK}"}}) {{ key {{ id }} }} }}'
    key_id = (await tenant.execute_as_admin(key))["createServiceKey"]["key"]["id"]
    return Ids(sent, row["notificationId"], row["id"], device, published, endpoint, key_id)


async def _send(tenant: Tenant) -> str:
    content = {
        "imageUrl": f"/{MARK}.png",
        "actionUrl": f"/{MARK}",
        "actions": [{"key": "go", "label": MARK, "url": f"/{MARK}"}],
        "actor": {"name": MARK, "avatarUrl": f"/{MARK}.png"},
    }
    keys: Json = {"collapseKey": MARK, "threadKey": MARK, "tags": [MARK], "idempotencyKey": f"key-of-{tenant.name}"}
    sent = await tenant.send(
        USER, title=MARK, body=MARK, content=content, data={MARK: MARK}, channels=["IN_APP", "WEBHOOK"], **keys
    )
    await tenant.send(USER, title=MARK, body=MARK, channels=["EMAIL"])  # hidden
    return str(sent["send"]["id"])


async def _deliveries(tenant: Tenant, send: str) -> list[Json]:
    query = "query ($id: ID!) { deliveries(filter: {sendId: $id}) { nodes { id notificationId attempts { ok } } } }"

    async def attempted() -> Any:
        nodes = (await tenant.execute(query, id=send))["deliveries"]["nodes"]
        return nodes if nodes and nodes[0]["attempts"] else None

    rows: list[Json] = await eventually(attempted)
    return rows


def contains_mark(value: Any) -> bool:
    """Return True if a value contains the marker, also in Base64."""
    text = json.dumps(value).lower()
    return MARK in text or DIGITS in text or any(MARK in decoded or DIGITS in decoded for decoded in _decoded(value))


def _decoded(value: Any) -> list[str]:
    found = []
    for token in BASE64.findall(json.dumps(value)):
        for cut in range(4):
            try:
                found.append(
                    base64.urlsafe_b64decode(token[: len(token) - cut] + "==").decode("utf-8", "replace").lower()
                )
            except (ValueError, binascii.Error):
                continue
    return found
