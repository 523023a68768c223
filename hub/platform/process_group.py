"""The processes of one `hub serve --workers` or `hub work --workers`, which ask each other for metrics and readiness.

- Each process has a pair of sockets. All processes can write questions to one end; the process reads them at the other.
- A question comes with a socket for its answer. The answer ends when that socket is closed.
- The sockets outlive a process. Until it has been started again, questions to it wait, and then time out.
"""

import array
import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

QUESTION_MAX_BYTES = 32
CHUNK_BYTES = 1 << 18
FULL_PAUSE_S = 0.05

Answers = Mapping[bytes, Callable[[], Awaitable[bytes]]]


@dataclass(frozen=True, slots=True)
class GroupSockets:
    """`questions[i]` is the end to which questions for process `i` are written, `inboxes[i]` the other end."""

    questions: Sequence[socket.socket]
    inboxes: Sequence[socket.socket]

    @classmethod
    def create(cls, count: int) -> "GroupSockets":
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]
        for pair in pairs:
            for end in pair:
                end.setblocking(False)
        return cls([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def discard_questions(self, index: int) -> None:
        """Remove the questions that wait for a process."""
        with suppress(BlockingIOError):
            while True:
                for descriptor in socket.recv_fds(self.inboxes[index], QUESTION_MAX_BYTES, 1)[1]:
                    os.close(descriptor)

    def close(self) -> None:
        for end in (*self.questions, *self.inboxes):
            end.close()


class ProcessGroup:
    """The view of process `index`."""

    def __init__(self, index: int, questions: Sequence[socket.socket], inbox: socket.socket) -> None:
        self.index = index
        self._questions = questions
        self._inbox = inbox
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def others(self) -> list[int]:
        """The indexes of the other processes."""
        return [index for index in range(len(self._questions)) if index != self.index]

    async def ask_others(self, question: bytes, timeout_s: float) -> dict[int, bytes | None]:
        """Return the answers of the other processes by index, None for each one that did not answer in time."""
        answers = await asyncio.gather(*(ask(self._questions[index], question, timeout_s) for index in self.others))
        return dict(zip(self.others, answers, strict=True))

    async def answer(self, answers: Answers) -> None:
        """Answer the questions of the other processes until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._inbox, self._receive, answers)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(self._inbox)
            for task in self._answering:
                task.cancel()

    def _receive(self, answers: Answers) -> None:
        with suppress(BlockingIOError):
            question, descriptors, _, _ = socket.recv_fds(self._inbox, QUESTION_MAX_BYTES, 1)
            for descriptor in descriptors:
                task = asyncio.create_task(_reply(socket.socket(fileno=descriptor), answers[question]))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)


async def ask(questions: socket.socket, question: bytes, timeout_s: float | None) -> bytes | None:
    """Return the answer of a process, or None if there is none in time."""
    mine, theirs = socket.socketpair()
    with mine:
        mine.setblocking(False)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                with theirs:
                    await _send(questions, question, theirs)
                return await _read_all(mine) or None
    return None


async def _send(questions: socket.socket, question: bytes, connection: socket.socket) -> None:
    """Send a question with the socket for its answer. Wait while the inbox of the process is full."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))
    while True:
        with suppress(BlockingIOError):
            questions.sendmsg([question], [rights])
            return
        await asyncio.sleep(FULL_PAUSE_S)


async def _read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while chunk := await asyncio.get_running_loop().sock_recv(connection, CHUNK_BYTES):
        received += chunk
    return bytes(received)


async def _reply(connection: socket.socket, answer: Callable[[], Awaitable[bytes]]) -> None:
    with connection:
        connection.setblocking(False)
        text = await answer()
        with suppress(OSError):  # the process that asked has ended, or waits no longer
            await asyncio.get_running_loop().sock_sendall(connection, text)
