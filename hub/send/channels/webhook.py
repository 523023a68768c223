"""The WEBHOOK channel, which sends the notification in a POST request to an endpoint of the user (Standard Webhooks).
The request is signed with the secret that the user received when the endpoint was registered."""

from datetime import datetime
from typing import Any

import orjson

from hub import utc_time
from hub.model import Channel, Device, Notification
from hub.platform import circuit_breaker
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.webhook_signature import sign_headers
from hub.send import signed_post
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Dead, Outcome
from hub.utc_time import RealClock

CHANNEL = Channel.WEBHOOK
EVENT = "notification.created"
DIGEST_EVENT = "notification.digest"


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the webhook provider unless HUB_PERSONAL_WEBHOOKS is false."""
    if not resources.settings.personal_webhooks:
        return ()
    return (WebhookProvider(resources.outbound_http, resources.settings.provider_timeout_s, resources.real_clock),)


class WebhookProvider:
    name = "webhook"

    def __init__(self, outbound_http: OutboundHTTP, timeout_s: float, real_clock: RealClock) -> None:
        self._outbound_http = outbound_http
        self._real_clock = real_clock
        self.timeout_s = timeout_s

    def breakers(self, message: Message) -> tuple[str, ...]:
        device = message.device
        return circuit_breaker.breaker_names(
            self.name, message.notification.tenant, _address(device)[0], device.id if device else ""
        )

    async def send(self, message: Message) -> Outcome:
        url, secret = _address(message.device)
        if not url or not secret:
            return Dead("the device has no address, or no secret")
        now, body = self._real_clock(), body_of(message)
        headers = sign_headers(message.id, body, [secret], now)
        return await signed_post.post(self._outbound_http, url, body, headers, self.timeout_s, now)


def preview(message: Message) -> Preview:
    """Return the request that would be sent."""
    url, secret = _address(message.device)
    body = body_of(message)
    headers = sign_headers(message.id, body, [secret] if secret else [], message.created_at)
    pretty = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    lines = [f"POST {url}", *(f"{name}: {value}" for name, value in headers.items()), "", pretty]
    return Preview(message.notification.title, "\n".join(lines))


def body_of(message: Message) -> bytes:
    """Return the request body, which is the same in every attempt."""
    return orjson.dumps(
        {
            "type": DIGEST_EVENT if message.items else EVENT,
            "timestamp": utc_time.rfc3339(message.created_at),
            "data": _digest_json(message) if message.items else _notification_json(message.notification),
        }
    )


def _digest_json(message: Message) -> dict[str, Any]:
    n = message.notification
    return {
        "id": n.id,
        "userId": n.user_id,
        "category": n.category,
        "title": n.title,
        "count": message.item_count,
        "items": [_notification_json(item.notification) for item in message.items],
    }


def _notification_json(n: Notification) -> dict[str, Any]:
    """Return the fields of the notification under their API names."""
    return {
        "id": n.id,
        "userId": n.user_id,
        "category": n.category,
        "title": n.title,
        "body": n.body,
        "markdown": n.markdown,
        "data": n.data and orjson.Fragment(n.data),
        "imageUrl": n.image_url,
        "actionUrl": n.action_url,
        "actions": [
            {"key": action.key, "label": action.label, "url": action.url, "primary": action.primary}
            for action in n.actions
        ],
        "actor": {"name": n.actor.name, "avatarUrl": n.actor.avatar_url} if n.actor else None,
        "threadKey": n.thread_key,
        "priority": n.priority,
        "tags": n.tags,
        "createdAt": utc_time.rfc3339(n.created_at),
        "expiresAt": _instant(n.expires_at),
        "requireAck": n.require_ack,
    }


def _instant(at: datetime | None) -> str | None:
    return utc_time.rfc3339(at) if at else None


def _address(device: Device | None) -> tuple[str, str]:
    return (device.url or "", device.secret or "") if device else ("", "")
