"""The input of a send, and its validation."""

from datetime import datetime, timedelta

import strawberry
from strawberry import ID

from hub import model
from hub.api.schema.recipients import EXCEPT_MAX, RecipientsInput, to_recipients
from hub.api.schema.scalars import JSON, Duration
from hub.api.schema.steps import STEPS_MAX, StepInput, to_steps
from hub.api.schema.validation import (
    json_text,
    valid_key,
    valid_keys,
    valid_label,
    valid_url,
)
from hub.decide.digest import Digest
from hub.decide.templates import built_in
from hub.decide.throttle import Throttle
from hub.errors import BadUserInput, TooLarge
from hub.iso_duration import DAY_S
from hub.markdown import MARKDOWN_MAX_CHARS
from hub.settings import Settings
from hub.unicode_text import is_blank
from hub.workflows.send_request import SendRequest, TemplateReference

ACTIONS_MAX = 10
TAGS_MAX = 20
SEND_AT_MAX_DAYS = 400
THROTTLE_MAX_DAYS = 31
DIGEST_MIN_S = 10
DIGEST_MAX_DAYS = 31
DIGEST_MIN_ITEMS = 2
LINK = "An http(s) URL, or a path within your app that starts with a slash."


@strawberry.input(description="A button of a notification.")
class ActionInput:
    key: str = strawberry.field(
        description="The machine-readable key of the button. Must be unique within the notification."
    )
    label: str = strawberry.field(description="The label of the button, at most 256 characters.")
    url: str | None = strawberry.field(
        default=None,
        description=f"The link of the button. {LINK} If omitted, the button records the user's choice. See the "
        "mutation `act`.",
    )
    primary: bool | None = strawberry.field(default=False, description="True if clients should emphasize the button.")


@strawberry.input(description="The person or system that caused a notification, for a picture next to the text.")
class ActorInput:
    name: str = strawberry.field(description="The display name, at most 256 characters.")
    avatar_url: str | None = strawberry.field(
        default=None, description=f"The URL of a small, square picture. {LINK} Without it, clients show initials."
    )


@strawberry.input(description="The content of a notification.")
class ContentInput:
    title: str = strawberry.field(
        description="The title in plain text, at most `HUB_NOTIFICATION_TITLE_MAX_CHARS` (default 256) characters."
    )
    body: str = strawberry.field(
        description="The body, at most `HUB_NOTIFICATION_BODY_MAX_BYTES` (default 16 KiB). May be empty. Plain text "
        "unless `markdown` is true."
    )
    image_url: str | None = strawberry.field(default=None, description=f"The URL of the image. {LINK}")
    action_url: str | None = strawberry.field(default=None, description=f"The link that the notification opens. {LINK}")
    actions: list[ActionInput] | None = strawberry.field(
        default=None, description=f"The buttons of the notification, at most {ACTIONS_MAX}."
    )
    markdown: bool | None = strawberry.field(
        default=False,
        description="True if `body` is in the Markdown subset: bold, italic, code, links, and lists. Other Markdown, "
        "HTML, and images are plain text. Channels that display plain text only receive the body without markup.",
    )
    actor: ActorInput | None = strawberry.field(
        default=None, description="The person or system that caused the notification."
    )


@strawberry.input(
    description="A limit for the sends that leave the hub, per recipient. Over the limit, the notification is shown in "
    "the inbox only, and the other channels are SKIPPED with the reason THROTTLED."
)
class ThrottleInput:
    key: str = strawberry.field(description="The key. Sends with the same key are counted together.")
    window: Duration = strawberry.field(
        description=f"The length of the window, at most {THROTTLE_MAX_DAYS} days. It starts with the first send that "
        "is counted."
    )
    limit: int | None = strawberry.field(
        default=1, description="The number of sends that leave the hub in a window, at least 1."
    )


@strawberry.input(description="A template and its data.")
class TemplateRefInput:
    key: str = strawberry.field(description="The key of the template.")
    data: JSON | None = strawberry.field(
        default=None,
        description="Data for rendering only, which recipients cannot read. A JSON object. Templates read its keys "
        "before those of the send's `data`.",
    )


