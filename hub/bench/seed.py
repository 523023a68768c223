"""One large mailbox, written past the hub but in the shape that it writes."""

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient, WriteConcern

from hub.ids import new_id
from hub.inbox import box
from hub.model import Box, Mailbox, Notification, Priority, document

AT_ONCE = 5_000
CATEGORIES = 10
TURN = 100  # of so many: 1 new, 9 unread, 10 archived, the others read


def fill(mongo_url: str, database: str, mailbox: str, size: int, progress: Callable[[float], None]) -> None:
    """Writes the mailbox and its notifications. The hub makes the indexes when it starts."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    try:
        target = client.get_database(database, write_concern=WriteConcern(1, j=False))
        batch: list[dict[str, Any]] = []
        counts = dict.fromkeys(Box, 0)
        for done, n in enumerate(_notifications(mailbox, size), 1):
            assert n.box
            counts[n.box] += 1
            batch.append(document(n))
            if len(batch) == AT_ONCE or done == size:
                target.notifications.insert_many(batch, ordered=False)
                batch = []
                progress(done / size)
        head = Mailbox(
            id=mailbox,
            epoch=secrets.token_hex(4),
            modseq=size,
            unread=counts[Box.NEW] + counts[Box.UNREAD],
            unseen=counts[Box.NEW],
        )
        target.mailboxes.insert_one(document(head))
    finally:
        client.close()


def _notifications(mailbox: str, size: int) -> Iterator[Notification]:
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=size)
    for modseq in range(1, size + 1):
        at = began + timedelta(seconds=modseq)
        turn = modseq % TURN
        yield box.placed(
            Notification(
                id=new_id(),
                mailbox=mailbox,
                send=new_id(),
                category=f"category-{modseq % CATEGORIES}",
                title=f"Notification {modseq}",
                body="Something happened that somebody wants to know about. " * 2,
                priority=Priority.MEDIUM,
                because="You were named by the sender.",
                created_at=at,
                updated_at=at,
                modseq=modseq,
                added_modseq=modseq,
                seen_at=at if turn >= 1 else None,
                read_at=at if turn >= 10 else None,
                archived_at=at if turn >= 90 else None,
            )
        )
