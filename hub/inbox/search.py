"""Searches for words in titles and bodies, ignoring case and Unicode variants (see `unicode_text.folded`).

A case-insensitive regular expression in MongoDB compares one character at a time. This misses matches in texts that
contain ß or full-width letters, for example. A notification with such a text is stored with the folded form of the
text, which is also searched.
"""

import re
from functools import lru_cache

from hub.model import Notification, document
from hub.platform.connections import Document
from hub.unicode_text import folded, needs_folding

SEARCH_TEXT = "search_text"
"""The field of a notification document that contains the folded text."""
CACHE_SIZE = 64  # texts. All recipients of a send have the same text.


def stored_document(n: Notification) -> Document:
    """Return the document of a new notification."""
    doc = document(n)
    if form := _folded(n.title, n.body):
        doc[SEARCH_TEXT] = form
    return doc


def contains_word(word: str) -> Document:
    """Return the query condition that a notification contains this word. The condition uses no index."""
    form = folded(word) or word  # folding removes invisible characters, and an empty word would match every text
    conditions = [{field: _pattern(form)} for field in ("title", "body", SEARCH_TEXT)]
    if needs_folding(word):  # finds notifications that are stored without a folded text
        conditions += [{field: _pattern(word)} for field in ("title", "body")]
    return {"$or": conditions}


def _pattern(text: str) -> Document:
    return {"$regex": re.escape(text), "$options": "i"}


@lru_cache(CACHE_SIZE)
def _folded(title: str, body: str) -> str | None:
    if not (needs_folding(title) or needs_folding(body)):
        return None
    return f"{folded(title)}\n{folded(body)}"
