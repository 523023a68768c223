"""Idempotency records. There is one per idempotency key, with a hash of the request and the response.

`hub/workflows/send_work.py` writes the record of a send in the transaction of the send.
`hub/api/execution/idempotency.py` writes the records of other mutations. The id of a record is the
tenant, followed by a hash of the caller and the key. The sends of rules have ids of their own, and `expires_at`.
"""

from pymongo import ASCENDING, IndexModel

from hub.platform.connections import Document, Indexes
from hub.settings import Settings

COLLECTION = "idempotency"
DAY_S = 86_400
RESPONSE_NOT_STORED = b""
"""Stored instead of the response of a successful request if that response must not be stored."""
DELETE_RESPONSE: Document = {"$set": {"response": RESPONSE_NOT_STORED}, "$unset": {"mailboxes": ""}}
"""The update that deletes a stored response because it contains data of an erased user."""


def indexes(settings: Settings) -> Indexes:
    return {
        COLLECTION: [
            # deletes old records. Records are read by `_id`.
            IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=settings.idempotency_days * DAY_S),
            # deletes the records of rules
            IndexModel(
                [("expires_at", ASCENDING)],
                name="rule_expiry",
                expireAfterSeconds=0,
                partialFilterExpression={"expires_at": {"$exists": True}},
            ),
            # finds the stored responses about a user, which are deleted when the user is erased
            IndexModel(
                [("mailboxes", ASCENDING)], name="mailboxes", partialFilterExpression={"mailboxes": {"$exists": True}}
            ),
        ]
    }
