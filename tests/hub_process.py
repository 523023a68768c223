"""Runs `hub` in a process that is forked after the imports, which take most of a start."""

import atexit
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path

from hub.cli.main import main

CONSTANTS = "HUB_TEST_CONSTANTS"
"""The variable with the values of constants in the process, as a JSON object, such as shorter times in seconds."""
_CONTEXT = multiprocessing.get_context("forkserver")


def _run(arguments: Sequence[str], environment: dict[str, str], cwd: Path, out: Path, err: Path) -> None:
    """Run the command. Its environment and output are those of a new process."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for path, descriptor in ((out, 1), (err, 2)):
        with path.open("ab") as output:
            os.dup2(output.fileno(), descriptor)
    for name, value in json.loads(environment.get(CONSTANTS, "{}")).items():
        module_name, _, constant = name.rpartition(".")
        module = import_module(module_name)
        is_duration = isinstance(getattr(module, constant), timedelta)
        setattr(module, constant, timedelta(seconds=value) if is_duration else value)
    sys.argv = ["hub", *arguments]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main()


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, also by SIGKILL, and end this process."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


@atexit.register
def _kill_all() -> None:
    """Kill the processes that still run. `multiprocessing` would send SIGTERM and wait without a limit."""
    for process in multiprocessing.active_children():
        process.kill()


class ForkedProcess:
    """A hub process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(
        self, arguments: Sequence[str], environment: dict[str, str], out: Path, err: Path, cwd: Path | str | None = None
    ) -> None:
        """`out` and `err`: the files to which the output is appended, which may be the same."""
        _start_fork_server(environment)
        values = (arguments, environment, Path(cwd or Path.cwd()), out, err)
        self._process = _CONTEXT.Process(target=_run, args=values, daemon=True)
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, within_s: float | None = None) -> int:
        self._process.join(within_s)
        assert self._process.exitcode is not None, f"still running after {within_s} s"
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _start_fork_server(environment: dict[str, str]) -> None:
    """Start the process that has imported the hub, if it does not run. It gets the options of Python in the
    environment, such as PYTHONWARNINGS."""
    options = {name: value for name, value in environment.items() if name.startswith("PYTHON")}
    before = {name: os.environ.get(name) for name in options}
    _CONTEXT.set_forkserver_preload(["__main__", "tests.hub_imports", __name__])
    os.environ.update(options)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
