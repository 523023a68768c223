"""Webhook calls: one document per event and endpoint, written in the transaction that causes the event.

Calls are claimed, retried, and settled like deliveries. Calls do not cause events.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel

from hub.decide.recheck import STOPPED
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
from hub.outbox.retry_delay import job_indexes
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode_page
from hub.settings import Settings
from hub.utc_time import Clock, rfc3339
from hub.webhooks.events import event_name

COLLECTION = "webhook_calls"
LANE = "WEBHOOK_ENDPOINT"
DAY_S = 86_400


def indexes(settings: Settings) -> Indexes:
    newest = ("_id", DESCENDING)  # ids sort by time
    return {
        COLLECTION: [
            # an endpoint's calls, newest first
            IndexModel([("tenant", ASCENDING), ("endpoint", ASCENDING), newest], name="endpoint"),
            # an endpoint's calls by status, which finds the few that failed
            IndexModel([("tenant", ASCENDING), ("endpoint", ASCENDING), ("status", ASCENDING), newest], name="status"),
            *job_indexes(),
            # deletes old calls
            IndexModel(
                [("created_at", ASCENDING)], name="expiry", expireAfterSeconds=settings.webhook_call_days * DAY_S
            ),
        ]
    }


def calls_for_receipt(
    receipt: Receipt, about: Notification | Delivery, endpoints: Iterable[WebhookEndpoint], now: datetime
) -> list[Document]:
    """Return the calls that a receipt causes, one for each enabled endpoint that subscribes to the event. The ids
    depend only on the receipt and the endpoint, and have the same order as receipts."""
    endpoints = [endpoint for endpoint in endpoints if endpoint.enabled]
    if not endpoints:
        return []
    event = event_name(receipt)
    if event is None:
        return []
    payload = _payload(event, receipt, about)
    return [
        document(
            WebhookCall(
                id=f"{receipt.id}-{endpoint.id}",
                tenant=receipt.tenant,
                endpoint=endpoint.id,
                event=event,
                payload=payload,
                status=DeliveryStatus.ACCEPTED,
                priority=about.priority,
                lane=f"{LANE}/{about.priority}/{receipt.tenant}",
                due_at=now,
                created_at=now,
                updated_at=now,
            )
        )
        for endpoint in subscribed_endpoints(endpoints, event, named=_is_stopped_step(receipt, about))
    ]


def subscribed_endpoints(
    endpoints: Iterable[WebhookEndpoint], event: str, *, named: bool = False
) -> list[WebhookEndpoint]:
    """Return the enabled endpoints that subscribe to the event. With `named`, an endpoint must name the event."""
    return [
        endpoint
        for endpoint in endpoints
        if endpoint.enabled and (event in endpoint.events or not (endpoint.events or named))
    ]


def _is_stopped_step(receipt: Receipt, about: Notification | Delivery) -> bool:
    """Return True if the recipient stopped a step. This is what steps are for, so few endpoints need the event."""
    return isinstance(about, Delivery) and about.step > 0 and receipt.reason in STOPPED


def _payload(event: str, receipt: Receipt, about: Notification | Delivery) -> str:
    """Return the payload. It contains ids but no content, because it may pass through third parties."""
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
    """Return the match of calls about a user. No index serves the query, because calls are stored only for days."""
    return {"tenant": tenant_of(mailbox), "payload": {"$regex": re.escape(_user_json(mailbox))}}


def erase_user_update(mailbox: str) -> list[Document]:
    """Return the update that removes the user id from calls, including waiting calls."""
    replacement = {"input": "$payload", "find": {"$literal": _user_json(mailbox)}, "replacement": '"userId":null'}
    return [{"$set": {"payload": {"$replaceOne": replacement}}}]


def _user_json(mailbox: str) -> str:
    """Return the JSON of the user id as in `_payload`. No other text matches, because quotes in values are escaped."""
    return f'"userId":{orjson.dumps(user_of(mailbox)).decode()}'


class WebhookCalls:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._calls = database[COLLECTION]
        self._clock = clock

    async def page(
        self, tenant: str, endpoint: str, statuses: Collection[DeliveryStatus] | None, first: int, after: str | None
    ) -> list[WebhookCall]:
        """Return up to `first` calls of an endpoint with an id less than `after`, newest first."""
        match: Document = {"tenant": tenant, "endpoint": endpoint}
        index = "endpoint"
        if statuses is not None:
            match["status"], index = {"$in": list(statuses)}, "status"
        if after:
            match["_id"] = {"$lt": after}
        docs = self._calls.find(match, hint=index).sort("_id", DESCENDING)
        return await decode_page(docs, WebhookCall, first)

    async def replay(self, tenant: str, ids: Sequence[str], endpoints: Sequence[str]) -> int:
        """Send the FAILED calls in `ids` whose endpoint is in `endpoints` again, with a full retry schedule. Return the
        number of calls."""
        now = self._clock()
        match = {
            "_id": {"$in": list(ids)},
            "tenant": tenant,
            "endpoint": {"$in": list(endpoints)},
            "status": DeliveryStatus.FAILED,
        }
        update = {
            "$set": {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now},
            "$unset": {"tries": "", "lease_expirations": "", "reason": "", "enqueue_count": "", "claim": ""},
        }
        return (await self._calls.update_many(match, update)).modified_count
