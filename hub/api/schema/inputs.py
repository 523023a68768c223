"""What the API is given, and the checks that turn it into requests. Every refusal names the field and the limit."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import strawberry
from msgspec import UNSET, UnsetType
from strawberry import ID

from hub import model
from hub.api import request_json
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.scalars import JSON
from hub.audience.users import ProfileUpdate
from hub.email_address import InvalidEmailAddress, envelope_address
from hub.errors import BadUserInput, TooLarge
from hub.inbox.store import InboxQuery
from hub.model import InboxView, mailbox_of
from hub.platform.outbound_http import AddressNotAllowed, OutboundHTTP
from hub.settings import Settings
from hub.text import IDENTIFIER_MAX_CHARS, IDENTIFIER_RULE, is_blank, is_identifier, is_single_line
from hub.workflows.publish import SendRequest

ID_MAX_CHARS = IDENTIFIER_MAX_CHARS
LABEL_MAX_CHARS = 256
URL_MAX_CHARS = 2048
ACTIONS_MAX = 10
TAGS_MAX = 20
FILTER_MAX = 20  # values of one kind in a filter
WORDS_MAX = 10
SEARCH_MAX_CHARS = 256
PROFILE_MAX_CHARS = 320  # the longest mail address, RFC 5321
ID_CURSOR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")

strawberry.enum(model.InboxView)
strawberry.enum(model.Priority)
strawberry.enum(model.Channel)


@fast_input
@strawberry.input(description="Exactly one of its fields.", one_of=True)
class RecipientsInput:
    users: list[ID] | None = strawberry.UNSET


@fast_input
@strawberry.input
class ActionInput:
    key: str
    label: str
    url: str | None = None
    primary: bool | None = False


@fast_input
@strawberry.input
class ContentInput:
    title: str
    body: str
    image_url: str | None = None
    action_url: str | None = None
    actions: list[ActionInput] | None = None


@fast_input
@strawberry.input
class SendInput:
    to: RecipientsInput
    category: str
    content: ContentInput | None = None
    data: JSON | None = None
    tags: list[str] | None = None
    priority: model.Priority | None = None
    channels: list[model.Channel] | None = strawberry.field(
        default=None, description="The category's default channels if left out. Preferences still decide."
    )
    idempotency_key: str | None = None
    expires_at: datetime | None = None
    require_ack: bool | None = False


@fast_input
@strawberry.input
class InboxFilter:
    view: model.InboxView | None = InboxView.ACTIVE
    categories: list[str] | None = None
    tags: list[str] | None = None
    priorities: list[model.Priority] | None = None
    search: str | None = strawberry.field(
        default=None, description="Words in title or body, among the newest of the view (HUB_SEARCH_MAX_NOTIFICATIONS)."
    )


@fast_input
@strawberry.input
class UserInput:
    id: ID
    email: str | None = strawberry.UNSET
    phone: str | None = strawberry.UNSET
    locale: str | None = strawberry.UNSET
    timezone: str | None = strawberry.UNSET
    attributes: JSON | None = strawberry.UNSET


@cache
def _timezones() -> frozenset[str]:
    """The names that are known here; finding them out takes milliseconds."""
    return frozenset(available_timezones())


def to_send_request(given: SendInput, settings: Settings, now: datetime, field: str) -> SendRequest:
    """`field` is the path of the input, such as `input` or `inputs.3`."""
    users = given.to.users
    if not users:
        raise BadUserInput("Name at least one user in `to.users`.", f"{field}.to.users")
    if len(users) > settings.call_max_users:
        raise TooLarge(
            f"{field}.to.users names more than {settings.call_max_users} users (HUB_CALL_MAX_USERS).",
            field=f"{field}.to.users",
        )
    if given.content is None:
        raise BadUserInput("`content` is missing: { title, body }.", f"{field}.content")
    if given.expires_at and given.expires_at <= now:
        raise BadUserInput("This has already expired: give an instant to come.", f"{field}.expiresAt")
    if given.channels is not None and not given.channels:
        raise BadUserInput("Name at least one channel, or leave it out.", f"{field}.channels")
    return SendRequest(
        users=tuple(dict.fromkeys(valid_user_id(user, f"{field}.to.users") for user in users)),
        category=valid_key(given.category, f"{field}.category"),
        content=_content(given.content, settings, f"{field}.content"),
        data=json_text(given.data, settings, f"{field}.data"),
        tags=_valid_keys(given.tags, TAGS_MAX, f"{field}.tags"),
        priority=given.priority,
        channels=tuple(given.channels) if given.channels is not None else None,
        expires_at=given.expires_at,
        require_ack=bool(given.require_ack),
    )


def valid_idempotency_key(key: str | None, field: str) -> str | None:
    return None if key is None else valid_key(key, field)


def to_inbox_filter(given: InboxFilter | None) -> InboxQuery:
    if given is None:
        return InboxQuery()
    search = given.search or ""
    if len(search) > SEARCH_MAX_CHARS:
        raise BadUserInput(f"A search has at most {SEARCH_MAX_CHARS} characters.", "filter.search")
    if not is_single_line(search):
        raise BadUserInput("A search holds no control characters.", "filter.search")
    words = tuple(dict.fromkeys(search.split()))
    if len(words) > WORDS_MAX:
        raise BadUserInput(f"A search has at most {WORDS_MAX} words.", "filter.search")
    if given.priorities is not None and len(given.priorities) > FILTER_MAX:
        raise BadUserInput(f"At most {FILTER_MAX} priorities.", "filter.priorities")
    return InboxQuery(
        view=given.view or InboxView.ACTIVE,
        categories=tuple(sorted(_valid_keys(given.categories, FILTER_MAX, "filter.categories"))),
        tags=_valid_keys(given.tags, FILTER_MAX, "filter.tags"),
        priorities=tuple(given.priorities or ()),
        words=words,
    )


def to_profile(given: UserInput, tenant: str, settings: Settings, field: str) -> ProfileUpdate:
    attributes: str | UnsetType | None = UNSET
    if given.attributes is not strawberry.UNSET:
        attributes = json_text(given.attributes, settings, f"{field}.attributes")
    timezone = _valid_text(given.timezone, f"{field}.timezone")
    if timezone and timezone not in _timezones():
        raise BadUserInput("A timezone is a name such as Europe/Berlin (IANA).", f"{field}.timezone")
    locale = _valid_text(given.locale, f"{field}.locale")
    if locale and not LOCALE.fullmatch(locale):
        raise BadUserInput("A locale is a BCP 47 tag such as de or pt-BR.", f"{field}.locale")
    email = _valid_text(given.email, f"{field}.email")
    if isinstance(email, str):
        try:
            envelope_address(email)
        except InvalidEmailAddress as error:
            raise BadUserInput(f"This is not a valid mail address. {error}", f"{field}.email") from None
    return ProfileUpdate(
        id=mailbox_of(tenant, valid_user_id(given.id, f"{field}.id")),
        email=email,
        phone=_valid_text(given.phone, f"{field}.phone"),
        locale=locale,
        timezone=timezone,
        attributes=attributes,
    )


def valid_user_id(given: str, field: str) -> str:
    """An id as the tenant's own systems use it."""
    if not is_identifier(given):
        raise BadUserInput(f"An id is {IDENTIFIER_RULE}.", field)
    return given


