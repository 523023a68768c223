"""Users: the type, the queries, and the mutation that writes profiles."""

from datetime import datetime
from typing import Annotated, Any

import orjson
import strawberry
from msgspec import UNSET, UnsetType
from strawberry import ID, Parent

from hub import base64url, model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, page_fields, sliced_page_fields
from hub.api.schema.devices import Device
from hub.api.schema.inbox import DEFAULT_PAGE_SIZE, NotificationConnection, OptionalFilter, inbox_page
from hub.api.schema.notifications import Notification
from hub.api.schema.preferences import Preferences, user_preferences
from hub.api.schema.scalars import JSON
from hub.api.schema.suppressions import Suppression
from hub.api.schema.topics import TopicSubscription, user_subscriptions, user_topics
from hub.api.schema.validation import (
    INVALID_CURSOR,
    json_text,
    valid_id_cursor,
    valid_key,
    valid_locale,
    valid_page_size,
    valid_profile_text,
    valid_timezone,
    valid_user_id,
)
from hub.audience.attributes import valid_attributes
from hub.audience.preference_matrix import Matrix
from hub.audience.topics import KEYS_SHOWN_MAX, SEARCHED_MAX
from hub.audience.users import ProfileUpdate
from hub.email_address import InvalidEmailAddress, envelope_address
from hub.errors import BadUserInput, TooLarge, Unavailable
from hub.model import KeyRole, Scope, mailbox_of, topic_id
from hub.phone_number import InvalidPhoneNumber, e164
from hub.settings import Settings
from hub.unicode_text import is_identifier

USERS_PAGE_SIZE = 50
READ = access(Caller.ANYONE, Scope.READ)  # of what a key that may only write users must not read in the results


def _user_id(root: Parent[model.User]) -> ID:
    return ID(root.user_id)


async def _locale(root: Parent[model.User], info: Info) -> str:
    return root.locale or (await info.context.tenant(info.context.caller.tenant)).locale


async def _timezone(root: Parent[model.User], info: Info) -> str:
    return root.timezone or (await info.context.tenant(info.context.caller.tenant)).timezone


def _attributes(root: Parent[model.User]) -> JSON | None:
    return root.attributes_text  # type: ignore[return-value]


async def _inbox(
    root: Parent[model.User],
    info: Info,
    filter: OptionalFilter = None,
    first: First = DEFAULT_PAGE_SIZE,
    after: After = None,
) -> NotificationConnection:
    with info.context.reading_inbox():
        return await inbox_page(info.context, root.id, filter, first, after)


@strawberry.type(description="A page of the notifications of a user that no inbox shows.")
class HiddenNotificationConnection(Connection[Notification]):
    pass


async def _hidden_notifications(
    root: Parent[model.User], info: Info, first: First = DEFAULT_PAGE_SIZE, after: After = None
) -> HiddenNotificationConnection:
    context = info.context
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
    with context.reading():
        rows = await context.services.inboxes.list_hidden(root.id, size + 1, valid_id_cursor(after))
    return HiddenNotificationConnection(**sliced_page_fields(rows, size, after))


def _suppressions(root: Parent[model.User]) -> list[Suppression]:
    rows = sorted(root.suppressed.items())
    return [Suppression(user_id=ID(root.user_id), address=address, reason=reason) for address, reason in rows]


