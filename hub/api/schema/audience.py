"""`audience`: how many users a send would reach."""

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.recipients import RecipientsInput, check_one_kind, is_set, to_filter
from hub.api.schema.validation import valid_key, valid_users
from hub.audience.audience_count import SAMPLE_IDS, AudienceCount
from hub.errors import BadUserInput
from hub.model import KeyRole, Scope


@strawberry.type(description="The users whom a send would reach.")
class Audience:
    recipients: int = strawberry.field(description="The number of users.")
    exact: bool = strawberry.field(
        description="True if the users were counted. False if the number is an estimate, because there are too many."
    )
    scans: bool = strawberry.field(
        description="True if no index serves the filter. Then all users of the tenant are read."
    )
    sample: list[ID] = strawberry.field(description=f"The ids of up to {SAMPLE_IDS} of the users.")


@strawberry.type
class AudienceQuery:
    @strawberry.field(
        description="Return how many users a send to these recipients would reach. Requires the `service` or `admin` "
        "role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def audience(self, info: Info, to: RecipientsInput) -> Audience:
        context = info.context
        services, id = context.services, context.caller.tenant
        counts = services.audience_counts
        check_one_kind(to, "to")
        with context.reading():
            if is_set(to.everyone):
                if not to.everyone:
                    raise BadUserInput("`everyone` must be true. To name users, pass `users`.", "to.everyone")
                count = await counts.everyone(id)
            elif is_set(to.topic):
                count = await counts.topic(id, valid_key(to.topic or "", "to.topic"), "to.topic")
            elif is_set(to.where):
                count = await counts.matching(await context.tenant(id), to_filter(to.where, "to.where"))
            else:
                users = valid_users(to.users or (), services.settings, "to.users")
                count = AudienceCount(len(users), exact=True, scans=False, sample=list(users[:SAMPLE_IDS]))
        return Audience(
            recipients=count.recipients,
            exact=count.exact,
            scans=count.scans,
            sample=[ID(user) for user in count.sample],
        )