@strawberry.input(
    description="Gathers the deliveries of several sends. Each recipient gets one message per channel and device when "
    "the window ends. Sends with priority CRITICAL are not gathered, and the inbox shows each notification immediately."
)
class DigestInput:
    key: str = strawberry.field(description="The key. Sends of one category with the same key are gathered together.")
    window: Duration = strawberry.field(
        description=f"The length of the window, from {DIGEST_MIN_S} seconds to {DIGEST_MAX_DAYS} days. See `mode`."
    )
    mode: model.DigestMode | None = strawberry.field(
        default=model.DigestMode.FIXED, description="The delivery with which the window starts."
    )
    max: Duration | None = strawberry.field(
        default=None,
        description="The longest time from the first delivery to the end of a SLIDING window, at most "
        f"{DIGEST_MAX_DAYS} days. If null, a day, or `window` if that is longer.",
    )
    lookback: Duration | None = strawberry.field(
        default=None,
        description="A delivery that no other with this key preceded for this long leaves immediately, and later ones "
        f"are gathered. From {DIGEST_MIN_S} seconds to {DIGEST_MAX_DAYS} days.",
    )
    max_items: int | None = strawberry.field(
        default=None, description="The number of deliveries at which the window ends, at least 2."
    )


@strawberry.input(description="A send, which creates one notification for each recipient.")
class SendInput:
    to: RecipientsInput = strawberry.field(description="The recipients.")
    category: str = strawberry.field(
        description="The key of the category. A category that does not exist is created with channel IN_APP and "
        "priority MEDIUM."
    )
    content: ContentInput | None = strawberry.field(
        default=None, description="The content of the notification. Pass either `content` or `template`."
    )
    template: TemplateRefInput | None = strawberry.field(
        default=None,
        description="The template of the texts, which are rendered per recipient and channel. All texts of the send "
        "come from the current version, including those of retries.",
    )
    data: JSON | None = strawberry.field(
        default=None,
        description="Data for clients, at most `HUB_NOTIFICATION_DATA_MAX_BYTES` (default 32 KiB). "
        "`Notification.data` returns this value.",
    )
    tags: list[str] | None = strawberry.field(
        default=None,
        description=f"The tags of the notification, at most {TAGS_MAX}. Clients can filter the inbox by tag.",
    )
    priority: model.Priority | None = strawberry.field(
        default=None, description="The priority of the notification. Null uses the priority of the category."
    )
    channels: list[model.Channel] | None = strawberry.field(
        default=None,
        description="The channels to use. Null uses the default channels of the category. The preferences of the "
        "recipients always apply.",
    )
    steps: list[StepInput] | None = strawberry.field(
        default=None,
        description=f"Later deliveries, at most {STEPS_MAX}. They follow the deliveries on `channels`. Without "
        "`channels`, the steps are the only deliveries. If both are null, the steps of the category apply.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key that identifies the send, at most 256 characters. If the key was used before with the same "
        "input, nothing is sent, and the earlier send is returned with `duplicate` true. If the key was used with a "
        "different input, the send fails with CONFLICT. This key takes precedence over the "
        "`Idempotency-Key` header.",
    )
    send_at: datetime | None = strawberry.field(
        default=None,
        description="The time at which the send is published, at most "
        f"{SEND_AT_MAX_DAYS} days ahead. Users, preferences, and categories are read at that time. A time in the past "
        "publishes the send immediately.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None,
        description="A time in the future at which the notification expires. It is then removed from the inboxes, "
        "and deliveries that have not been sent become EXPIRED.",
    )
    collapse_key: str | None = strawberry.field(
        default=None,
        description="A key that identifies the subject of the notification, such as a build or a thread, at most 256 "
        "characters. In the inbox "
        "of each recipient, a newer notification replaces the older one with the same key. A notification whose "
        "acknowledgment is open is replaced only by one with `requireAck`.",
    )
    thread_key: str | None = strawberry.field(
        default=None,
        description="A key that notifications of one thread share, such as the id of a conversation, at most 256 "
        "characters. Clients can show them together. Unlike `collapseKey`, it does not replace older notifications.",
    )
    throttle: ThrottleInput | None = strawberry.field(
        default=None, description="Limits how many sends with a key leave the hub for each recipient."
    )
    digest: DigestInput | None = strawberry.field(
        default=None,
        description="Gathers the deliveries of sends with a key. Each recipient gets one message per window.",
    )
    require_ack: bool | None = strawberry.field(
        default=False,
        description="True to request an acknowledgment from the recipients. See the mutation `acknowledge`.",
    )
    pinned: bool | None = strawberry.field(
        default=False,
        description="True to show the notification above the others until the recipient unpins or archives it, or it "
        "expires or is replaced.",
    )
    except_: list[ID] | None = strawberry.field(
        name="except",
        default=None,
        description=f"The ids of users who do not get the send, at most {EXCEPT_MAX}, such as the user who caused it.",
    )
    guard: bool | None = strawberry.field(
        default=True,
        description="False to send to all recipients at once. Otherwise, a send to more than `HUB_GUARD_RECIPIENTS` "
        "(default 10,000) users first goes to about 1 % of them, and is paused if too many of these deliveries fail. "
        "Sends with priority CRITICAL are not guarded.",
    )


