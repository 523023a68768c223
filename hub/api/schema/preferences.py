"""Preferences of users: the types, the query and the mutation."""

from datetime import datetime

import strawberry
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from strawberry import Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.scalars import Duration
from hub.audience import preferences as preference_rules
from hub.errors import BadUserInput
from hub.model import NO_PREFERENCES, tenant_of

CHANGES_MAX = 1000  # items of each list in one call


@strawberry.type(description="A kind of notification, which users can disable or mute.")
class Category:
    key: str = strawberry.field(description="The key that sends name.")
    name: str = strawberry.field(description="The name to show to users.")
    description: str | None = strawberry.field(description="A text to show to users.")
    required: bool = strawberry.field(
        description="True if users cannot disable or mute it, for example for security or legal reasons."
    )
    default_channels: list[model.Channel] = strawberry.field(description="The channels of sends that name none.")
    priority: model.Priority = strawberry.field(description="The priority of sends that name none.")
    retention_s: Duration | None = strawberry.field(
        name="retention",
        description="How long notifications of the category are kept. It is stored, but not applied yet.",
    )


@strawberry.type(description="The preference for one channel, in all categories.")
class ChannelPreference:
    channel: model.Channel
    enabled: bool = strawberry.field(description="False: only required categories use the channel.")


@strawberry.type(description="The preference for one category on one channel.")
class CategoryChannelPreference:
    channel: model.Channel
    enabled: bool = strawberry.field(
        description="The user's choice, or the default of the tenant. Always true for required categories. "
        "`Preferences.channels` applies too."
    )
    locked: bool = strawberry.field(description="True if the category is required: the user cannot change it.")


@strawberry.type(description="The preferences for one category.")
class CategoryPreference:
    category: model.Category = strawberry.field(graphql_type=Category)
    muted_until: datetime | None = strawberry.field(
        description="Until this time nothing of the category arrives on any channel, including the inbox. Null: not "
        "muted."
    )
    channels: list[preference_rules.Cell] = strawberry.field(
        graphql_type=list[CategoryChannelPreference], description="The same channels as in every other category."
    )


@strawberry.type(
    description="The preferences of a user, merged with the defaults of the tenant: a matrix of categories and "
    "channels that is ready to display."
)
class Preferences:
    channels: list[preference_rules.ChannelSwitch] = strawberry.field(
        graphql_type=list[ChannelPreference],
        description="The channels that are configured, used by a category, or named by a preference.",
    )
    categories: list[preference_rules.Row] = strawberry.field(
        graphql_type=list[CategoryPreference], description="One row for each category of the tenant."
    )


async def load_preferences(context: Context, mailbox: str, preferences: model.Preferences) -> preference_rules.Matrix:
    """Return the preferences of a user, merged with the defaults of the tenant."""
    services = context.services
    tenant = await context.tenant(tenant_of(mailbox))
    return preference_rules.matrix(
        preferences, tenant.preferences, tenant.categories, services.settings.configured, services.clock()
    )


async def user_preferences(root: Parent[model.User], info: Info) -> preference_rules.Matrix:
    return await load_preferences(info.context, root.id, root.preferences)


@strawberry.input(description="Enables or disables a channel for all categories that are not required.")
class ChannelPreferenceInput:
    channel: model.Channel
    enabled: bool


@strawberry.input(
    description="Changes the preferences for one category. Disabling or muting a required category is BAD_USER_INPUT."
)
class CategoryPreferenceInput:
    category: str = strawberry.field(description="The key of the category.")
    channel: model.Channel | None = strawberry.field(
        default=None, description="The channel that `enabled` changes. Null: all channels."
    )
    enabled: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="Null: back to the default of the tenant. Left out: unchanged.",
    )
    muted_until: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="Mutes the category on all channels until this time. Null: not muted. Left out: unchanged.",
    )


@strawberry.input(
    description="A change of preferences. A field that is left out keeps its value. Null resets it to the defaults of "
    "the tenant."
)
class PreferencesInput:
    channels: list[ChannelPreferenceInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The channels to change, at most {CHANGES_MAX:,}. Other channels keep their value.",
    )
    categories: list[CategoryPreferenceInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The categories to change, at most {CHANGES_MAX:,}. Other categories keep their value.",
    )


@strawberry.type
class PreferencesQuery:
    @strawberry.field(graphql_type=Preferences, description="Return the caller's preferences.")
    async def preferences(self, info: Info) -> preference_rules.Matrix:
        context = info.context
        user = await context.services.users.get(context.mailbox)
        return await load_preferences(context, context.mailbox, user.preferences if user else NO_PREFERENCES)


@strawberry.type
class PreferencesMutation:
    @strawberry.mutation(graphql_type=Preferences, description="Change the caller's preferences. Return all of them.")
    async def update_preferences(self, info: Info, input: PreferencesInput) -> preference_rules.Matrix:
        context = info.context
        services, mailbox = context.services, context.mailbox
        changes = preference_changes(input, await services.tenants.get(context.caller.tenant), "input")
        await services.inbox_actions.get_or_create_mailbox(mailbox)
        user = await services.users.change(
            mailbox, lambda user: replace(user, preferences=preference_rules.apply_changes(user.preferences, changes))
        )
        return await load_preferences(context, mailbox, user.preferences)


def preference_changes(input: PreferencesInput, tenant: model.Tenant, field: str) -> preference_rules.Changes:
    """Check an input and convert it. `field` is its path."""
    channels: dict[model.Channel, bool] | UnsetType | None = UNSET
    cells: tuple[preference_rules.CellChange, ...] | UnsetType | None = UNSET
    for name, items in (("channels", input.channels), ("categories", input.categories)):
        if items and len(items) > CHANGES_MAX:
            raise BadUserInput(f"At most {CHANGES_MAX} items are allowed in one call.", f"{field}.{name}")
    if input.channels is None:
        channels = None
    elif input.channels is not strawberry.UNSET:
        channels = {switch.channel: switch.enabled for switch in input.channels}
    if input.categories is None:
        cells = None
    elif input.categories is not strawberry.UNSET:
        cells = tuple(
            preference_rules.CellChange(
                category=_require_changeable(cell, tenant, f"{field}.categories.{index}"),
                channel=cell.channel,
                enabled=UNSET if cell.enabled is strawberry.UNSET else cell.enabled,
                muted_until=UNSET if cell.muted_until is strawberry.UNSET else cell.muted_until,
            )
            for index, cell in enumerate(input.categories)
        )
    return preference_rules.Changes(channels=channels, categories=cells)


def _require_changeable(input: CategoryPreferenceInput, tenant: model.Tenant, field: str) -> str:
    """Return the key of the category. Raise BadUserInput for a required one that would be disabled or muted."""
    category = tenant.category(input.category)
    if category is None:
        raise BadUserInput("This category does not exist.", f"{field}.category")
    if category.required and input.enabled is False:
        raise BadUserInput("This category is required. It cannot be disabled.", f"{field}.enabled")
    if category.required and input.muted_until:  # neither null nor absent
        raise BadUserInput("This category is required. It cannot be muted.", f"{field}.mutedUntil")
    return category.key
