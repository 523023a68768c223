"""New epochs for all mailboxes of a database that was restored.

A client may have a cursor from after the backup. After new changes, the modseq of the restored mailbox is higher than
that of the cursor, so only another epoch makes the client load its inbox again.
"""

import secrets
from collections.abc import Callable

from hub.platform.connections import Database

SLICE = 10_000  # mailboxes per update


async def renew_epochs(database: Database, report: Callable[[int], None]) -> int:
    """Give all mailboxes a new epoch. `report` gets the number so far. Return their number."""
    values = {"$set": {"epoch": secrets.token_hex(4)}}  # an epoch is compared only with others of the same mailbox
    renewed, after = 0, ""
    while True:
        following = database.mailboxes.find({"_id": {"$gt": after}}, {"_id": 1}, hint="_id_").sort("_id", 1)
        last = [doc["_id"] async for doc in following.skip(SLICE - 1).limit(1)]
        until = {"$lte": last[0]} if last else {}
        renewed += (await database.mailboxes.update_many({"_id": {"$gt": after} | until}, values)).modified_count
        report(renewed)
        if not last:
            return renewed
        after = last[0]
