"""Where a backup is stored: files with flat names, in a folder or, in `s3.py`, under a prefix of a bucket."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

PRIVATE_FOLDER = 0o700  # the backup contains personal data and secrets
PRIVATE_FILE = 0o600
T = TypeVar("T")


class StorageError(Exception):
    """The files cannot be read or written. The text says why, and what to change."""


class Storage(Protocol):
    async def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it does not exist. Raise StorageError."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Write a file durably. It is complete or does not exist. Raise StorageError."""
        ...

    async def delete(self, name: str) -> None:
        """Delete a file, if it exists. Raise StorageError."""
        ...

    async def is_empty(self) -> bool:
        """Return True if there are no files. Raise StorageError."""
        ...


class Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, name: str) -> bytes | None:
        return await _in_thread(lambda: self._read(name))

    async def write(self, name: str, data: bytes) -> None:
        await _in_thread(lambda: self._write(name, data))

    async def delete(self, name: str) -> None:
        await _in_thread(lambda: (self._path / name).unlink(missing_ok=True))

    async def is_empty(self) -> bool:
        return await _in_thread(lambda: not self._path.exists() or not any(self._path.iterdir()))

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: bytes) -> None:
        self._path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        new = self._path / f"{name}.new"
        new.touch(PRIVATE_FILE)
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._path / name)


async def _in_thread(call: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(call)
    except OSError as error:
        raise StorageError(f"{error.filename or 'The folder'}: {error.strerror}.") from None