@strawberry.type(description="A user of the tenant.")
class User:
    id: ID = strawberry.field(resolver=_user_id, description="The id that the tenant chose.")
    created_at: datetime
    updated_at: datetime = strawberry.field(description="The time of the last change of the profile or preferences.")
    name: str | None = strawberry.field(description="The name that templates read as `user.name`.", directives=READ)
    email: str | None = strawberry.field(description="The address for the EMAIL channel.", directives=READ)
    phone: str | None = strawberry.field(
        description="The phone number for SMS and WHATSAPP. Numbers that this version of the hub stored have E.164 "
        "format.",
        directives=READ,
    )
    locale: str = strawberry.field(
        resolver=_locale,
        description="The language of emails and of `because`, as a BCP 47 tag. Defaults to the locale of the tenant.",
    )
    timezone: str = strawberry.field(
        resolver=_timezone,
        description="The time zone, as an IANA name such as Europe/Berlin. Defaults to the time zone of the tenant.",
    )
    attributes: JSON | None = strawberry.field(
        resolver=_attributes,
        description="Arbitrary data that the tenant stores about the user.",
        directives=READ,
    )
    topics: list[str] = strawberry.field(
        resolver=user_topics,
        description=f"The keys of the first {KEYS_SHOWN_MAX} topics that the user is subscribed to, sorted. The role "
        "`user` sees visible topics only.",
        directives=READ,
    )
    subscriptions: Connection[TopicSubscription] = strawberry.field(
        resolver=user_subscriptions,
        description="The user's subscriptions, sorted by topic, also to topics that the user left. The role `user` "
        "sees visible topics only.",
        directives=READ,
    )
    devices: list[model.Device] = strawberry.field(
        graphql_type=list[Device],
        description="The user's browsers, apps, and personal webhooks.",
        directives=READ,
    )
    preferences: Matrix = strawberry.field(
        resolver=user_preferences,
        graphql_type=Preferences,
        description="The user's preferences, merged with the defaults of the tenant.",
        directives=READ,
    )
    inbox: NotificationConnection = strawberry.field(
        resolver=_inbox,
        description="A page of the user's inbox, newest first.",
        directives=READ,
    )
    hidden_notifications: HiddenNotificationConnection = strawberry.field(
        resolver=_hidden_notifications,
        description="The notifications that were never in the inbox, newest first: IN_APP was not requested, was "
        "SKIPPED, or is a step that is not due. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    suppressions: list[Suppression] = strawberry.field(
        resolver=_suppressions,
        description="The suppressed addresses of the user, sorted. Requires the `admin` role.",
        directives=access(Caller.ADMIN, Scope.READ, staff=KeyRole.VIEWER),
    )


@strawberry.input(
    description="The profile of a user. An omitted field keeps its value. Null clears a field. A user that does not "
    "exist is created."
)
class UserInput:
    id: ID = strawberry.field(description="The id that the tenant chooses, at most 256 characters.")
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="The name that templates read as `user.name`, at most 320 characters."
    )
    email: str | None = strawberry.field(
        default=strawberry.UNSET, description="The address for the EMAIL channel, without a display name."
    )
    phone: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The phone number for SMS and WHATSAPP, with + and its country code. It is stored in E.164 format.",
    )
    locale: str | None = strawberry.field(
        default=strawberry.UNSET, description="The user's language, as a BCP 47 tag such as de or pt-BR."
    )
    timezone: str | None = strawberry.field(
        default=strawberry.UNSET, description="The user's time zone, as an IANA name such as Europe/Berlin."
    )
    attributes: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="Arbitrary data about the user: a JSON object of at most `HUB_NOTIFICATION_DATA_MAX_BYTES` "
        "(default 32 KiB), nested up to 20 levels deep. Names must not begin with $ or contain dots. Numbers are "
        "64-bit integers or 64-bit floats.",
    )


def to_profile(user: UserInput, tenant: str, settings: Settings, field: str) -> ProfileUpdate:
    """Validate and convert an input. `field` is the path of the input, such as `users.3`."""
    attributes: dict[str, Any] | UnsetType | None = UNSET
    if user.attributes is not strawberry.UNSET:
        text = json_text(user.attributes, settings, f"{field}.attributes")
        attributes = valid_attributes(orjson.loads(text), f"{field}.attributes") if text else None
    email = valid_profile_text(user.email, f"{field}.email")
    if isinstance(email, str):
        try:
            envelope_address(email)
        except InvalidEmailAddress as error:
            raise BadUserInput(f"This is not a valid email address. {error}", f"{field}.email") from None
    phone = valid_profile_text(user.phone, f"{field}.phone")
    if isinstance(phone, str):
        try:
            phone = e164(phone)
        except InvalidPhoneNumber as error:
            raise BadUserInput(f"This is not a valid phone number. {error}", f"{field}.phone") from None
    return ProfileUpdate(
        id=mailbox_of(tenant, valid_user_id(user.id, f"{field}.id")),
        name=valid_profile_text(user.name, f"{field}.name"),
        email=email,
        phone=phone,
        locale=UNSET if user.locale is strawberry.UNSET else valid_locale(user.locale, f"{field}.locale"),
        timezone=UNSET if user.timezone is strawberry.UNSET else valid_timezone(user.timezone, f"{field}.timezone"),
        attributes=attributes,
    )


