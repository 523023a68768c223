"""The recipients of a send: the input, its validation, and the type."""

from typing import Any, Protocol

import orjson
import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api import exact_json
from hub.api.context import Info
from hub.api.schema.scalars import JSON
from hub.api.schema.validation import valid_key, valid_user_id, valid_users
from hub.audience.filters import FILTER_MAX_BYTES, Node, parse
from hub.errors import BadUserInput
from hub.settings import Settings
from hub.status.sends import USERS_SHOWN

EXCEPT_MAX = 100


@strawberry.input(description="The recipients of a send. Exactly one field must be set.", one_of=True)
class RecipientsInput:
    users: list[ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description="The ids of the recipients, at most `HUB_CALL_MAX_USERS` (default 1,000). Users that do not "
        "exist are created.",
    )
    topic: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The key of a topic. Its subscribers receive the send, which is EXPANDING while workers list them.",
    )
    everyone: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="All users of the tenant. Must be true. The send is EXPANDING while workers list the users.",
    )
    where: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="A filter. The users who match it receive the send, which is EXPANDING while workers list them.",
    )


async def _users(root: Parent[model.Send], info: Info) -> list[ID] | None:
    if root.audience:
        return None
    return [ID(user) for user in await info.context.send_users(root)]


@strawberry.type(description="The recipients that a send was given.")
class Recipients:
    users: list[ID] | None = strawberry.field(
        resolver=_users, description=f"The first {USERS_SHOWN} named users, without erased ones."
    )
    topic: str | None = strawberry.field(
        resolver=lambda root: root.audience.topic if root.audience else None, description="The key of the topic."
    )
    everyone: bool | None = strawberry.field(
        resolver=lambda root: True if root.audience and root.audience.everyone else None,
        description="True if the send is for all users of the tenant.",
    )
    where: JSON | None = strawberry.field(
        resolver=lambda root: JSON(root.audience.where) if root.audience and root.audience.where else None,
        description="The filter. The values of `id`, `name`, `email`, and `phone` are replaced by `redacted`.",
    )
    except_: list[ID] = strawberry.field(
        name="except", resolver=lambda root: list(root.excluded), description="The users who do not get the send."
    )


def to_filter(where: object, field: str) -> Node:
    """Validate and parse a filter. `field` is its path, such as `input.to.where`."""
    text = exact_json.dumps(where, field)
    if len(text) > FILTER_MAX_BYTES:
        raise BadUserInput(f"A filter has at most {FILTER_MAX_BYTES} bytes as JSON.", field)
    return parse(orjson.loads(text), field)


def is_set(value: object) -> bool:
    """Return True if a field of an input is set."""
    return value is not strawberry.UNSET


class AnyRecipients(Protocol):
    """The fields of which exactly one is set."""

    users: Any
    topic: str | None
    everyone: bool | None
    where: JSON | None


def check_one_kind(to: AnyRecipients, field: str) -> None:
    """Raise BadUserInput unless exactly one field of `to` is set. `field` is its path."""
    given = [value for value in (to.users, to.topic, to.everyone, to.where) if is_set(value)]
    if len(given) != 1 or given[0] is None:
        raise BadUserInput("Pass exactly one of users, topic, everyone, and where.", field)


def to_recipients(
    to: RecipientsInput, except_: list[ID] | None, settings: Settings, field: str
) -> tuple[tuple[str, ...], model.SendAudience | None, tuple[str, ...]]:
    """Return the named users, the audience, and the excluded users. `field` is the path of the send's input."""
    check_one_kind(to, f"{field}.to")
    if len(except_ or ()) > EXCEPT_MAX:
        raise BadUserInput(f"At most {EXCEPT_MAX} users are allowed.", f"{field}.except")
    excluded = tuple(dict.fromkeys(valid_user_id(user, f"{field}.except") for user in except_ or ()))
    if is_set(to.where):
        to_filter(to.where, f"{field}.to.where")
        text = exact_json.dumps(to.where, f"{field}.to.where").decode()
        return (), model.SendAudience(where=text), excluded
    if is_set(to.topic):
        return (), model.SendAudience(topic=valid_key(to.topic or "", f"{field}.to.topic")), excluded
    if is_set(to.everyone):
        if not to.everyone:
            raise BadUserInput("`everyone` must be true. To name users, pass `users`.", f"{field}.to.everyone")
        return (), model.SendAudience(everyone=True), excluded
    named = valid_users(to.users or (), settings, f"{field}.to.users")
    users = tuple(user for user in named if user not in excluded) if excluded else named
    if not users:
        raise BadUserInput("`except` leaves no recipient. Name another user in `to`.", f"{field}.except")
    return users, None, excluded
