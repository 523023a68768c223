"""A hub process whose Redis connections are cut while commands are written: once in each function of the hub that calls
Redis, with the error that uvloop raises. Redis itself is real.

Run `python -m tests.redis_connection_cuts serve` (or `work`). Each cut is a line in the log of the process."""

import json
import sys
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection

CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x7f>; the handler is closed"
IGNORED_FUNCTIONS = {"with_key_repair", "_with_repair"}
cut_functions: set[str] = set()


def calling_function() -> str | None:
    """Return the innermost function of the hub on the stack."""
    frame: Any = sys._getframe(1)
    while frame:
        module, function = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        if module.startswith("hub.") and function not in IGNORED_FUNCTIONS and not function.startswith("<"):
            return f"{module}.{function}"
        frame = frame.f_back
    return None


class CutConnection(Connection):
    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        where = calling_function()
        if where and where not in cut_functions:
            cut_functions.add(where)
            sys.stdout.write(json.dumps({"event": "cut", "place": where, "level": "info"}) + "\n")
            sys.stdout.flush()
            await self.disconnect(nowait=True)
            raise RuntimeError(CLOSED)
        await super().send_packed_command(command, check_health)


def main() -> None:
    from redis.asyncio.connection import ConnectionPool

    before = ConnectionPool.__init__

    def init(self: ConnectionPool, connection_class: type[AbstractConnection] = Connection, **fields: Any) -> None:
        before(self, CutConnection if connection_class is Connection else connection_class, **fields)

    ConnectionPool.__init__ = init  # type: ignore[method-assign, assignment]
    from hub.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
