"""Streams of receipts, read from MongoDB change streams.

Guarantees
- Each receipt is delivered at least once, with a stable id. Readers discard ids that they have already received.
- A reader that resumes with a cursor misses no receipt if the oplog still contains its position. A cursor is a resume
  token. Up to the last row of a document, it is the token before that document, with the document and the row.
- One live change stream per process feeds all readers, because each stream makes MongoDB decode the whole oplog. Its
  newest documents stay in a bounded buffer. A reader whose position is not in the buffer, because it is too old or the
  reader is too slow, reads a stream from its position until it reaches the buffer. Readers that start at the same place
  share that stream.
- All streams contain the documents of all tenants. A position may be any of these documents, and MongoDB cannot resume
  a stream at a document that the stream does not contain.

How it runs: the first reader starts the live stream, which ends IDLE_S after the last reader. After an error, all
readers of the stream fail, and the next reader starts it again. A stream from an earlier position ends with its last
reader or with the live stream. `close` stops all.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any

import pymongo
from bson import Timestamp
from msgspec import Struct
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from hub import base64url, utc_time
from hub.errors import BadUserInput, CursorExpired, RateLimited
from hub.model import Receipt
from hub.platform import metrics
from hub.platform.connections import Database, Document, is_outage
from hub.status.receipts import COLLECTION, unpack

CLOCK_MARGIN = timedelta(seconds=60)  # tolerated difference between the clocks of this process and of MongoDB
HISTORY_LOST = 286
RETRY_AFTER_S = 10.0  # after RateLimited
WAIT_MS = 1000  # time for which MongoDB blocks a read without results
BUFFER_MAX_ROWS = 20_000  # receipts in the buffer, about 10 MB
IDLE_S = 60.0  # time for which the live stream waits for readers that reconnect
OPLOG_READ_S = 600.0  # maximum time of a read from an earlier position. MongoDB returns after the next receipt.


class StreamedReceipt(Struct, frozen=True):
    """A receipt and the stream position after it."""

    receipt: Receipt
    cursor: str


class _Insert(Struct, frozen=True):
    """An inserted document, with the positions before and after it. Positions are resume tokens in hexadecimal, which
    sort in the order of the stream."""

    before: str
    after: str
    doc: Document

    @property
    def rows(self) -> int:
        return len(self.doc["rows"])

    def concerns(self, tenant: str, send_id: str | None) -> bool:
        return self.doc["tenant"] == tenant and (send_id is None or send_id in self.doc["sends"])


class _Start(Struct, frozen=True):
    """The start of a reader: a position, a time, or neither for new receipts. The rows up to `row` of `document` are
    left out."""

    position: str | None = None
    time: Timestamp | None = None
    document: str = ""
    row: int = -1


class _ChangeStream:
    """One open change stream of all inserted documents. `position` is its position."""

    def __init__(self, stream: AsyncChangeStream[Document]) -> None:
        self._stream = stream
        self.position = self._read_position()

    @property
    def alive(self) -> bool:
        return self._stream.alive

    async def read(self) -> _Insert | None:
        """Return the next document, or None after WAIT_MS without one."""
        before = self.position
        change = await self._stream.try_next()
        self.position = self._read_position()
        return None if change is None else _Insert(before, change["_id"]["_data"], change["fullDocument"])

    def _read_position(self) -> str:
        token = self._stream.resume_token
        assert token, "the first batch is empty, so MongoDB returns a token with it"
        position: str = token["_data"]
        return position


@asynccontextmanager
async def _open(receipts: AsyncCollection[Document], start: _Start) -> AsyncGenerator[_ChangeStream, None]:
    options: dict[str, Any] = {}
    if start.position is not None:
        options["resume_after"] = {"_data": start.position}
    elif start.time is not None:
        options["start_at_operation_time"] = start.time
    stages = [{"$match": {"operationType": "insert", "fullDocument.rows": {"$exists": True}}}]
    metrics.receipt_streams.inc()
    try:
        async with await receipts.watch(stages, max_await_time_ms=WAIT_MS, batch_size=0, **options) as stream:
            yield _ChangeStream(stream)
    finally:
        metrics.receipt_streams.dec()


class _SharedStream:
    """A change stream that readers share, and its buffer, from its start to its end. The buffer contains what follows
    `oldest`, up to `newest`.

    A live stream starts at its creation and reads on without readers. Other streams wait for their fastest reader."""

    def __init__(self, receipts: AsyncCollection[Document], start: _Start) -> None:
        self._receipts = receipts
        self._start = start
        self._live = start == _Start()
        self._buffer: deque[_Insert] = deque()
        self._first = 0  # the number of documents that were dropped from the buffer
        self._rows = 0
        self.oldest = self.newest = ""
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()  # a reader has read the whole buffer
        self._error: Exception | None = None
        self._idle_since = asyncio.get_running_loop().time()
        self._readers = 0
        self.ended = False
        self.task = asyncio.create_task(self._run(), context=Context())

    @asynccontextmanager
    async def join(self) -> AsyncGenerator[None, None]:
        """Register a reader, and wait until the stream is open. Raise the error if it has failed."""
        self._readers += 1
        try:
            await self._opened.wait()
            self.raise_error()
            yield
        finally:
            self._readers -= 1
            self._idle_since = asyncio.get_running_loop().time()
            if not self._live and not self._readers:
                self.task.cancel()

    @property
    def is_complete(self) -> bool:
        """Return True if a new reader can read all documents since the start of the stream."""
        return not self.ended and self._first == 0

    def contains(self, position: str) -> bool:
        """Return True if the buffer contains all documents after a position. A later position may be invalid."""
        return self.oldest <= position <= self.newest

    def continues(self, position: str) -> bool:
        """Return True if a reader that reached this position in another stream can continue with the buffer."""
        return self.oldest <= position

    def raise_error(self) -> None:
        """Raise the error that ended the stream, if any."""
        if self._error:
            raise self._error

    async def read(self, position: str) -> AsyncGenerator[_Insert | None, None]:
        """Yield the documents after a position, and None each time the reader has reached `newest`. Return if the
        reader is so slow that the buffer dropped documents, or after the stream ended."""
        number = self._first
        while True:
            while self._first <= number < self._first + len(self._buffer):
                insert = self._buffer[number - self._first]
                number += 1
                if insert.after > position:
                    yield insert
            if number < self._first or self.ended:
                return
            yield None
            if number == self._first + len(self._buffer) and not self.ended:
                self._wanted.set()
                await self._changed.wait()

    async def _run(self) -> None:
        try:
            async with _open(self._receipts, self._start) as stream:
                self.oldest = self.newest = stream.position
                self._opened.set()
                while stream.alive and not self._is_idle():
                    if not self._live:
                        await self._wanted.wait()
                        self._wanted.clear()
                    with self._read_timeout():
                        insert = await stream.read()
                    if insert:
                        self._add(insert)
                    self.newest = stream.position
                    self._wake()
        except Exception as error:  # noqa: BLE001 - the readers raise it
            self._error = self._error_for_readers(error)
        finally:
            self.ended = True
            self._opened.set()
            self._wake()

    def _read_timeout(self) -> AbstractContextManager[object]:
        """A read from an earlier position returns after the next receipt in the oplog, which may be far away. While
        MongoDB does not respond, the live stream fails, and this one ends with it."""
        return nullcontext() if self._live else pymongo.timeout(OPLOG_READ_S)

    def _error_for_readers(self, error: Exception) -> Exception:
        if not isinstance(error, OperationFailure):
            return error
        if error.code != HISTORY_LOST and (self._live or is_outage(error)):
            return error
        return _expired() if self._start.time is None else _send_expired()

    def _add(self, insert: _Insert) -> None:
        self._buffer.append(insert)
        self._rows += insert.rows
        while self._rows > BUFFER_MAX_ROWS and len(self._buffer) > 1:
            dropped = self._buffer.popleft()
            self._first += 1
            self._rows -= dropped.rows
            self.oldest = dropped.after

    def _is_idle(self) -> bool:
        return not self._readers and asyncio.get_running_loop().time() - self._idle_since > IDLE_S

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class ReceiptStreams:
    """The receipt readers of this process. Their number is limited because each may need a cursor on MongoDB's oplog.
    `to_real_time` converts a time on the hub's clock."""

    def __init__(
        self,
        database: Database,
        per_tenant_max: int,
        process_max: int,
        to_real_time: Callable[[datetime], datetime],
    ) -> None:
        self._receipts = database[COLLECTION]
        self._per_tenant_max = per_tenant_max
        self._process_max = process_max
        self._to_real_time = to_real_time
        self._open: Counter[str] = Counter()
        self._live: _SharedStream | None = None
        self._earlier: dict[_Start, _SharedStream] = {}

    async def stream(
        self, tenant: str, send_id: str | None, after: str | None, since: datetime | None
    ) -> AsyncGenerator[StreamedReceipt, None]:
        """Yield the receipts of a tenant or of one send: after the cursor `after`, since the time `since`, or only new
        ones if this time is in the future.

        Raise CursorExpired if the oplog no longer contains the position, or RateLimited if too many streams are
        open."""
        self._check_limits(tenant)
        start = self._start(after, since)
        self._open[tenant] += 1
        metrics.receipt_readers.inc()
        try:
            async with aclosing(self._inserts(tenant, send_id, start)) as inserts:
                async for insert in inserts:
                    for row, receipt in unpack(insert.doc, send_id):
                        if insert.doc["_id"] != start.document or row > start.row:
                            yield StreamedReceipt(receipt, _cursor(insert, row))
        finally:
            metrics.receipt_readers.dec()
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    async def close(self) -> None:
        """Stop all streams."""
        tasks = [stream.task for stream in (self._live, *self._earlier.values()) if stream]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check_limits(self, tenant: str) -> None:
        if self._open[tenant] >= self._per_tenant_max:
            raise RateLimited(
                f"A tenant has at most {self._per_tenant_max} receipt streams (HUB_TENANT_MAX_RECEIPT_STREAMS).",
                RETRY_AFTER_S,
            )
        if self._open.total() >= self._process_max:
            raise RateLimited(
                f"This process has at most {self._process_max} receipt streams (HUB_RECEIPT_MAX_STREAMS).",
                RETRY_AFTER_S,
            )

    def _start(self, after: str | None, since: datetime | None) -> _Start:
        if after is not None:
            return _start_after(after)
        if since is not None:
            real = self._to_real_time(since) - CLOCK_MARGIN
            if real < utc_time.now():
                return _Start(time=Timestamp(int(real.timestamp()), 0))
        return _Start()

    async def _inserts(self, tenant: str, send_id: str | None, start: _Start) -> AsyncGenerator[_Insert, None]:
        """Yield the documents with receipts of a tenant, or of one send."""
        live = self._live_stream()
        async with live.join():
            position = live.newest if start == _Start() else start.position
            joins = position is not None and live.contains(position)
            while not live.ended:
                stream = live if joins else self._earlier_stream(start)
                async with stream.join():
                    position = position or stream.oldest
                    async with aclosing(stream.read(position)) as inserts:
                        async for insert in inserts:
                            if insert and insert.concerns(tenant, send_id):
                                yield insert
                            position = insert.after if insert else stream.newest
                            joins = live.continues(position)
                            if joins and stream is not live:
                                break
                    stream.raise_error()
                start = _Start(position)
                joins = live.continues(position)  # closing a stream takes time
            live.raise_error()

    def _live_stream(self) -> _SharedStream:
        if self._live is None or self._live.ended:
            self._live = _SharedStream(self._receipts, _Start())
            self._live.task.add_done_callback(self._end_earlier_streams)
        return self._live

    def _earlier_stream(self, start: _Start) -> _SharedStream:
        """Return a stream that contains everything after a start."""
        found = self._earlier.get(start)
        if found is None or not found.is_complete:
            found = self._earlier[start] = _SharedStream(self._receipts, start)
            found.task.add_done_callback(lambda _: self._forget(start))
        return found

    def _end_earlier_streams(self, _: asyncio.Task[None]) -> None:
        for stream in self._earlier.values():
            stream.task.cancel()

    def _forget(self, start: _Start) -> None:
        if start in self._earlier and self._earlier[start].ended:
            del self._earlier[start]


def _cursor(insert: _Insert, row: int) -> str:
    """Return the cursor after a row of a document."""
    if row == insert.rows - 1:
        return base64url.encode(bytes.fromhex(insert.after))
    return f"{base64url.encode(bytes.fromhex(insert.before))}.{insert.doc['_id']}.{row}"


def _start_after(cursor: str) -> _Start:
    token, *of_document = cursor.split(".")
    try:
        position = base64url.decode(token).hex().upper()
        if not of_document:
            return _Start(position)
        document, row = of_document
        return _Start(position, document=document, row=int(row))
    except ValueError:
        raise BadUserInput(
            "after is not a valid cursor of these receipts. Pass a returned cursor unchanged.", "after"
        ) from None


def _send_expired() -> CursorExpired:
    return CursorExpired(
        "The first receipts of this send are older than MongoDB's oplog. Read its state with `send { counts }` and "
        "`deliveries`. For later receipts, pass a cursor as `after`. A subscription without `sendId` returns cursors."
    )


def _expired() -> CursorExpired:
    return CursorExpired(
        "The cursor is older than the stored receipts, or belongs to other receipts. Start again without a cursor."
    )
