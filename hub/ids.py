"""Identifiers: UUIDv7 (RFC 9562), which sort by the time they were made. And secrets, which do not."""

import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta

from uuid_utils import uuid7


def new_id() -> str:
    """A fresh id, 36 characters."""
    return str(uuid7())


def new_secret() -> str:
    """A fresh key that webhooks are signed with, as Standard Webhooks writes it: `whsec_` and 32 bytes in base64."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def made_at(id: str) -> datetime:
    """When an id was made, to the millisecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(id[:8] + id[9:13], 16))


def first_id_at(at: datetime) -> str:
    """The smallest id that can have been made at `at` or later: a bound for queries by time over `_id`."""
    millis = f"{max(0, round(at.timestamp() * 1000)):012x}"
    return f"{millis[:8]}-{millis[8:12]}-7000-8000-000000000000"
