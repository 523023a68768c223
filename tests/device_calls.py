"""Devices of users: register browsers, phones and webhooks, and list them."""

import secrets
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.client import Json, Tenant

DEVICE = "id kind platform label createdAt lastUsedAt"
REGISTER_WEB_PUSH = f"mutation ($input: WebPushInput!) {{ d: registerWebPush(input: $input) {{ {DEVICE} }} }}"
REGISTER_MOBILE_DEVICE = (
    f"mutation ($input: MobileDeviceInput!) {{ d: registerMobileDevice(input: $input) {{ {DEVICE} }} }}"
)
CONNECT_WEBHOOK = f"mutation ($at: String!, $label: String) {{ d: connectWebhook(url: $at, label: $label) {{ secret device {{ {DEVICE} }} }} }}"
LIST_DEVICES = f"{{ me {{ devices {{ {DEVICE} }} }} }}"


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def new_browser(endpoint: str = "", **more: Any) -> Json:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {
        "endpoint": endpoint or f"https://push.example/{secrets.token_hex(8)}",
        "p256dh": base64url(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
        "auth": base64url(secrets.token_bytes(16)),
        **more,
    }


async def list_devices(tenant: Tenant, user: str) -> list[Json]:
    found: list[Json] = (await tenant.execute(LIST_DEVICES, user=user))["me"]["devices"]
    return found


async def register(tenant: Tenant, user: str, query: str = REGISTER_WEB_PUSH, **variables: Any) -> Json:
    device: Json = (await tenant.execute(query, user=user, **variables))["d"]
    return device
