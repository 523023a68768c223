"""The content of an email, as text and as HTML. Pure.

The HTML suits email clients: tables, inline styles, no script. It loads only the tenant's logo and the notification's
image. User text is escaped; links are http or https.
"""

import re
from html import escape

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Notification
from hub.platform.signed_links import http_url, item_url
from hub.platform.translations import Language, because, direction_of, language
from hub.send.message import Message
from hub.send.text_links import find_addresses

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
BLUE = "#2457e6"  # for a tenant without a color
PREVIEW_CHARS = 120
FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

STYLE = """
:root { color-scheme: light dark; supported-color-schemes: light dark; }
body { margin: 0; padding: 0; width: 100%; -webkit-text-size-adjust: 100%; }
img { border: 0; line-height: 100%; outline: none; text-decoration: none; }
@media (max-width: 480px) {
  .page { padding: 16px 10px !important; }
  .text { padding: 24px 20px 28px !important; }
  .title { font-size: 21px !important; }
  .actions, .actions tbody, .actions tr, .action { display: block !important; width: 100% !important; }
  .action { box-sizing: border-box; padding: 0 0 10px !important; }
  .button { display: block !important; text-align: center !important; }
}
@media (prefers-color-scheme: dark) {
  .page, body { background: #101216 !important; }
  .card { background: #1b1e24 !important; border-color: #2b2f38 !important; }
  .title, .title a, .name { color: #f2f4f7 !important; }
  .body { color: #c9ced8 !important; }
  .body a { color: #8ab4ff !important; }
  .button { border-color: #ffffff2e !important; }
  .second { color: #e6e9ef !important; border-color: #474d59 !important; }
  .foot, .foot a { color: #8d95a5 !important; }
}
"""


class Button(Struct, frozen=True):
    """`action_index`: the index of the action; None for the notification's URL."""

    label: str
    url: str
    primary: bool
    action_index: int | None = None


def text(message: Message) -> str:
    """Return the plain-text part."""
    notification, reader = message.notification, _recipient_language(message)
    links = [f"{button.label}: {button.url}" for button in buttons(message)]
    foot = [f"-- \n{because(notification, reader)}"]
    if message.unsubscribe_url:
        foot.append(f"{_unsubscribe(message, reader)}: {message.unsubscribe_url}")
    blocks = [notification.title, notification.body, "\n".join(links), "\n".join(foot)]
    return _newlines("\n\n".join(block for block in blocks if block.strip()) + "\n")


def html(message: Message) -> str:
    """Return the HTML part."""
    notification, tenant, reader = message.notification, message.tenant, _recipient_language(message)
    color = tenant.color if tenant.color and COLOR.fullmatch(tenant.color) else BLUE
    title = escape(notification.title)
    if address := http_url(notification.action_url):
        title = (
            f'<a href="{escape(_tracked_url(message, address))}" style="color:#171a21;text-decoration:none">{title}</a>'
        )
    whole = _side_for(direction_of(f"{notification.title}\n{notification.body}") or reader.direction)
    heading = _side_for(direction_of(notification.title) or whole.direction)
    preview = notification.body[:PREVIEW_CHARS]
    return _newlines(f"""<!doctype html>
<html lang="{reader.tag}" dir="{whole.direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no,date=no,address=no,email=no">
<title>{escape(notification.title)}</title>
<style>{STYLE}</style>
</head>
<body dir="{whole.direction}" style="margin:0;padding:0;background:#f3f4f6">
<div dir="{whole.direction}" style="display:none;max-height:0;overflow:hidden">{escape(preview)}</div>
<table role="presentation" dir="{whole.direction}" width="100%" cellpadding="0" cellspacing="0" border="0" class="page"
  style="background:#f3f4f6"><tr><td align="center" class="page" style="padding:36px 16px;font-family:{FONT}">
<!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->
<table role="presentation" dir="{whole.direction}" width="100%" cellpadding="0" cellspacing="0" border="0"
  style="max-width:600px;table-layout:fixed">
{_header(message, color, whole)}<tr><td class="card"
  style="background:#ffffff;border:1px solid #e4e7ec;border-radius:14px;overflow:hidden">
<table role="presentation" dir="{whole.direction}" width="100%" cellpadding="0" cellspacing="0" border="0"
  style="table-layout:fixed">
{_picture(notification)}<tr><td class="text" {whole.attributes} style="padding:32px 36px 32px;{whole.style}">
<h1 class="title" {heading.attributes} style="margin:0;{heading.style};
  font-size:23px;line-height:1.3;font-weight:650;letter-spacing:-0.01em;color:#171a21;overflow-wrap:anywhere;word-break:break-word">{title}</h1>
{_paragraphs(notification.body, whole)}{_actions(message, color, whole)}</td></tr>
</table>
</td></tr>
<tr><td class="foot" dir="{reader.direction}" lang="{reader.tag}" align="center"
  style="padding:22px 20px 8px;font-size:13px;line-height:1.6;color:#697080">
{_footer(message, reader)}
</td></tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr>
</table>
</body>
</html>
""")


def buttons(message: Message) -> list[Button]:
    """Return the buttons: the actions, else the notification's URL. An action without a URL links to the item in the
    app; without HUB_APP_URL and `actionUrl` it is left out. If no action is primary, the first button is."""
    notification = message.notification
    found = [
        Button(action.label, address, action.primary, index)
        for index, action in enumerate(notification.actions)
        if (address := http_url(action.url or item_url(notification, message.app_url, action.key)))
    ]
    if not found and (address := http_url(notification.action_url)):
        found = [Button(_recipient_language(message).text("Open"), address, primary=True)]
    if found and not any(action.primary for action in notification.actions):
        found[0] = replace(found[0], primary=True)
    return sorted(found, key=lambda button: not button.primary)


