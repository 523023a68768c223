"""The data folder of `hub dev`. Other commands read it to find the running hub.

| file | content |
| --- | --- |
| `jwt-secret` | the key that signs tokens; kept across restarts |
| `running.json` | URLs and signing key of the running hub; removed at shutdown |
| `lock` | locked by the running process |
| `mongo`, `redis` | the data of the servers |

The first two have mode 0600.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, to_builtins

SECRET_BYTES = 32
PRIVATE_MODE = 0o600
SERVER_FOLDERS = ("mongo", "redis")


class RunningHub(Struct, frozen=True):
    """A hub that is running or that did not shut down cleanly."""

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
        """Lock the folder for this process. Yield True, or False if another process holds the lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def is_locked(self) -> bool:
        """Return True if a process holds the lock."""
        with contextlib.suppress(OSError), (self.folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def secret(self) -> str:
        """Return the signing key. Create the key if it does not exist."""
        if not self._secret.exists():
            _write_private(self._secret, secrets.token_hex(SECRET_BYTES))
        return self._secret.read_text().strip()

    def delete_data(self) -> None:
        """Delete the data of the servers, which must not run. The key is kept, so tokens remain valid."""
        for name in SERVER_FOLDERS:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.folder / name)

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
        """Return the signing key, or None if no hub has run in this folder."""
        if running := self.running:
            return running.secret
        with contextlib.suppress(OSError):
            return self._secret.read_text().strip()
        return None


def _write_private(path: Path, text: str) -> None:
    """Write the file atomically. Its mode is 0600 at all times."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "w") as file:
        file.write(text)
    new.replace(path)
