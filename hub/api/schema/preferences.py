"""Preferences of users: the types, the query, and the mutation."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import strawberry
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from strawberry import Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.access import Caller, access
from hub.api.schema.enrichment import Enrichment, enrichment_of
from hub.api.schema.quiet_hours import (
    DAILY_LIMIT_MAX,
    DO_NOT_DISTURB_MAX,
    WINDOWS_MAX,
    QuietHours,
    QuietHoursInput,
    valid_daily_limit,
    valid_do_not_disturb,
    valid_local_time,
    valid_quiet_hours,
    valid_quiet_schedule,
    valid_weekdays,
)
from hub.api.schema.scalars import Duration
from hub.api.schema.send_input import DIGEST_MAX_DAYS, DIGEST_MIN_S, valid_digest_window
from hub.api.schema.steps import Step
from hub.audience import preference_matrix as preference_rules
from hub.decide.reach import Reachability, addressed_channels
from hub.errors import BadUserInput
from hub.model import NO_PREFERENCES, tenant_of

CHANGES_MAX = 1000  # maximum items of each list in one call
Given = TypeVar("Given")
Valid = TypeVar("Valid")


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
    steps: list[model.Step] = strawberry.field(
        graphql_type=list[Step], description="The steps of a send that specifies neither `channels` nor `steps`."
    )
    digest_s: Duration | None = strawberry.field(
        name="digest",
        description="The window in which deliveries of sends without `digest` are gathered per recipient and channel.",
    )
    retention_s: Duration | None = strawberry.field(
        name="retention",
        description="The time for which notifications are kept in the inboxes, counted from the send. Null if they are "
        "kept until they expire.",
    )
    enrichment: model.Enrichment | None = strawberry.field(
        resolver=enrichment_of,
        graphql_type=Enrichment | None,
        description="Where more data for the templates of sends comes from. Null for callers without the `admin` role.",
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
    digest_s: Duration | None = strawberry.field(
        name="digest",
        description="The window in which deliveries are gathered, or PT0S if they leave immediately. Null if the user "
        "chose `digestAt`, or made no choice.",
    )
    digest_at: str | None = strawberry.field(
        description="The local time, HH:MM, at which gathered deliveries leave, in the time zone of the user."
    )
    digest_days: list[int] | None = strawberry.field(
        description="The weekdays on which they leave, from 1 (Monday) to 7 (Sunday). Null for every day."
    )
    reach: model.Reach = strawberry.field(description="Says if the category can arrive on the channel at all.")


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
    quiet_hours: preference_rules.QuietWindow | None = strawberry.field(
        graphql_type=QuietHours | None, description="The first window of `quietSchedule`."
    )
    quiet_schedule: list[preference_rules.QuietWindow] = strawberry.field(
        graphql_type=list[QuietHours],
        description="The windows in which push, SMS, and chat messages wait. Windows that touch or overlap count as "
        "one.",
    )
    do_not_disturb_until: datetime | None = strawberry.field(
        description="The time until which push, SMS, and chat messages wait, unless they are CRITICAL. Null if "
        "do-not-disturb is off."
    )
    daily_limit: int | None = strawberry.field(
        description="The maximum number of notifications per day that may cause push, SMS, or chat messages. Others "
        "are shown only in the inbox. Null for no limit."
    )


async def load_preferences(context: Context, mailbox: str, user: model.User | None) -> preference_rules.Matrix:
    """Return the preferences of a user, merged with the defaults of the tenant."""
    services = context.services
    tenant = await context.tenant(tenant_of(mailbox))
    return preference_rules.matrix(
        user.preferences if user else NO_PREFERENCES,
        tenant.preferences,
        tenant.categories,
        Reachability(services.settings.configured, tenant.used_channels, addressed_channels(user)),
        services.clock(),
        user.effective_timezone(tenant) if user else tenant.timezone,
    )


async def user_preferences(root: Parent[model.User], info: Info) -> preference_rules.Matrix:
    return await load_preferences(info.context, root.id, root)


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
        default=None,
        description="The channel that `enabled`, `digest`, `digestAt`, and `digestDays` apply to. Null applies "
        "`enabled` to all channels, and the others to all channels except the inbox.",
    )
    enabled: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="True to enable, false to disable. Null restores the default of the tenant. If omitted, the "
        "preference does not change.",
    )
    digest: Duration | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Gathers the deliveries for this long, from {DIGEST_MIN_S} seconds to {DIGEST_MAX_DAYS} days, or "
        "PT0S to gather nothing. Takes precedence over the digest of a send and of the category. Replaces `digestAt`. "
        "Null removes a stored `digest`. If omitted, the value does not change.",
    )
    digest_at: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Gathers the deliveries until this local time, from 00:00 to 23:59, in the time zone of the user. "
        "Replaces `digest`. Null removes a stored `digestAt`. If omitted, the value does not change.",
    )
    digest_days: list[int] | None = strawberry.field(
        default=strawberry.UNSET,
        description="The weekdays on which deliveries leave at `digestAt`, from 1 (Monday) to 7 (Sunday). Null for "
        "every day.",
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
    quiet_hours: QuietHoursInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="The only window of the quiet hours. Pass either `quietHours` or `quietSchedule`.",
    )
    quiet_schedule: list[QuietHoursInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"All windows of the quiet hours, at most {WINDOWS_MAX}. An empty list switches off the quiet "
        "hours that the tenant sets by default. Windows that leave no minute of the week free are refused.",
    )
    do_not_disturb_until: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The end of do-not-disturb, at most {DO_NOT_DISTURB_MAX.days} days ahead.",
    )
    daily_limit: int | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"The maximum number of interruptions per day, from 0 (none) to {DAILY_LIMIT_MAX:,}.",
    )


@strawberry.type
class PreferencesQuery:
    @strawberry.field(
        graphql_type=Preferences, description="Return the caller's preferences.", directives=access(Caller.USER)
    )
    async def preferences(self, info: Info) -> preference_rules.Matrix:
        context = info.context
        user = await context.services.users.get(context.mailbox)
        return await load_preferences(context, context.mailbox, user)


@strawberry.type
class PreferencesMutation:
    @strawberry.mutation(
        graphql_type=Preferences,
        description="Change the caller's preferences. Return all preferences.",
        directives=access(Caller.USER),
    )
    async def update_preferences(self, info: Info, input: PreferencesInput) -> preference_rules.Matrix:
        context = info.context
        services, mailbox = context.services, context.mailbox
        before, tenant = await asyncio.gather(services.users.get(mailbox), services.tenants.get(context.caller.tenant))
        timezone = before.effective_timezone(tenant) if before else tenant.timezone
        changes = preference_changes(input, tenant, timezone, services.clock(), "input")
        await services.inbox_actions.get_or_create_mailbox(mailbox)
        user = await services.users.change(
            mailbox, lambda user: replace(user, preferences=preference_rules.apply_changes(user.preferences, changes))
        )
        return await load_preferences(context, mailbox, user)


def preference_changes(
    input: PreferencesInput, tenant: model.Tenant, timezone: str, now: datetime, field: str
) -> preference_rules.Changes:
    """Validate and convert an input. `timezone` is the user's. `field` is the path of the input."""
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
            _cell_change(cell, tenant, f"{field}.categories.{index}") for index, cell in enumerate(input.categories)
        )
    return preference_rules.Changes(
        channels=channels,
        categories=cells,
        quiet_schedule=_quiet_schedule(input, timezone, now, field),
        do_not_disturb_until=_changed(
            input.do_not_disturb_until, lambda until: valid_do_not_disturb(until, now, f"{field}.doNotDisturbUntil")
        ),
        daily_limit=_changed(input.daily_limit, lambda limit: valid_daily_limit(limit, f"{field}.dailyLimit")),
    )