class _Side(Struct, frozen=True):
    """A text direction and the side where lines begin. Each block sets both, because webmail drops `<html>`."""

    direction: str
    start: str

    @property
    def attributes(self) -> str:
        return f'dir="{self.direction}" align="{self.start}"'

    @property
    def style(self) -> str:
        return f"direction:{self.direction};text-align:{self.start}"


def _side_for(direction: str) -> _Side:
    return _Side(direction, "right" if direction == "rtl" else "left")


def _recipient_language(message: Message) -> Language:
    return language(message.user.locale)


def _header(message: Message, color: str, side: _Side) -> str:
    name = escape(message.tenant.name)
    if logo := http_url(message.tenant.logo_url):
        mark = f'<img src="{escape(logo)}" alt="{name}" height="32" style="display:block;height:32px;max-width:200px">'
        return f'<tr><td {side.attributes} style="padding:0 4px 18px;{side.style}">{mark}</td></tr>\n'
    if not name:
        return ""
    own = _side_for(direction_of(message.tenant.name) or side.direction)
    return (
        f'<tr><td {side.attributes} style="padding:0 4px 18px;{side.style}">'
        f'<table role="presentation" {side.attributes} cellpadding="0" cellspacing="0" border="0"><tr>'
        f'<td width="32" height="32" align="center" style="width:32px;height:32px;border-radius:9px;background:{color};'
        f'color:{_contrast_color(color)};font-size:16px;font-weight:700;line-height:32px">{escape(message.tenant.name[0].upper())}</td>'
        f'<td class="name" {own.attributes} style="padding-{side.start}:11px;{own.style};'
        'font-size:16px;font-weight:650;color:#171a21">'
        f"{name}</td></tr></table></td></tr>\n"
    )


def _picture(notification: Notification) -> str:
    if not (address := http_url(notification.image_url)):
        return ""
    image = f'<img src="{escape(address)}" alt="" width="600" style="display:block;width:100%;height:auto">'
    return f'<tr><td style="line-height:0">{image}</td></tr>\n'


def _paragraphs(body: str, whole: _Side) -> str:
    """Return the paragraphs, each in the direction of its text."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", _newlines(body)) if part.strip()]
    return "".join(_paragraph(part, _side_for(direction_of(part) or whole.direction)) for part in paragraphs)


def _paragraph(text: str, side: _Side) -> str:
    return (
        f'<p class="body" {side.attributes} style="margin:14px 0 0;{side.style};font-size:16px;line-height:1.6;'
        f'color:#3d4451;overflow-wrap:anywhere;word-break:break-word">{_linkify(text)}</p>\n'
    )


def _linkify(paragraph: str) -> str:
    """Return escaped HTML with links and line breaks."""
    pieces, done = [], 0
    for start, end in find_addresses(paragraph):
        address = escape(paragraph[start:end])
        pieces.append(escape(paragraph[done:start]))
        pieces.append(f'<a href="{address}" style="color:#1d5fd1">{address}</a>')
        done = end
    return "".join([*pieces, escape(paragraph[done:])]).replace("\n", "<br>\n")


def _actions(message: Message, color: str, side: _Side) -> str:
    after = "left" if side.direction == "rtl" else "right"
    cells = "".join(
        f'<td class="action" {side.attributes} style="padding:0 0 8px;padding-{after}:10px">'
        f"{_button(message, button, color)}</td>\n"
        for button in buttons(message)
    )
    if not cells:
        return ""
    table = (
        f'<table role="presentation" class="actions" {side.attributes} cellpadding="0" cellspacing="0" border="0" '
        'style="margin-top:26px">'
    )
    return f"{table}<tr>\n{cells}</tr></table>\n"


def _button(message: Message, button: Button, color: str) -> str:
    look = f"background:{color};color:{_contrast_color(color)};border:1px solid {color}"
    if not button.primary:
        look = "color:#2a303c;border:1px solid #cfd4dc"
    href = escape(_tracked_url(message, button.url, button.action_index))
    side = _side_for(direction_of(button.label) or "ltr")
    return (
        f'<a class="button{"" if button.primary else " second"}" href="{href}" dir="{side.direction}" style="{look};'
        "display:inline-block;border-radius:9px;padding:11px 20px;font-size:15px;line-height:1.35;font-weight:600;"
        f'text-decoration:none">{escape(button.label)}</a>'
    )


def _tracked_url(message: Message, address: str, action_index: int | None = None) -> str:
    """Return the URL that records a click and redirects, or the address itself without HUB_PUBLIC_URL."""
    if not message.receipt_url:
        return address
    return message.receipt_url if action_index is None else f"{message.receipt_url}?to={action_index}"


def _footer(message: Message, reader: Language) -> str:
    foot = escape(because(message.notification, reader))
    if message.unsubscribe_url:
        link = f'<a href="{escape(message.unsubscribe_url)}" style="color:#697080;text-decoration:underline">'
        foot += f"<br>\n{link}{escape(_unsubscribe(message, reader))}</a>"
    return foot


def _unsubscribe(message: Message, reader: Language) -> str:
    return reader.text("Unsubscribe from {category}", category=_category_name(message))


def _category_name(message: Message) -> str:
    """Return the tenant's name of the category."""
    key = message.notification.category
    return next((category.name for category in message.tenant.categories if category.key == key), key)


def _contrast_color(color: str) -> str:
    """Return white or near black, whichever contrasts better with `color` (relative luminance, WCAG 2)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.36 else "#14171d"


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
