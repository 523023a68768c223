"""Calls of tenants' endpoints: an event on its way to an endpoint each, written in the transaction that causes it.

They are claimed, tried again and settled as deliveries are, and make no events of their own.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import orjson
from msgspec import convert
from pymongo import ASCENDING, DESCENDING, IndexModel

from hub.clock import Clock, rfc3339
from hub.model import (
    Delivery,
    DeliveryStatus,
    Notification,
    Receipt,
    WebhookCall,
    WebhookEndpoint,
    document,
    tenant_of,
    user_of,
)
from hub.outbox.due_index import due_index
from hub.platform.connections import Database, Document, Indexes
from hub.platform.decoding import decode_page
from hub.settings import Settings
from hub.webhooks.events import event_name

COLLECTION = "webhook_calls"
LANE = "ENDPOINT"
DAY_S = 86_400


def indexes(settings: Settings) -> Indexes:
    newest = ("_id", DESCENDING)  # ids sort by time
    return {
        COLLECTION: [
            # an endpoint's calls, newest first
            IndexModel([("tenant", ASCENDING), ("endpoint", ASCENDING), newest], name="endpoint"),
            # the same, those of one status: what failed is looked for among much that did not
            IndexModel([("tenant", ASCENDING), ("endpoint", ASCENDING), ("status", ASCENDING), newest], name="status"),
            due_index(),
            # this one forgets
            IndexModel([("created_at", ASCENDING)], name="age", expireAfterSeconds=settings.webhook_call_days * DAY_S),
        ]
    }


def calls_for_receipt(
    receipt: Document, about: Notification | Delivery, endpoints: Iterable[WebhookEndpoint], now: datetime
) -> list[Document]:
    """The calls that a receipt causes, as documents: one for each enabled endpoint that wants its event. The same
    receipt makes the same ids, which sort as receipts do."""
    endpoints = [endpoint for endpoint in endpoints if endpoint.enabled]
    if not endpoints:
        return []
    decoded = convert(receipt, Receipt)
    event = event_name(decoded)
    if event is None:
        return []
    payload = _payload(event, decoded, about)
    return [
        document(
            WebhookCall(
                id=f"{decoded.id}-{endpoint.id}",
                tenant=decoded.tenant,
                endpoint=endpoint.id,
                event=event,
                payload=payload,
                status=DeliveryStatus.ACCEPTED,
                priority=about.priority,
                lane=f"{LANE}/{about.priority}/{decoded.tenant}",
                due_at=now,
                created_at=now,
                updated_at=now,
            )
        )
        for endpoint in subscribed_endpoints(endpoints, event)
    ]


def subscribed_endpoints(endpoints: Iterable[WebhookEndpoint], event: str) -> list[WebhookEndpoint]:
    """Those that are told of such an event."""
    return [one for one in endpoints if one.enabled and (not one.events or event in one.events)]


def _payload(event: str, receipt: Receipt, about: Notification | Delivery) -> str:
    """What happened to which notification: ids and no texts, for this may pass through many hands."""
    return orjson.dumps(
        {
            "type": event,
            "timestamp": rfc3339(receipt.at),
            "data": {
                "receiptId": receipt.id,
                "sendId": receipt.send_id,
                "notificationId": receipt.notification_id,
                "userId": receipt.user_id,
                "category": about.category,
                "priority": about.priority,
                "channel": receipt.channel,
                "status": receipt.status,
                "reason": receipt.reason,
            },
        }
    ).decode()


def match_user(mailbox: str) -> Document:
    """Matches the calls about a person. No index serves this: they are kept for days only."""
    return {"tenant": tenant_of(mailbox), "payload": {"$regex": re.escape(_user_json(mailbox))}}


def erase_user_update(mailbox: str) -> list[Document]:
    """The update that takes the person out of the calls about them, also of those that still wait."""
    nobody = {"input": "$payload", "find": {"$literal": _user_json(mailbox)}, "replacement": '"userId":null'}
    return [{"$set": {"payload": {"$replaceOne": nobody}}}]


def _user_json(mailbox: str) -> str:
    """As `_payload` writes it. Nothing else there looks so: in a text, quotation marks stand behind a backslash."""
    return f'"userId":{orjson.dumps(user_of(mailbox)).decode()}'


class WebhookCalls:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._calls = database[COLLECTION]
        self._clock = clock

    async def page(
        self, tenant: str, endpoint: str, statuses: Collection[DeliveryStatus] | None, first: int, after: str | None
    ) -> list[WebhookCall]:
        """Up to `first` of an endpoint's calls, newest first, below the id `after`."""
        wanted: Document = {"tenant": tenant, "endpoint": endpoint}
        index = "endpoint"
        if statuses is not None:
            wanted["status"], index = {"$in": list(statuses)}, "status"
        if after:
            wanted["_id"] = {"$lt": after}
        found = self._calls.find(wanted, hint=index).sort("_id", DESCENDING)
        return await decode_page(found, WebhookCall, first)

    async def replay(self, tenant: str, ids: Sequence[str], endpoints: Sequence[str]) -> int:
        """Those of `ids` that FAILED, and whose endpoint is among `endpoints`, back to work, with all their tries
        before them. Answers how many."""
        now = self._clock()
        wanted = {
            "_id": {"$in": list(ids)},
            "tenant": tenant,
            "endpoint": {"$in": list(endpoints)},
            "status": DeliveryStatus.FAILED,
        }
        update = {
            "$set": {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now},
            "$unset": {"tries": "", "lapses": "", "reason": "", "queued": "", "claim": ""},
        }
        return (await self._calls.update_many(wanted, update)).modified_count
