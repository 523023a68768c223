"""The counts of the notifications and deliveries of a send that were deleted because of their age.

They are in the record of the send (`Send.deleted`), and are written in the transaction that deletes. So the counts of a
send do not change when its notifications and deliveries are deleted.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from hub.model import DeletedRecords
from hub.platform.connections import Document
from hub.platform.tolerant_decoding import decode

FIELD = "deleted"


class DeletedCounts:
    """`sends`: the collection of the records."""

    def __init__(self, sends: AsyncCollection[Document]) -> None:
        self._sends = sends

    async def get_many(self, sends: Collection[str]) -> dict[str, DeletedRecords]:
        """Return the counts of the sends of which something was deleted."""
        match = {"_id": {"$in": list(sends)}, FIELD: {"$exists": True}}
        docs = self._sends.find(match, {FIELD: 1}, hint="_id_")
        return {doc["_id"]: deleted async for doc in docs if (deleted := decode(doc[FIELD], DeletedRecords))}

    async def add(
        self, statuses: Iterable[Document], reactions: Iterable[Document], session: AsyncClientSession
    ) -> None:
        """Add the groups of deleted documents. `statuses` are counts by send, channel, status, and reason. `reactions`
        are numbers of notifications by send."""
        added: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for group in statuses:
            key = group["_id"]
            words = [str(key[name]) for name in ("k", "v", "r") if key.get(name)]
            if key.get("send"):  # a digest belongs to no send
                added[key["send"]][f"{FIELD}.counts.{' '.join(words)}"] += group["count"]
        for group in reactions:
            for name, number in group.items():
                if name != "_id" and number:
                    field = name if name == "notifications" else f"reactions.{name}"
                    added[group["_id"]][f"{FIELD}.{field}"] += number
        if updates := [UpdateOne({"_id": send}, {"$inc": dict(counts)}) for send, counts in added.items()]:
            await self._sends.bulk_write(updates, ordered=False, session=session)


def status_groups(deleted: dict[str, DeletedRecords]) -> list[Document]:
    """Return the groups that were added, as `DeletedCounts.add` takes them."""
    return [
        {"_id": dict(zip(("send", "k", "v", "r"), (send, *words.split()), strict=False)), "count": count}
        for send, records in deleted.items()
        for words, count in records.counts.items()
    ]
