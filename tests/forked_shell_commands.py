"""A program for shell scripts that runs `hub` in forked processes. A script with a hundred commands would otherwise start
Python and import the hub a hundred times."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cli_commands import COMMAND_TIMEOUT_S
from tests.hub_process import ForkedProcess

PROGRAM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({path!r})
    connection.sendall(json.dumps([sys.argv[1:], {{**os.environ}}, os.getcwd()]).encode())
    connection.shutdown(socket.SHUT_WR)
    code, out, err = json.load(connection.makefile())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
"""Imports only modules that start fast. It sends its arguments, environment, and folder, and returns the exit code and
output that it receives."""


@asynccontextmanager
async def forked_hub_program() -> AsyncIterator[Path]:
    """Yield the path of a program that accepts the arguments of `hub`, for commands that end by themselves and read no
    input."""
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        path = Path(folder, "socket")
        async with await asyncio.start_unix_server(_respond, path):
            yield _write_program(Path(folder, "hub"), path)


def _write_program(program: Path, path: Path) -> Path:
    program.write_text(PROGRAM.format(python=sys.executable, path=str(path)))
    program.chmod(0o755)
    return program


async def _respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    arguments, environment, cwd = json.loads(await reader.read())
    response = await asyncio.to_thread(_run, arguments, environment, Path(cwd))
    writer.write(json.dumps(response).encode())
    writer.close()
    await writer.wait_closed()


def _run(arguments: list[str], environment: dict[str, str], cwd: Path) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = ForkedProcess(arguments, environment, out, err, cwd)
        try:
            return process.wait(COMMAND_TIMEOUT_S), out.read_text(), err.read_text()
        finally:
            process.kill()