def _cell_change(input: CategoryPreferenceInput, tenant: model.Tenant, field: str) -> preference_rules.CellChange:
    window, at, days = input.digest, input.digest_at, input.digest_days
    has_window = isinstance(window, int)
    if has_window and at:
        raise BadUserInput("Pass either `digest` or `digestAt`, not both.", f"{field}.digest")
    if isinstance(days, list) and not at:
        raise BadUserInput("Pass `digestAt` together with `digestDays`.", f"{field}.digestDays")
    if input.channel is model.Channel.IN_APP and (has_window or at):
        raise BadUserInput("The inbox is not gathered. Name another channel.", f"{field}.channel")
    return preference_rules.CellChange(
        category=_require_changeable(input, tenant, field),
        channel=input.channel,
        enabled=_changed(input.enabled, bool),
        muted_until=_changed(input.muted_until, lambda until: until),
        digest_s=_changed(window, lambda window: _valid_window(window, f"{field}.digest")),
        digest_at=_changed(at, lambda at: valid_local_time(at, f"{field}.digestAt")),
        digest_days=_changed(days, lambda days: valid_weekdays(days, f"{field}.digestDays")),
    )


def _valid_window(window: Duration, field: str) -> Duration:
    if window:  # PT0S: nothing is gathered
        valid_digest_window(window, field)
    return window


def _quiet_schedule(
    input: PreferencesInput, timezone: str, now: datetime, field: str
) -> tuple[model.QuietHours, ...] | UnsetType | None:
    """Return the windows of `quietHours` or `quietSchedule`."""
    if input.quiet_hours is strawberry.UNSET:
        return _changed(
            input.quiet_schedule,
            lambda windows: valid_quiet_schedule(windows, timezone, now, f"{field}.quietSchedule"),
        )
    if input.quiet_schedule is not strawberry.UNSET:
        raise BadUserInput("Pass either `quietHours` or `quietSchedule`, not both.", f"{field}.quietHours")
    return _changed(input.quiet_hours, lambda window: valid_quiet_hours(window, timezone, now, f"{field}.quietHours"))


def _changed(value: Given | None, valid: Callable[[Given], Valid]) -> Valid | UnsetType | None:
    """Return the valid value. Convert Strawberry's UNSET to msgspec's UNSET."""
    if value is strawberry.UNSET:
        return UNSET
    return None if value is None else valid(value)


def _require_changeable(input: CategoryPreferenceInput, tenant: model.Tenant, field: str) -> str:
    """Return the key of the category. Raise BadUserInput if the input disables or mutes a required category."""
    category = tenant.category(input.category)
    if category is None:
        raise BadUserInput(f"The category {input.category!r} does not exist.", f"{field}.category")
    if category.required and input.enabled is False:
        raise BadUserInput("This category is required. It cannot be disabled.", f"{field}.enabled")
    if category.required and input.muted_until:  # neither null nor absent
        raise BadUserInput("This category is required. It cannot be muted.", f"{field}.mutedUntil")
    return category.key
