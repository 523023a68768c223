"""The devices of a user: browsers, apps, personal webhooks, and chats."""

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated

import strawberry
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from strawberry import ID, Parent
from yarl import URL

from hub import base64url, model
from hub.api.context import Context, Info
from hub.api.schema.access import Caller, access
from hub.api.schema.validation import public_url, valid_label
from hub.api.vapid import vapid_public_key
from hub.audience import chat_urls
from hub.audience.devices import EXCLUSIVE_KINDS, device_key
from hub.errors import BadUserInput, NotFound
from hub.ids import new_id, new_secret
from hub.model import DeviceKind, Scope
from hub.platform.encryption import CredentialUnavailable

POINT_BYTES = 65  # an uncompressed point of P-256 (RFC 8291)
AUTH_BYTES = 16
TOKEN = re.compile(r"[!-~]{1,4096}")
PLATFORMS = ("fcm", "apns")
UNUSED_KEY = base64url.encode(sha256(b"development").digest())
"""A key that browsers can use to subscribe in development. Push messages are captured there, so nothing is signed with
this key."""


def _own_url(root: Parent[model.Device], info: Info) -> str | None:
    """Return the URL of a personal webhook of the caller, else None. URLs of push services are internal."""
    if root.kind in EXCLUSIVE_KINDS:
        return None
    try:
        url = info.context.services.devices.decrypted(root).url
    except CredentialUnavailable:
        return None
    return url if url and device_key(info.context.caller.mailbox, root.kind, url) == root.key else None


@strawberry.type(description="A browser, app, personal webhook, or chat of a user.")
class Device:
    id: ID
    kind: model.DeviceKind
    platform: str | None = strawberry.field(
        description="The push service of an app: fcm or apns. Null for other devices."
    )
    label: str | None = strawberry.field(description="The name that the device was registered with.")
    url: str | None = strawberry.field(
        resolver=_own_url,
        description="The URL of the webhook, if the device is a personal webhook of the caller. Null for all "
        "other devices, and if the key that encrypted the URL is missing.",
    )
    masked_url: str | None = strawberry.field(
        description="The host and the last 4 characters of the URL of a chat, such as `hooks.slack.com …wXyZ`. The "
        "whole URL is a secret and is never returned. Null for other devices."
    )
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(
        description="The time at which a notification last reached the device, accurate to the hour, or at which the "
        "device was registered again."
    )


@strawberry.type(description="A personal webhook and its secret.")
class DeviceSecretPayload:
    device: model.Device = strawberry.field(graphql_type=Device)
    secret: str = strawberry.field(
        description="The secret that the hub signs calls with. It is returned only by this operation."
    )


@strawberry.input(description="The push subscription of a browser, as returned by `PushSubscription.toJSON()`.")
class WebPushInput:
    endpoint: str = strawberry.field(description="The `endpoint` of the subscription.")
    p256dh: str = strawberry.field(description="The `keys.p256dh` of the subscription, in base64url.")
    auth: str = strawberry.field(description="The `keys.auth` of the subscription, in base64url.")
    label: str | None = strawberry.field(default=None, description="The display name of the device.")


@strawberry.input(description="An app and its push token.")
class MobileDeviceInput:
    platform: str = strawberry.field(description="The push service of the app: fcm or apns.")
    token: str = strawberry.field(description="The push token from FCM or APNs, at most 4,096 characters.")
    label: str | None = strawberry.field(default=None, description="The display name of the device.")


@strawberry.type
class DeviceQuery:
    @strawberry.field(
        description="Return the public VAPID key in base64url. Pass it to `PushManager.subscribe` as "
        "`applicationServerKey`.",
        directives=access(Caller.ANYONE, Scope.READ),
    )
    async def web_push_key(self, info: Info) -> str:
        settings = info.context.services.settings
        key = settings.vapid_private_key.get_secret_value()
        if not key and settings.mode == "development":
            key = UNUSED_KEY
        if not key:
            raise NotFound("Web push is not configured: HUB_VAPID_PRIVATE_KEY is empty. `hub vapid` creates a key.")
        return vapid_public_key(key)


