"""The import of a file of users.

- Batches of rows are written with `upsertUsers`, several at the same time. Their results are recorded in the order of
  the file, so all rows up to the recorded position are imported or rejected.
- The position is stored next to the file, in `<file>.progress`. An import that was stopped continues there. Rows after
  the position may be imported twice, which changes nothing.
- Two batches with the same user never run at the same time, so the last row of a user is the one that remains.
- A rejected row does not stop the import. Rejected rows are written to `<name>.rejected.<suffix>`, to be corrected and
  imported.
"""

import asyncio
import re
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.cli.api_client import ApiError, execute_with_retries
from hub.cli.user_files import Row, UserFile

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { __typename } }"
BATCH_MAX_USERS = 1000
BATCH_MAX_BYTES = 500_000  # of the rows in the file; a request may be larger
BATCHES_IN_FLIGHT = 4
REPORT_INTERVAL_S = 0.5
REPORT_INTERVAL_WITHOUT_TERMINAL_S = 10.0
FIELD = re.compile(r"users\.(\d+)(?:\.(.+))?")


class Position(Struct, frozen=True):
    """How far a file was imported.

    - `hub`, `tenant`, `size`, `modified_ns`: identify the import.
    - `end`: the number of bytes of the file that are done.
    - `rejected_end`: the size of the file with the rejected rows."""

    hub: str
    tenant: str
    size: int
    modified_ns: int
    end: int = 0
    imported: int = 0
    rejected: int = 0
    rejected_end: int = 0


class _Batch(Struct, frozen=True):
    rows: Sequence[Row]
    ids: frozenset[str]
    task: "asyncio.Task[list[tuple[Row, str]]]"


class UserImport:
    """One import. `done` is the position up to which all rows are imported or rejected."""

    def __init__(self, path: Path, url: str, token: str, tenant: str) -> None:
        self._path = path
        self._url = url
        self._token = token
        stat = path.stat()
        begin = Position(url, tenant, stat.st_size, stat.st_mtime_ns)
        self._progress_path = path.with_name(f"{path.name}.progress")
        self.rejected_path = path.with_name(f"{path.stem}.rejected{path.suffix}")
        self.done = self._stored_position(begin) or begin
        self._file = UserFile(path)
        self._pending: deque[_Batch] = deque()
        self._report = _Report(stat.st_size)

    def _stored_position(self, begin: Position) -> Position | None:
        try:
            stored = msgspec.json.decode(self._progress_path.read_bytes(), type=Position)
        except (OSError, msgspec.DecodeError):
            return None
        same = replace(stored, end=0, imported=0, rejected=0, rejected_end=0) == begin
        return stored if same else None

    async def run(self) -> None:
        """Import the rows that are not done. Raise ApiError, HubUnreachable, UserFileError, or OSError."""
        begin = self.done.end
        rows: list[Row] = []
        size = 0
        try:
            for row in self._file.rows():
                if row.end <= begin:
                    continue
                rows.append(row)
                size += len(row.raw)
                if len(rows) == BATCH_MAX_USERS or size >= BATCH_MAX_BYTES:
                    await self._start(rows)
                    rows, size = [], 0
            await self._start(rows)
            while self._pending:
                await self._finish_oldest()
        finally:
            self._report.end()
            for batch in self._pending:
                batch.task.cancel()
            await asyncio.gather(*(batch.task for batch in self._pending), return_exceptions=True)
        self._progress_path.unlink(missing_ok=True)

    async def _start(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        ids = frozenset(str(row.user["id"]) for row in rows if row.user)  # the hub converts 1 to "1"
        while any(batch.ids & ids for batch in self._pending) or len(self._pending) >= BATCHES_IN_FLIGHT:
            await self._finish_oldest()
        self._pending.append(_Batch(rows, ids, asyncio.create_task(self._upsert(rows))))
        await asyncio.sleep(0)  # start the call before more of the file is read

    async def _finish_oldest(self) -> None:
        """Wait for the oldest batch, then record its rejected rows and the new position."""
        batch = self._pending[0]
        rejected = await batch.task
        self._pending.popleft()
        rejected_end = self._write_rejected(rejected) if rejected else self.done.rejected_end
        self.done = replace(
            self.done,
            end=batch.rows[-1].end,
            imported=self.done.imported + len(batch.rows) - len(rejected),
            rejected=self.done.rejected + len(rejected),
            rejected_end=rejected_end,
        )
        self._store_position()
        self._report.show(self.done)

    def _write_rejected(self, rejected: Sequence[tuple[Row, str]]) -> int:
        """Print and write rejected rows. Return the new size of the file."""
        self._report.clear()
        with self.rejected_path.open("ab") as file:
            file.truncate(self.done.rejected_end)  # rows of an earlier import, or after the stored position
            if not self.done.rejected_end:
                file.write(self._file.header)
            for row, reason in rejected:
                print(f"{self._path}:{row.line}: {reason}", file=sys.stderr)
                file.write(row.raw if row.raw.endswith(b"\n") else row.raw + b"\n")
            return file.seek(0, 2)

    def _store_position(self) -> None:
        new = self._progress_path.with_name(f"{self._progress_path.name}.new")
        new.write_bytes(msgspec.json.encode(self.done))
        new.replace(self._progress_path)

    async def _upsert(self, rows: Sequence[Row]) -> list[tuple[Row, str]]:
        """Write users. Return the rejected rows with the reason, in order.

        The hub checks users in order and reports the first error. The users before it are valid. If the error names no
        user, the users are written in halves until one user remains."""
        rejected = [(row, row.error) for row in rows if row.user is None]
        refused = 0
        parts = [[row for row in rows if row.user is not None]]
        while parts:
            part = parts.pop()
            if not part:
                continue
            try:
                await execute_with_retries(self._url, self._token, UPSERT, users=[row.user for row in part])
            except ApiError as error:
                code = error.extensions.get("code")
                field = FIELD.fullmatch(str(error.extensions.get("field")))
                if field and int(field[1]) < len(part):
                    index = int(field[1])
                    rejected.append((part[index], f"{field[2]}: {error.message}" if field[2] else error.message))
                    parts += [part[index + 1 :], part[:index]]
                elif code not in ("TOO_LARGE", "BAD_USER_INPUT"):
                    raise
                elif len(part) > 1:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                else:
                    refused += code == "BAD_USER_INPUT"
                    if refused == len(rows) > 1 and not self.done.imported:
                        raise  # the hub refuses the call, whichever user it contains
                    rejected.append((part[0], error.message))
        return sorted(rejected, key=lambda one: one[0].line)


class _Report:
    """Prints the progress: one line that changes in a terminal, otherwise a line from time to time."""

    def __init__(self, size: int) -> None:
        self._size = max(size, 1)
        self._is_terminal = sys.stderr.isatty()
        self._started_s = self._shown_s = time.monotonic()
        self._start: Position | None = None

    def show(self, done: Position) -> None:
        now_s = time.monotonic()
        interval_s = REPORT_INTERVAL_S if self._is_terminal else REPORT_INTERVAL_WITHOUT_TERMINAL_S
        self._start = self._start or done
        if now_s - self._shown_s < interval_s:
            return
        self._shown_s = now_s
        rate = (done.imported - self._start.imported) / (now_s - self._started_s)
        text = f"{done.imported:,} users imported ({done.end / self._size:.0%}), {rate:,.0f}/s"
        print(f"\r\033[K{text}" if self._is_terminal else text, end="" if self._is_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line from the terminal before another text is printed."""
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr)

    end = clear
