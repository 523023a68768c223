"""The input of a rule, and its validation."""

from datetime import datetime

import strawberry

from hub import model
from hub.api import exact_json
from hub.api.schema.recipients import check_one_kind, is_set, to_filter
from hub.api.schema.scalars import JSON, Duration
from hub.api.schema.send_input import ACTIONS_MAX, SEND_AT_MAX_DAYS, TAGS_MAX, ActionInput, valid_digest_window
from hub.api.schema.steps import STEPS_MAX, StepInput, to_steps
from hub.api.schema.validation import valid_key, valid_keys, valid_label
from hub.decide.rules.compiled import EXCEPT_MAX, RESULT_MAX_BYTES, RESULT_MAX_IDS
from hub.decide.rules.expressions import EXPRESSION_MAX_CHARS, EXPRESSION_MAX_NODES
from hub.decide.rules.matching import WILDCARD, is_own_event
from hub.decide.templates import built_in
from hub.errors import BadUserInput
from hub.iso_duration import DAY_S
from hub.model import rule_id
from hub.unicode_text import is_blank, is_single_line

SOURCE_MAX_CHARS = 1024


@strawberry.input(
    description="The recipients of a rule. Exactly one field must be set. `users` and `topic` are JMESPath expressions "
    "over the event.",
    one_of=True,
)
class RuleRecipientsInput:
    users: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"An expression that finds the id of a user or an array of ids, at most {RESULT_MAX_IDS:,}.",
    )
    topic: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="An expression that finds the key of a topic. In an expression, a constant key has single quotes.",
    )
    everyone: bool | None = strawberry.field(
        default=strawberry.UNSET, description="All users of the tenant. Must be true."
    )
    where: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A filter, as in `RecipientsInput.where`."
    )


@strawberry.input(
    description="The content of the sends of a rule. All texts are Liquid. They read `event`, `data`, and `tenant`, "
    "and are the same for all recipients. Links are checked after rendering."
)
class RuleContentInput:
    title: str
    body: str
    action_url: str | None = strawberry.field(default=None, description="The link that the notification opens.")
    image_url: str | None = strawberry.field(default=None, description="The URL of the image.")
    actions: list[ActionInput] | None = strawberry.field(
        default=None,
        description=f"The buttons, at most {ACTIONS_MAX}. `label` and `url` are Liquid. A button whose rendered label "
        "is blank is left out.",
    )
    markdown: bool | None = strawberry.field(
        default=False, description="True if `body` is Markdown. Values are escaped in it."
    )


@strawberry.input(description="The digest of the sends of a rule. See `DigestInput`.")
class RuleDigestInput:
    key: str = strawberry.field(description="A JMESPath expression over the event that finds the key.")
    window: Duration = strawberry.field(description="The length of the window, which starts with the first delivery.")


@strawberry.input(
    description="A rule, which turns events into sends. An existing rule with the same key is replaced as a whole: "
    "omitted fields are set to their defaults. Expressions are JMESPath over the event, at most "
    f"{EXPRESSION_MAX_CHARS:,} characters and {EXPRESSION_MAX_NODES} nodes each."
)
class RuleInput:
    key: str = strawberry.field(description="The key that identifies the rule, at most 256 characters.")
    name: str | None = strawberry.field(default=None, description="The display name, at most 256 characters.")
    enabled: bool | None = strawberry.field(default=True, description="False to start the rule for no event.")
    type: str = strawberry.field(
        description="The type of the events, or a prefix that ends in `.*`. The hub's own events (`hub.*`) require "
        "`source`."
    )
    source: str | None = strawberry.field(
        default=None, description="The source of the events. Null for events of every source."
    )
    condition: str | None = strawberry.field(
        default=None, description="An expression. The rule sends nothing if the result is null, false, or empty."
    )
    to: RuleRecipientsInput = strawberry.field(description="The recipients.")
    category: str = strawberry.field(description="The key of the category, as in `SendInput`.")
    template: str | None = strawberry.field(
        default=None, description="The key of the template. Pass either `template` or `content`."
    )
    content: RuleContentInput | None = strawberry.field(default=None, description="The content of the notification.")
    data: str | None = strawberry.field(
        default=None,
        description="An expression that makes the data of the template, or `data` of the texts in `content`, at most "
        f"{RESULT_MAX_BYTES >> 10} KiB. Defaults to the event's own data. Recipients cannot read it.",
    )
    priority: model.Priority | None = strawberry.field(
        default=None, description="The priority. Null uses the priority of the category."
    )
    collapse_key: str | None = strawberry.field(
        default=None, description="The collapse key. Liquid, like the texts of `content`."
    )
    channels: list[model.Channel] | None = strawberry.field(
        default=None, description="The channels. Null uses the default channels of the category."
    )
    steps: list[StepInput] | None = strawberry.field(
        default=None, description=f"Later deliveries, at most {STEPS_MAX}, as in `SendInput`."
    )
    digest: RuleDigestInput | None = strawberry.field(
        default=None, description="Gathers the deliveries of the sends with a key."
    )
    tags: list[str] | None = strawberry.field(
        default=None, description=f"The tags of the notification, at most {TAGS_MAX}."
    )
    require_ack: bool | None = strawberry.field(
        default=False, description="True to request an acknowledgment from the recipients."
    )
    after: Duration | None = strawberry.field(
        default=None,
        description=f"The time from the event to the send, at most {SEND_AT_MAX_DAYS} days. Null sends immediately.",
    )
    expires_in: Duration | None = strawberry.field(
        default=None, description="The time from the send to its expiry. Null for a send that does not expire."
    )
    except_: str | None = strawberry.field(
        name="except",
        default=None,
        description="An expression that finds the id of a user who does not get the send, or an array of ids, at most "
        f"{EXCEPT_MAX}. For example, the author of a comment.",
    )


