"""How a mail looks, as text and as HTML. Pure.

HTML for mail programs: tables, styles in place, no script, and nothing loaded but the tenant's logo and the
notification's picture. Whatever people wrote is escaped; a link is http or https.
"""

import re
from html import escape

from msgspec import Struct
from msgspec.structs import replace

from hub.links import web_address
from hub.model import Notification
from hub.send.message import Message

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
BLUE = "#2457e6"  # for a tenant without a colour of its own
URL = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}*_]")
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
    """`place` is the action's; None for the notification's own address."""

    label: str
    url: str
    primary: bool
    place: int | None = None


def text(message: Message) -> str:
    """The part for those who read text."""
    notification = message.notification
    links = [f"{button.label}: {button.url}" for button in buttons(notification)]
    foot = [f"-- \n{notification.because}"]
    if message.unsubscribe_url:
        foot.append(f"Unsubscribe from {_category(message)}: {message.unsubscribe_url}")
    blocks = [notification.title, notification.body, "\n".join(links), "\n".join(foot)]
    return _newlines("\n\n".join(block for block in blocks if block.strip()) + "\n")


def html(message: Message) -> str:
    """The part for everybody else."""
    notification, tenant = message.notification, message.tenant
    color = tenant.color if tenant.color and COLOR.fullmatch(tenant.color) else BLUE
    title = escape(notification.title)
    if address := web_address(notification.action_url):
        title = f'<a href="{escape(_counted(message, address))}" style="color:#171a21;text-decoration:none">{title}</a>'
    return _newlines(f"""<!doctype html>
<html lang="en" dir="auto">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no,date=no,address=no,email=no">
<title>{escape(notification.title)}</title>
<style>{STYLE}</style>
</head>
<body style="margin:0;padding:0;background:#f3f4f6">
<div style="display:none;max-height:0;overflow:hidden">{escape(notification.body[:PREVIEW_CHARS])}</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" class="page"
  style="background:#f3f4f6"><tr><td align="center" class="page" style="padding:36px 16px;font-family:{FONT}">
<!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"
  style="max-width:600px;table-layout:fixed">
{_head(message, color)}<tr><td class="card"
  style="background:#ffffff;border:1px solid #e4e7ec;border-radius:14px;overflow:hidden">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="table-layout:fixed">
{_picture(notification)}<tr><td class="text" style="padding:32px 36px 32px">
<h1 class="title" style="margin:0;font-size:23px;line-height:1.3;font-weight:650;letter-spacing:-0.01em;
  color:#171a21;overflow-wrap:anywhere;word-break:break-word">{title}</h1>
{_paragraphs(notification.body)}{_actions(message, color)}</td></tr>
</table>
</td></tr>
<tr><td class="foot" align="center" style="padding:22px 20px 8px;font-size:13px;line-height:1.6;color:#697080">
{_foot(message)}
</td></tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr>
</table>
</body>
</html>
""")


def buttons(notification: Notification) -> list[Button]:
    """What can be clicked: the actions with an address of the web, else the notification's own. One is primary."""
    found = [
        Button(action.label, address, action.primary, place)
        for place, action in enumerate(notification.actions)
        if (address := web_address(action.url))
    ]
    if not found and (address := web_address(notification.action_url)):
        found = [Button("Open", address, primary=True)]
    if found and not any(button.primary for button in found):
        found[0] = replace(found[0], primary=True)
    return sorted(found, key=lambda button: not button.primary)


def _head(message: Message, color: str) -> str:
    name = escape(message.tenant.name)
    if logo := web_address(message.tenant.logo_url):
        mark = f'<img src="{escape(logo)}" alt="{name}" height="32" style="display:block;height:32px;max-width:200px">'
        return f'<tr><td style="padding:0 4px 18px">{mark}</td></tr>\n'
    if not name:
        return ""
    return (
        '<tr><td style="padding:0 4px 18px"><table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>'
        f'<td width="32" height="32" align="center" style="width:32px;height:32px;border-radius:9px;background:{color};'
        f'color:{_on(color)};font-size:16px;font-weight:700;line-height:32px">{escape(message.tenant.name[0].upper())}</td>'
        '<td class="name" style="padding-left:11px;font-size:16px;font-weight:650;color:#171a21">'
        f"{name}</td></tr></table></td></tr>\n"
    )


def _picture(notification: Notification) -> str:
    if not (address := web_address(notification.image_url)):
        return ""
    image = f'<img src="{escape(address)}" alt="" width="600" style="display:block;width:100%;height:auto">'
    return f'<tr><td style="line-height:0">{image}</td></tr>\n'


def _paragraphs(body: str) -> str:
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", _newlines(body)) if part.strip()]
    return "".join(
        '<p class="body" style="margin:14px 0 0;font-size:16px;line-height:1.6;color:#3d4451;overflow-wrap:anywhere;'
        f'word-break:break-word">{_linked(part)}</p>\n'
        for part in paragraphs
    )


def _linked(paragraph: str) -> str:
    """Escaped, its addresses clickable, its line breaks kept."""
    pieces, end = [], 0
    for found in URL.finditer(paragraph):
        address = escape(found[0])
        pieces.append(escape(paragraph[end : found.start()]))
        pieces.append(f'<a href="{address}" style="color:#1d5fd1">{address}</a>')
        end = found.end()
    return "".join([*pieces, escape(paragraph[end:])]).replace("\n", "<br>\n")


def _actions(message: Message, color: str) -> str:
    cells = "".join(
        f'<td class="action" style="padding:0 10px 8px 0">{_button(message, button, color)}</td>\n'
        for button in buttons(message.notification)
    )
    if not cells:
        return ""
    table = (
        '<table role="presentation" class="actions" cellpadding="0" cellspacing="0" border="0" style="margin-top:26px">'
    )
    return f"{table}<tr>\n{cells}</tr></table>\n"


def _button(message: Message, button: Button, color: str) -> str:
    look = f"background:{color};color:{_on(color)};border:1px solid {color}"
    if not button.primary:
        look = "color:#2a303c;border:1px solid #cfd4dc"
    href = escape(_counted(message, button.url, button.place))
    return (
        f'<a class="button{"" if button.primary else " second"}" href="{href}" style="{look};'
        "display:inline-block;border-radius:9px;padding:11px 20px;font-size:15px;line-height:1.35;font-weight:600;"
        f'text-decoration:none">{escape(button.label)}</a>'
    )


def _counted(message: Message, address: str, place: int | None = None) -> str:
    """The way there that counts as a click, where there is one. The hub looks up where it leads."""
    if not message.receipt_url:
        return address
    return message.receipt_url if place is None else f"{message.receipt_url}?to={place}"


def _foot(message: Message) -> str:
    foot = escape(message.notification.because)
    if message.unsubscribe_url:
        link = f'<a href="{escape(message.unsubscribe_url)}" style="color:#697080;text-decoration:underline">'
        foot += f"<br>\n{link}Unsubscribe from {escape(_category(message))}</a>"
    return foot


def _category(message: Message) -> str:
    """As its tenant calls it."""
    key = message.notification.category
    return next((category.name for category in message.tenant.categories if category.key == key), key)


def _on(color: str) -> str:
    """White or nearly black, whichever is read better on `color` (relative luminance, WCAG 2)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.36 else "#14171d"


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
