"""Reads all documents of a database as they were at one time.

- The first read chooses the time, and every other read names it (read concern `snapshot` with `atClusterTime`). A read
  is one command for a range of `_id`, so it can be repeated after an election, and by another process.
- MongoDB keeps the history that these reads need for `minSnapshotHistoryWindowInSeconds`, 300 s by default. If the user
  may, the parameter is raised while the backup runs, and then set back. Otherwise, a backup that takes longer ends with
  `SnapshotGone`.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from hub.platform.connections import Database, is_outage

DOCUMENTS_MAX = 50_000  # of one read. MongoDB returns fewer if they are larger than 16 MiB.
SNAPSHOT_GONE_CODES = frozenset({239, 246})  # SnapshotTooOld, SnapshotUnavailable
WINDOW = "minSnapshotHistoryWindowInSeconds"
DEFAULT_WINDOW_S = 300
OUTAGE_MAX_S = 60.0  # reads are repeated for this time
OUTAGE_PAUSE_S = 1.0
RAW: "CodecOptions[RawBSONDocument]" = CodecOptions(document_class=RawBSONDocument)


class SnapshotGone(Exception):
    """MongoDB no longer has the history that the snapshot needs."""


class Snapshot:
    """`at`: the time, or None for now. `window_s`: the parameter before an earlier process raised it, if it did."""

    def __init__(self, database: Database, at: tuple[int, int] | None = None, window_s: int | None = None) -> None:
        self._database = database
        self._at = Timestamp(*at) if at else None
        self._started_s = time.time() if at is None else float(at[0])
        self.original_window_s = window_s
        self._window_s = 0
        self._may_raise = True

    @property
    def at(self) -> tuple[int, int] | None:
        """The time of the snapshot. None before the first read."""
        return (self._at.time, self._at.inc) if self._at else None

    @property
    def window_s(self) -> int:
        """For how long MongoDB keeps the history, as a process last read or set it."""
        return self._window_s

    async def read(self, collection: str, after: list[Any]) -> list[RawBSONDocument]:
        """Return the documents after the `_id` in `after`, or the first ones if it is empty. Return none at the end.
        Raise SnapshotGone or PyMongoError."""
        await self.keep_history()
        concern: dict[str, Any] = {"level": "snapshot"} | ({"atClusterTime": self._at} if self._at else {})
        command: dict[str, Any] = {"find": collection, "sort": {"_id": 1}, "readConcern": concern}
        if after:  # the bound is inclusive, and compares values of all types
            command |= {"min": {"_id": after[0]}, "hint": {"_id": 1}, "skip": 1}
        command |= {"limit": DOCUMENTS_MAX, "batchSize": DOCUMENTS_MAX, "singleBatch": True}
        cursor = (await self._run(command))["cursor"]
        if self._at is None:
            self._at = cursor["atClusterTime"]
        found: list[RawBSONDocument] = cursor["firstBatch"]
        return found

    async def _run(self, command: dict[str, Any]) -> RawBSONDocument:
        deadline_s = time.monotonic() + OUTAGE_MAX_S
        while True:
            try:
                return await self._database.command(command, codec_options=RAW)
            except PyMongoError as error:
                if isinstance(error, OperationFailure) and error.code in SNAPSHOT_GONE_CODES:
                    raise SnapshotGone(str(error.details and error.details.get("errmsg"))) from None
                if not is_outage(error) or time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(OUTAGE_PAUSE_S)

    async def keep_history(self) -> None:
        """Raise the parameter before half of its time has passed, if the user may."""
        if not self._window_s:
            self._window_s = await self._read_window()
            if self.original_window_s is None:
                self.original_window_s = self._window_s
        if self._may_raise and time.time() - self._started_s > self._window_s / 2:
            self._may_raise = await self._set_window(2 * self._window_s)

    async def close(self) -> None:
        """Set the parameter back."""
        if self.original_window_s is not None and self._window_s > self.original_window_s:
            await self._set_window(self.original_window_s)

    async def _read_window(self) -> int:
        with suppress(OperationFailure):
            return int((await self._database.client.admin.command({"getParameter": 1, WINDOW: 1}))[WINDOW])
        self._may_raise = False
        return DEFAULT_WINDOW_S

    async def _set_window(self, seconds: int) -> bool:
        try:
            await self._database.client.admin.command({"setParameter": 1, WINDOW: seconds})
        except PyMongoError:  # not allowed, or an election: the next process that backs up sets it back
            return False
        self._window_s = seconds
        return True