def to_send_request(send: SendInput, settings: Settings, now: datetime, field: str) -> SendRequest:
    """Validate and convert an input. `field` is the path of the input, such as `input` or `inputs.3`."""
    users, audience, excluded = to_recipients(send.to, send.except_, settings, field)
    if (send.content is None) == (send.template is None):
        raise BadUserInput(
            "Pass either `content`, an object with `title` and `body`, or `template`, an object with `key`.",
            f"{field}.content",
        )
    if send.expires_at and send.expires_at <= now:
        raise BadUserInput("`expiresAt` must be in the future.", f"{field}.expiresAt")
    if send.send_at and send.send_at > now + timedelta(days=SEND_AT_MAX_DAYS):
        raise BadUserInput(f"`sendAt` must be at most {SEND_AT_MAX_DAYS} days ahead.", f"{field}.sendAt")
    if send.send_at and send.expires_at and send.expires_at <= send.send_at:
        raise BadUserInput("`expiresAt` must be later than `sendAt`.", f"{field}.expiresAt")
    if send.channels is not None and not send.channels:
        raise BadUserInput("`channels` must name at least one channel, or be left out.", f"{field}.channels")
    if send.steps is not None and not send.steps:
        raise BadUserInput("`steps` must name at least one step, or be left out.", f"{field}.steps")
    return SendRequest(
        users=users,
        audience=audience,
        excluded=excluded,
        category=valid_key(send.category, f"{field}.category"),
        content=_to_content(send.content, settings, f"{field}.content") if send.content else None,
        template=_to_template(send.template, settings, f"{field}.template") if send.template else None,
        data=json_text(send.data, settings, f"{field}.data"),
        tags=valid_keys(send.tags, TAGS_MAX, f"{field}.tags"),
        priority=send.priority,
        channels=tuple(send.channels) if send.channels is not None else None,
        steps=_to_steps(send, f"{field}.steps"),
        send_at=send.send_at,
        expires_at=send.expires_at,
        require_ack=bool(send.require_ack),
        pinned=bool(send.pinned),
        guard=send.guard is not False,
        throttle=_to_throttle(send.throttle, f"{field}.throttle") if send.throttle else None,
        digest=_to_digest(send.digest, f"{field}.digest") if send.digest else None,
        collapse_key=None if send.collapse_key is None else valid_key(send.collapse_key, f"{field}.collapseKey"),
        thread_key=None if send.thread_key is None else valid_key(send.thread_key, f"{field}.threadKey"),
    )


def _to_steps(send: SendInput, field: str) -> tuple[model.Step, ...] | None:
    return None if send.steps is None else to_steps(send.steps, field, require_ack=bool(send.require_ack))


def _to_throttle(throttle: ThrottleInput, field: str) -> Throttle:
    if not 0 < throttle.window <= THROTTLE_MAX_DAYS * DAY_S:
        raise BadUserInput(f"The window must be from PT1S to P{THROTTLE_MAX_DAYS}D.", f"{field}.window")
    limit = 1 if throttle.limit is None else throttle.limit
    if limit < 1:
        raise BadUserInput("The limit must be at least 1.", f"{field}.limit")
    return Throttle(key=valid_key(throttle.key, f"{field}.key"), window_s=throttle.window, limit=limit)


