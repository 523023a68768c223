"""Finds sends by words in their title.

Words have no index: thousands of sends are stored per second, and each would write several entries of it.
Instead, the titles of the newest sends of the tenant are read, and those of the newest sends to a topic, a filter, or
everyone. There are few of these, and they have an index of their own.
"""

import asyncio
import re
from collections.abc import Sequence

import pymongo
from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from hub.model import Send
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode
from hub.status.sends import AUDIENCE_INDEX, COLLECTION, TENANT_INDEX
from hub.unicode_text import folded

READ_MAX = 2_000  # newest sends whose titles are read
AUDIENCES_READ_MAX = 10_000  # newest sends to a topic, a filter, or everyone whose titles are read
READ_S = 2.0  # time for which they are read
WORDS_MAX = 8


class SendSearch:
    def __init__(self, database: Database) -> None:
        self._sends = database[COLLECTION]

    async def find_by_title(self, tenant: str, text: str, limit: int) -> list[Send]:
        """Return up to `limit` sends whose title contains each word of `text`, newest first, ignoring case. Only the
        newest sends are read. Return those that were found if this takes longer than READ_S."""
        words = text.split()[:WORDS_MAX]
        found = await asyncio.gather(
            self._read({"tenant": tenant}, TENANT_INDEX, READ_MAX, words, limit),
            self._read(
                {"tenant": tenant, "audience": {"$exists": True}}, AUDIENCE_INDEX, AUDIENCES_READ_MAX, words, limit
            ),
        )
        sends = {send.id: send for part in found for send in part}
        return [sends[id] for id in sorted(sends, reverse=True)][:limit]

    async def _read(self, match: Document, index: str, read_max: int, words: Sequence[str], limit: int) -> list[Send]:
        stages: list[Document] = [
            {"$match": match},
            {"$sort": {"_id": DESCENDING}},
            {"$limit": read_max},
            {"$match": {"$and": [_title_contains(word) for word in words]}},
            {"$limit": limit},
        ]
        try:
            with pymongo.timeout(READ_S):
                docs = await (await self._sends.aggregate(stages, hint=index)).to_list()
        except PyMongoError as error:
            if error.timeout:
                return []
            raise
        return [send for doc in docs if (send := decode(doc, Send))]


def _title_contains(word: str) -> Document:
    """Return the condition that the title contains a word, as it is written or in its folded form."""
    patterns = [{"$regex": re.escape(form), "$options": "i"} for form in {word, folded(word) or word}]
    return {"$or": [{field: pattern} for field in ("content.title", "template_title") for pattern in patterns]}
