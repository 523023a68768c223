"""The MOBILE_PUSH channel, which sends to apps on phones through Amazon SNS, APNs, and FCM.

SNS requires an endpoint for each device. The endpoint is created with the first message, and its ARN is stored with the
device. Creating an endpoint twice is harmless because SNS returns the existing one. SNS disables an endpoint when APNs
or FCM reports an invalid token. The endpoint is enabled again only if the app registers the device again.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from botocore.exceptions import ClientError

from hub.audience.devices import Devices
from hub.model import Channel, Device, Notification, Priority
from hub.send import aws
from hub.send.channel import ChannelResources
from hub.send.message import Message, Preview, Provider, collapse_id
from hub.send.outcome import Dead, Outcome, Sent
from hub.utc_time import Clock

CHANNEL = Channel.MOBILE_PUSH

PAYLOAD_BYTES = 4000  # APNs and FCM accept 4,096 bytes, and FCM counts its own field names
TITLE_CHARS, BODY_CHARS = 256, 300  # of a payload that is too large; a phone shows about four lines
TTL_MAX_S = 28 * 86_400

DEAD = {"InvalidParameter", "InvalidParameterException", "ParameterValueInvalid"}
GONE = {"EndpointDisabled", "EndpointDisabledException"}
ENDPOINT = re.compile(
    r"arn:[\w-]+:sns:[\w-]+:\d+:endpoint/\S+"
)  # in the error of an endpoint that exists with other attributes
LEVELS = {
    Priority.CRITICAL: "time-sensitive",
    Priority.LOW: "passive",
}  # iOS interruption levels; other priorities use `active`


async def create_providers(resources: ChannelResources) -> tuple[Provider, ...]:
    """Return the Amazon SNS provider if a platform application is configured."""
    settings = resources.settings
    applications = {"fcm": settings.sns_platform_fcm, "apns": settings.sns_platform_apns}
    applications = {platform: arn for platform, arn in applications.items() if arn}
    if not applications:
        return ()
    region = next(iter(applications.values())).split(":")[3]  # the settings allow only one region
    client = await aws.open_client("sns", settings, resources.stack, region)
    return (Sns(client, applications, settings.provider_timeout_s, resources.devices, resources.clock),)


def preview(message: Message) -> Preview:
    """Return the payload that APNs or FCM would receive."""
    make = fcm if _platform(message.device) == "fcm" else apns
    body = orjson.dumps(make(message, message.created_at), option=orjson.OPT_INDENT_2)
    return Preview(message.notification.title, body.decode())


class Sns:
    """Amazon SNS with up to two platform applications."""

    name = "sns"

    def __init__(
        self,
        client: Any,
        applications: dict[str, str],
        timeout_s: float,
        devices: Devices,
        clock: Clock,
    ) -> None:
        self.timeout_s = timeout_s
        self._client = client
        self._applications = applications
        self._devices = devices
        self._clock = clock

    def breakers(self, message: Message) -> tuple[str, ...]:
        """Return one breaker per platform application, because the certificate of only one may have expired."""
        return (f"sns-{_platform(message.device)}",)

    async def send(self, message: Message) -> Outcome:
        device = message.device
        application = self._applications.get(_platform(device))
        if not application or not device or not device.token:
            return Dead("no SNS platform application is set for this device's platform")
        try:
            async with asyncio.timeout(self.timeout_s):
                try:
                    arn = device.arn or await self._create_endpoint(message, application, device.token)
                    return await self._publish(message, application, arn)
                except ClientError as error:
                    if not device.arn or not _endpoint_deleted(error):
                        raise
                arn = await self._create_endpoint(message, application, device.token)
                return await self._publish(message, application, arn)
        except aws.AWS_ERRORS as error:
            return aws.outcome_of_error(error, DEAD, GONE)

    async def _publish(self, message: Message, application: str, arn: str) -> Outcome:
        kind, now = application.split("/")[1], self._clock()  # arn:aws:sns:region:account:app/KIND/name
        body = fcm(message, now) if kind == "GCM" else apns(message, now)
        response = await self._client.publish(
            TargetArn=arn,
            MessageStructure="json",
            Message=orjson.dumps({"default": message.notification.title, kind: orjson.dumps(body).decode()}).decode(),
            MessageAttributes={} if kind == "GCM" else _apns_attributes(message.notification, kind, now),
        )
        return Sent(response["MessageId"])

    async def _create_endpoint(self, message: Message, application: str, token: str) -> str:
        """Create the endpoint of a device, or enable the existing one. Return the ARN of the endpoint."""
        try:
            created = await self._client.create_platform_endpoint(PlatformApplicationArn=application, Token=token)
            arn = str(created["EndpointArn"])
        except ClientError as error:
            existing = ENDPOINT.search(error.response["Error"].get("Message", ""))
            if not existing:
                raise
            arn = existing[0]
        await self._client.set_endpoint_attributes(EndpointArn=arn, Attributes={"Enabled": "true", "Token": token})
        if message.device:
            await self._devices.set_sns_endpoint(message.user.id, message.device.id, arn)
        return arn


def apns(message: Message, now: datetime) -> dict[str, Any]:  # noqa: ARG001 - its expiry is an attribute
    """Return the payload for iOS."""
    notification = message.notification

    def build(title: str, body: str, more: dict[str, Any]) -> dict[str, Any]:
        aps = {
            "alert": {"title": title, "body": body},
            "badge": message.unseen,
            "sound": "default",
            "thread-id": notification.category,
            "interruption-level": LEVELS.get(notification.priority, "active"),
            "mutable-content": 1,  # allows an app extension to load the image
        }
        return {"aps": aps, **more}

    return _fit_payload(message, build)


def fcm(message: Message, now: datetime) -> dict[str, Any]:
    """Return the payload for Android (FCM HTTP v1). Values of `data` must be strings."""
    notification = message.notification

    def build(title: str, body: str, more: dict[str, Any]) -> dict[str, Any]:
        texts = {key: value if isinstance(value, str) else orjson.dumps(value).decode() for key, value in more.items()}
        android_notification = {"notification_count": message.unseen, "tag": collapse_id(notification)}
        urgent = notification.priority in (Priority.CRITICAL, Priority.HIGH)
        android = {
            "priority": "HIGH" if urgent else "NORMAL",
            "ttl": f"{_ttl_s(notification, now)}s",
            "collapse_key": collapse_id(notification),
            "notification": {**android_notification, "image": notification.image_url}
            if notification.image_url
            else android_notification,
        }
        content = {"notification": {"title": title, "body": body}, "data": texts, "android": android}
        return {"fcmV1Message": {"message": content}}

    return _fit_payload(message, build)


def _fit_payload(message: Message, build: Callable[[str, str, dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return the full payload if it fits. Otherwise return the minimum to show; the app loads the rest by id."""
    notification = message.notification
    fields = {
        "id": notification.id,
        "url": notification.action_url,
        "image": notification.image_url,
        "actions": [{"key": action.key, "label": action.label, "url": action.url} for action in notification.actions],
        "category": notification.category,
        "data": orjson.loads(notification.data) if notification.data else None,
        "receipt": message.receipt_url or None,
    }
    present = {name: value for name, value in fields.items() if value not in (None, [])}
    plain_body = message.plain_body
    body = build(notification.title, plain_body, present)
    if len(orjson.dumps(body)) <= PAYLOAD_BYTES:
        return body
    minimal: dict[str, Any] = {name: present[name] for name in ("id", "receipt") if name in present}
    short_body = plain_body if len(plain_body) <= BODY_CHARS else plain_body[: BODY_CHARS - 1] + "…"
    return build(notification.title[:TITLE_CHARS], short_body, {**minimal, "partial": True})


def _apns_attributes(notification: Notification, kind: str, now: datetime) -> dict[str, Any]:
    values = {
        "AWS.SNS.MOBILE.APNS.PUSH_TYPE": "alert",
        "AWS.SNS.MOBILE.APNS.PRIORITY": "5" if notification.priority == Priority.LOW else "10",
        "AWS.SNS.MOBILE.APNS.COLLAPSE_ID": collapse_id(notification),
        f"AWS.SNS.MOBILE.{kind}.TTL": str(_ttl_s(notification, now)),
    }
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def _ttl_s(notification: Notification, now: datetime) -> int:
    if not notification.expires_at:
        return TTL_MAX_S
    return max(1, min(TTL_MAX_S, int((notification.expires_at - now).total_seconds())))


def _platform(device: Device | None) -> str:
    """Return `fcm`, `apns`, or an empty string if the device has no platform."""
    return (device and device.platform) or ""


def _endpoint_deleted(error: ClientError) -> bool:
    details = error.response.get("Error", {})
    return details.get("Code") in {"NotFound", "NotFoundException"} or "No endpoint found" in details.get("Message", "")
