"""Users and their devices."""

from datetime import datetime
from typing import Any

import orjson

from hub.model.channels import DeviceKind
from hub.model.mailboxes import user_of
from hub.model.preferences import NO_PREFERENCES, Preferences
from hub.model.record import Record
from hub.model.tenants import Tenant


class Device(Record, frozen=True):
    """A browser, mobile app, personal webhook, or chat of a user.

    - `key`: identifies the device across users.
    - `url`: the URL of the push service or webhook. `p256dh`, `auth`: the keys of a browser (RFC 8291) in base64url.
    - `token`: the device token of the mobile app, or the URL of a chat's webhook. `arn`: the SNS endpoint that was
      created for the token.
    - `masked_url`: the host and the last characters of the URL of a chat's webhook, for display.
    - `secret`: the key that signs webhook calls.
    - `encrypted_with`: the id of the key that encrypts all of these except `masked_url` and `arn`, or None if they are
      not encrypted (`hub/platform/encryption.py`).
    """

    id: str
    kind: DeviceKind
    key: str
    created_at: datetime
    last_used_at: datetime | None = None
    platform: str | None = None
    label: str | None = None
    url: str | None = None
    p256dh: str | None = None
    auth: str | None = None
    token: str | None = None
    masked_url: str | None = None
    arn: str | None = None
    secret: str | None = None
    encrypted_with: str | None = None


class User(Record, frozen=True, rename={"id": "_id"}):
    """A user. `id` is the mailbox key. `suppressed`: addresses that no email is sent to, in lower case, with the
    reason. `locale` and `timezone` are None if the tenant's apply.

    - `attributes`: JSON values, or JSON text if the user was not converted yet (`hub/audience/attributes.py`).
    - `revision`: increases with every change of the quiet hours, do-not-disturb, daily limit, digests, or time zone.
      `revised_at` is the time of the last one.
    - `redecide_at`: the time when the scheduler must decide again when the held deliveries leave.
    """

    id: str
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    attributes: dict[str, Any] | str | None = None
    devices: tuple[Device, ...] = ()
    preferences: Preferences = NO_PREFERENCES
    suppressed: dict[str, str] = {}
    revision: int = 0
    revised_at: datetime | None = None
    redecide_at: datetime | None = None

    @property
    def user_id(self) -> str:
        return user_of(self.id)

    @property
    def attribute_values(self) -> Any:
        """The attributes as a JSON value, or None."""
        return orjson.loads(self.attributes) if isinstance(self.attributes, str) else self.attributes

    @property
    def attributes_text(self) -> str | None:
        """The attributes as JSON text, or None."""
        return orjson.dumps(self.attributes).decode() if isinstance(self.attributes, dict) else self.attributes

    def effective_locale(self, tenant: Tenant) -> str:
        """Return the user's locale, or the tenant's."""
        return self.locale or tenant.locale

    def effective_timezone(self, tenant: Tenant) -> str:
        """Return the user's time zone, or the tenant's."""
        return self.timezone or tenant.timezone
