"""Templates: the types, the queries, and the mutations. Only admins can change templates."""

import re
from datetime import datetime
from typing import Annotated, Any

import strawberry
from msgspec import UNSET
from strawberry import Parent

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.notifications import Action
from hub.api.schema.scalars import JSON
from hub.api.schema.selections import selects
from hub.api.schema.send_input import ACTIONS_MAX, ActionInput, TemplateRefInput
from hub.api.schema.validation import json_text, valid_key, valid_label, valid_locale, valid_page_size, valid_user_id
from hub.audience.templates import TENANT_MAX_TEMPLATES
from hub.decide.templates import built_in
from hub.decide.templates.lookup import canonical_locale
from hub.decide.templates.parts import WITHOUT_TITLE
from hub.decide.templates.parts import Rendered as RenderedTexts
from hub.errors import BadUserInput
from hub.model import DEFAULT_LOCALE, KeyRole, Scope
from hub.settings import Settings
from hub.unicode_text import is_blank

DEFAULT_VERSIONS = 20
WHATSAPP_VARIABLES_MAX = 20
CONTENT_SID = re.compile("HX[0-9a-fA-F]{32}")


@strawberry.type(description="A version of a template. `template` returns its texts.")
class TemplateVersion:
    version: int = strawberry.field(description="The number of the change that made this version.")
    updated_at: datetime = strawberry.field(description="The time of the change.")
    updated_by: str = strawberry.field(description="The user who made the change, or the role of a token without one.")
    note: str | None = strawberry.field(description="The reason for the change.")


async def _versions(
    root: Parent[model.Template],
    info: Info,
    first: Annotated[
        int | None,
        strawberry.argument(
            description="The maximum number of versions, from 1 to `HUB_PAGE_MAX_ITEMS` (default 100)."
        ),
    ] = DEFAULT_VERSIONS,
    before: Annotated[int | None, strawberry.argument(description="Return only versions below this number.")] = None,
) -> list[model.Template]:
    context = info.context
    size = valid_page_size(first, DEFAULT_VERSIONS, context.services.settings)
    below = root.version if before is None else min(before, root.version)
    with context.reading():
        return await context.services.templates.list_versions(root, size, below)


@strawberry.type(
    description="The texts of a template for one locale and, if `channel` is set, for one channel only. All texts are "
    "Liquid. Links are checked after rendering."
)
class Template:
    key: str
    locale: str = strawberry.field(description="The language of the texts, as a BCP 47 tag.")
    channel: model.Channel | None = strawberry.field(
        description="The channel that uses the texts. Null for every channel without texts of its own."
    )
    subject: str | None = strawberry.field(description="The subject of emails. Defaults to `title`.")
    title: str | None = strawberry.field(description="The title. Defaults to `subject`.")
    body: str
    markdown: bool = strawberry.field(description="True if `body` is Markdown. Values are escaped in it.")
    html: str | None = strawberry.field(description="The HTML or MJML of emails.")
    preheader: str | None = strawberry.field(description="The line that email clients show next to the subject.")
    action_url: str | None = strawberry.field(description="The link that the notification opens.")
    image_url: str | None = strawberry.field(description="The URL of the image.")
    actions: list[Action] = strawberry.field(description="The buttons. `label` and `url` are Liquid.")
    whatsapp_content_sid: str | None = strawberry.field(description="The id that Twilio gave a WhatsApp template.")
    whatsapp_variables: list[str] = strawberry.field(
        description="The texts of the WhatsApp template's placeholders, in order."
    )
    version: int = strawberry.field(
        description="The number of the change that made these texts. Changes are numbered per key, over all locales "
        "and channels."
    )
    updated_at: datetime = strawberry.field(description="The time of the change.")
    updated_by: str = strawberry.field(description="The user who made the change, or the role of a token without one.")
    variables: list[str] = strawberry.field(description="The names that the texts read, such as `data.order.id`.")
    versions: list[model.Template] = strawberry.field(
        resolver=_versions,
        graphql_type=list[TemplateVersion],
        description="Earlier versions of the texts for this locale and channel, newest first.",
    )


@strawberry.type(description="The rendered texts of a template for one channel.")
class Rendered:
    subject: str | None = strawberry.field(description="The subject of the email. Null for other channels.")
    title: str | None = strawberry.field(description="The title. Null if the template has none.")
    body: str
    markdown: bool = strawberry.field(description="True if `body` is Markdown.")
    html: str | None = strawberry.field(description="The HTML of the email. Null for other channels.")
    preheader: str | None = strawberry.field(description="The line that email clients show next to the subject.")
    action_url: str | None = strawberry.field(description="The link that the notification opens.")
    image_url: str | None = strawberry.field(description="The URL of the image.")
    actions: list[Action] = strawberry.field(description="The buttons whose label is not blank.")