def to_rule(input: RuleInput, tenant: str, now: datetime) -> model.Rule:
    """Validate and convert an input. The expressions and the Liquid are checked later."""
    key = valid_key(input.key, "input.key")
    if (input.content is None) == (input.template is None):
        raise BadUserInput(
            "Pass either `content`, an object with `title` and `body`, or `template`, the key of a template.",
            "input.content",
        )
    if input.channels is not None and not input.channels:
        raise BadUserInput("`channels` must name at least one channel, or be left out.", "input.channels")
    if input.expires_in is not None and input.expires_in <= 0:
        raise BadUserInput("`expiresIn` must be longer than zero.", "input.expiresIn")
    if input.after is not None and input.after > SEND_AT_MAX_DAYS * DAY_S:
        raise BadUserInput(f"`after` must be at most P{SEND_AT_MAX_DAYS}D.", "input.after")
    type, source = _valid_type(input.type), _valid_source(input.source)
    if is_own_event(type) and source is None:
        raise BadUserInput("Rules for the hub's own events (`hub.*`) must name their `source`.", "input.source")
    require_ack = bool(input.require_ack)
    return model.Rule(
        id=rule_id(tenant, key),
        tenant=tenant,
        key=key,
        name=None if input.name is None else valid_label(input.name, "input.name"),
        enabled=input.enabled is not False,
        type=type,
        source=source,
        condition=input.condition,
        to=_to_recipients(input.to),
        category=valid_key(input.category, "input.category"),
        template=None if input.template is None else _valid_template(input.template),
        content=_to_content(input.content) if input.content else None,
        data=input.data,
        priority=input.priority,
        collapse_key=input.collapse_key or None,
        channels=None if input.channels is None else tuple(dict.fromkeys(input.channels)),
        steps=to_steps(input.steps or (), "input.steps", require_ack=require_ack),
        digest=_to_digest(input.digest) if input.digest else None,
        tags=valid_keys(input.tags, TAGS_MAX, "input.tags"),
        require_ack=require_ack,
        after_s=input.after,
        expires_in_s=input.expires_in,
        excluded=input.except_,
        updated_at=now,
    )


def _valid_type(type: str) -> str:
    valid_key(type, "input.type")
    if "*" in type.removesuffix(WILDCARD) or type == WILDCARD:
        raise BadUserInput(
            "`type` must be the type of an event, such as order.shipped, or a prefix that ends in `.*`, such as "
            "order.*",
            "input.type",
        )
    return type


def _valid_source(source: str | None) -> str | None:
    if source is not None and (is_blank(source) or len(source) > SOURCE_MAX_CHARS or not is_single_line(source)):
        raise BadUserInput(
            f"A source must have 1 to {SOURCE_MAX_CHARS:,} characters and no control characters.", "input.source"
        )
    return source


def _valid_template(key: str) -> str:
    if key.startswith(built_in.PREFIX):
        raise BadUserInput("Templates whose keys begin with an underscore cannot be sent.", "input.template")
    return valid_key(key, "input.template")


def _to_recipients(to: RuleRecipientsInput) -> model.RuleRecipients:
    check_one_kind(to, "input.to")
    if is_set(to.where):
        to_filter(to.where, "input.to.where")
        return model.RuleRecipients(where=exact_json.dumps(to.where, "input.to.where").decode())
    if is_set(to.everyone):
        if not to.everyone:
            raise BadUserInput("`everyone` must be true. To name users, pass `users`.", "input.to.everyone")
        return model.RuleRecipients(everyone=True)
    if is_set(to.topic):
        return model.RuleRecipients(topic=to.topic)
    return model.RuleRecipients(users=to.users)


def _to_content(content: RuleContentInput) -> model.Content:
    if is_blank(content.title):
        raise BadUserInput("The title must have at least one visible character.", "input.content.title")
    actions, field = content.actions or [], "input.content.actions"
    if len(actions) > ACTIONS_MAX:
        raise BadUserInput(f"At most {ACTIONS_MAX} actions are allowed.", field)
    if len({action.key for action in actions}) < len(actions):
        raise BadUserInput("Two actions have the same key. Keys must be unique.", field)
    return model.Content(
        title=content.title,
        body=content.body,
        action_url=content.action_url or None,
        image_url=content.image_url or None,
        actions=tuple(
            model.Action(
                key=valid_key(action.key, f"{field}.{index}.key"),
                label=action.label,
                url=action.url or None,
                primary=bool(action.primary),
            )
            for index, action in enumerate(actions)
        ),
        markdown=bool(content.markdown),
    )


def _to_digest(digest: RuleDigestInput) -> model.RuleDigest:
    valid_digest_window(digest.window, "input.digest.window")
    return model.RuleDigest(key=digest.key, window_s=digest.window)
