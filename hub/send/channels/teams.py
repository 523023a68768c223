"""The TEAMS channel: Adaptive Cards for the trigger "When a Teams webhook request is received" of a workflow
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook).

Texts are runs of a `RichTextBlock`, in which Teams interprets no Markdown and no HTML. A mention would need an entity,
which no card has. A workflow takes a message before it posts it, so a message that was accepted is SENT.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from msgspec.structs import replace

from hub.markdown import Line, Span
from hub.model import Channel
from hub.platform.outbound_http import HTTPResponse
from hub.send.channel import ChannelResources
from hub.send.chat_card import Card, card, fit, has_text, shorten, utf16_units
from hub.send.chat_webhook import ChatProvider, failed, json_body, preview_of, providers
from hub.send.message import Message, Preview, Provider
from hub.send.outcome import Outcome, Sent

CHANNEL = Channel.TEAMS

MESSAGE_MAX_BYTES = 28_000  # Teams accepts 28 KB
TITLE_MAX_CHARS = 1000
FOOTER_MAX_CHARS = 1000
BUTTON_MAX_CHARS = 100
BUTTONS_MAX = 6  # more are not shown
LINE_BYTES = 60  # of a RichTextBlock without its runs
CARD = "application/vnd.microsoft.card.adaptive"
SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"

FUNCTION = re.compile(r"\{(?=\{(?:DATE|TIME)\()")
INVISIBLE = "\u200b"  # zero-width space
GONE_STATUSES = (404, 410)
CODE = re.compile(r"[A-Za-z]{1,60}")
OFFICE_ERROR = re.compile(rb"HTTP error (\d{3})")
"""The status in the body of a response of an Office 365 connector, which is 200 also for errors."""


async def create_providers(resources: ChannelResources) -> Sequence[Provider]:
    """Return the provider if HUB_CHATS contains TEAMS."""
    return providers(Teams, resources)


def preview(message: Message) -> Preview:
    """Return the request body and the message as Teams shows it."""
    return preview_of(CHANNEL, message, fitting(message), payload(message))


class Teams(ChatProvider):
    channel = CHANNEL

    def payload(self, message: Message) -> dict[str, Any]:
        return payload(message)

    def outcome(self, response: HTTPResponse, now: datetime) -> Outcome:
        if 200 <= response.status < 300:
            if not (error := OFFICE_ERROR.search(response.body)):
                return Sent()
            response = replace(response, status=int(error[1]))
        error_body = json_body(response).get("error")
        code = error_body.get("code") if isinstance(error_body, dict) else None
        word = code if isinstance(code, str) and CODE.fullmatch(code) else ""
        return failed(response, now, code=word, gone=response.status in GONE_STATUSES)


def payload(message: Message) -> dict[str, Any]:
    """Return the request body."""
    return _payload(message, fitting(message))


def fitting(message: Message) -> Card:
    """Return the card of a message within the limits of Teams."""
    content = card(message)
    whole = Card(
        title=shorten(content.title, utf16_units, TITLE_MAX_CHARS),
        title_url=content.title_url,
        lines=(),
        image_url=content.image_url,
        buttons=tuple(
            replace(button, label=shorten(button.label, utf16_units, BUTTON_MAX_CHARS))
            for button in content.buttons[:BUTTONS_MAX]
        ),
        footer=shorten(content.footer, utf16_units, FOOTER_MAX_CHARS),
    )
    left = MESSAGE_MAX_BYTES - len(orjson.dumps(_payload(message, whole)))
    return replace(whole, lines=fit(content.lines, lambda span: len(orjson.dumps(_run(span))) + 1, left, LINE_BYTES))


def _payload(message: Message, content: Card) -> dict[str, Any]:
    tenant, title = message.tenant, {"size": "Large", "weight": "Bolder"}
    body: list[dict[str, Any]] = []
    if tenant.name:
        body.append(_block([_run(Span(tenant.name)) | {"size": "Small", "isSubtle": True}]))
    body.append(_block([_run(Span(content.title)) | title]))
    if has_text(content.lines):
        body += _paragraphs(content.lines)
    if content.image_url:
        body.append({"type": "Image", "url": content.image_url, "altText": content.title})
    body.append(_block([_run(Span(content.footer)) | {"size": "Small", "isSubtle": True}]))
    adaptive: dict[str, Any] = {
        "$schema": SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": content.title,
        "msteams": {"width": "Full"},
        "body": body,
    }
    if content.buttons:
        adaptive["actions"] = [_action(button.label, button.url, button.primary) for button in content.buttons]
    return {
        "type": "message",
        "summary": content.title,
        "attachments": [{"contentType": CARD, "contentUrl": None, "content": adaptive}],
    }


def _paragraphs(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return a block for each line. Lines of one paragraph are close to each other."""
    blocks, close = [], False
    for line in lines:
        if any(span.text for span in line):
            blocks.append(_block([_run(span) for span in line], "None" if close else "Medium"))
        close = bool(line)
    return blocks


def _block(runs: list[dict[str, Any]], spacing: str = "Small") -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": runs}


def _run(span: Span) -> dict[str, Any]:
    run: dict[str, Any] = {"type": "TextRun", "text": FUNCTION.sub(f"{{{INVISIBLE}", span.text)}
    if span.bold:
        run["weight"] = "Bolder"
    if span.italic:
        run["italic"] = True
    if span.code:
        run["fontType"] = "Monospace"
    if span.url:
        run |= {"color": "Accent", "selectAction": {"type": "Action.OpenUrl", "url": span.url}}
    return run


def _action(label: str, url: str, primary: bool) -> dict[str, Any]:
    action = {"type": "Action.OpenUrl", "title": FUNCTION.sub(f"{{{INVISIBLE}", label), "url": url}
    return action | ({"style": "positive"} if primary else {})
