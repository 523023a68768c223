"""Mailboxes of many who ask at once, as after a restart, when everybody comes back: one query reads them together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from hub.model import Mailbox

AT_ONCE = 1000  # mailboxes a query

Read = Callable[[Sequence[str]], Awaitable[list[Mailbox]]]


class Heads:
    """One query is under way at a time. Who asks meanwhile shares the next, which begins after everybody asked."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._asked: dict[str, asyncio.Future[Mailbox | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, mailbox: str) -> Mailbox | None:
        """None where there is no such mailbox. Raises PyMongoError."""
        if mailbox not in self._asked:
            self._asked[mailbox] = asyncio.get_running_loop().create_future()
        answer = self._asked[mailbox]
        if self._reading is None:  # it belongs to nobody: the deadline of who asked first is not everybody's
            self._reading = asyncio.create_task(self._keep_reading(), context=Context())
        return await asyncio.shield(answer)

    async def _keep_reading(self) -> None:
        taken: dict[str, asyncio.Future[Mailbox | None]] = {}
        try:
            while self._asked:
                names = list(self._asked)[:AT_ONCE]
                taken = {name: self._asked.pop(name) for name in names}
                found = {head.id: head for head in await self._read(names)}
                for name, answer in taken.items():
                    answer.set_result(found.get(name))
        except Exception as error:  # noqa: BLE001 - it is told to everybody who waits: they would wait as long for the same
            for answer in (*taken.values(), *self._asked.values()):
                answer.set_exception(error)
                answer.exception()  # who asked may have gone
            self._asked.clear()
        finally:
            self._reading = None
