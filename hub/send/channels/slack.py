"""The SLACK channel: incoming webhooks with blocks (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

Slack interprets `*`, `_`, `~`, and a backtick in `mrkdwn` text and has no escape for them. A body without links and
styles is therefore `plain_text`, in which Slack interprets nothing. In other bodies, `&`, `<`, and `>` are escaped, so
mentions such as `<!channel>` are text, and an invisible character separates the others from their word. `verbatim`
keeps Slack from turning names such as `@here` into mentions.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hub.markdown import Line, Span
from hub.model import Channel
from hub.platform.outbound_http import HTTPResponse
from hub.send.channel import ChannelResources
from hub.send.chat_card import Card, card, fit, has_text, parts, shorten, utf16_units
from hub.send.chat_webhook import ChatProvider, failed, preview_of, providers
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Outcome, Sent

CHANNEL = Channel.SLACK

# https://docs.slack.dev/reference/block-kit/blocks
HEADER_MAX_CHARS = 150
TEXT_MAX_CHARS = 3000  # of a section
BUTTON_MAX_CHARS = 75
BUTTONS_MAX = 25
ALT_TEXT_MAX_CHARS = 2000
FALLBACK_MAX_CHARS = 3000

MARKS = re.compile(r"[*_~`]|:(?=[\w+'-]+:)|^(?=&gt;)")  # styles, emoji, and quotes
INVISIBLE = "\u200b"  # zero-width space
OTHER_BACKTICK = "\u02cb"  # looks like a backtick, which cannot be escaped within code
GONE_STATUSES = (404, 410)
GONE_CODES = frozenset({"no_service", "no_service_id", "no_active_hooks", "no_team", "team_disabled", "invalid_token"})
CODES = GONE_CODES | {
    *("channel_not_found", "channel_is_archived", "action_prohibited", "posting_to_general_channel_denied"),
    *("invalid_payload", "invalid_blocks", "invalid_blocks_format", "no_text", "rollup_error", "user_not_found"),
    *("rate_limited", "ratelimited"),
}


async def create_providers(resources: ChannelResources) -> Sequence[Provider]:
    """Return the provider if HUB_CHATS contains SLACK."""
    return providers(Slack, resources)


def preview(message: Message) -> Preview:
    """Return the request body and the message as Slack shows it."""
    return preview_of(CHANNEL, message, fitting(card(message)), payload(message))


class Slack(ChatProvider):
    channel = CHANNEL

    def payload(self, message: Message) -> dict[str, Any]:
        return payload(message)

    def outcome(self, response: HTTPResponse, now: datetime) -> Outcome:
        if 200 <= response.status < 300:
            return Sent()
        word = response.body[:64].decode(errors="replace").strip()
        code = word if word in CODES else ""
        return failed(response, now, code=code, gone=response.status in GONE_STATUSES or code in GONE_CODES)


def payload(message: Message) -> dict[str, Any]:
    """Return the request body."""
    content = fitting(card(message))
    sender = message.tenant.name
    blocks: list[dict[str, Any]] = [{"type": "header", "block_id": message.id, "text": _plain(content.title)}]
    if has_text(content.lines):
        blocks.append({"type": "section", "text": _text(content.lines)})
    if content.image_url:
        alt_text = shorten(message.notification.title or sender, utf16_units, ALT_TEXT_MAX_CHARS)
        blocks.append({"type": "image", "image_url": content.image_url, "alt_text": alt_text})
    if content.buttons:
        blocks.append({"type": "actions", "elements": [_button(*button) for button in _labels(content)]})
    footer = f"{sender} · {content.footer}" if sender else content.footer
    blocks.append({"type": "context", "elements": [_plain(shorten(footer, utf16_units, TEXT_MAX_CHARS))]})
    fallback = escape(shorten(message.notification.title or content.title, _escaped_size, FALLBACK_MAX_CHARS))
    return {"text": fallback, "unfurl_links": False, "unfurl_media": False, "blocks": blocks}


def fitting(content: Card) -> Card:
    """Return the card with the texts within Slack's limits."""
    size = _plain_size if _is_plain(content.lines) else _mrkdwn_size
    return Card(
        title=shorten(content.title, utf16_units, HEADER_MAX_CHARS),
        title_url=content.title_url,
        lines=fit(content.lines, size, TEXT_MAX_CHARS),
        image_url=content.image_url,
        buttons=content.buttons[:BUTTONS_MAX],
        footer=content.footer,
    )


def escape(text: str) -> str:
    """Return text in which nothing is a link, a mention, or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(span: Span) -> str:
    """Return a span in Slack's markup."""
    before, inner, after = parts(escape(span.text))
    if not inner:
        return before
    if span.code and not span.url:
        inner = f"`{inner.replace('`', OTHER_BACKTICK)}`"
    else:
        inner = MARKS.sub(lambda mark: f"{mark[0]}{INVISIBLE}", inner)
    if span.url:
        inner = f"<{escape(span.url)}|{inner}>"
    if span.italic:
        inner = f"_{inner}_"
    if span.bold:
        inner = f"*{inner}*"
    if span.bold or span.italic or span.code:  # styles begin and end at the edge of a word
        inner = f"{INVISIBLE}{inner}{INVISIBLE}"
    return f"{before}{inner}{after}"


def _is_plain(lines: Sequence[Line]) -> bool:
    return not any(span.bold or span.italic or span.code or span.url for line in lines for span in line)


def _text(lines: Sequence[Line]) -> dict[str, Any]:
    if _is_plain(lines):
        return _plain("\n".join("".join(span.text for span in line) for line in lines))
    return {"type": "mrkdwn", "verbatim": True, "text": "\n".join("".join(map(mrkdwn, line)) for line in lines)}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "emoji": False, "text": text}


def _labels(content: Card) -> list[tuple[str, str, bool]]:
    return [
        (shorten(button.label, utf16_units, BUTTON_MAX_CHARS), button.url, button.primary) for button in content.buttons
    ]


def _button(label: str, url: str, primary: bool) -> dict[str, Any]:
    return {"type": "button", "text": _plain(label), "url": url} | ({"style": "primary"} if primary else {})


def _plain_size(span: Span) -> int:
    return utf16_units(span.text)


def _mrkdwn_size(span: Span) -> int:
    return utf16_units(mrkdwn(span))


def _escaped_size(text: str) -> int:
    return utf16_units(escape(text))
