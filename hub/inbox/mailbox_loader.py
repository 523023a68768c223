"""Mailboxes of many who ask at once, as after a restart, when everybody comes back: one query reads them together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from hub.model import Mailbox

MAILBOXES_PER_QUERY = 1000  # mailboxes a query

Read = Callable[[Sequence[str]], Awaitable[list[Mailbox]]]


class MailboxLoader:
    """One query is under way at a time. Who asks meanwhile shares the next, which begins after everybody asked."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._pending: dict[str, asyncio.Future[Mailbox | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, mailbox: str) -> Mailbox | None:
        """None where there is no such mailbox. Raises PyMongoError."""
        if mailbox not in self._pending:
            self._pending[mailbox] = asyncio.get_running_loop().create_future()
        result = self._pending[mailbox]
        if self._reading is None:  # it belongs to nobody: the deadline of who asked first is not everybody's
            self._reading = asyncio.create_task(self._read_pending(), context=Context())
        return await asyncio.shield(result)

    async def _read_pending(self) -> None:
        taken: dict[str, asyncio.Future[Mailbox | None]] = {}
        try:
            while self._pending:
                ids = list(self._pending)[:MAILBOXES_PER_QUERY]
                taken = {name: self._pending.pop(name) for name in ids}
                found = {head.id: head for head in await self._read(ids)}
                for name, result in taken.items():
                    result.set_result(found.get(name))
        except Exception as error:  # noqa: BLE001 - it is told to everybody who waits: they would wait as long for the same
            for result in (*taken.values(), *self._pending.values()):
                result.set_exception(error)
                result.exception()  # who asked may have gone
            self._pending.clear()
        finally:
            self._reading = None
