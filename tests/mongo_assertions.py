"""The documents in MongoDB, read directly and counted by independent rules."""

from collections import Counter
from datetime import datetime
from typing import Any

from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from tests.client import Json

MarkRow = tuple[str, bool, bool, bool, bool, bool, bool, str | None]


class StoredTenant:
    """The documents of one tenant."""

    def __init__(self, mongo_url: str, tenant: str) -> None:
        self._client: AsyncMongoClient[Json] = AsyncMongoClient(mongo_url, tz_aware=True)
        self._database = self._client["hub"]
        self._tenant = tenant

    async def __aenter__(self) -> "StoredTenant":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def mailbox(self, user: str) -> Json:
        found = await self._database.mailboxes.find_one({"_id": f"{self._tenant}/{user}"})
        assert found
        return found

    async def notifications(self, user: str) -> list[Json]:
        """Return all notifications: visible, hidden and removed."""
        return await self._database.notifications.find({"mailbox": f"{self._tenant}/{user}"}).to_list()

    async def list_changes_after(self, user: str, after: int) -> list[tuple[int, str]]:
        """Return number and id of the changes after a number, in that order."""
        return sorted((n["modseq"], n["_id"]) for n in await self.notifications(user) if n.get("modseq", 0) > after)

    async def count_due(self, before: datetime) -> int:
        """Return how many notifications the clock will change before then."""
        expected = {"mailbox": {"$regex": f"^{self._tenant}/"}, "wake_at": {"$lt": before}}
        return await self._database.notifications.count_documents(expected)

    async def count_per_send(self) -> Counter[str]:
        """Return how many notifications each send made."""
        found = self._database.notifications.find({"mailbox": {"$regex": f"^{self._tenant}/"}}, {"send": 1})
        return Counter([n["send"] async for n in found])


async def stored_receipts(database: Database, **fields: Any) -> list[Json]:
    """Return the stored receipts with these values as one row each, oldest first. Erased rows are left out."""
    found = []
    async for doc in database.receipts.find({}).sort("_id"):
        for index, row in enumerate(doc["rows"]):
            if row:
                about = {"user_id": row["u"], "notification_id": row["n"], "send_id": doc["sends"][row.get("s", 0)]}
                receipt = {"id": f"{doc['_id']}-{index:03}", "tenant": doc["tenant"], "at": doc["at"], **about}
                found.append(receipt | doc["events"][row.get("e", 0)])
    return [row for row in found if all(row.get(name) == value for name, value in fields.items())]


def visible_notifications(notifications: list[Json]) -> list[Json]:
    """Return the notifications that their user may see, newest first."""
    visible = [n for n in notifications if not n.get("removed_at") and not n.get("hidden")]
    return sorted(visible, key=lambda n: -n["added_modseq"])


def check_live_keys(notifications: list[Json]) -> None:
    """Check that each notification with a collapse key is live until it is removed, and that no two share a key."""
    live = [n for n in notifications if n.get("collapse_key") and not n.get("removed_at")]
    keys = [f"{'ack' if n.get('require_ack') else 'plain'}/{n['collapse_key']}" for n in live]
    assert [n.get("live_key") for n in live] == keys
    assert len(set(keys)) == len(keys)
    assert not [n for n in notifications if n.get("live_key") and n not in live]


def mark_rows(notifications: list[Json]) -> list[MarkRow]:
    """Return rows like `Replica.state`: id, seen, read, archived, snoozed, acknowledged, pinned, action."""
    marks = ("seen_at", "read_at", "archived_at", "snoozed_until", "acknowledged_at", "pinned")
    found = visible_notifications(notifications)
    return [(n["_id"], *(bool(n.get(mark)) for mark in marks), n.get("acted_key")) for n in found]


def count_unread_unseen(notifications: list[Json]) -> tuple[int, int]:
    """Return unread and unseen."""
    active = [
        n for n in visible_notifications(notifications) if not n.get("archived_at") and not n.get("snoozed_until")
    ]
    unread = [n for n in active if not n.get("read_at")]
    return len(unread), sum(not n.get("seen_at") for n in unread)
