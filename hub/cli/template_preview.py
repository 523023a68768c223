"""The rendering of template files for each channel, as `hub templates preview` prints it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from hub import markdown
from hub.cli.template_files import label, named_errors
from hub.decide.templates.built_in import LAYOUT, WITH_ITEMS
from hub.decide.templates.digest_texts import sample_input
from hub.decide.templates.errors import TemplateError
from hub.decide.templates.lookup import TemplateSet, locale_chain
from hub.decide.templates.parts import EMAIL_CLIPPED_BYTES, Rendered, StoredTemplate, TextLimits, is_clipped, render
from hub.decide.templates.render_input import render_input
from hub.ids import new_id
from hub.model import (
    ITEMS_SHOWN,
    Action,
    Channel,
    Notification,
    Priority,
    TemplateTexts,
    Tenant,
    User,
    mailbox_of,
)
from hub.send import email_body
from hub.send.email_layout import with_layout
from hub.send.message import Message
from hub.settings import Settings

TENANT = Tenant(id="acme", name="Acme", color="#4f46e5")
UNSUBSCRIBE_URL = "https://hub.example/unsubscribe"
MARKDOWN_CHANNELS = {
    *(Channel.IN_APP, Channel.WEBHOOK),
    *(Channel.SLACK, Channel.DISCORD, Channel.TEAMS),
}


class ChannelPreview(Struct, frozen=True):
    """The rendering for one channel. `text` is for display, and `html` is the HTML of an email."""

    channel: Channel
    subject: str
    text: str
    html: str | None = None
    warning: str | None = None


def render_channels(
    texts: Sequence[TemplateTexts], data: Mapping[str, object], locale: str, now: datetime
) -> Iterator[ChannelPreview]:
    """Yield the rendering of each channel that has a text. Raise SetupFileError."""
    templates = TemplateSet(0, [StoredTemplate(one) for one in texts])
    limits = TextLimits(
        Settings.model_fields["notification_title_max_chars"].default,
        Settings.model_fields["notification_body_max_bytes"].default,
    )
    locales = locale_chain(locale, TENANT.locale)
    user = User(
        id=mailbox_of(TENANT.id, "alice"),
        created_at=now,
        updated_at=now,
        name="Alice Example",
        email="alice@example.org",
        locale=locales[0],
    )
    if texts[0].key == LAYOUT:
        with named_errors(texts[0]):
            example = _layout_preview(templates, user, now)
        yield _with_named_warning(example, texts[0])
        return
    id = new_id(now)
    with named_errors(texts[0]):
        digest = sample_input(data, now) if texts[0].key in WITH_ITEMS else None
    given = render_input(
        TENANT,
        user,
        (id, now),
        {} if digest else data,
        locale=locales[0],
        timezone="UTC",
        now=now,
        unsubscribe_url=UNSUBSCRIBE_URL,
        digest=digest.values() if digest else None,
    )
    for channel in Channel:
        template = templates.find(locales, channel)
        if template:
            with named_errors(template.texts):
                preview = _preview(channel, render(template, channel, given, limits), user, id, now)
                if digest and channel is Channel.EMAIL:
                    full = replace(given, values={**given.values, **digest.filled().values()})
                    try:
                        warning = _preview(channel, render(template, channel, full, limits), user, id, now).warning
                    except TemplateError as error:
                        reason = f"{error.reason} (with {ITEMS_SHOWN} items)"
                        raise TemplateError(reason, error.line, error.part) from error
                    preview = replace(preview, warning=warning and f"With {ITEMS_SHOWN} items: {warning}")
            yield _with_named_warning(preview, template.texts)


def _with_named_warning(preview: ChannelPreview, texts: TemplateTexts) -> ChannelPreview:
    return replace(preview, warning=preview.warning and f"{label(texts)}: {preview.warning}")


def clipping_warning(html: str) -> str | None:
    """Return a warning if Gmail hides the end of an email with this HTML."""
    if not is_clipped(html):
        return None
    kib = len(html.encode()) // 1024
    return f"The HTML has {kib} KiB. Gmail hides the part of an email above {EMAIL_CLIPPED_BYTES // 1024} KiB."


def _layout_preview(layouts: TemplateSet, user: User, now: datetime) -> ChannelPreview:
    """Return an example email with the layout."""
    example = Rendered(
        title="Example title",
        body="An example with **bold text** and a [link](https://app.example/).\n\n- one\n- two",
        markdown=True,
        actions=(Action(key="open", label="Open", url="https://app.example/", primary=True),),
    )
    message = replace(_message(example, user, new_id(now), now), unsubscribe_url=UNSUBSCRIBE_URL)
    message = with_layout(message, layouts)
    html = email_body.html(message)
    return ChannelPreview(Channel.EMAIL, "Example title", email_body.text(message), html, clipping_warning(html))


def _preview(channel: Channel, rendered: Rendered, user: User, id: str, now: datetime) -> ChannelPreview:
    subject = rendered.subject or rendered.title or ""
    if channel is Channel.EMAIL:
        message = _message(rendered, user, id, now)
        html = email_body.html(message)
        return ChannelPreview(channel, subject, email_body.text(message), html, clipping_warning(html))
    body = rendered.body
    if rendered.markdown and channel not in MARKDOWN_CHANNELS:
        body = markdown.plain_text(body)
    facts = [("title", rendered.title), ("link", rendered.action_url), ("image", rendered.image_url)]
    lines = [f"{name}: {value}" for name, value in facts if value]
    if rendered.markdown and channel in MARKDOWN_CHANNELS:
        lines.append("format: Markdown")
    lines += [f"button: {action.label}{f' -> {action.url}' if action.url else ''}" for action in rendered.actions]
    if channel is Channel.WHATSAPP:
        lines += [f"{{{{{n}}}}}: {value}" for n, value in enumerate(rendered.whatsapp_variables, 1)]
    return ChannelPreview(channel, subject, "\n".join([*lines, "", body]).strip("\n"))


def _message(rendered: Rendered, user: User, id: str, now: datetime) -> Message:
    notification = Notification(
        id=id,
        mailbox=user.id,
        send=id,
        category="preview",
        title=rendered.title or "",
        body=rendered.body,
        markdown=rendered.markdown,
        image_url=rendered.image_url,
        action_url=rendered.action_url,
        actions=rendered.actions,
        priority=Priority.MEDIUM,
        because="NAMED",
        created_at=now,
        updated_at=now,
    )
    return Message(
        id=id,
        notification=notification,
        user=user,
        tenant=TENANT,
        device=None,
        unseen=1,
        created_at=now,
        subject=rendered.subject,
        html=rendered.html,
        preheader=rendered.preheader,
    )
