"""Removes personal data from texts and log lines that people share."""

import re
from typing import Any

import orjson

PRIVATE_FIELDS = frozenset({"user", "recipient", "mailbox", "mailboxes", "actor", "target", "address"})
"""The fields of log lines that contain data about a person, as listed in docs/operations/monitoring.md."""
PRIVATE_ID_EVENTS = frozenset({"document_unreadable"})
"""The events whose `id` may contain the id of a user."""
REPLACEMENTS = (
    (re.compile(r"[^\s<>\"']+@[^\s<>\"']+\.\w+"), "[email]"),
    (re.compile(r"\b([\w.+-]+)/\S+ (?=fails and is not called)"), r"\1/[address] "),  # circuit breakers of URLs
    (re.compile(r"\bhttps?://[^\s\"',;)]+"), "[url]"),
    (re.compile(r"\+\d[\d ()-]{5,}\d"), "[phone]"),
)

FRAME = re.compile(r"[ |+-]*(File \"|Traceback )")
EXCEPTION = re.compile(r"([ |+-]*[\w.]+(Error|Exception|Group))\b")


def redact_text(text: str) -> str:
    """Replace email addresses, phone numbers, and web addresses."""
    for pattern, replacement in REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return text


def redact_log_line(line: str) -> str | None:
    """Return a log line without personal data, or None if it is not a JSON object, like lines of other programs."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict):
        return None
    private = PRIVATE_FIELDS | ({"id"} if event.get("event") in PRIVATE_ID_EVENTS else set())
    kept = {name: _redact(name, value) for name, value in event.items() if name not in private}
    return orjson.dumps(kept).decode()


def _redact(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(_frames(value) if name == "exception" else value)
    if isinstance(value, list):
        return [_redact(name, each) for each in value]
    if isinstance(value, dict):
        return {key: _redact(key, each) for key, each in value.items() if key not in PRIVATE_FIELDS}
    return value


def _frames(traceback: str) -> str:
    """Return the files, line numbers, and exception classes of a traceback, without the texts of exceptions, which may
    quote anything."""
    kept = []
    for line in traceback.splitlines():
        if FRAME.match(line):
            kept.append(line)
        elif found := EXCEPTION.match(line):
            kept.append(found[1])
    return "\n".join(kept)
