"""Preferences of users: the types, the query and the mutation."""

from datetime import datetime

import strawberry
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from strawberry import Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.scalars import Duration
from hub.audience import preferences as preference_rules
from hub.errors import BadUserInput
from hub.model import NO_PREFERENCES, tenant_of

CHANGES_MAX = 1000  # switches or cells in one call

LOCKED = "The category is required: users can't switch it off."


@strawberry.type(description="A kind of notification that people can have wishes about.")
class Category:
    key: str
    name: str
    description: str | None
    required: bool = strawberry.field(description="Users can't switch it off (security, legal).")
    default_channels: list[model.Channel]
    priority: model.Priority
    retention_s: Duration | None = strawberry.field(name="retention")


@strawberry.type(description="Off: for everything but required categories.")
class ChannelPreference:
    channel: model.Channel
    enabled: bool


@strawberry.type
class CategoryChannelPreference:
    channel: model.Channel
    enabled: bool
    locked: bool = strawberry.field(description=LOCKED)


@strawberry.type
class CategoryPreference:
    category: model.Category = strawberry.field(graphql_type=Category)
    muted_until: datetime | None = strawberry.field(description="Nothing of it arrives before, not even in the inbox.")
    channels: list[preference_rules.Cell] = strawberry.field(graphql_type=list[CategoryChannelPreference])


@strawberry.type(description="What somebody wants, merged with what the tenant starts from.")
class Preferences:
    channels: list[preference_rules.ChannelSwitch] = strawberry.field(
        graphql_type=list[ChannelPreference],
        description="Channels switched off for everything but required categories.",
    )
    categories: list[preference_rules.Row] = strawberry.field(
        graphql_type=list[CategoryPreference],
        description="One row per category the tenant defines, each with the same channels: the whole matrix, ready to "
        "draw.",
    )


async def load_preferences(context: Context, mailbox: str, mine: model.Preferences) -> preference_rules.Matrix:
    """Return the preferences of a user, merged with the defaults of the tenant."""
    services = context.services
    tenant = await context.tenant(tenant_of(mailbox))
    return preference_rules.matrix(
        mine, tenant.preferences, tenant.categories, services.settings.configured, services.clock()
    )


async def user_preferences(root: Parent[model.User], info: Info) -> preference_rules.Matrix:
    return await load_preferences(info.context, root.id, root.preferences)


@fast_input
@strawberry.input
class ChannelPreferenceInput:
    channel: model.Channel
    enabled: bool


@fast_input
@strawberry.input(
    description="Without `channel`: of all its channels. `enabled` null: back to what the tenant starts from. Off, or "
    "a mute, is BAD_USER_INPUT for a required category."
)
class CategoryPreferenceInput:
    category: str
    channel: model.Channel | None = None
    enabled: bool | None = strawberry.UNSET
    muted_until: datetime | None = strawberry.UNSET


@fast_input
@strawberry.input(description="Absent leaves as it is, null clears.")
class PreferencesInput:
    channels: list[ChannelPreferenceInput] | None = strawberry.UNSET
    categories: list[CategoryPreferenceInput] | None = strawberry.UNSET


@strawberry.type
class PreferencesQuery:
    @strawberry.field(graphql_type=Preferences, description="The caller's own.")
    async def preferences(self, info: Info) -> preference_rules.Matrix:
        context = info.context
        user = await context.services.users.get(context.mailbox)
        return await load_preferences(context, context.mailbox, user.preferences if user else NO_PREFERENCES)


@strawberry.type
class PreferencesMutation:
    @strawberry.mutation(graphql_type=Preferences, description="The caller's own. Absent leaves as it is, null clears.")
    async def update_preferences(self, info: Info, input: PreferencesInput) -> preference_rules.Matrix:
        context = info.context
        services, mailbox = context.services, context.mailbox
        changes = preference_changes(input, await services.tenants.get(context.caller.tenant), "input")
        await services.inbox_actions.get_or_create_mailbox(mailbox)
        user = await services.users.change(
            mailbox, lambda user: replace(user, preferences=preference_rules.apply_changes(user.preferences, changes))
        )
        return await load_preferences(context, mailbox, user.preferences)


def preference_changes(given: PreferencesInput, tenant: model.Tenant, field: str) -> preference_rules.Changes:
    """Convert the input. `field` is its path, for errors."""
    channels: dict[model.Channel, bool] | UnsetType | None = UNSET
    cells: tuple[preference_rules.CellChange, ...] | UnsetType | None = UNSET
    for name, many in (("channels", given.channels), ("categories", given.categories)):
        if many and len(many) > CHANGES_MAX:
            raise BadUserInput(f"At most {CHANGES_MAX} of them in one call.", f"{field}.{name}")
    if given.channels is None:
        channels = None
    elif given.channels is not strawberry.UNSET:
        channels = {switch.channel: switch.enabled for switch in given.channels}
    if given.categories is None:
        cells = None
    elif given.categories is not strawberry.UNSET:
        cells = tuple(
            preference_rules.CellChange(
                category=_require_changeable(cell, tenant, f"{field}.categories.{index}"),
                channel=cell.channel,
                enabled=UNSET if cell.enabled is strawberry.UNSET else cell.enabled,
                muted_until=UNSET if cell.muted_until is strawberry.UNSET else cell.muted_until,
            )
            for index, cell in enumerate(given.categories)
        )
    return preference_rules.Changes(channels=channels, categories=cells)


def _require_changeable(given: CategoryPreferenceInput, tenant: model.Tenant, field: str) -> str:
    """Return the key of the category. Raise BadUserInput for a required one that would be switched off or muted."""
    category = tenant.category(given.category)
    if category is None:
        raise BadUserInput("There is no such category.", f"{field}.category")
    if category.required and given.enabled is False:
        raise BadUserInput("This category is required: it can't be switched off.", f"{field}.enabled")
    if category.required and given.muted_until:  # neither null nor absent
        raise BadUserInput("This category is required: it can't be muted.", f"{field}.mutedUntil")
    return category.key
