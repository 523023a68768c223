"""The index by which waiting jobs are found."""

from pymongo import ASCENDING, IndexModel

DUE = [("lane", ASCENDING), ("due_at", ASCENDING)]


def due_index() -> IndexModel:
    """What is due, lane by lane, longest overdue first. Only what waits is in it."""
    return IndexModel(DUE, name="due", partialFilterExpression={"due_at": {"$exists": True}})
