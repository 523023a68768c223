"""A server as a child process that never outlives its parent, even if the parent is killed with SIGKILL.

`sh` starts a watcher that reads from a pipe which the parent holds open, and then becomes the server. The process id of
the child is therefore the process id of the server. When the parent ends, the pipe closes, and the watcher kills its
process group: the server and itself. While the watcher is running, no other process can get the id of the group. This
works on every POSIX system. Each server has a separate session, so Ctrl-C reaches only the parent.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path

from hub.platform.server_programs import Program, ServerError, find

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0  # the machine may be busy, and mongod may have to read its journal
STOP_TIMEOUT_S = 3.0  # then SIGKILL. Two servers in sequence stay below the 5 s of Ctrl-C.
POLL_S = 0.01
LOG_TAIL_LINES = 10
LOG_LINE_MAX_CHARS = 400

PORTS = range(20_000, 32_000)
"""Below the ports of outgoing connections, so a port is still free when its server restarts."""

DIE_WITH_PARENT = 'exec 3<&0; (read -r _ <&3; kill -9 0) & exec "$@" 3<&- </dev/null'


class ServerProcess:
    """One server on 127.0.0.1. With port 0, the first start chooses a free port, and later starts use the same port."""

    program: Program

    def __init__(self, folder: Path, port: int, binary: str | None) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / f"{self.program.name}.log"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server, or None if it is not running."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the server if it is not running, and return when it is ready. Raise ServerError with the last
        log lines."""
        if self.running:
            return
        path = find(self.program, self._binary)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self._pick_port()
        self._spawn(path)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._wait_until_ready()
        except TimeoutError:
            self.kill()
            raise self._error(f"was not ready after {START_TIMEOUT_S:g} s") from None
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after STOP_TIMEOUT_S. Do nothing if the server is not running."""
        if self._process and self.running:
            self._signal(signal.SIGTERM)
            self.resume()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # EPERM: macOS, for a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._process = None

    def suspend(self) -> None:
        """Suspend the process with SIGSTOP. Connections stay open, without responses."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def check_running(self) -> None:
        """Raise ServerError with the last log lines if the process has ended."""
        if self._process and (status := self._process.poll()) is not None:
            raise self._error(f"ended with status {status}")

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _pick_port(self) -> int:
        if self.port == 0:
            return _free_port()
        if not is_free(self.port):
            raise ServerError(f"Port {self.port} on {HOST}, meant for {self.program.name}, is taken.")
        return self.port

    def _spawn(self, path: str) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program that find() chose
                ["/bin/sh", "-c", DIE_WITH_PARENT, self.program.name, path, *self._arguments()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _wait_until_ready(self) -> None:
        while not is_listening(self.port):
            self.check_running()
            await asyncio.sleep(POLL_S)
        self.check_running()

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self.running:
            self._process.send_signal(number)

    def _error(self, event: str) -> ServerError:
        lines = "\n".join(line[:LOG_LINE_MAX_CHARS] for line in self._log_tail())
        return ServerError(f"{self.program.name} {event}. From {self.log}:\n{lines}")

    def _log_tail(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]


def is_free(port: int) -> bool:
    """Return True if a server can listen on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ignore closed connections
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Return True if a server accepts connections on this port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _free_port() -> int:
    while not is_free(port := secrets.choice(PORTS)):
        pass
    return port
