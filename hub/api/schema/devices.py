"""A person's devices: browsers, apps, and webhooks of their own."""

import re
from datetime import datetime
from hashlib import sha256

import strawberry
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace
from strawberry import ID, Parent

from hub import base64url, model
from hub.api.context import Context, Info
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.inputs import public_url, valid_label
from hub.audience.devices import EXCLUSIVE_KINDS, device_key
from hub.errors import BadUserInput, NotFound, Unavailable
from hub.ids import new_id, new_secret
from hub.model import DeviceKind
from hub.settings.values import vapid_key

POINT_BYTES = 65  # RFC 8291: an uncompressed point of P-256
AUTH_BYTES = 16
TOKEN = re.compile(r"[!-~]{1,4096}")
PLATFORMS = ("fcm", "apns")
UNUSED_KEY = base64url.encode(sha256(b"development").digest())
"""So that browsers can subscribe in development, where the catcher takes what would be pushed. Nothing is ever signed
with it."""

strawberry.enum(model.DeviceKind)


def _own_url(root: Parent[model.Device], info: Info) -> str | None:
    """A device that nobody passes on has its owner in its key. The address of a push service is of no use to people."""
    own = (
        root.kind not in EXCLUSIVE_KINDS
        and root.url
        and device_key(info.context.caller.mailbox, root.kind, root.url) == root.key
    )
    return root.url if own else None


@strawberry.type(description="Where a person is reached beside mail and phone.")
class Device:
    id: ID
    kind: model.DeviceKind
    platform: str | None
    label: str | None
    url: str | None = strawberry.field(
        resolver=_own_url, description="Where a webhook of the caller's own is called; null for all else."
    )
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(
        description="When it was last reached, to the hour, or registered again."
    )


@strawberry.type(description="`secret` is shown once, here.")
class DeviceSecretPayload:
    device: model.Device = strawberry.field(graphql_type=Device)
    secret: str


@fast_input
@strawberry.input(description="As `PushSubscription.toJSON()` of a browser says.")
class WebPushInput:
    endpoint: str
    p256dh: str
    auth: str
    label: str | None = None


@fast_input
@strawberry.input
class MobileDeviceInput:
    platform: str = strawberry.field(description="fcm or apns.")
    token: str
    label: str | None = None


@strawberry.type
class DeviceQuery:
    @strawberry.field(description="VAPID public key, base64url, for PushManager.subscribe.")
    async def web_push_key(self, info: Info) -> str:
        settings = info.context.services.settings
        key = settings.vapid_private_key.get_secret_value()
        if not key and settings.mode == "development":
            key = UNUSED_KEY
        if not key:
            raise NotFound("Web push is not set up here: HUB_VAPID_PRIVATE_KEY is empty; `hub vapid` makes one.")
        return vapid_public_key(key)


@strawberry.type
class DeviceMutation:
    @strawberry.mutation(
        graphql_type=Device,
        description="The caller's own browser. Whoever in the tenant registered it before has it no more.",
    )
    async def register_web_push(self, info: Info, input: WebPushInput) -> model.Device:
        context = info.context
        address = _address(context, input.endpoint, "input.endpoint", secure=True)
        point = _bytes(input.p256dh, POINT_BYTES, "input.p256dh")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            raise BadUserInput("This is no point of the curve P-256.", "input.p256dh") from None
        auth = _bytes(input.auth, AUTH_BYTES, "input.auth")
        device = _device(context, DeviceKind.WEB_PUSH, address, input.label, "input.label")
        return await _register(
            context, device, url=address, p256dh=base64url.encode(point), auth=base64url.encode(auth)
        )

    @strawberry.mutation(
        graphql_type=Device,
        description="The caller's own app. Whoever in the tenant registered its token before has it no more.",
    )
    async def register_mobile_device(self, info: Info, input: MobileDeviceInput) -> model.Device:
        context = info.context
        if input.platform not in PLATFORMS:
            raise BadUserInput("A platform is fcm or apns.", "input.platform")
        if not TOKEN.fullmatch(input.token):
            raise BadUserInput("A token has 1 to 4096 printable characters, and no spaces.", "input.token")
        device = _device(context, DeviceKind.MOBILE_PUSH, input.token, input.label, "input.label")
        return await _register(context, device, token=input.token, platform=input.platform)

    @strawberry.mutation(
        description="An address of the caller's own that is called with each notification, signed as Standard Webhooks "
        "says. Connected again, it gets a new secret."
    )
    async def connect_webhook(self, info: Info, url: str, label: str | None = None) -> DeviceSecretPayload:
        context = info.context
        if not context.services.settings.personal_webhooks:
            raise NotFound("People's own webhooks are switched off here (HUB_PERSONAL_WEBHOOKS).")
        address = _address(context, url, "url", secure=False)
        secret = new_secret()
        device = _device(context, DeviceKind.WEBHOOK, address, label, "label")
        return DeviceSecretPayload(
            device=await _register(context, device, url=address, secret=secret),
            secret=secret,
        )

    @strawberry.mutation(description="One of the caller's own. Answers whether it was there.")
    async def remove_device(self, info: Info, id: ID) -> bool:
        return await info.context.services.devices.remove(info.context.mailbox, id)


def vapid_public_key(private: str) -> str:
    """The uncompressed point in base64url (RFC 8292), of a key as `hub vapid` writes it: 32 bytes or DER in base64url.
    Unavailable for anything else."""
    try:
        key = vapid_key(private)
    except ValueError:
        raise Unavailable(
            "Web push is not set up rightly: HUB_VAPID_PRIVATE_KEY is no key; `hub vapid` makes one."
        ) from None
    return base64url.encode(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


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


def _address(context: Context, given: str, field: str, *, secure: bool) -> str:
    """An address that may be called, as far as can be told without asking for it. Where networks of one's own are
    allowed (HUB_EGRESS_ALLOW), push services may be there without TLS."""
    if secure and not context.services.settings.egress_allow and not given.startswith("https:"):
        raise BadUserInput("This is an https address.", field)
    return public_url(given, context.services.outbound_http, field)


def _bytes(given: str, length: int, field: str) -> bytes:
    try:
        raw = base64url.decode(given)
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise BadUserInput(f"This is {length} bytes in base64url, as the browser gives them.", field)
    return raw
