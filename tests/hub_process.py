"""Starts `hub serve` and `hub work` in a process that is forked after the imports, which take most of a start."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import forkserver
from pathlib import Path

import hub.api.app
import hub.runtime.serve
import hub.runtime.work  # noqa: F401 - the commands import these modules when they run
from hub.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")


def _run(command: str, environment: dict[str, str], log: Path) -> None:
    """Run the command. Its environment and output are those of a new process."""
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["hub", command]
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

    def __init__(self, command: str, environment: dict[str, str], log: Path) -> None:
        _start_fork_server(environment)
        self._process = _CONTEXT.Process(target=_run, args=(command, environment, log), daemon=True)
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
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
    _CONTEXT.set_forkserver_preload(["__main__", __name__])
    os.environ.update(options)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
