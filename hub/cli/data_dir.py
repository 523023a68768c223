"""The data folder of `hub dev`, where the other commands find the hub that runs there.

`jwt-secret` signs tokens and stays; `running.json` says where the hub and its servers listen, and with what it signs,
while it runs; `lock` is held by the process that runs. Both files are for their owner's eyes only (mode 0600).
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, to_builtins

SECRET_BYTES = 32
PRIVATE_MODE = 0o600


class RunningHub(Struct, frozen=True):
    """A hub that runs, or was killed while it did."""

    url: str
    secret: str
    mongo_url: str
    redis_url: str
    issuer: str = ""
    audience: str = ""


class DataDirectory:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._secret = folder / "jwt-secret"
        self._running = folder / "running.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Makes the folder this process's own, until it ends at the latest; False if another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def is_locked(self) -> bool:
        """Whether a process has the folder now."""
        with contextlib.suppress(OSError), (self.folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def secret(self) -> str:
        """The key that signs tokens here, made at the first start."""
        if not self._secret.exists():
            _write_private(self._secret, secrets.token_hex(SECRET_BYTES))
        return self._secret.read_text().strip()

    def write_running(self, running: RunningHub) -> None:
        _write_private(self._running, json.dumps(to_builtins(running)))

    def remove_running(self) -> None:
        self._running.unlink(missing_ok=True)

    @property
    def running(self) -> RunningHub | None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return RunningHub(**json.loads(self._running.read_text()))
        return None

    @property
    def existing_secret(self) -> str | None:
        """What the hub of this folder signs with; None if there never was one."""
        if running := self.running:
            return running.secret
        with contextlib.suppress(OSError):
            return self._secret.read_text().strip()
        return None


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable for others, not even for a moment."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "w") as file:
        file.write(text)
    new.replace(path)
