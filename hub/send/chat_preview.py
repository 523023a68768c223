"""HTML that looks like a message in Slack, Discord, or Teams, for the outbox page of development mode. Pure."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hub.markdown import Line, Span
from hub.model import Channel
from hub.platform.signed_links import http_url
from hub.send.chat_card import Card
from hub.send.message import Message

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)


def preview_html(channel: Channel, message: Message, card: Card) -> str:
    """Return the page for a card whose texts are within the limits of the chat."""
    name = message.tenant.name or message.tenant.id
    return TEMPLATES.get_template("chat.html").render(
        chat=channel.lower(),
        card=card,
        text=html_lines(card.lines),
        sender=name,
        initial=name[:1].upper(),
        logo_url=http_url(message.tenant.logo_url),
        color=message.tenant.color or "#5865f2",
        time=f"{message.created_at:%H:%M}",
        date=f"{message.created_at:%d/%m/%Y %H:%M}",
    )


def html_lines(lines: Sequence[Line]) -> Markup:
    """Return lines as HTML."""
    return Markup("<br>").join(Markup("").join(map(_html, line)) for line in lines)


def _html(span: Span) -> Markup:
    html = escape(span.text)
    if span.code:
        html = Markup("<code>{}</code>").format(html)
    if span.italic:
        html = Markup("<em>{}</em>").format(html)
    if span.bold:
        html = Markup("<strong>{}</strong>").format(html)
    return Markup('<a href="{}">{}</a>').format(span.url, html) if span.url else html
