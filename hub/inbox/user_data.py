"""Exports and erases the inbox of a user."""

from collections import Counter
from collections.abc import Sequence

from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.inbox import state
from hub.platform.connections import Database, Document


class InboxUserData:
    """Exports and erases inboxes.

    Erasure runs in the session of an exclusive work, because a unit of work cannot delete a mailbox."""

    def __init__(self, database: Database) -> None:
        self._mailboxes = database.mailboxes
        self._notifications = database.notifications

    async def export_counts(self, mailbox: str) -> Document | None:
        """Return the counts of the mailbox, or None if it does not exist."""
        return await self._mailboxes.find_one(
            {"_id": mailbox}, {"_id": 0, "unread": 1, "unseen": 1, "interruptions": 1}
        )

    async def export_notifications(self, mailbox: str, limit: int) -> list[Document]:
        """Return the newest `limit` notifications as stored."""
        docs = self._notifications.find({"mailbox": mailbox}).sort("modseq", DESCENDING).limit(limit)
        return await docs.to_list()

    async def list_ids(self, mailbox: str, limit: int) -> list[str]:
        """Return the ids of up to `limit` notifications, in any order."""
        docs = self._notifications.find({"mailbox": mailbox}, {"_id": 1}, hint="feed").limit(limit)
        return [doc["_id"] async for doc in docs]

    async def next_batch(self, mailbox: str, limit: int, session: AsyncClientSession) -> list[Document]:
        """Return the id, send, and state of up to `limit` notifications to erase."""
        docs = self._notifications.find({"mailbox": mailbox}, {"send": 1, "state": 1}, session=session).limit(limit)
        return await docs.to_list()

    async def delete_notifications(self, batch: Sequence[Document], session: AsyncClientSession) -> None:
        if batch:
            await self._notifications.delete_many({"_id": {"$in": [doc["_id"] for doc in batch]}}, session=session)

    async def delete_mailbox(self, mailbox: str, session: AsyncClientSession) -> bool:
        """Delete the mailbox after its last notifications. Return True if it existed."""
        return (await self._mailboxes.delete_one({"_id": mailbox}, session=session)).deleted_count == 1

    async def shrink_mailbox(
        self, mailbox: str, batch: Sequence[Document], epoch: str, session: AsyncClientSession
    ) -> bool:
        """Subtract a deleted batch from the counts, and change the epoch. Return True if the mailbox exists."""
        states = Counter(str(doc["state"]) for doc in batch if "state" in doc)  # may contain states of another version
        counts = {
            "unread": -sum(states[name] for name in state.UNREAD),
            "unseen": -sum(states[name] for name in state.UNSEEN),
        }
        update = {"$set": {"epoch": epoch}, "$inc": counts}
        return (await self._mailboxes.update_one({"_id": mailbox}, update, session=session)).matched_count == 1