def valid_ids(given: Sequence[str], settings: Settings) -> list[str]:
    if len(given) > settings.call_max_ids:
        raise TooLarge(f"ids holds more than {settings.call_max_ids} (HUB_CALL_MAX_IDS): call in parts.")
    return [id for id in given if len(id) <= ID_MAX_CHARS]


def valid_id_cursor(after: str | None) -> str | None:
    """The cursor of a list that goes by ids."""
    if after is not None and not ID_CURSOR.fullmatch(after):
        raise BadUserInput("after is not a cursor of this hub: hand back one that it gave, unchanged.", "after")
    return after


def valid_page_size(first: int | None, default: int, settings: Settings) -> int:
    first = default if first is None else first
    if not 1 <= first <= settings.page_max_items:
        raise BadUserInput(f"A page has 1 to {settings.page_max_items} items (HUB_PAGE_MAX_ITEMS).", "first")
    return first


def json_text(value: object, settings: Settings, field: str) -> str | None:
    """JSON as it will be stored. None stays None."""
    if value is None:
        return None
    text = request_json.dumps(value, field)
    if len(text) > settings.notification_data_max_bytes:
        raise TooLarge(
            f"{field} is larger than {settings.notification_data_max_bytes} bytes (HUB_NOTIFICATION_DATA_MAX_BYTES).",
            field=field,
        )
    return text.decode()


