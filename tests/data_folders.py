"""Temporary folders for the data of servers."""

import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
SPACE_BYTES = 8 * 2**30  # about ten servers run at the same time, and a data folder of MongoDB has up to 800 MB


def data_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a new folder. It is in memory if there is space, so MongoDB does not wait for the disk at each commit."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= SPACE_BYTES
    return tempfile.TemporaryDirectory(prefix="hub-", dir=MEMORY if in_memory else None, ignore_cleanup_errors=True)
