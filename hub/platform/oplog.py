"""The time that MongoDB's oplog covers. Receipt cursors that are older than the oplog expire."""

import time
from datetime import timedelta

import structlog
from pymongo.errors import OperationFailure

from hub.platform.connections import Database

CHECK_EVERY_S = 10.0
FULL_SHARE = 0.9  # of the maximum size. MongoDB deletes the oldest entries in large steps.
OPLOG = "oplog.rs"

log = structlog.get_logger(__name__)


class Oplog:
    """Checks that the oplog covers at least `hours`, or still has space. 0 hours: no check."""

    def __init__(self, database: Database, hours: float) -> None:
        self._local = database.client["local"]
        self._min = timedelta(hours=hours)
        self._is_short = False
        self._check_at_s = 0.0 if hours else float("inf")

    async def is_short(self) -> bool:
        """Return True if large writes must wait, because the oplog is full and covers too little time. The result is up
        to CHECK_EVERY_S old. If this user of MongoDB must not read the oplog, return False."""
        now_s = time.monotonic()
        if now_s >= self._check_at_s:
            self._check_at_s = now_s + CHECK_EVERY_S
            was_short, self._is_short = self._is_short, await self._check()
            if self._is_short and not was_short:
                log.warning("oplog_short", hours=self._min.total_seconds() / 3600)
        return self._is_short

    async def _check(self) -> bool:
        try:
            stats = await self._local.command("collStats", OPLOG)
            oplog = self._local[OPLOG]
            entries = [await oplog.find_one({}, {"ts": 1}, sort=[("$natural", order)]) for order in (1, -1)]
        except OperationFailure as error:
            log.warning("oplog_unreadable", error=error)
            self._check_at_s = float("inf")
            return False
        first, last = (entry["ts"].as_datetime() if entry else None for entry in entries)
        is_full = stats["size"] >= FULL_SHARE * stats.get("maxSize", float("inf"))
        return bool(is_full and first and last and last - first < self._min)