@strawberry.type
class DeviceMutation:
    @strawberry.mutation(
        graphql_type=Device,
        description="Register a browser of the caller for web push. If another user of the tenant registered this "
        "browser before, it is removed from that user.",
        directives=access(Caller.USER),
    )
    async def register_web_push(self, info: Info, input: WebPushInput) -> model.Device:
        context = info.context
        address = _callable_url(context, input.endpoint, "input.endpoint", require_tls=True)
        point = _decode_exact(input.p256dh, POINT_BYTES, "input.p256dh")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            raise BadUserInput("`p256dh` is not a point of the curve P-256.", "input.p256dh") from None
        auth = _decode_exact(input.auth, AUTH_BYTES, "input.auth")
        device = _device(context, DeviceKind.WEB_PUSH, address, input.label, "input.label")
        return await _register(
            context, device, url=address, p256dh=base64url.encode(point), auth=base64url.encode(auth)
        )

    @strawberry.mutation(
        graphql_type=Device,
        description="Register an app of the caller for push messages. If another user of the tenant registered this "
        "token before, it is removed from that user.",
        directives=access(Caller.USER),
    )
    async def register_mobile_device(self, info: Info, input: MobileDeviceInput) -> model.Device:
        context = info.context
        if input.platform not in PLATFORMS:
            raise BadUserInput("`platform` must be fcm or apns.", "input.platform")
        if not TOKEN.fullmatch(input.token):
            raise BadUserInput("`token` must have 1 to 4096 printable ASCII characters, without spaces.", "input.token")
        device = _device(context, DeviceKind.MOBILE_PUSH, input.token, input.label, "input.label")
        return await _register(context, device, token=input.token, platform=input.platform)

    @strawberry.mutation(
        description="Connect a personal webhook of the caller. The hub sends each notification on the WEBHOOK "
        "channel to this URL in a POST request that is signed according to Standard Webhooks. Connecting "
        "the same URL again creates a new secret.",
        directives=access(Caller.USER),
    )
    async def connect_webhook(
        self,
        info: Info,
        url: Annotated[str, strawberry.argument(description="A public http(s) URL with port 80 or 443.")],
        label: Annotated[str | None, strawberry.argument(description="The display name of the device.")] = None,
    ) -> DeviceSecretPayload:
        context = info.context
        if not context.services.settings.personal_webhooks:
            raise NotFound("Personal webhooks are disabled (HUB_PERSONAL_WEBHOOKS).")
        address = _callable_url(context, url, "url", require_tls=False)
        secret = new_secret()
        device = _device(context, DeviceKind.WEBHOOK, address, label, "label")
        return DeviceSecretPayload(
            device=await _register(context, device, url=address, secret=secret),
            secret=secret,
        )

    @strawberry.mutation(
        graphql_type=Device,
        description="Connect a chat of the caller. The hub sends each notification on the channel of the same name to "
        "the webhook. Connecting the same URL again changes the label.",
        directives=access(Caller.USER),
    )
    async def connect_chat(
        self,
        info: Info,
        kind: Annotated[model.DeviceKind, strawberry.argument(description="SLACK, DISCORD, or TEAMS.")],
        url: Annotated[
            str, strawberry.argument(description="The URL that the chat issued for its webhook. It is a secret.")
        ],
        label: Annotated[str | None, strawberry.argument(description="The display name of the device.")] = None,
    ) -> model.Device:
        context, settings = info.context, info.context.services.settings
        if kind not in chat_urls.CHATS:
            raise BadUserInput("`kind` must be SLACK, DISCORD, or TEAMS.", "kind")
        if kind not in settings.chats:
            raise NotFound(f"{kind} is disabled (HUB_CHATS).")
        address = public_url(url.strip(), context.services.outbound_http, "url")
        parsed = URL(address, encoded=True)
        if not chat_urls.is_url_of(kind, parsed, settings.chat_origins):
            raise BadUserInput(f"The URL must be like {chat_urls.CHATS[kind].example}.", "url")
        device = _device(context, kind, address, label, "label")
        return await _register(context, device, token=address, masked_url=chat_urls.masked(parsed))

    @strawberry.mutation(
        description="Remove a device of the caller. Return true if the device existed.", directives=access(Caller.USER)
    )
    async def remove_device(self, info: Info, id: ID) -> bool:
        return await info.context.services.devices.remove(info.context.mailbox, id)


async def _register(context: Context, device: model.Device, **values: str) -> model.Device:
    await context.services.inbox_actions.get_or_create_mailbox(context.mailbox)
    return await context.services.devices.register(context.mailbox, replace(device, **values))


def _device(context: Context, kind: DeviceKind, address: str, label: str | None, field: str) -> model.Device:
    now = context.services.clock()
    return model.Device(
        id=new_id(now),
        kind=kind,
        key=device_key(context.mailbox, kind, address),
        created_at=now,
        label=None if label is None else valid_label(label, field),
    )


def _callable_url(context: Context, url: str, field: str, *, require_tls: bool) -> str:
    """Return a URL that the hub may call. Push services do not need TLS if private networks are allowed
    (HUB_EGRESS_ALLOW)."""
    if require_tls and not context.services.settings.egress_allow and not url.startswith("https:"):
        raise BadUserInput("The URL must start with https:.", field)
    return public_url(url, context.services.outbound_http, field)


def _decode_exact(text: str, length: int, field: str) -> bytes:
    """Decode exactly `length` bytes from base64url. Raise BadUserInput for any other value."""
    try:
        raw = base64url.decode(text)
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise BadUserInput(f"The value must be {length} bytes in base64url, as returned by the browser.", field)
    return raw