@strawberry.input(
    description="The texts of a template. Existing texts for the same key, locale and channel are replaced as a "
    "whole. All texts are Liquid, at most 64 KiB together. `html` has at most 256 KiB."
)
class TemplateInput:
    key: str = strawberry.field(description="The key that sends name, at most 256 characters.")
    locale: str | None = strawberry.field(default="en", description="The language of the texts, as a BCP 47 tag.")
    channel: model.Channel | None = strawberry.field(
        default=None,
        description="The channel that uses the texts. Null for every channel without texts of its own.",
    )
    subject: str | None = strawberry.field(default=None, description="The subject of emails. Defaults to `title`.")
    title: str | None = strawberry.field(
        default=None,
        description="The title. Defaults to `subject`. One of the two is required, except for SMS and WHATSAPP.",
    )
    body: str = strawberry.field(description="The text. May be empty.")
    markdown: bool | None = strawberry.field(
        default=False, description="True if `body` is Markdown. Values are escaped in it."
    )
    html: str | None = strawberry.field(
        default=None, description="The content of emails: HTML, or MJML if it begins with `<mjml`."
    )
    preheader: str | None = strawberry.field(
        default=None, description="The line that email clients show next to the subject."
    )
    action_url: str | None = strawberry.field(default=None, description="The link that the notification opens.")
    image_url: str | None = strawberry.field(default=None, description="The URL of the image.")
    actions: list[ActionInput] | None = strawberry.field(
        default=None,
        description=f"The buttons, at most {ACTIONS_MAX}. `label` and `url` are Liquid. A button whose rendered label "
        "is blank is left out.",
    )
    whatsapp_content_sid: str | None = strawberry.field(
        default=None, description="The id that Twilio gave an approved WhatsApp template."
    )
    whatsapp_variables: list[str] | None = strawberry.field(
        default=None,
        description="The texts of the WhatsApp template's placeholders `{{1}}`, `{{2}}` and so on, in order.",
    )
    sample: JSON | None = strawberry.field(
        default=None,
        description="Data with which the texts are rendered before they are stored. For `_digest` and `_briefing`, the "
        "object has `items` and `count`.",
    )
    note: str | None = strawberry.field(default=None, description="The reason for the change, at most 256 characters.")


@strawberry.type
class TemplateQuery:
    @strawberry.field(
        graphql_type=list[Template],
        description=f"Return the current templates, at most {TENANT_MAX_TEMPLATES:,}, ordered by key, locale and "
        "channel. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def templates(
        self,
        info: Info,
        key: Annotated[str | None, strawberry.argument(description="Return only texts of this key.")] = None,
    ) -> list[model.Template]:
        context = info.context
        tenant = context.caller.tenant
        with context.reading():
            return await context.services.templates.list_current(
                tenant, key, with_html=selects(info.selected_fields, "html")
            )

    @strawberry.field(
        graphql_type=Template | None,
        description="Return the texts of exactly this key, locale and channel, or null if there are none. Requires "
        "the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def template(
        self,
        info: Info,
        key: str,
        locale: str | None = "en",
        channel: Annotated[
            model.Channel | None, strawberry.argument(description="Null for the texts of all channels.")
        ] = None,
        version: Annotated[
            int | None,
            strawberry.argument(description="Return the texts as they were after this change. Defaults to now."),
        ] = None,
    ) -> model.Template | None:
        context = info.context
        tenant = context.caller.tenant
        with context.reading():
            return await context.services.templates.get(tenant, key, _locale(locale, "locale"), channel, version)

    @strawberry.field(
        graphql_type=Rendered,
        description="Render a template as a recipient would get it. Nothing is stored or sent. Requires the `service` "
        "or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.SUPPORT),
    )
    async def render_template(
        self,
        info: Info,
        template: Annotated[
            TemplateRefInput,
            strawberry.argument(
                description="The template and its data. The data of `_digest` and `_briefing` has `items` and `count`."
            ),
        ],
        channel: Annotated[model.Channel, strawberry.argument(description="The channel to render for.")],
        draft: Annotated[
            TemplateInput | None,
            strawberry.argument(
                description="Texts that are not stored. They take the place of those for the same locale and channel."
            ),
        ] = None,
        locale: Annotated[
            str | None, strawberry.argument(description="The recipient's locale. Null uses that of `user`.")
        ] = "en",
        user: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The recipient. Without a recipient, every field of `user` and `notification` is an empty "
                "text."
            ),
        ] = None,
    ) -> RenderedTexts:
        context = info.context
        tenant = context.caller.tenant
        settings = context.services.settings
        data, texts = _object_text(template.data, settings, "template.data"), None
        if draft is not None:
            texts = _to_texts(draft, "draft")
            if texts.key != template.key:
                raise BadUserInput("`draft.key` must be the same as `template.key`.", "draft.key")
            data = data or _object_text(draft.sample, settings, "draft.sample")
        return await context.services.template_editing.preview(
            tenant,
            valid_key(template.key, "template.key"),
            data,
            texts,
            channel,
            None if locale is None else _locale(locale, "locale"),
            None if user is None else valid_user_id(user, "user"),
        )


