"""The content of an email as plain text and as HTML. Pure.

The HTML is made for email clients: it uses tables and inline styles, and no scripts. It loads only the tenant's logo
and the notification's image. User text is escaped. Links have the scheme http or https. The template is
`templates/email.html`.
"""

import re
from pathlib import Path

from css_inline import CSSInliner
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape
from msgspec import Struct

from hub import markdown
from hub.decide.templates.digest_texts import item_body, item_title, more_text
from hub.platform.signed_links import absolute_url, http_url
from hub.platform.translations import Language, because, direction_of
from hub.send.buttons import Button, buttons, recipient_language, tracked_action_url
from hub.send.message import DigestItem, Message
from hub.send.url_finder import find_addresses

TEMPLATES = Path(__file__).parent / "templates"
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
BLUE = "#2457e6"  # for a tenant without a color
PREVIEW_CHARS = 120
ITEMS_MAX_BYTES = 85 * 1024  # of the items of a digest in HTML: Gmail clips emails of 102 KiB
ITEM_MARKUP_BYTES = 400  # of tags and styles
BUTTON_GAP = "10px"
MARKDOWN_STYLES = {
    "p": "margin:0",
    "ul": "margin:0;padding:0 24px",
    "ol": "margin:0;padding:0 24px",
    "a": "color:#1d5fd1",
    "code": "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:14px;background:#f1f3f5;"
    "border-radius:4px;padding:1px 4px",
}
BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
PREHEADER = '<div style="display:none;max-height:0;overflow:hidden">{}</div>'


def text(message: Message) -> str:
    """Return the plain-text part."""
    notification, reader = message.notification, recipient_language(message)
    links = [f"{button.label}: {button.url}" for button in buttons(message, confirmable=True)]
    foot = [f"-- \n{because(notification, reader)}"]
    if message.unsubscribe_url:
        foot.append(f"{_unsubscribe_label(message, reader)}: {message.unsubscribe_url}")
    body = _items_text(message, reader) if message.items else _plain_body(message)
    blocks = [notification.title, body, "\n".join(links), "\n".join(foot)]
    return _newlines("\n\n".join(block for block in blocks if block.strip()) + "\n")


def html(message: Message) -> str:
    """Return the HTML part: that of the template, or the layout around the body."""
    if message.html is not None:
        return _newlines(_with_preheader(message.html, message.preheader))
    notification, tenant, reader = message.notification, message.tenant, recipient_language(message)
    color = tenant.color if tenant.color and COLOR.fullmatch(tenant.color) else BLUE
    title_url = http_url(notification.action_url)
    body = message.plain_body
    whole = _side_for(direction_of(f"{notification.title}\n{body}") or reader.direction)
    items = _html_items(message, whole)
    return _newlines(
        EMAIL.render(
            language=reader.tag,
            reader_direction=reader.direction,
            whole=whole,
            heading=_side_for(direction_of(notification.title) or whole.direction),
            color=color,
            contrast_color=_contrast_color(color),
            tenant_name=tenant.name,
            tenant_side=_side_for(direction_of(tenant.name) or whole.direction),
            logo_url=http_url(tenant.logo_url),
            image_url=http_url(notification.image_url),
            title=notification.title,
            title_url=title_url and _tracked_url(message, title_url),
            preview=message.preheader or body[:PREVIEW_CHARS],
            paragraphs=[] if notification.markdown or message.items else _paragraphs(body, whole),
            items=items,
            more=_more(message, len(items), reader),
            markdown_blocks=_markdown_blocks(message, whole) if notification.markdown else [],
            buttons=[_html_button(message, button) for button in buttons(message, confirmable=True)],
            because=because(notification, reader),
            unsubscribe_url=message.unsubscribe_url,
            unsubscribe_label=_unsubscribe_label(message, reader),
        )
    )


def _with_preheader(html: str, preheader: str | None) -> str:
    """Return HTML with a hidden first line, which email clients show next to the subject."""
    body = BODY.search(html)
    if not preheader or not body:
        return html
    return f"{html[: body.end()]}{PREHEADER.format(escape(preheader))}{html[body.end() :]}"


