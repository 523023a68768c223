"""Validation of arguments and input fields that several domains use. Each error names the field and the limit."""

import re
from collections.abc import Sequence
from functools import cache
from zoneinfo import available_timezones

import strawberry
from msgspec import UNSET, UnsetType

from hub.api import exact_json
from hub.errors import BadUserInput, TooLarge
from hub.links import LINK_RULE, is_link
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP
from hub.settings import Settings
from hub.unicode_text import (
    IDENTIFIER_MAX_CHARS,
    IDENTIFIER_RULE,
    is_blank,
    is_identifier,
    is_single_line,
    similar_names,
)

ID_MAX_CHARS = IDENTIFIER_MAX_CHARS
LABEL_MAX_CHARS = 256
DESCRIPTION_MAX_CHARS = 1024
PROFILE_MAX_CHARS = 320  # the longest email address (RFC 5321)
FILTER_MAX = 20  # maximum values of one filter field
ID_CURSOR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")
INVALID_CURSOR = "`after` is not a cursor of this list. Pass a cursor that the hub returned, unchanged."


def valid_user_id(id: str, field: str) -> str:
    """Return a user id, which the tenant chose."""
    return _valid_identifier(id, "id", field)


def valid_users(users: Sequence[str], settings: Settings, field: str) -> tuple[str, ...]:
    """Return the distinct ids of users, in their original order."""
    if not users:
        raise BadUserInput(f"`{field.partition('.')[2] or field}` must name at least one user.", field)
    if len(users) > settings.call_max_users:
        raise TooLarge(f"{field} names more than {settings.call_max_users} users (HUB_CALL_MAX_USERS).", field=field)
    return tuple(dict.fromkeys(valid_user_id(user, field) for user in users))


def valid_ids(ids: Sequence[str], settings: Settings) -> list[str]:
    """Return the ids that are short enough to exist."""
    if len(ids) > settings.call_max_ids:
        raise TooLarge(
            f"`ids` has more than {settings.call_max_ids} items (HUB_CALL_MAX_IDS). Split them into several calls."
        )
    return [id for id in ids if len(id) <= ID_MAX_CHARS]


def valid_id_cursor(after: str | None) -> str | None:
    """Return a cursor of a list that is sorted by id."""
    if after is not None and not ID_CURSOR.fullmatch(after):
        raise BadUserInput(INVALID_CURSOR, "after")
    return after


def valid_page_size(first: int | None, default: int, settings: Settings) -> int:
    first = default if first is None else first
    if not 1 <= first <= settings.page_max_items:
        raise BadUserInput(f"`first` must be from 1 to {settings.page_max_items} (HUB_PAGE_MAX_ITEMS).", "first")
    return first


def valid_key(key: str, field: str) -> str:
    """Return the key of a category, tag, action, topic or request."""
    return _valid_identifier(key, "key", field)


def _valid_identifier(text: str, noun: str, field: str) -> str:
    if len(text) > IDENTIFIER_MAX_CHARS:
        raise BadUserInput(
            f"This {noun} has {len(text):,} characters. At most {IDENTIFIER_MAX_CHARS} are allowed.", field
        )
    if not is_identifier(text):
        raise BadUserInput(f"{'An' if noun == 'id' else 'A'} {noun} must have {IDENTIFIER_RULE}.", field)
    return text


def valid_keys(keys: Sequence[str] | None, max_keys: int, field: str) -> tuple[str, ...]:
    """Return the distinct keys in their original order."""
    if not keys:
        return ()
    if len(keys) > max_keys:
        raise BadUserInput(f"At most {max_keys} items are allowed.", field)
    return tuple(dict.fromkeys(valid_key(key, f"{field}.{index}") for index, key in enumerate(keys)))


def valid_idempotency_key(key: str | None, field: str) -> str | None:
    return None if key is None else valid_key(key, field)


def valid_label(label: str, field: str) -> str:
    """Return a display text."""
    if is_blank(label) or len(label) > LABEL_MAX_CHARS or not is_single_line(label):
        raise BadUserInput(
            f"A label must have 1 to {LABEL_MAX_CHARS} characters, at least one of them visible, and no control "
            "characters.",
            field,
        )
    return label


def valid_description(description: str | None, field: str) -> str | None:
    """Return a display text of one line that explains something."""
    if description and (len(description) > DESCRIPTION_MAX_CHARS or not is_single_line(description)):
        raise BadUserInput(f"At most {DESCRIPTION_MAX_CHARS} characters and no control characters are allowed.", field)
    return description


def valid_url(url: str | None, field: str) -> str | None:
    """Return a link that cannot run code: http, https, or a path within the app."""
    if url is not None and not is_link(url):
        raise BadUserInput(f"A link must be {LINK_RULE}.", field)
    return url


def valid_profile_text(text: str | None, field: str) -> str | UnsetType | None:
    """Return a profile field. Convert Strawberry's UNSET to msgspec's UNSET."""
    if text is strawberry.UNSET:
        return UNSET
    if text is not None and (len(text) > PROFILE_MAX_CHARS or not is_single_line(text)):
        raise BadUserInput(f"At most {PROFILE_MAX_CHARS} characters and no control characters are allowed.", field)
    return text


def valid_locale(locale: str | None, field: str) -> str | None:
    """Return a BCP 47 tag. Return None for None or an empty text."""
    if not locale:
        return None
    if len(locale) > PROFILE_MAX_CHARS or not LOCALE.fullmatch(locale):
        raise BadUserInput("A locale must be a BCP 47 tag such as de or pt-BR.", field)
    return locale


def valid_timezone(name: str | None, field: str) -> str | None:
    """Return an IANA time zone. Return None for None or an empty text."""
    if not name:
        return None
    zones = _timezones()
    typed = name.casefold().replace(" ", "_")
    if zones.get(typed) == name:
        return name
    similar = similar_names(typed, zones)
    example = f"Did you mean {zones[similar[0]]}?" if similar else "Pass a name such as Europe/Berlin."
    raise BadUserInput(f"This is not an IANA time zone. {example}", field)


@cache
def _timezones() -> dict[str, str]:
    """Return all IANA time zone names on this machine, by the name and by the city in lower case. The result is cached
    because listing the names takes milliseconds."""
    names = sorted(available_timezones())
    return {name.rpartition("/")[2].casefold(): name for name in names} | {name.casefold(): name for name in names}


def public_url(url: str, outbound_http: OutboundHTTP, field: str) -> str:
    """Return a URL that the hub may call. The host name is not resolved here."""
    try:
        outbound_http.check(url)
    except AddressNotAllowed as error:
        raise BadUserInput(f"The hub cannot call this URL: {error}.", field) from None
    return url


def json_text(value: object, settings: Settings, field: str) -> str | None:
    """Return a value as JSON text for storage. Return None for None."""
    if value is None:
        return None
    text = exact_json.dumps(value, field)
    if len(text) > settings.notification_data_max_bytes:
        raise TooLarge(
            f"{field} has {len(text)} bytes as JSON, more than {settings.notification_data_max_bytes} "
            "(HUB_NOTIFICATION_DATA_MAX_BYTES).",
            field=field,
        )
    return text.decode()
