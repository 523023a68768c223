"""The values that a template reads, built in one place.

A template reads `data`, `user`, `tenant`, `notification`, and `enriched`; those of digests also read `items` and
`count`. A key of `data` can also be read without `data.`, unless it has one of these names.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from msgspec import Struct

from hub.model import Tenant, User
from hub.utc_time import rfc3339


class StandIn(str):
    """An empty text whose every field is an empty text: takes the place of a value that is not available yet."""

    __slots__ = ()

    def __getitem__(self, key: object) -> "StandIn":
        return self


class NoValue(StandIn):
    """A stand-in that is false in conditions."""

    __slots__ = ()

    def __liquid__(self) -> None:
        return None


class NotYet(dict[str, object]):
    """A value without fields that is false in conditions."""

    __slots__ = ()

    def __liquid__(self) -> None:
        return None


STAND_IN = StandIn()
NOT_ENRICHED = NoValue()
"""The value of `enriched` without an answer."""
NOT_YET_ENRICHED = NotYet()
"""The value of `enriched` before the call: reading one of its fields is an error, so the result is not used."""


class RenderInput(Struct, frozen=True):
    """The input of one rendering.

    - `values`: JSON values by name.
    - `locale`, `timezone`: those for which filters format.
    - `stand_in`: True if some of the values are stand-ins. A title may then be blank.
    """

    values: Mapping[str, object]
    locale: str
    timezone: str
    now: datetime
    stand_in: bool = False


def render_input(
    tenant: Tenant,
    user: User | None,
    notification: tuple[str, datetime] | None,
    data: object,
    *,
    locale: str,
    timezone: str,
    now: datetime,
    enriched: object = None,
    unsubscribe_url: str = "",
    digest: Mapping[str, object] | None = None,
) -> RenderInput:
    """Return the input of a rendering.

    - `user`, `notification` (id and time of creation): without one of them, a stand-in is used, also for `enriched`.
    - `data`: the result of `merged_data`.
    - `unsubscribe_url`: the link of an email, or an empty text if it has none.
    - `digest`: the `items` and `count` of a digest.
    """
    stand_in = user is None or notification is None
    values: dict[str, object] = dict(data) if isinstance(data, Mapping) else {}
    values |= {
        "data": data,
        "user": STAND_IN if user is None else _user_values(user, locale, timezone),
        "tenant": _without_none(name=tenant.name or tenant.id, logoUrl=tenant.logo_url, color=tenant.color),
        "notification": STAND_IN if notification is None else _notification_values(*notification, unsubscribe_url),
    }
    values.pop("enriched", None)
    if enriched is not None or stand_in:
        values["enriched"] = STAND_IN if enriched is None else enriched
    values |= digest or {}
    return RenderInput(values, locale, timezone, now, stand_in)


def merged_data(data: str | None, template_data: str | None) -> object:
    """Return what templates read as `data`: the data of the template over the data of the send, both JSON texts."""
    below: Any = orjson.loads(data) if data else {}
    above: Any = orjson.loads(template_data) if template_data else {}
    return below | above if isinstance(below, dict) and isinstance(above, dict) else above or below


def parsed_enrichment(enriched: str | None) -> Mapping[str, object] | None:
    """Return what templates read as `enriched`, from JSON text. None: the send is not enriched."""
    values: Mapping[str, object] | None = orjson.loads(enriched) if enriched else None
    return values


def _user_values(user: User, locale: str, timezone: str) -> dict[str, object]:
    return _without_none(
        id=user.user_id,
        name=user.name,
        email=user.email,
        locale=locale,
        timezone=timezone,
        attributes=user.attribute_values or {},
    )


def _notification_values(id: str, created_at: datetime, unsubscribe_url: str) -> dict[str, object]:
    return _without_none(id=id, createdAt=rfc3339(created_at), unsubscribeUrl=unsubscribe_url or None)


def _without_none(**values: object) -> dict[str, object]:
    """Return the values that are not None. A missing value is an error where it is printed, and None is not."""
    return {name: value for name, value in values.items() if value is not None}
