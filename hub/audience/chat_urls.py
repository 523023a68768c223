"""The URLs of chat webhooks. Anyone with such a URL can post messages, so it is a secret."""

import re
from collections.abc import Collection

from msgspec import Struct
from yarl import URL

from hub.model import DeviceKind

SHOWN_CHARS = 4
TLS_PORT = 443


class Chat(Struct, frozen=True):
    """The URLs that a chat issues. `host` and `path` are patterns. `example` completes: `The URL must be like ...`."""

    host: re.Pattern[str]
    path: re.Pattern[str]
    example: str


CHATS = {
    DeviceKind.SLACK: Chat(
        re.compile(r"hooks\.slack\.com"), re.compile(r"/services/.+"), "https://hooks.slack.com/services/T…/B…/…"
    ),
    DeviceKind.DISCORD: Chat(
        re.compile(r"discord(app)?\.com"),
        re.compile(r"/api/(v\d+/)?webhooks/\d+/[\w-]+"),
        "https://discord.com/api/webhooks/…/…",
    ),
    DeviceKind.TEAMS: Chat(
        re.compile(r"[a-z0-9.-]+\.(logic\.azure\.com|powerplatform\.com|webhook\.office\.com)"),
        re.compile(r"/.+"),
        "https://….logic.azure.com/workflows/… or https://….powerplatform.com/…/workflows/…",
    ),
}


def is_url_of(kind: DeviceKind, url: URL, origins: Collection[str]) -> bool:
    """Return True if a chat issues such URLs, or if the URL has one of these origins (HUB_CHAT_ORIGINS)."""
    chat, host = CHATS[kind], (url.raw_host or "").lower()
    issued = url.scheme == "https" and url.port == TLS_PORT
    issued = issued and bool(chat.host.fullmatch(host) and chat.path.fullmatch(url.raw_path))
    return issued or str(url.origin()).lower() in origins


def masked(url: URL) -> str:
    """Return what is shown of a URL: the host and the last characters."""
    return f"{url.host} …{str(url)[-SHOWN_CHARS:]}"
