"""The text of a message with a limited length: SMS and WhatsApp. Pure."""

import unicodedata
from collections.abc import Callable

import regex

from hub.platform.signed_links import http_url
from hub.send.message import Message
from hub.send.url_finder import find_addresses

GRAPHEME = regex.compile(r"\X")
ELLIPSIS = "..."  # in GSM-7, unlike the character

Fits = Callable[[str], bool]
"""Returns True if a text is short enough. A part of a text that fits must fit, too."""


def short_text(message: Message, fits: Fits, max_chars: int) -> str:
    """Return the title, the body, and the link of a message. A text that does not fit is cut, and its link is kept.

    No text of more than `max_chars` characters fits. The link is that of the notification, or of its first action that
    has one. It is not repeated if the text contains it. A link that does not fit is left out. The cut is never inside a
    link or inside what is displayed as one character, such as an emoji."""
    n = message.notification
    blocks = (n.title.strip(), message.plain_body.strip())
    text = unicodedata.normalize("NFC", "\n".join(block for block in blocks if block)).replace("\t", " ")
    urls = (n.action_url, *(action.url for action in n.actions))
    link = next((found for url in urls if (found := http_url(url))), None)
    end = f"\n{link}" if link and text else link or ""
    whole = text if link and link in text else text + end
    if len(whole) <= max_chars and fits(whole):
        return whole
    text = text[:max_chars]
    shortened = _cut(text, ELLIPSIS, fits)
    if not link or link in shortened or not fits(ELLIPSIS + end):
        return shortened
    return _cut(text, ELLIPSIS + end, fits)


def _cut(text: str, end: str, fits: Fits) -> str:
    """Return the longest beginning of a text that fits together with `end`."""
    cuts = [0, *(match.end() for match in GRAPHEME.finditer(text))]
    first, last = 0, len(cuts) - 1
    while first < last:
        middle = (first + last + 1) // 2
        if fits(text[: cuts[middle]] + end):
            first = middle
        else:
            last = middle - 1
    cut = cuts[first]
    cut = next((start for start, stop in find_addresses(text) if start < cut < stop), cut)
    return text[:cut].rstrip() + end
