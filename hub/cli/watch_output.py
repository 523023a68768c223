"""How `hub watch` shows an inbox: a line a change, for eyes and for pipes alike."""

import os
import sys
from datetime import datetime
from typing import Any

BODY_CHARS = 60
TITLE_CHARS = 100
KNOWN_MAX = 5000  # notifications remembered, to tell what about them changed

MARKS = (  # field, what it says when it is set, what when it is cleared
    ("archivedAt", "archived", "unarchived"),
    ("snoozedUntil", "snoozed", "back"),
    ("acknowledgedAt", "confirmed", "unconfirmed"),
    ("readAt", "read", "unread"),
    ("seenAt", "seen", "unseen"),
)
ALL = {"ALL_READ": "all read", "ALL_SEEN": "all seen", "ALL_ARCHIVED": "all archived"}
ALL_SET = {"ALL_READ": ("readAt", "seenAt"), "ALL_SEEN": ("seenAt",), "ALL_ARCHIVED": ("archivedAt",)}
COLOURS = {"new": "1;32", "back": "1;32", "removed": "31", "lost": "33", "resumed": "36", "read": "2", "seen": "2"}

Item = dict[str, Any]


class Screen:
    """Titles are other people's words: control characters never reach the terminal."""

    def __init__(self, title: str, url: str) -> None:
        self._title = title
        self._url = url
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._known: dict[str, Item] = {}

    def page(self, page: Item) -> None:
        """The newest, oldest of them first, so that the newest stands at the bottom where more will come."""
        self._say(f"{_clean(self._title)} at {self._url}: {_counts(page)}")
        for item in reversed(page["nodes"]):
            self._remember(item)
            self._line("" if item["readAt"] else "unread", _described(item), at=item["createdAt"])
        self._say("Live. Ctrl-C ends it.")

    def event(self, event: Item) -> None:
        kind: str = event["kind"]
        item: Item | None = event["notification"]
        if kind == "RESYNC":
            return
        if item is None:
            self._line(ALL.get(kind, kind), _counts(event))
            self._mark_all(kind)
        elif kind == "REMOVED":
            self._known.pop(item["id"], None)
            self._line("removed", f"{_short(item['title'], TITLE_CHARS)} · {_counts(event)}")
        else:
            before = self._known.get(item["id"])
            self._remember(item)
            if kind == "ADDED" and before is None:
                self._line("new", f"{_described(item)} · {_counts(event)}")
            else:
                told = _short(item["title"], TITLE_CHARS) if before else _described(item)
                self._line(_change(before, item), f"{told} · {_counts(event)}")

    def lost(self, why: str) -> None:
        self._line("lost", f"{_clean(why)} Trying again.")

    def resumed(self, missed: int) -> None:
        changes = "1 change" if missed == 1 else f"{missed} changes"
        self._line("resumed", f"where it was cut off; caught up on {changes}." if missed else "nothing was missed.")

    def resync(self) -> None:
        self._known.clear()
        self._line("resumed", "too much had changed to tell one by one; loaded anew.")

    def end(self) -> None:
        if sys.stdout.isatty():
            self._say("")

    def _remember(self, item: Item) -> None:
        self._known.pop(item["id"], None)
        self._known[item["id"]] = item
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _mark_all(self, kind: str) -> None:
        """Does to what is remembered in the ACTIVE view what the change did."""
        for id, item in self._known.items():
            if not item["archivedAt"] and not item["snoozedUntil"]:
                self._known[id] = {**item, **{field: item[field] or "then" for field in ALL_SET[kind]}}

    def _line(self, word: str, text: str, *, at: str | None = None) -> None:
        when = datetime.fromisoformat(at).astimezone() if at else datetime.now().astimezone()
        stamp = f"{when:%H:%M:%S}" if not at or when.date() == datetime.now().astimezone().date() else f"{when:%d %b  }"
        padded = f"{word:<10}"
        if self._coloured and (colour := COLOURS.get(word)):
            padded = f"\x1b[{colour}m{padded}\x1b[0m"
        self._say(f"{stamp}  {padded} {text}")

    def _say(self, text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), flush=True)


def _change(before: Item | None, after: Item) -> str:
    """What happened to it, in a word: the first mark that differs. Without a state before, what its marks say now."""
    for field, is_set, is_cleared in MARKS:
        now = after[field] is not None
        then = before is not None and before[field] is not None
        if now != then:
            return is_set if now else is_cleared
    return "changed"


def _described(item: Item) -> str:
    priority = "" if item["priority"] in {"MEDIUM", "LOW"} else f" [{item['priority']}]"
    body = _short(item["body"], BODY_CHARS)
    return f"{_short(item['title'], TITLE_CHARS)}{priority} ({_clean(item['category'])}){f' · {body}' if body else ''}"


def _counts(of: Item) -> str:
    return f"{of['unread']} unread, {of['unseen']} unseen"


def _short(text: str, most: int) -> str:
    cleaned = _clean(text)
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 1]}…"


def _clean(text: str) -> str:
    """One line, with nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
