"""The signature of POST requests (Standard Webhooks 1.0)."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

PREFIX = "whsec_"
SECRET_OVERLAP = timedelta(days=1)
"""The time after a rotation in which the previous secret is also used to sign."""


class Secrets(Protocol):
    """Signing keys, newest first, and the time when the newest one was added to the others."""

    @property
    def secrets(self) -> tuple[str, ...]: ...
    @property
    def rotated_at(self) -> datetime | None: ...


def signing_secrets(of: Secrets, now: datetime) -> tuple[str, ...]:
    """Return the secrets that are used to sign, newest first."""
    rotating = of.rotated_at is not None and now < of.rotated_at + SECRET_OVERLAP
    return of.secrets[: 2 if rotating else 1]


def sign_headers(id: str, body: bytes, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """Return the signature headers of a body, with one signature per secret over the id, the time, and the body."""
    time = str(int(at.timestamp()))
    content = b".".join((id.encode(), time.encode(), body))
    keys = [b64decode(secret.removeprefix(PREFIX)) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": time,
        "webhook-signature": " ".join(f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in keys),
    }
