"""What people want and what their tenant offers: preferences, categories, the tenant's own set-up."""

import re
from collections.abc import Callable
from datetime import datetime

import strawberry
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.inputs import valid_key, valid_label, valid_url
from hub.api.schema.scalars import Duration
from hub.audience import preferences as wishes
from hub.errors import BadUserInput
from hub.model import NO_PREFERENCES, is_plain, tenant_of

CHANGES_MAX = 1000  # switches or cells in one call
DESCRIPTION_MAX_CHARS = 1024
COLOR = re.compile("#[0-9a-fA-F]{6}")

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
    channels: list[wishes.Cell] = strawberry.field(graphql_type=list[CategoryChannelPreference])


@strawberry.type(description="What somebody wants, merged with what the tenant starts from.")
class Preferences:
    channels: list[wishes.ChannelSwitch] = strawberry.field(
        graphql_type=list[ChannelPreference],
        description="Channels switched off for everything but required categories.",
    )
    categories: list[wishes.Row] = strawberry.field(
        graphql_type=list[CategoryPreference],
        description="One row per category the tenant defines, each with the same channels: the whole matrix, ready to "
        "draw.",
    )


async def load_preferences(context: Context, mailbox: str, mine: model.Preferences) -> wishes.Matrix:
    """A person's wishes over what the tenant starts from."""
    services = context.services
    tenant = await context.tenant(tenant_of(mailbox))
    return wishes.matrix(mine, tenant.preferences, tenant.categories, services.settings.configured, services.clock())


async def user_preferences(root: Parent[model.User], info: Info) -> wishes.Matrix:
    return await load_preferences(info.context, root.id, root.preferences)


def _name(root: Parent[model.Tenant]) -> str:
    return root.name or root.id


def _initial_preferences(root: Parent[model.Tenant], info: Info) -> wishes.Matrix:
    services = info.context.services
    return wishes.matrix(
        root.preferences, NO_PREFERENCES, root.categories, services.settings.configured, services.clock()
    )


@strawberry.type(description="How the tenant is set up and looks.")
class Tenant:
    id: ID
    name: str = strawberry.field(resolver=_name)
    logo_url: str | None
    color: str | None
    preferences: wishes.Matrix = strawberry.field(
        resolver=_initial_preferences, graphql_type=Preferences, description="What its people start from."
    )


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


@fast_input
@strawberry.input
class CategoryInput:
    key: str
    name: str
    default_channels: list[model.Channel]
    description: str | None = None
    required: bool | None = False
    priority: model.Priority | None = model.Priority.MEDIUM
    retention: Duration | None = None


@fast_input
@strawberry.input(description="Absent leaves as it is, null clears. `preferences`: what users start from.")
class TenantInput:
    name: str | None = strawberry.UNSET
    logo_url: str | None = strawberry.UNSET
    color: str | None = strawberry.field(default=strawberry.UNSET, description="#rrggbb")
    preferences: PreferencesInput | None = strawberry.UNSET


@strawberry.type
class PreferencesQuery:
    @strawberry.field(graphql_type=Preferences, description="The caller's own.")
    async def preferences(self, info: Info) -> wishes.Matrix:
        context = info.context
        user = await context.services.users.get(context.mailbox)
        return await load_preferences(context, context.mailbox, user.preferences if user else NO_PREFERENCES)

    @strawberry.field(
        graphql_type=list[Category],
        description="Role service and up. In the order they were made; users find them in their preferences.",
    )
    async def categories(self, info: Info) -> list[model.Category]:
        context = info.context
        return list((await context.services.tenants.get(context.require_service())).categories)

    @strawberry.field(graphql_type=Tenant, description="Role admin.")
    async def tenant(self, info: Info) -> model.Tenant:
        context = info.context
        return await context.services.tenants.get(context.require_admin())