@strawberry.type
class TemplateMutation:
    @strawberry.mutation(
        graphql_type=Template,
        description="Create or replace the texts of a template for one locale and channel. Nothing is stored if a "
        "text is not valid, or if it cannot be rendered with `sample`. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def upsert_template(self, info: Info, input: TemplateInput) -> model.Template:
        context = info.context
        tenant = context.caller.tenant
        texts = _to_texts(input, "input")
        sample = _object_text(input.sample, context.services.settings, "input.sample")
        note = None if input.note is None else valid_label(input.note, "input.note")
        return await context.services.template_editing.store(
            tenant, texts, sample, note, context.caller.actor, context.audit("upsertTemplate", texts.key)
        )

    @strawberry.mutation(
        graphql_type=Template,
        description="Create a version of a template with the texts of an earlier version. Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def revert_template(
        self,
        info: Info,
        key: str,
        version: Annotated[int, strawberry.argument(description="The version whose texts become the current ones.")],
        locale: str | None = "en",
        channel: Annotated[
            model.Channel | None, strawberry.argument(description="Null for the texts of all channels.")
        ] = None,
    ) -> model.Template:
        context = info.context
        tenant = context.caller.tenant
        audit = context.audit("revertTemplate", key, parameters={"revertedTo": version})
        return await context.services.templates.revert(
            tenant, key, _locale(locale, "locale"), channel, version, context.caller.actor, audit
        )

    @strawberry.mutation(
        description="Delete texts of a template. Return the number of deleted texts. Earlier versions are stored for "
        "`HUB_TEMPLATE_DAYS` (default 400). Requires the `admin` role.",
        directives=access(Caller.ADMIN),
    )
    async def delete_template(
        self,
        info: Info,
        key: str,
        locale: Annotated[
            str | None, strawberry.argument(description="The locale. If omitted or null, all locales.")
        ] = None,
        channel: Annotated[
            model.Channel | None,
            strawberry.argument(
                description="The channel. If omitted, all channels. Null for the texts that are for all channels."
            ),
        ] = strawberry.UNSET,
    ) -> int:
        context = info.context
        tenant = context.caller.tenant
        return await context.services.templates.delete(
            tenant,
            key,
            UNSET if locale is None else _locale(locale, "locale"),
            UNSET if channel is strawberry.UNSET else channel,
            context.caller.actor,
            context.audit("deleteTemplate", key),
        )


def _locale(locale: str | None, field: str) -> str:
    """Return a BCP 47 tag in its usual spelling. None stands for the default."""
    return canonical_locale(valid_locale(locale, field) or DEFAULT_LOCALE)


def _object_text(value: object, settings: Settings, field: str) -> str | None:
    """Return the JSON text of an object. Return None for None."""
    if value is not None and not isinstance(value, dict):
        raise BadUserInput("The data of a template must be a JSON object.", field)
    return json_text(value, settings, field)


def _to_texts(input: TemplateInput, field: str) -> model.TemplateTexts:
    """Validate and convert an input. The Liquid is checked later."""
    key = valid_key(input.key, f"{field}.key")
    if not built_in.may_store(key):
        raise BadUserInput("Keys that begin with an underscore are reserved.", f"{field}.key")
    optional: dict[str, Any] = {
        name: None if text is None or is_blank(text) else text
        for name in ("subject", "title", "html", "preheader", "action_url", "image_url")
        for text in [getattr(input, name)]
    }
    if key == built_in.LAYOUT:
        if not optional["html"]:
            raise BadUserInput(f"`{key}` is an email layout. Pass `html`.", f"{field}.html")
    elif not optional["title"] and not optional["subject"] and input.channel not in WITHOUT_TITLE:
        raise BadUserInput("Pass `title` or `subject`. Only SMS and WHATSAPP have neither.", f"{field}.title")
    if input.whatsapp_content_sid is not None and not CONTENT_SID.fullmatch(input.whatsapp_content_sid):
        raise BadUserInput("This id must be HX and 32 hexadecimal digits.", f"{field}.whatsappContentSid")
    variables = tuple(input.whatsapp_variables or ())
    if len(variables) > WHATSAPP_VARIABLES_MAX:
        raise BadUserInput(f"At most {WHATSAPP_VARIABLES_MAX} items are allowed.", f"{field}.whatsappVariables")
    return model.TemplateTexts(
        key=key,
        locale=_locale(input.locale, f"{field}.locale"),
        channel=input.channel,
        body=input.body,
        markdown=bool(input.markdown),
        actions=_to_actions(input.actions or [], f"{field}.actions"),
        whatsapp_content_sid=input.whatsapp_content_sid,
        whatsapp_variables=variables,
        **optional,
    )


def _to_actions(actions: list[ActionInput], field: str) -> tuple[model.Action, ...]:
    if len(actions) > ACTIONS_MAX:
        raise BadUserInput(f"At most {ACTIONS_MAX} actions are allowed.", field)
    if len({action.key for action in actions}) < len(actions):
        raise BadUserInput("Two actions have the same key. Keys must be unique.", field)
    return tuple(
        model.Action(
            key=valid_key(action.key, f"{field}.{index}.key"),
            label=action.label,
            url=action.url or None,
            primary=bool(action.primary),
        )
        for index, action in enumerate(actions)
    )
