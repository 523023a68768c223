"""Search for words in title or body, ignoring case and Unicode variants (see `text.folded`).

MongoDB's regular expressions ignore case letter by letter. That is not enough for texts with ß or full-width letters,
for example. Such a notification is stored with the folded form of its text, which is searched too.
"""

import re
from functools import lru_cache

from hub.model import Notification, document
from hub.platform.connections import Document
from hub.text import folded, needs_folding

SEARCH_TEXT = "search_text"
"""The field of a notification's document that holds the folded text."""
CACHE_SIZE = 64  # texts. All recipients of a send have the same.


def stored_document(n: Notification) -> Document:
    """Return the document of a new notification."""
    doc = document(n)
    if form := _folded(n.title, n.body):
        doc[SEARCH_TEXT] = form
    return doc


def contains_word(word: str) -> Document:
    """Return a query condition: the notification contains this word. No index is used for it."""
    form = folded(word) or word  # folding removes invisible characters, and an empty word would match every text
    conditions = [{field: _pattern(form)} for field in ("title", "body", SEARCH_TEXT)]
    if needs_folding(word):  # for notifications that are stored without their folded text
        conditions += [{field: _pattern(word)} for field in ("title", "body")]
    return {"$or": conditions}


def _pattern(text: str) -> Document:
    return {"$regex": re.escape(text), "$options": "i"}


@lru_cache(CACHE_SIZE)
def _folded(title: str, body: str) -> str | None:
    if not (needs_folding(title) or needs_folding(body)):
        return None
    return f"{folded(title)}\n{folded(body)}"
