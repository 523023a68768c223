"""Preferences of users: the types, the query, and the mutation."""

from datetime import datetime

import strawberry
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from strawberry import Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.scalars import Duration
from hub.audience import preference_matrix as preference_rules
from hub.errors import BadUserInput
from hub.model import NO_PREFERENCES, tenant_of

CHANGES_MAX = 1000  # maximum items of each list in one call


@strawberry.type(description="A kind of notification that users can disable or mute.")
class Category:
    key: str = strawberry.field(description="The key that identifies the category in sends.")
    name: str = strawberry.field(description="The display name of the category.")
    description: str | None = strawberry.field(description="The display text that describes the category.")
    required: bool = strawberry.field(
        description="True if users cannot disable or mute the category, for example for security or legal reasons."
    )
    default_channels: list[model.Channel] = strawberry.field(
        description="The channels of a send that does not specify `channels`."
    )
    priority: model.Priority = strawberry.field(description="The priority of a send that does not specify `priority`.")
    retention_s: Duration | None = strawberry.field(
        name="retention",
        description="The time for which notifications are kept in the inboxes, counted from the send. Null if they are "
        "kept until they expire.",
    )


@strawberry.type(description="The preference for one channel in all categories.")
class ChannelPreference:
    channel: model.Channel
    enabled: bool = strawberry.field(description="False if only required categories use the channel.")


@strawberry.type(description="The preference for one category on one channel.")
class CategoryChannelPreference:
    channel: model.Channel
    enabled: bool = strawberry.field(
        description="The user's choice, or the tenant's default. Always true for required categories. The channel "
        "must also be enabled in `Preferences.channels`, except for required categories."
    )
    locked: bool = strawberry.field(
        description="True if the user cannot change this preference because the category is required."
    )


@strawberry.type(description="The preferences for one category.")
class CategoryPreference:
    category: model.Category = strawberry.field(graphql_type=Category)
    muted_until: datetime | None = strawberry.field(
        description="The time until which notifications in the category are not delivered on any channel, including "
        "the inbox. Null if not muted."
    )
    channels: list[preference_rules.Cell] = strawberry.field(
        graphql_type=list[CategoryChannelPreference],
        description="The preference for each channel. All categories have the same channels.",
    )


@strawberry.type(
    description="The preferences of a user, merged with the defaults of the tenant, as a matrix of categories and "
    "channels to display."
)
class Preferences:
    channels: list[preference_rules.ChannelSwitch] = strawberry.field(
        graphql_type=list[ChannelPreference],
        description="The channels that are configured, used by a category, or set in a preference.",
    )
    categories: list[preference_rules.Row] = strawberry.field(
        graphql_type=list[CategoryPreference], description="The preferences for each category of the tenant."
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
    description="Changes the preferences for one category. Disabling or muting a required category fails with "
    "BAD_USER_INPUT."
)
class CategoryPreferenceInput:
    category: str = strawberry.field(description="The key of the category.")
    channel: model.Channel | None = strawberry.field(
        default=None, description="The channel that `enabled` applies to. Null applies `enabled` to all channels."
    )
    enabled: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="True to enable, false to disable. Null restores the default of the tenant. If omitted, the "
        "preference does not change.",
    )
    muted_until: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="Mutes the category on all channels until this time. Null unmutes the category. If omitted, the "
        "value does not change.",
    )


@strawberry.input(
    description="A change to preferences. An omitted field keeps its value. Null resets a field to the defaults of "
    "the tenant."
)
class PreferencesInput:
    channels: list[ChannelPreferenceInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The channels to change, at most {CHANGES_MAX:,}. Other channels keep their preferences.",
    )
    categories: list[CategoryPreferenceInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The categories to change, at most {CHANGES_MAX:,}. Other categories keep their preferences.",
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
    @strawberry.mutation(
        graphql_type=Preferences, description="Change the caller's preferences. Return all preferences."
    )
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
    """Validate and convert an input. `field` is the path of the input."""
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
    """Return the key of the category. Raise BadUserInput if the input disables or mutes a required category."""
    category = tenant.category(input.category)
    if category is None:
        raise BadUserInput("This category does not exist.", f"{field}.category")
    if category.required and input.enabled is False:
        raise BadUserInput("This category is required. It cannot be disabled.", f"{field}.enabled")
    if category.required and input.muted_until:  # neither null nor absent
        raise BadUserInput("This category is required. It cannot be muted.", f"{field}.mutedUntil")
    return category.key
