"""Topics: the types, the query, and the mutations of tenants and users."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID, Parent

from hub import base64url, model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, sliced_page_fields
from hub.api.schema.validation import (
    DESCRIPTION_MAX_CHARS,
    INVALID_CURSOR,
    LABEL_MAX_CHARS,
    valid_description,
    valid_key,
    valid_label,
    valid_page_size,
    valid_users,
)
from hub.audience.topics import KEYS_SHOWN_MAX
from hub.errors import BadUserInput
from hub.model import KeyRole, Role, Scope, mailbox_of, topic_id
from hub.unicode_text import is_single_line

DEFAULT_PAGE_SIZE = 50

TopicKey = Annotated[str, strawberry.argument(description="The key of the topic.")]


async def _subscribers(root: Parent[model.Topic], info: Info) -> int | None:
    if info.context.caller.role is Role.USER:
        return None
    return await info.context.subscriber_count(root.id)


@strawberry.type(description="A subject that users are subscribed to.")
class Topic:
    key: str = strawberry.field(description="The key that identifies the topic.")
    name: str = strawberry.field(description="The display name.")
    description: str | None = strawberry.field(description="The display text that describes the topic.")
    visible: bool = strawberry.field(description="True if users see the topic in their preferences and may leave it.")
    subscribers: int | None = strawberry.field(
        resolver=_subscribers,
        description="The number of users who are subscribed. Exact up to 1,000, otherwise up to a minute old. Null for "
        "the role `user`.",
    )
    created_at: datetime


@strawberry.input(
    description="A topic. An existing topic with the same key is replaced as a whole: omitted fields are set to their "
    "defaults. Its subscriptions are kept."
)
class TopicInput:
    key: str = strawberry.field(description="The key that identifies the topic, at most 256 characters.")
    name: str | None = strawberry.field(
        default=None, description=f"The display name, at most {LABEL_MAX_CHARS} characters. Defaults to the key."
    )
    description: str | None = strawberry.field(
        default=None,
        description=f"The display text that describes the topic, at most {DESCRIPTION_MAX_CHARS:,} characters.",
    )
    visible: bool | None = strawberry.field(
        default=False, description="True to show the topic to its subscribers, who may leave it."
    )


@strawberry.type(description="The subscription of a user to a topic.")
class TopicSubscription:
    topic: model.Topic = strawberry.field(graphql_type=Topic)
    created_at: datetime = strawberry.field(description="The time at which the user was first subscribed.")
    left_at: datetime | None = strawberry.field(
        description="The time at which the user left the topic. Null for users who are subscribed."
    )

    @classmethod
    def of(cls, topic: model.Topic, subscription: model.TopicSubscription) -> "TopicSubscription":
        return cls(topic=topic, created_at=subscription.created_at, left_at=subscription.left_at)


async def user_topics(root: Parent[model.User], info: Info) -> list[str]:
    context = info.context
    if context.caller.role is not Role.USER:
        return (await context.topic_keys(root.id))[:KEYS_SHOWN_MAX]
    with context.reading():
        return (await context.services.topics.visible_topics_of(root.id))[:KEYS_SHOWN_MAX]


async def user_subscriptions(
    root: Parent[model.User], info: Info, first: First = DEFAULT_PAGE_SIZE, after: After = None
) -> Connection[TopicSubscription]:
    context = info.context
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
    with context.reading():
        pairs = await context.services.topics.list_subscriptions(
            root.id, size + 1, _decode_cursor(after), visible_only=context.caller.role is Role.USER
        )
    rows = [TopicSubscription.of(topic, subscription) for topic, subscription in pairs]
    return Connection(**sliced_page_fields(rows, size, after, lambda row: _encode_cursor(row.topic)))


@strawberry.type
class TopicQuery:
    @strawberry.field(
        description="Return the topics of the tenant, sorted by key. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def topics(
        self,
        info: Info,
        search: Annotated[
            str | None,
            strawberry.argument(description="A text that is part of the key or the name. Case is ignored."),
        ] = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> Connection[Topic]:
        context = info.context
        tenant = context.caller.tenant
        size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
        search = search or ""
        if len(search) > LABEL_MAX_CHARS or not is_single_line(search):
            raise BadUserInput(
                f"A search must have at most {LABEL_MAX_CHARS} characters and no control characters.", "search"
            )
        with context.reading():
            rows = await context.services.topics.list_page(tenant, search, size + 1, _decode_cursor(after))
        return Connection(**sliced_page_fields(rows, size, after, _encode_cursor))


def _subscription(info: Info, topic: str) -> tuple[str, str]:
    """Return the id of a topic and the caller's mailbox."""
    mailbox = info.context.mailbox
    return topic_id(info.context.caller.tenant, valid_key(topic, "topic")), mailbox


