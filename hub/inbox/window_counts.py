"""The counts of events per mailbox and time window, such as the sends that a throttle counts.

They are read and written in the transactions of the group commit, under the lock of the mailbox. MongoDB deletes them
after their window.
"""

from collections.abc import Collection
from datetime import datetime
from hashlib import sha256

from pymongo import ASCENDING, IndexModel

from hub.model import WindowCount
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode_by_id

COLLECTION = "window_counts"
SEPARATOR, AFTER_SEPARATOR = "\n", "\v"  # user ids contain neither


def indexes() -> Indexes:
    # deletes counts after their window. Counts are read by `_id`.
    return {COLLECTION: [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]}


def throttle_id(mailbox: str, key: str) -> str:
    """Return the id of the count of a throttle key, which may contain the name of a person."""
    return SEPARATOR.join((mailbox, "throttle", sha256(key.encode()).hexdigest()))


def lookback_id(mailbox: str, digest_key: str) -> str:
    """Return the id of the mark that a delivery with a digest key preceded."""
    return SEPARATOR.join((mailbox, "lookback", sha256(digest_key.encode()).hexdigest()))


def empty_count(id: str, now: datetime) -> WindowCount:
    return WindowCount(id=id, count=0, started_at=now, expires_at=now)


def match_mailbox(mailbox: str) -> Document:
    """Return the match of all counts of a mailbox."""
    return {"_id": {"$gt": f"{mailbox}{SEPARATOR}", "$lt": f"{mailbox}{AFTER_SEPARATOR}"}}


class WindowCounts:
    def __init__(self, database: Database) -> None:
        self._counts = database[COLLECTION]

    async def get_many(self, ids: Collection[str]) -> dict[str, WindowCount]:
        """Return the counts that exist, by id."""
        return await decode_by_id(self._counts.find({"_id": {"$in": list(ids)}}), WindowCount)