@strawberry.type
class UserQuery:
    @strawberry.field(
        graphql_type=User,
        description="Return the calling user. The user is created on first use.",
        directives=access(Caller.USER),
    )
    async def me(self, info: Info) -> model.User:
        context = info.context
        user = await context.services.users.get(context.mailbox)
        if user is None:
            await context.services.inbox_actions.get_or_create_mailbox(context.mailbox)
            user = await context.services.users.get(context.mailbox)
        if user is None:
            raise Unavailable("The user was erased during this request. Try again.")
        return user

    @strawberry.field(
        graphql_type=User | None,
        description="Return a user, or null if the user does not exist. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def user(self, info: Info, id: ID) -> model.User | None:
        tenant = info.context.caller.tenant
        return await info.context.services.users.get(mailbox_of(tenant, valid_user_id(id, "id")))

    @strawberry.field(
        description="Return the users of the tenant, sorted by id. With `search` and `topic`, a page is the result of "
        f"examining up to {SEARCHED_MAX:,} users: it may contain fewer users than `first`, or none, although "
        "`hasNextPage` is true. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def users(
        self,
        info: Info,
        search: Annotated[
            str | None,
            strawberry.argument(
                description="The beginning of an id, email address, phone number, or name. Case is ignored in email "
                "addresses and names. Null returns all users."
            ),
        ] = None,
        topic: Annotated[
            str | None,
            strawberry.argument(description="The key of a topic. Only users who are subscribed to it are returned."),
        ] = None,
        first: First = USERS_PAGE_SIZE,
        after: After = None,
    ) -> Connection[User]:
        context = info.context
        services, tenant = context.services, context.caller.tenant
        size = valid_page_size(first, USERS_PAGE_SIZE, services.settings)
        text = valid_profile_text(search, "search")
        prefix = text.strip() if isinstance(text, str) else ""
        last = "" if after is None else _decode_cursor(after)
        reached: str | None = None
        with context.reading():
            if topic is None:
                rows = await services.users.list_page(tenant, prefix, size + 1, last)
            else:
                id = topic_id(tenant, valid_key(topic, "topic"))
                rows, reached = await services.topics.list_users(id, prefix, size + 1, last)
        cursors = [_encode_cursor(user.user_id) for user in rows[:size]]
        end = _encode_cursor(reached) if reached and len(rows) <= size else None
        more = len(rows) > size or end is not None
        return Connection(**page_fields(rows[:size], cursors, more=more, after=after, end=end))


def _encode_cursor(user: str) -> str:
    return base64url.encode(user.encode())


def _decode_cursor(cursor: str) -> str:
    """Return the user id of a cursor. Raise BadUserInput for an invalid cursor."""
    try:
        id = base64url.decode(cursor).decode()
    except ValueError:
        id = ""
    if not is_identifier(id):
        raise BadUserInput(INVALID_CURSOR, "after")
    return id


@strawberry.type
class UserMutation:
    @strawberry.mutation(
        graphql_type=list[User],
        description="Create or change users. Return the users in the order of the input. Requires the `service` or "
        "`admin` role.",
        directives=access(Caller.SERVICE, Scope.PEOPLE),
    )
    async def upsert_users(
        self,
        info: Info,
        users: Annotated[
            list[UserInput],
            strawberry.argument(description="The profiles to write, at most `HUB_CALL_MAX_USERS` (default 1,000)."),
        ],
    ) -> list[model.User]:
        context = info.context
        tenant = context.caller.tenant
        settings = context.services.settings
        if len(users) > settings.call_max_users:
            raise TooLarge(
                f"`users` has more than {settings.call_max_users} items (HUB_CALL_MAX_USERS). Split them into several "
                "calls."
            )
        if not users:
            return []
        profiles = [to_profile(user, tenant, settings, f"users.{index}") for index, user in enumerate(users)]
        context.touched_mailboxes.update(profile.id for profile in profiles)
        return await context.services.users.upsert(profiles, context.audit("upsertUsers", is_user=True))