@strawberry.type
class TopicMutation:
    @strawberry.mutation(
        graphql_type=TopicSubscription,
        description="Leave a visible topic. A later subscription by the tenant does not bring the caller back, unless "
        "it is forced. Requires the token of a user.",
        directives=access(Caller.USER),
    )
    async def leave_topic(self, info: Info, topic: TopicKey) -> TopicSubscription:
        return TopicSubscription.of(*await info.context.services.topics.leave(*_subscription(info, topic)))

    @strawberry.mutation(
        graphql_type=TopicSubscription,
        description="Come back to a visible topic that the caller left. Requires the token of a user.",
        directives=access(Caller.USER),
    )
    async def rejoin_topic(self, info: Info, topic: TopicKey) -> TopicSubscription:
        return TopicSubscription.of(*await info.context.services.topics.rejoin(*_subscription(info, topic)))

    @strawberry.mutation(
        graphql_type=Topic,
        description="Create or replace a topic. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.PEOPLE),
    )
    async def upsert_topic(self, info: Info, input: TopicInput) -> model.Topic:
        tenant = info.context.caller.tenant
        key = valid_key(input.key, "input.key")
        return await info.context.services.topics.upsert(
            topic_id(tenant, key),
            key if input.name is None else valid_label(input.name, "input.name"),
            valid_description(input.description, "input.description"),
            visible=bool(input.visible),
            audit=info.context.audit("upsertTopic", key),
        )

    @strawberry.mutation(
        description="Subscribe users to a topic. Users who do not exist are created. A topic that does not exist is "
        "created: invisible, and with its key as name. Return how many of the users were not subscribed before. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.PEOPLE),
    )
    async def subscribe_to_topic(
        self,
        info: Info,
        topic: TopicKey,
        users: Annotated[
            list[ID],
            strawberry.argument(description="The ids of the users, at most `HUB_CALL_MAX_USERS` (default 1,000)."),
        ],
        force: Annotated[
            bool | None, strawberry.argument(description="True to also subscribe users who left the topic.")
        ] = False,
    ) -> int:
        tenant = info.context.caller.tenant
        services = info.context.services
        id = topic_id(tenant, valid_key(topic, "topic"))
        mailboxes = [mailbox_of(tenant, user) for user in valid_users(users, services.settings, "users")]
        audit = info.context.audit("subscribeToTopic", topic)
        return await services.topics.subscribe(id, mailboxes, force=bool(force), audit=audit)

    @strawberry.mutation(
        description="Unsubscribe users from a topic. If a user left the topic, this is still remembered. Return how "
        "many of the users were subscribed. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.PEOPLE),
    )
    async def unsubscribe_from_topic(
        self,
        info: Info,
        topic: TopicKey,
        users: Annotated[
            list[ID],
            strawberry.argument(description="The ids of the users, at most `HUB_CALL_MAX_USERS` (default 1,000)."),
        ],
    ) -> int:
        tenant = info.context.caller.tenant
        services = info.context.services
        id = topic_id(tenant, valid_key(topic, "topic"))
        mailboxes = [mailbox_of(tenant, user) for user in valid_users(users, services.settings, "users")]
        audit = info.context.audit("unsubscribeFromTopic", topic)
        return await services.topics.unsubscribe(id, mailboxes, audit)


def _encode_cursor(topic: model.Topic) -> str:
    return base64url.encode(topic.key.encode())


def _decode_cursor(cursor: str | None) -> str:
    """Return the key of a cursor. Raise BadUserInput for an invalid cursor."""
    if cursor is None:
        return ""
    try:
        key = base64url.decode(cursor).decode()
    except ValueError:
        key = ""
    if not key or base64url.encode(key.encode()) != cursor:
        raise BadUserInput(INVALID_CURSOR, "after")
    return key
