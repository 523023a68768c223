"""Fake webhooks of Slack, Discord, and Teams. They reject what the real ones reject, and answer their documented
errors."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from time import monotonic
from typing import Any

from aiohttp import web

from tests.fake_providers import FakeHTTPServer

Reply = Callable[[], web.Response]
HTTP = re.compile(r"https?://[^\s<>]+")
MENTION = re.compile(r"<[!@#]|<(?!https?://[^<>|]+(\|[^<>]*)?>)")
"""Slack's mentions, and any `<` that does not begin a link."""


class Rejected(Exception):
    """The request that the chat does not accept."""


def require(condition: object, why: str) -> None:
    if not condition:
        raise Rejected(why)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class FakeChat(FakeHTTPServer):
    """`messages`: the accepted bodies by path. `arrived_at`: when each request arrived, by path. `ids`: the
    `idempotency-key` of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.arrived_at: defaultdict[str, list[float]] = defaultdict(list)
        self.ids: list[str] = []
        self.replies: dict[str, Reply] = {}

    @property
    def accepted(self) -> list[dict[str, Any]]:
        return [message for messages in self.messages.values() for message in messages]

    async def respond(self, request: web.Request, body: bytes) -> web.Response:
        self.arrived_at[request.path].append(monotonic())
        self.ids.append(request.headers["idempotency-key"])
        if reply := self.replies.get(request.path):
            return reply()
        try:
            require(request.method == "POST" and request.content_type == "application/json", "content type")
            message = json.loads(body)
            self.check(request, message)
        except (Rejected, KeyError, ValueError) as error:
            return self.reject(repr(error))
        self.messages[request.path].append(message)
        return self.accept()

    def check(self, request: web.Request, message: Any) -> None:
        """Raise Rejected if the chat would not accept the message."""
        raise NotImplementedError

    def reject(self, why: str) -> web.Response:
        raise NotImplementedError

    def accept(self) -> web.Response:
        raise NotImplementedError


class FakeSlack(FakeChat):
    """`broken_images`: URLs that Slack cannot load."""

    broken_images: frozenset[str] = frozenset()

    def accept(self) -> web.Response:
        return web.Response(text="ok")

    def reject(self, why: str) -> web.Response:
        return web.Response(status=400, text="invalid_blocks" if "content type" not in why else "invalid_payload")

    def check(self, request: web.Request, message: Any) -> None:  # noqa: ARG002 - part of FakeChat
        require(message["text"] and not MENTION.search(message["text"]), "fallback")
        require(1 <= len(message["blocks"]) <= 50, "blocks")
        for block in message["blocks"]:
            getattr(self, f"_check_{block['type']}")(block)

    def _check_header(self, block: Any) -> None:
        require(block["text"]["type"] == "plain_text", "header")
        self._check_text(block["text"], 150)

    def _check_section(self, block: Any) -> None:
        self._check_text(block["text"], 3000)

    def _check_image(self, block: Any) -> None:
        require(HTTP.fullmatch(block["image_url"]) and block["image_url"] not in self.broken_images, "image")
        require(1 <= units(block["alt_text"]) <= 2000, "alt text")

    def _check_actions(self, block: Any) -> None:
        require(1 <= len(block["elements"]) <= 25, "actions")
        for button in block["elements"]:
            require(button["type"] == "button" and HTTP.fullmatch(button["url"]), "button")
            require(len(button["url"]) <= 3000 and button.get("style", "primary") in {"primary", "danger"}, "button")
            self._check_text(button["text"], 75)

    def _check_context(self, block: Any) -> None:
        require(1 <= len(block["elements"]) <= 10, "context")
        for element in block["elements"]:
            self._check_text(element, 3000)

    @staticmethod
    def _check_text(text: Any, max_chars: int) -> None:
        require(text["type"] in {"plain_text", "mrkdwn"} and 1 <= units(text["text"]) <= max_chars, "text")
        if text["type"] == "mrkdwn":
            require("emoji" not in text and text["verbatim"] is True, "mrkdwn")
            require(not MENTION.search(text["text"]), "mention")
        else:
            require("verbatim" not in text, "plain_text")


class FakeDiscord(FakeChat):
    def accept(self) -> web.Response:
        return web.json_response({"id": str(1000 + len(self.accepted)), "type": 0})

    def reject(self, why: str) -> web.Response:
        return web.json_response({"message": "Invalid Form Body", "code": 50035, "errors": why}, status=400)

    def check(self, request: web.Request, message: Any) -> None:
        require(re.fullmatch(r"/api/v10/webhooks/\d+/[\w-]+", request.path), "path")
        require(request.query.get("wait") == "true" and request.query.get("with_components") == "true", "query")
        require(message["allowed_mentions"] == {"parse": []}, "mentions")
        require(len(message["embeds"]) == 1 and "content" not in message, "embeds")
        [embed] = message["embeds"]
        sizes = {
            "title": (units(embed["title"]), 256),
            "description": (units(embed.get("description", "")), 4096),
            "footer": (units(embed["footer"]["text"]), 2048),
            "author": (units(embed.get("author", {}).get("name", "")), 256),
        }
        require(all(size <= limit for size, limit in sizes.values()), "size")
        require(sum(size for size, _ in sizes.values()) <= 6000, "sum")
        for url in (embed.get("url"), embed.get("image", {}).get("url"), embed.get("author", {}).get("icon_url")):
            require(url is None or HTTP.fullmatch(url), "url")
        require(0 <= embed.get("color", 0) <= 0xFFFFFF, "color")
        for row in message.get("components", []):
            require(row["type"] == 1 and 1 <= len(row["components"]) <= 5, "row")
            for button in row["components"]:
                require(button["type"] == 2 and button["style"] == 5 and "custom_id" not in button, "button")
                require(1 <= units(button["label"]) <= 80, "label")
                require(HTTP.fullmatch(button["url"]) and len(button["url"]) <= 512, "button url")


class FakeTeams(FakeChat):
    def accept(self) -> web.Response:
        return web.Response(status=202)

    def reject(self, why: str) -> web.Response:
        return web.json_response({"error": {"code": "InvalidRequestContent", "message": why}}, status=400)

    def check(self, request: web.Request, message: Any) -> None:
        require((request.content_length or 0) <= 28 * 1024, "size")
        require(request.query["sig"], "signature")
        require(message["type"] == "message" and len(message["attachments"]) == 1, "message")
        [attachment] = message["attachments"]
        require(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", "attachment")
        card = attachment["content"]
        require(card["type"] == "AdaptiveCard" and card["version"] == "1.4", "card")
        require("entities" not in card.get("msteams", {}), "mentions")
        require(card["body"], "body")
        for element in card["body"]:
            require(element["type"] in {"RichTextBlock", "Image"}, "element")
            for run in element.get("inlines", []):
                require(run["type"] == "TextRun" and isinstance(run["text"], str), "run")
                require(not re.search(r"\{\{(DATE|TIME)\(", run["text"]), "function")
                action = run.get("selectAction")
                require(not action or (action["type"] == "Action.OpenUrl" and HTTP.fullmatch(action["url"])), "link")
        for action in card.get("actions", []):
            require(action["type"] == "Action.OpenUrl" and HTTP.fullmatch(action["url"]) and action["title"], "action")
