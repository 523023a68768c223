"""The time of the newest backup, which the database itself contains. Alerts and `hub doctor` read it."""

from datetime import datetime

from hub.platform.connections import Database

COLLECTION = "backups"
NEWEST_ID = "newest"


async def record_backup(database: Database, at: datetime) -> None:
    """Record a complete backup. `at`: the time of its data. Raise PyMongoError."""
    await database[COLLECTION].update_one({"_id": NEWEST_ID}, {"$max": {"at": at}}, upsert=True)


async def read_newest(database: Database) -> datetime | None:
    """Return the time of the data of the newest backup, or None if `hub backup` made none. Raise PyMongoError."""
    doc = await database[COLLECTION].find_one({"_id": NEWEST_ID})
    return doc["at"] if doc else None
