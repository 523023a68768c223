"""The DISCORD channel: webhooks with one embed (https://docs.discord.com/developers/resources/webhook#execute-webhook).

`allowed_mentions` is empty, so no text notifies anyone, and every character that Discord interprets is escaped.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from yarl import URL

from hub import utc_time
from hub.markdown import Span
from hub.model import Channel
from hub.platform.outbound_http import HTTPResponse
from hub.platform.signed_links import http_url
from hub.send.channel import ChannelResources
from hub.send.chat_card import Card, card, fit, has_text, link_target, parts, shorten, utf16_units
from hub.send.chat_webhook import ChatProvider, failed, json_body, preview_of, providers
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Outcome, Sent

CHANNEL = Channel.DISCORD

# https://docs.discord.com/developers/resources/message#embed-object-embed-limits. All texts have 6,000 characters at
# most, which these limits ensure.
TITLE_MAX_CHARS = 256
DESCRIPTION_MAX_CHARS = 4096
AUTHOR_MAX_CHARS = 256
FOOTER_MAX_CHARS = 1024
BUTTON_MAX_CHARS = 80
BUTTON_URL_MAX_CHARS = 512
ROW_BUTTONS_MAX = 5
ROWS_MAX = 5
ACTION_ROW, BUTTON, LINK = 1, 2, 5

API = re.compile(r"/api/(?:v\d+/)?(?=webhooks/)")
API_VERSION = "/api/v10/"  # without a version, Discord uses one in which delays are milliseconds
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
SPECIAL = re.compile(r"[\\`*_~|<>\[\]()#@:+-]|(?<=\d)\.")
SNOWFLAKE = re.compile(r"\d{1,20}")
GONE_CODES = frozenset({10003, 10015, 50027})  # unknown channel, unknown webhook, invalid webhook token


async def create_providers(resources: ChannelResources) -> Sequence[Provider]:
    """Return the provider if HUB_CHATS contains DISCORD."""
    return providers(Discord, resources)


def preview(message: Message) -> Preview:
    """Return the request body and the message as Discord shows it."""
    return preview_of(CHANNEL, message, fitting(card(message)), payload(message))


class Discord(ChatProvider):
    channel = CHANNEL

    def payload(self, message: Message) -> dict[str, Any]:
        return payload(message)

    def target(self, url: str) -> str:
        """Return the URL with which Discord shows buttons, and responds when the message is stored."""
        parsed = URL(url, encoded=True)
        versioned = parsed.with_path(API.sub(API_VERSION, parsed.raw_path, count=1), encoded=True, keep_query=True)
        return str(versioned.update_query(wait="true", with_components="true"))

    def outcome(self, response: HTTPResponse, now: datetime) -> Outcome:
        body = json_body(response)
        if 200 <= response.status < 300:
            id = str(body.get("id", ""))
            return Sent(id if SNOWFLAKE.fullmatch(id) else None, pause_s=_pause_s(response))
        code = body.get("code")
        return failed(
            response,
            now,
            code=f"code {code}" if isinstance(code, int) and code else "",
            gone=code in GONE_CODES,
            after_s=_seconds(body.get("retry_after")),
            shared=True if body.get("global") is True or "x-ratelimit-global" in response.headers else None,
        )


def payload(message: Message) -> dict[str, Any]:
    """Return the request body."""
    content, tenant = fitting(card(message)), message.tenant
    embed: dict[str, Any] = {
        "title": escape(content.title),
        "footer": {"text": content.footer},
        "timestamp": utc_time.rfc3339(message.created_at),
    }
    if content.title_url:
        embed["url"] = content.title_url
    if has_text(content.lines):
        embed["description"] = "\n".join("".join(map(markup, line)) for line in content.lines)
    if content.image_url:
        embed["image"] = {"url": content.image_url}
    if tenant.color and COLOR.fullmatch(tenant.color):
        embed["color"] = int(tenant.color[1:], 16)
    if tenant.name:
        logo_url = http_url(tenant.logo_url)
        name = shorten(tenant.name, utf16_units, AUTHOR_MAX_CHARS)
        embed["author"] = {"name": name} | ({"icon_url": logo_url} if logo_url else {})
    links = [
        {"type": BUTTON, "style": LINK, "label": shorten(one.label, utf16_units, BUTTON_MAX_CHARS), "url": one.url}
        for one in content.buttons
    ]
    rows = [links[start : start + ROW_BUTTONS_MAX] for start in range(0, len(links), ROW_BUTTONS_MAX)]
    components = {"components": [{"type": ACTION_ROW, "components": row} for row in rows]} if rows else {}
    return {"embeds": [embed], "allowed_mentions": {"parse": []}, **components}


def fitting(content: Card) -> Card:
    """Return the card within Discord's limits. A button with a longer URL is left out; the title links to the first."""
    allowed = [button for button in content.buttons if len(button.url) <= BUTTON_URL_MAX_CHARS]
    return Card(
        title=shorten(content.title, lambda text: utf16_units(escape(text)), TITLE_MAX_CHARS),
        title_url=content.title_url,
        lines=fit(content.lines, lambda span: utf16_units(markup(span)), DESCRIPTION_MAX_CHARS),
        image_url=content.image_url,
        buttons=tuple(allowed[: ROW_BUTTONS_MAX * ROWS_MAX]),
        footer=shorten(content.footer, utf16_units, FOOTER_MAX_CHARS),
    )


def escape(text: str) -> str:
    """Return text in which Discord interprets nothing."""
    return SPECIAL.sub(r"\\\g<0>", text)


def markup(span: Span) -> str:
    """Return a span in Discord's Markdown."""
    if not span.text.strip():
        return span.text
    if span.url and link_target(span.text) == span.url:
        return f"<{span.url}>"
    before, inner, after = parts(span.text)
    inner = _code(inner) if span.code and not span.url else escape(inner)
    if span.url:
        inner = f"[{inner}]({span.url})"
    if span.italic:
        inner = f"*{inner}*"
    if span.bold:
        inner = f"**{inner}**"
    return f"{before}{inner}{after}"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _pause_s(response: HTTPResponse) -> float | None:
    """Return the time after which the webhook accepts the next message, or None if it accepts one now."""
    if response.headers.get("x-ratelimit-remaining") != "0":
        return None
    try:
        return _seconds(float(response.headers.get("x-ratelimit-reset-after", "")))
    except ValueError:
        return None


def _seconds(value: object) -> float | None:
    """Return a number of seconds, or None for another value."""
    return float(value) if isinstance(value, int | float) and 0 <= value < float("inf") else None
