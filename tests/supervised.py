"""A process for tests of the supervisor: it only answers whether it is alive, and ends when a test says so."""

import asyncio
import sys

import uvloop

from hub.runtime.supervisor import Member

BROKEN = "broken"
"""The database name with which a process ends before it is ready."""
BROKEN_EXIT_CODE = 3


def run(member: Member) -> None:
    async def alive() -> bytes:
        return b"alive"

    async def answer() -> None:
        with member.join() as group:
            await group.answer({b"alive": alive})

    if member.settings.mongo_database == BROKEN:
        sys.exit(BROKEN_EXIT_CODE)
    uvloop.run(answer())


def run_and_hang(member: Member) -> None:
    """Answer once. The process that replaces this one answers always."""

    async def answer_once() -> bytes:
        asyncio.get_running_loop().call_later(0.1, hang)
        return b"alive"

    def hang() -> None:
        while True:
            pass

    async def answer() -> None:
        with member.join() as group:
            await group.answer({b"alive": answer_once})

    if member.restarts:
        run(member)
    else:
        uvloop.run(answer())
