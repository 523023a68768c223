"""The output of `hub watch`: one line for each change, on terminals and in pipes."""

import os
import sys
from datetime import datetime
from typing import Any

from cachetools import LRUCache

from hub.markdown import plain_text

BODY_CHARS = 60
TITLE_CHARS = 100
MAX_CACHED = 5000  # notifications that are cached to detect what changed

MARK_LABELS = (  # field, label when set, label when cleared
    ("archivedAt", "archived", "unarchived"),
    ("snoozedUntil", "snoozed", "back"),
    ("acknowledgedAt", "acknowledged", "changed"),
    ("actedAt", "acted", "changed"),
    ("pinned", "pinned", "unpinned"),
    ("readAt", "read", "unread"),
    ("seenAt", "seen", "unseen"),
)
BULK_LABELS = {"ALL_READ": "all read", "ALL_SEEN": "all seen", "ALL_ARCHIVED": "all archived"}
BULK_FIELDS = {"ALL_READ": ("readAt", "seenAt"), "ALL_SEEN": ("seenAt",), "ALL_ARCHIVED": ("archivedAt",)}
COLORS = {"new": "1;32", "back": "1;32", "removed": "31", "lost": "33", "resumed": "36", "read": "2", "seen": "2"}

Item = dict[str, Any]


class InboxPrinter:
    """Prints an inbox. Control characters in titles are removed because senders are not trusted."""

    def __init__(self, title: str, url: str) -> None:
        self._title = title
        self._url = url
        self._colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._cached: LRUCache[str, Item] = LRUCache(MAX_CACHED)

    def page(self, page: Item) -> None:
        """Print a page with the newest notification last."""
        self._print(f"{_sanitize(self._title)} at {self._url}: {_format_counts(page)}")
        for item in reversed(page["nodes"]):
            self._cached[item["id"]] = item
            self._line("" if item["readAt"] else "unread", _describe(item), at=item["createdAt"])
        self._print("Live. Press Ctrl-C to stop.")

    def event(self, event: Item) -> None:
        kind: str = event["kind"]
        item: Item | None = event["notification"]
        if kind == "RESYNC":
            return
        if item is None:
            self._line(BULK_LABELS.get(kind, kind), _format_counts(event))
            self._apply_bulk(kind)
        elif kind == "REMOVED":
            self._cached.pop(item["id"], None)
            self._line("removed", f"{_truncate(item['title'], TITLE_CHARS)} · {_format_counts(event)}")
        else:
            before = self._cached.get(item["id"])
            self._cached[item["id"]] = item
            if kind == "ADDED" and before is None:
                self._line("new", f"{_describe(item)} · {_format_counts(event)}")
            else:
                summary = _truncate(item["title"], TITLE_CHARS) if before else _describe(item)
                self._line(_describe_change(before, item), f"{summary} · {_format_counts(event)}")

    def lost(self, cause: str) -> None:
        self._line("lost", f"{_sanitize(cause)} Reconnecting.")

    def resumed(self, missed: int) -> None:
        changes = "1 change" if missed == 1 else f"{missed} changes"
        self._line("resumed", f"caught up on {changes}." if missed else "nothing was missed.")

    def resync(self) -> None:
        self._cached.clear()
        self._line("resumed", "too many changes to list; reloaded.")

    def end(self) -> None:
        if sys.stdout.isatty():
            self._print("")

    def _apply_bulk(self, kind: str) -> None:
        """Apply a bulk change to the cached notifications of the ACTIVE view."""
        for id, item in list(self._cached.items()):
            if not item["archivedAt"] and not item["snoozedUntil"]:
                self._cached[id] = {**item, **{field: item[field] or "set" for field in BULK_FIELDS[kind]}}

    def _line(self, word: str, text: str, *, at: str | None = None) -> None:
        when = datetime.fromisoformat(at).astimezone() if at else datetime.now().astimezone()
        stamp = f"{when:%H:%M:%S}" if not at or when.date() == datetime.now().astimezone().date() else f"{when:%d %b  }"
        padded = f"{word:<12}"
        if self._colored and (color := COLORS.get(word)):
            padded = f"\x1b[{color}m{padded}\x1b[0m"
        self._print(f"{stamp}  {padded} {text}")

    def _print(self, text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), flush=True)


def _describe_change(before: Item | None, after: Item) -> str:
    """Return the label of the first mark that changed. Without a previous state, use the current marks."""
    for field, set_label, cleared_label in MARK_LABELS:
        is_set = bool(after[field])
        was_set = before is not None and bool(before[field])
        if is_set != was_set:
            return set_label if is_set else cleared_label
    return "changed"


def _describe(item: Item) -> str:
    priority = "" if item["priority"] in {"MEDIUM", "LOW"} else f" [{item['priority']}]"
    body = _truncate(plain_text(item["body"]) if item["markdown"] else item["body"], BODY_CHARS)
    title = _truncate(item["title"], TITLE_CHARS)
    return f"{title}{priority} ({_sanitize(item['category'])}){f' · {body}' if body else ''}"


def _format_counts(event: Item) -> str:
    return f"{event['unread']} unread, {event['unseen']} unseen"


def _truncate(text: str, max_chars: int) -> str:
    cleaned = _sanitize(text)
    return cleaned if len(cleaned) <= max_chars else f"{cleaned[: max_chars - 1]}…"


def _sanitize(text: str) -> str:
    """Return the text as one line without control characters."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