def _load_template() -> Template:
    """Return the template of the HTML part with inlined CSS.

    Inlining the CSS once in the template, not in each email, halves the time to render an email (docs/adr/0058)."""
    inliner = CSSInliner(load_remote_stylesheets=False, minify_css=True)
    source = inliner.inline((TEMPLATES / "email.html").read_text(encoding="utf-8"))
    environment = Environment(
        block_start_string="<!--%",
        block_end_string="%-->",
        comment_start_string="<!--#",
        comment_end_string="#-->",
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters["line_breaks"] = lambda text: Markup("<br>\n").join(text.split("\n"))
    return environment.from_string(source.replace(' data-css-inline="keep"', ""))


EMAIL = _load_template()


class _Side(Struct, frozen=True):
    """A text direction and the side where lines start. Each block sets both because webmail clients remove `<html>`."""

    direction: str
    start: str
    left_gap: str
    right_gap: str
    """The padding on each side of a button."""


LEFT_TO_RIGHT = _Side("ltr", "left", left_gap="0", right_gap=BUTTON_GAP)
RIGHT_TO_LEFT = _Side("rtl", "right", left_gap=BUTTON_GAP, right_gap="0")


def _side_for(direction: str) -> _Side:
    return RIGHT_TO_LEFT if direction == "rtl" else LEFT_TO_RIGHT


def _paragraphs(body: str, whole: _Side) -> list[tuple[_Side, list[tuple[str, bool]]]]:
    """Return the paragraphs, each with its text direction and its text split into links and other text."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", _newlines(body)) if part.strip()]
    return [(_side_for(direction_of(part) or whole.direction), _split_links(part)) for part in paragraphs]


def _plain_body(message: Message) -> str:
    """Return the body as plain text, in which each link of Markdown is followed by its URL."""
    n = message.notification
    return markdown.plain_text(n.body, _link_resolver(message)) if n.markdown else n.body


def _markdown_blocks(message: Message, whole: _Side) -> list[tuple[_Side, Markup]]:
    """Return the paragraphs and lists of a Markdown body as HTML, each with its text direction."""
    link = _link_resolver(message)
    return [
        (
            _side_for(direction_of(block.text(markdown.without_url)) or whole.direction),
            block.html(link, MARKDOWN_STYLES),
        )
        for block in markdown.parse(message.notification.body)
    ]


def layout_values(message: Message) -> dict[str, object]:
    """Return the values that the template `_layout` reads, without those that are not set. `body` is HTML."""
    n, reader = message.notification, recipient_language(message)
    title_url = http_url(n.action_url)
    direction = direction_of(f"{n.title}\n{message.plain_body}") or reader.direction
    values: dict[str, object] = {
        "title": n.title,
        "body": _body_html(message, _side_for(direction)),
        "actionUrl": title_url and _tracked_url(message, title_url),
        "imageUrl": http_url(n.image_url),
        "actions": [_html_button(message, button) for button in buttons(message, confirmable=True)],
        "because": because(n, reader),
        "unsubscribeUrl": message.unsubscribe_url or None,
        "unsubscribeLabel": _unsubscribe_label(message, reader),
        "language": reader.tag,
        "direction": direction,
    }
    return {name: value for name, value in values.items() if value is not None}


def _body_html(message: Message, whole: _Side) -> Markup:
    """Return the body as HTML for a layout of the tenant: paragraphs and lists, each with its text direction."""
    n = message.notification
    if message.items:
        items = _html_items(message, whole)
        blocks = [(item.side, item.html()) for item in items]
        if more := _more(message, len(items), recipient_language(message)):
            blocks.append((whole, escape(more)))
    elif n.markdown:
        blocks = _markdown_blocks(message, whole)
    else:
        blocks = [(side, _paragraph_html(pieces)) for side, pieces in _paragraphs(n.body, whole)]
    return Markup("\n").join(
        Markup('<div dir="{}" style="margin:0 0 14px">{}</div>').format(side.direction, content)
        for side, content in blocks
    )


def _paragraph_html(pieces: list[tuple[str, bool]]) -> Markup:
    parts = [
        Markup('<a href="{0}" style="{1}">{0}</a>').format(piece, MARKDOWN_STYLES["a"]) if is_link else escape(piece)
        for piece, is_link in pieces
    ]
    return Markup("").join(Markup("<br>\n").join(part.split("\n")) for part in parts)


def _link_resolver(message: Message) -> markdown.ResolveLink:
    return lambda url: http_url(absolute_url(url, message.app_url))


def _items_text(message: Message, reader: Language) -> str:
    """Return the items of a digest as plain text."""
    items = [
        "\n".join(line for line in (f"* {_item_title(item)}", item_body(item.notification), item.url) if line)
        for item in message.items
    ]
    return "\n\n".join([*items, _more(message, len(items), reader)]).rstrip("\n")


class _HtmlItem(Struct, frozen=True):
    """An item of a digest, with its text direction."""

    title: str
    preview: str
    url: str | None
    side: _Side

    def html(self) -> Markup:
        """Return the item as HTML for a layout of the tenant."""
        title: str = escape(self.title)
        if self.url:
            title = Markup('<a href="{}" style="{}">{}</a>').format(self.url, MARKDOWN_STYLES["a"], title)
        html = Markup("<b>{}</b>").format(title)
        return html + Markup("<br>\n{}").format(self.preview) if self.preview else html


def _html_items(message: Message, whole: _Side) -> list[_HtmlItem]:
    """Return the newest items of a digest, as many as fit in an email that is not clipped."""
    items: list[_HtmlItem] = []
    size = 0
    for item in message.items:
        title, preview = _item_title(item), item_body(item.notification)
        side = _side_for(direction_of(f"{title}\n{preview}") or whole.direction)
        html_item = _HtmlItem(title, preview, item.url, side)
        size += ITEM_MARKUP_BYTES + len(html_item.html().encode())
        if items and size > ITEMS_MAX_BYTES:
            break
        items.append(html_item)
    return items


def _more(message: Message, shown: int, reader: Language) -> str:
    """Return how many items of a digest are not shown, or an empty text."""
    rest = message.item_count - shown
    return more_text(rest, reader) if message.items and rest > 0 else ""


def _item_title(item: DigestItem) -> str:
    return item_title(item.notification.title, item.notification.collapsed_count)


def _split_links(paragraph: str) -> list[tuple[str, bool]]:
    """Return the pieces of a paragraph in order, each with True if the piece is a URL."""
    pieces, done = [], 0
    for start, end in find_addresses(paragraph):
        pieces += [(paragraph[done:start], False), (paragraph[start:end], True)]
        done = end
    return [*pieces, (paragraph[done:], False)]


def _html_button(message: Message, button: Button) -> dict[str, object]:
    return {
        "label": button.label,
        "url": _tracked_url(message, button.url, button.action_index),
        "primary": button.primary,
        "direction": direction_of(button.label) or "ltr",
    }


def _tracked_url(message: Message, address: str, action_index: int | None = None) -> str:
    """Return the URL that records a click and redirects. Return the address itself without HUB_PUBLIC_URL, or if the
    links of this email differ from those in the inbox."""
    if not (message.receipt_url and message.tracked):
        return address
    return message.receipt_url if action_index is None else tracked_action_url(message, action_index)


def _unsubscribe_label(message: Message, reader: Language) -> str:
    return reader.text("Unsubscribe from {category}", category=_category_name(message))


def _category_name(message: Message) -> str:
    """Return the name that the tenant gave to the category."""
    key = message.notification.category
    return next((category.name for category in message.tenant.categories if category.key == key), key)


def _contrast_color(color: str) -> str:
    """Return white or near-black, whichever has more contrast with `color` (relative luminance, WCAG 2)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.36 else "#14171d"


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
