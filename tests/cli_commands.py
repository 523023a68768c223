"""Runs the `hub` command: one that ends by itself in a forked process, one that is stopped with the console script, as a
user does. The output is in files that can be read meanwhile."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.hub_process import ForkedProcess
from tests.processes import Deployment

HUB = Path(sys.executable).with_name("hub")
COMMAND_TIMEOUT_S = 600.0
SERVES = r"(?s)serves at (http://[0-9.:]+) .*/graphiql#token=\S+\n"
"""The output of `hub dev` once it serves."""


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without the settings of the hub, plus the given settings (without prefix)."""
    stored = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return {**stored, "PYTHONWARNINGS": "error", **{f"HUB_{name.upper()}": value for name, value in settings.items()}}


def run_command(*arguments: str, cwd: Path | str | None = None, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that ends by itself."""
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = ForkedProcess(arguments, environment(**settings), out, err, cwd)
        try:
            code = process.wait(COMMAND_TIMEOUT_S)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def _restore_interrupts() -> None:
    """Restore the default handler of SIGINT. A shell without job control starts background processes with SIGINT
    ignored, and these tests and the commands inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Command:
    """A command that runs until it is stopped. It is killed at the end of the block."""

    def __init__(self, *arguments: str, cwd: Path | str | None = None, **settings: str) -> None:
        self._arguments = arguments
        self._cwd = cwd
        self._environment = environment(**settings)

    async def __aenter__(self) -> "Command":
        self._out = tempfile.NamedTemporaryFile(prefix="hub-")  # noqa: SIM115 - closed with the block
        self._err = tempfile.NamedTemporaryFile(prefix="hub-")  # noqa: SIM115 - closed with the block
        self.process = subprocess.Popen(  # noqa: ASYNC220 - it is polled
            [HUB, *self._arguments],
            env=self._environment,
            cwd=self._cwd,
            stdout=self._out,
            stderr=self._err,
            preexec_fn=_restore_interrupts,  # noqa: PLW1509 - it only sets a signal
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        self._out.close()
        self._err.close()

    @property
    def out(self) -> str:
        return Path(self._out.name).read_text()

    @property
    def err(self) -> str:
        return Path(self._err.name).read_text()

    async def wait_for_output(self, pattern: str, within_s: float = 60.0) -> "re.Match[str]":
        """Return when the output matches the pattern."""
        deadline = time.monotonic() + within_s
        while not (match := re.search(pattern, self.out)):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"did not say {pattern!r}: {self.out}{self.err}"
            await asyncio.sleep(0.02)
        return match

    async def wait(self, within_s: float) -> int:
        """Wait until the process ends. Return its exit code."""
        deadline = time.monotonic() + within_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running after {within_s} s: {self.out}{self.err}"
            await asyncio.sleep(0.02)
        return self.process.returncode

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.wait()


def base_url(deployment: Deployment, index: int = 0) -> str:
    return deployment.urls[index].removesuffix("/graphql")


def dev(data: Path, **settings: str) -> Command:
    return Command("dev", "--port", "0", "--data", str(data), **settings)


def token_of(text: str, name: str) -> str:
    found = re.search(rf"^{name} +(\S+)$", text, re.MULTILINE)
    assert found
    return found[1]
