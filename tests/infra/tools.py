"""The tools that `make infra` installs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.doc_pages import ROOT

INFRA = ROOT / "infra"
VENV = ROOT / ".venv-infra"
Done = subprocess.CompletedProcess[str]
NPM = INFRA / "npm"
DCLINT = NPM / "node_modules" / ".bin" / "dclint"


def find_tool(name: str) -> Path:
    """Return the path of a program. Skip the test if `make infra` could not install it."""
    for folder in (VENV / "tools", VENV / "bin"):
        if os.access(folder / name, os.X_OK):
            return folder / name
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: run make infra")
    return Path(found)


def run_tool(program: Path, *arguments: str | Path, cwd: Path = INFRA, input: str = "") -> Done:
    """Run a program to its end. Its output is captured."""
    return subprocess.run(
        [program, *arguments], cwd=cwd, input=input, capture_output=True, text=True, check=False, timeout=120
    )