def _to_template(template: TemplateRefInput, settings: Settings, field: str) -> TemplateReference:
    if template.data is not None and not isinstance(template.data, dict):
        raise BadUserInput("`data` of a template must be a JSON object.", f"{field}.data")
    key = valid_key(template.key, f"{field}.key")
    if key.startswith(built_in.PREFIX):
        raise BadUserInput("Templates whose keys begin with an underscore cannot be sent.", f"{field}.key")
    return TemplateReference(key, json_text(template.data, settings, f"{field}.data"))


def valid_digest_window(window: int | None, field: str) -> int | None:
    """Return a window of a digest. Raise BadUserInput if it is too short or too long."""
    if window is not None and not DIGEST_MIN_S <= window <= DIGEST_MAX_DAYS * DAY_S:
        name = field.rpartition(".")[2]
        raise BadUserInput(f"`{name}` must be from PT{DIGEST_MIN_S}S to P{DIGEST_MAX_DAYS}D.", field)
    return window


def _to_digest(digest: DigestInput, field: str) -> Digest:
    for name, value in (("window", digest.window), ("max", digest.max), ("lookback", digest.lookback)):
        valid_digest_window(value, f"{field}.{name}")
    mode = digest.mode or model.DigestMode.FIXED
    if digest.max is not None and mode is model.DigestMode.FIXED:
        raise BadUserInput("`max` limits a SLIDING window. Leave it out, or set `mode` to SLIDING.", f"{field}.max")
    if digest.max is not None and digest.max < digest.window:
        raise BadUserInput("`max` must not be shorter than `window`.", f"{field}.max")
    if digest.max_items is not None and digest.max_items < DIGEST_MIN_ITEMS:
        raise BadUserInput(f"`maxItems` must be at least {DIGEST_MIN_ITEMS}.", f"{field}.maxItems")
    longest = digest.max or max(DAY_S, digest.window)
    return Digest(
        key=valid_key(digest.key, f"{field}.key"),
        window_s=digest.window,
        mode=mode,
        max_s=longest if mode is model.DigestMode.SLIDING else 0,
        lookback_s=digest.lookback or 0,
        max_items=digest.max_items or 0,
    )


def _to_content(content: ContentInput, settings: Settings, field: str) -> model.Content:
    if is_blank(content.title):
        raise BadUserInput("The title must have at least one visible character.", f"{field}.title")
    if len(content.title) > settings.notification_title_max_chars:
        raise TooLarge(
            f"{field}.title has more than {settings.notification_title_max_chars} characters "
            "(HUB_NOTIFICATION_TITLE_MAX_CHARS).",
            field=f"{field}.title",
        )
    if len(content.body.encode()) > settings.notification_body_max_bytes:
        raise TooLarge(
            f"{field}.body has more than {settings.notification_body_max_bytes} bytes "
            "(HUB_NOTIFICATION_BODY_MAX_BYTES).",
            field=f"{field}.body",
        )
    if content.markdown and len(content.body) > MARKDOWN_MAX_CHARS:
        raise TooLarge(
            f"{field}.body is Markdown with more than {MARKDOWN_MAX_CHARS} characters. Shorten it, or send plain text.",
            field=f"{field}.body",
        )
    actions = content.actions or []
    if len(actions) > ACTIONS_MAX:
        raise BadUserInput(f"At most {ACTIONS_MAX} actions are allowed.", f"{field}.actions")
    if len({action.key for action in actions}) < len(actions):
        raise BadUserInput("Two actions have the same key. Keys must be unique.", f"{field}.actions")
    return model.Content(
        title=content.title,
        body=content.body,
        image_url=valid_url(content.image_url, f"{field}.imageUrl"),
        action_url=valid_url(content.action_url, f"{field}.actionUrl"),
        actions=tuple(
            model.Action(
                key=valid_key(action.key, f"{field}.actions.{index}.key"),
                label=valid_label(action.label, f"{field}.actions.{index}.label"),
                url=valid_url(action.url, f"{field}.actions.{index}.url"),
                primary=bool(action.primary),
            )
            for index, action in enumerate(actions)
        ),
        markdown=bool(content.markdown),
        actor=_to_actor(content.actor, f"{field}.actor") if content.actor else None,
    )


def _to_actor(actor: ActorInput, field: str) -> model.Actor:
    return model.Actor(
        name=valid_label(actor.name, f"{field}.name"), avatar_url=valid_url(actor.avatar_url, f"{field}.avatarUrl")
    )