def _content(given: ContentInput, settings: Settings, field: str) -> model.Content:
    if is_blank(given.title):
        raise BadUserInput("The title is empty: give at least one visible character.", f"{field}.title")
    if len(given.title) > settings.notification_title_max_chars:
        raise TooLarge(
            f"{field}.title is longer than {settings.notification_title_max_chars} characters "
            "(HUB_NOTIFICATION_TITLE_MAX_CHARS).",
            field=f"{field}.title",
        )
    if len(given.body.encode()) > settings.notification_body_max_bytes:
        raise TooLarge(
            f"{field}.body is larger than {settings.notification_body_max_bytes} bytes "
            "(HUB_NOTIFICATION_BODY_MAX_BYTES).",
            field=f"{field}.body",
        )
    actions = given.actions or []
    if len(actions) > ACTIONS_MAX:
        raise BadUserInput(f"At most {ACTIONS_MAX} actions.", f"{field}.actions")
    if len({action.key for action in actions}) < len(actions):
        raise BadUserInput("Each action has a key of its own.", f"{field}.actions")
    return model.Content(
        title=given.title,
        body=given.body,
        image_url=valid_url(given.image_url, f"{field}.imageUrl"),
        action_url=valid_url(given.action_url, f"{field}.actionUrl"),
        actions=tuple(
            model.Action(
                key=valid_key(action.key, f"{field}.actions.{index}.key"),
                label=valid_label(action.label, f"{field}.actions.{index}.label"),
                url=valid_url(action.url, f"{field}.actions.{index}.url"),
                primary=bool(action.primary),
            )
            for index, action in enumerate(actions)
        ),
    )


def valid_key(given: str, field: str) -> str:
    """The key of a category, tag, action or request."""
    if not is_identifier(given):
        raise BadUserInput(f"A key is {IDENTIFIER_RULE}.", field)
    return given


def valid_label(given: str, field: str) -> str:
    """Words that people read."""
    if is_blank(given) or len(given) > LABEL_MAX_CHARS or not is_single_line(given):
        raise BadUserInput(
            f"A label has 1 to {LABEL_MAX_CHARS} characters, one of them visible, and no control characters.", field
        )
    return given


def _valid_keys(given: Sequence[str] | None, most: int, field: str) -> tuple[str, ...]:
    if not given:
        return ()
    if len(given) > most:
        raise BadUserInput(f"At most {most} of them.", field)
    return tuple(dict.fromkeys(valid_key(key, f"{field}.{index}") for index, key in enumerate(given)))


def valid_url(given: str | None, field: str) -> str | None:
    """Links that can run nothing: http and https, or a path within the app."""
    if given is None:
        return None
    try:
        scheme = urlsplit(given).scheme
    except ValueError:
        scheme = "broken"
    local = given.startswith("/") and not given.startswith(("//", "/\\"))
    if len(given) > URL_MAX_CHARS or not is_single_line(given) or not (scheme in {"http", "https"} or local):
        raise BadUserInput(
            f"A link is http(s), or a path that starts with a single slash; at most {URL_MAX_CHARS} characters.",
            field,
        )
    return given


def _valid_text(given: str | None, field: str) -> str | UnsetType | None:
    if given is strawberry.UNSET:
        return UNSET
    if given is not None and (len(given) > PROFILE_MAX_CHARS or not is_single_line(given)):
        raise BadUserInput(f"At most {PROFILE_MAX_CHARS} characters, and no control characters.", field)
    return given


def public_url(given: str, egress: OutboundHTTP, field: str) -> str:
    """An address that the hub may call, as far as can be told without resolving its name."""
    try:
        egress.check(given)
    except AddressNotAllowed as refused:
        raise BadUserInput(f"This address can't be called: {refused}.", field) from None
    return given
