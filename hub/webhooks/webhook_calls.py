"""Webhook calls: one document per event and endpoint, written in the transaction that causes the event.

Calls are claimed, retried, and settled like deliveries. Calls do not cause events.

An endpoint that names no events gets one `send.expanded` for a send to an audience, and no calls for its recipients.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel

from hub.decide.recheck import STOPPED
from hub.ids import new_id
from hub.model import (
    Delivery,
    DeliveryStatus,
    Notification,
    Priority,
    Receipt,
    Send,
    WebhookCall,
    WebhookEndpoint,
    document,
    tenant_of,
    user_of,
)
from hub.outbox.restored_jobs import release_jobs, restored_index
from hub.outbox.retry_delay import job_indexes
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode_page
from hub.settings import Settings
from hub.utc_time import Clock, rfc3339
from hub.webhooks.events import SEND_EXPANDED, SEND_PAUSED, WEBHOOK_TEST, event_name

COLLECTION = "webhook_calls"
LANE = "WEBHOOK_ENDPOINT"
DAY_S = 86_400
SEND_EVENT_PRIORITY = Priority.HIGH  # one call per send, and a person may have to act on a pause
TEST_PRIORITY = Priority.HIGH  # a person waits for the result


def indexes(settings: Settings) -> Indexes:
    newest = ("_id", DESCENDING)  # ids sort by time
    return {
        COLLECTION: [
            # an endpoint's calls, newest first
            IndexModel([("tenant", ASCENDING), ("endpoint", ASCENDING), newest], name="endpoint"),
            # an endpoint's calls by status, which finds the few that failed
            IndexModel([("tenant", ASCENDING), ("endpoint", ASCENDING), ("status", ASCENDING), newest], name="status"),
            *job_indexes(),
            restored_index(),
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
    event = event_name(receipt)
    if event is None:
        return []
    named = about.expanded or _is_stopped_step(receipt, about)
    subscribed = subscribed_endpoints(endpoints, event, named=named)
    if not subscribed:
        return []
    payload = _receipt_payload(event, receipt, about)
    priority = about.priority
    return [
        document(_call(receipt.id, receipt.tenant, event, payload, priority, endpoint, now)) for endpoint in subscribed
    ]


def calls_for_expanded(send: Send, endpoints: Iterable[WebhookEndpoint], now: datetime) -> list[Document]:
    """Return the calls for a send whose expansion is complete."""
    return _calls_for_send(SEND_EXPANDED, send, {"recipients": send.recipients}, endpoints, now)


def calls_for_paused(send: Send, endpoints: Iterable[WebhookEndpoint], now: datetime) -> list[Document]:
    """Return the calls for a send that was paused."""
    return _calls_for_send(SEND_PAUSED, send, {"reason": send.paused_reason}, endpoints, now)


def _calls_for_send(
    event: str, send: Send, more: Document, endpoints: Iterable[WebhookEndpoint], now: datetime
) -> list[Document]:
    payload = _payload(event, now, {"sendId": send.id, "category": send.category, "status": send.status, **more})
    id = new_id(now)
    return [
        document(_call(id, send.tenant, event, payload, SEND_EVENT_PRIORITY, endpoint, now))
        for endpoint in subscribed_endpoints(endpoints, event)
    ]


def _call(
    event_id: str,
    tenant: str,
    event: str,
    payload: str,
    priority: Priority,
    endpoint: WebhookEndpoint,
    now: datetime,
) -> WebhookCall:
    return WebhookCall(
        id=f"{event_id}-{endpoint.id}",
        tenant=tenant,
        endpoint=endpoint.id,
        event=event,
        payload=payload,
        status=DeliveryStatus.ACCEPTED,
        priority=priority,
        lane=f"{LANE}/{priority}/{tenant}",
        due_at=now,
        created_at=now,
        updated_at=now,
    )


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


def _receipt_payload(event: str, receipt: Receipt, about: Notification | Delivery) -> str:
    data: Document = {
        "receiptId": receipt.id,
        "sendId": receipt.send_id,
        "notificationId": receipt.notification_id,
        "userId": receipt.user_id,
        "category": about.category,
        "priority": about.priority,
        "channel": receipt.channel,
        "status": receipt.status,
        "reason": receipt.reason,
    }
    if receipt.action_key is not None:
        data["actionKey"] = receipt.action_key
    return _payload(event, receipt.at, data)


def _payload(event: str, at: datetime, data: Document) -> str:
    """Return the payload. It contains ids but no content, because it may pass through third parties."""
    return orjson.dumps({"type": event, "timestamp": rfc3339(at), "data": data}).decode()


def match_user(mailbox: str) -> Document:
    """Return the match of calls about a user. No index serves the query, because calls are stored only for days."""
    return {"tenant": tenant_of(mailbox), "payload": {"$regex": re.escape(_user_json(mailbox))}}


def match_user_or_pause(mailbox: str, reason: str) -> Document:
    """Return the match of calls about a user, and of those about the tenant's pauses with this reason."""
    about_pause = {"event": SEND_PAUSED, "payload": {"$regex": re.escape(_reason_json(reason))}}
    return {"tenant": tenant_of(mailbox), "$or": [match_user(mailbox), about_pause]}


def erase_update(mailbox: str, reason: str, replacement: str) -> list[Document]:
    """Return the update that removes the user id from calls, including waiting calls, and replaces the reason of
    pauses."""
    return [
        *_replace_update(_user_json(mailbox), '"userId":null'),
        *_replace_update(_reason_json(reason), _reason_json(replacement)),
    ]


def _replace_update(json: str, replacement: str) -> list[Document]:
    replaced = {"input": "$payload", "find": {"$literal": json}, "replacement": {"$literal": replacement}}
    return [{"$set": {"payload": {"$replaceOne": replaced}}}]


def _user_json(mailbox: str) -> str:
    """Return the JSON of the user id in a payload. No other text matches, because quotes in values are escaped."""
    return f'"userId":{orjson.dumps(user_of(mailbox)).decode()}'


def _reason_json(reason: str) -> str:
    return f'"reason":{orjson.dumps(reason).decode()}'


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

    async def create_test(self, tenant: str, endpoint: WebhookEndpoint) -> WebhookCall:
        """Store a call with the event `webhook.test`, and return it."""
        now = self._clock()
        payload = _payload(WEBHOOK_TEST, now, {"endpointId": endpoint.id})
        call = _call(new_id(now), tenant, WEBHOOK_TEST, payload, TEST_PRIORITY, endpoint, now)
        await self._calls.insert_one(document(call))
        return call

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

    async def release_restored(self, tenant: str) -> int:
        """Send calls that are held since a restore, at most one slice. Return their number."""
        return await release_jobs(self._calls, tenant, self._clock())
