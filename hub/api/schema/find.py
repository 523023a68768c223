"""The search for a record by any of its ids, addresses, or texts."""

from typing import Annotated

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.deliveries import Delivery
from hub.api.schema.notifications import Notification
from hub.api.schema.sends import Send
from hub.api.schema.users import User
from hub.errors import BadUserInput
from hub.model import KeyRole, Role, Scope
from hub.status.send_search import AUDIENCES_READ_MAX, READ_MAX
from hub.unicode_text import is_single_line
from hub.workflows.find import FOUND_MAX, RESULTS_MAX

TEXT_MAX_CHARS = 512


def _user(root: Parent[model.SearchResult]) -> model.User | None:
    return root.record if isinstance(root.record, model.User) else None


def _send(root: Parent[model.SearchResult]) -> model.Send | None:
    return root.record if isinstance(root.record, model.Send) else None


def _delivery(root: Parent[model.SearchResult]) -> model.Delivery | None:
    return root.record if isinstance(root.record, model.Delivery) else None


def _notification(root: Parent[model.SearchResult]) -> model.Notification | None:
    return root.record if isinstance(root.record, model.Notification) else None


@strawberry.type(
    description="A record that `find` found. One of `user`, `send`, `delivery`, and `notification` is set: see `kind`."
)
class FindResult:
    kind: model.RecordKind
    id: ID = strawberry.field(description="The id of the record.")
    title: str = strawberry.field(
        description="A text for lists: the name of the user, the title of the send or notification, or the channel and "
        "the recipient of the delivery."
    )
    found_by: model.FoundBy = strawberry.field(description="The value that matched.")
    exact: bool = strawberry.field(description="True if the text is the whole value, ignoring case in texts.")
    user: model.User | None = strawberry.field(resolver=_user, graphql_type=User | None)
    send: model.Send | None = strawberry.field(resolver=_send, graphql_type=Send | None)
    delivery: model.Delivery | None = strawberry.field(resolver=_delivery, graphql_type=Delivery | None)
    notification: model.Notification | None = strawberry.field(resolver=_notification, graphql_type=Notification | None)


@strawberry.type
class FindQuery:
    @strawberry.field(
        graphql_type=list[FindResult],
        description="Find users, sends, deliveries, and notifications by any text that identifies them. Exact matches "
        f"are first. At most {RESULTS_MAX} records are returned for each kind of text, and {FOUND_MAX} in all. "
        "For the role `viewer`, only whole ids match. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def find(
        self,
        info: Info,
        text: Annotated[
            str,
            strawberry.argument(
                description="The id of a user, send, delivery, or notification; the email address, phone number, or "
                "name of a user, or its beginning; the Message-ID of an email; the id that a provider assigned to an "
                "email, SMS, or WhatsApp message; the idempotency key of a send; or words of the title of a send. "
                f"Titles are searched in the newest {READ_MAX:,} sends, and in the newest {AUDIENCES_READ_MAX:,} sends "
                f"to a topic, a filter, or everyone. At most {TEXT_MAX_CHARS} characters."
            ),
        ],
    ) -> list[model.SearchResult]:
        text = text.strip()
        if len(text) > TEXT_MAX_CHARS or not is_single_line(text):
            raise BadUserInput(f"At most {TEXT_MAX_CHARS} characters and no control characters are allowed.", "text")
        if not text:
            return []
        caller = info.context.caller
        with info.context.reading():
            return await info.context.services.lookups.records.find(
                caller.tenant, text, ids_only=caller.role is Role.VIEWER
            )