@strawberry.type
class PreferencesMutation:
    @strawberry.mutation(graphql_type=Preferences, description="The caller's own. Absent leaves as it is, null clears.")
    async def update_preferences(self, info: Info, input: PreferencesInput) -> wishes.Matrix:
        context = info.context
        services, mailbox = context.services, context.mailbox
        changes = preference_changes(input, await services.tenants.get(context.caller.tenant), "input")
        await services.inbox_actions.get_or_create_mailbox(mailbox)
        user = await services.users.change(
            mailbox, lambda user: replace(user, preferences=wishes.apply_changes(user.preferences, changes))
        )
        return await load_preferences(context, mailbox, user.preferences)

    @strawberry.mutation(
        graphql_type=Category, description="Role admin. The whole of it: what is left out has its default."
    )
    async def upsert_category(self, info: Info, input: CategoryInput) -> model.Category:
        context = info.context
        return await context.services.tenants.upsert_category(context.require_admin(), _category_from_input(input))

    @strawberry.mutation(graphql_type=Tenant, description="Role admin.")
    async def update_tenant(self, info: Info, input: TenantInput) -> model.Tenant:
        context = info.context
        id = context.require_admin()
        tenants = context.services.tenants
        return await tenants.change(id, _apply_tenant_input(input, await tenants.get(id)))


def preference_changes(given: PreferencesInput, tenant: model.Tenant, field: str) -> wishes.Changes:
    """`field` is the path of the input."""
    channels: dict[model.Channel, bool] | UnsetType | None = UNSET
    cells: tuple[wishes.CellChange, ...] | UnsetType | None = UNSET
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
            wishes.CellChange(
                category=_require_changeable(cell, tenant, f"{field}.categories.{index}"),
                channel=cell.channel,
                enabled=UNSET if cell.enabled is strawberry.UNSET else cell.enabled,
                muted_until=UNSET if cell.muted_until is strawberry.UNSET else cell.muted_until,
            )
            for index, cell in enumerate(given.categories)
        )
    return wishes.Changes(channels=channels, categories=cells)


def _require_changeable(given: CategoryPreferenceInput, tenant: model.Tenant, field: str) -> str:
    """The category's key, if it is one that may be changed so: what is required is neither switched off nor muted."""
    category = tenant.category(given.category)
    if category is None:
        raise BadUserInput("There is no such category.", f"{field}.category")
    if category.required and given.enabled is False:
        raise BadUserInput("This category is required: it can't be switched off.", f"{field}.enabled")
    if category.required and given.muted_until:  # neither null nor absent
        raise BadUserInput("This category is required: it can't be muted.", f"{field}.mutedUntil")
    return category.key


def _category_from_input(given: CategoryInput) -> model.Category:
    if not given.default_channels:
        raise BadUserInput("Name at least one channel.", "input.defaultChannels")
    if given.retention is not None and given.retention <= 0:
        raise BadUserInput("A retention is longer than nothing.", "input.retention")
    description = given.description
    if description and (len(description) > DESCRIPTION_MAX_CHARS or not is_plain(description)):
        raise BadUserInput(
            f"At most {DESCRIPTION_MAX_CHARS} characters, and no control characters.", "input.description"
        )
    return model.Category(
        key=valid_key(given.key, "input.key"),
        name=valid_label(given.name, "input.name"),
        description=description,
        required=bool(given.required),
        default_channels=tuple(dict.fromkeys(given.default_channels)),
        priority=given.priority or model.Priority.MEDIUM,
        retention_s=given.retention,
    )


def _apply_tenant_input(given: TenantInput, known: model.Tenant) -> Callable[[model.Tenant], model.Tenant]:
    """What a tenant becomes by this input."""
    values: dict[str, str | None] = {}
    if given.name is not strawberry.UNSET:
        values["name"] = "" if given.name is None else valid_label(given.name, "input.name")
    if given.logo_url is not strawberry.UNSET:
        values["logo_url"] = valid_url(given.logo_url, "input.logoUrl")
    if given.color is not strawberry.UNSET:
        if given.color is not None and not COLOR.fullmatch(given.color):
            raise BadUserInput("A colour is #rrggbb.", "input.color")
        values["color"] = given.color
    changes: wishes.Changes | None = wishes.Changes()
    if given.preferences is None:
        changes = None
    elif given.preferences is not strawberry.UNSET:
        changes = preference_changes(given.preferences, known, "input.preferences")

    def step(tenant: model.Tenant) -> model.Tenant:
        start = NO_PREFERENCES if changes is None else wishes.apply_changes(tenant.preferences, changes)
        return replace(tenant, preferences=start, **values)

    return step
