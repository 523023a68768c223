"""Idempotency records: one per idempotency key, with the hash of the request and its response.

`hub/workflows/publish.py` writes the record of a send in its transaction. `hub/api/execution/idempotency.py` writes the
records of other mutations. The id of a record is a hash of the caller and the key, after the tenant.
"""

from pymongo import ASCENDING, IndexModel

from hub.platform.connections import Document, Indexes
from hub.settings import Settings

COLLECTION = "idempotency"
DAY_S = 86_400
RESPONSE_NOT_STORED = b""
"""The response of a request that has succeeded, if its response may not be stored."""
DELETE_RESPONSE: Document = {"$set": {"response": RESPONSE_NOT_STORED}, "$unset": {"mailboxes": ""}}
"""The update that deletes a stored response, because it is about an erased user."""


def indexes(settings: Settings) -> Indexes:
    return {
        COLLECTION: [
            # deletes old records, which are read by `_id`
            IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=settings.idempotency_days * DAY_S),
            # stored responses about a user, which are deleted with the user
            IndexModel(
                [("mailboxes", ASCENDING)], name="mailboxes", partialFilterExpression={"mailboxes": {"$exists": True}}
            ),
        ]
    }
