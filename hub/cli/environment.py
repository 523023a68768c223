"""What commands have in common: their settings, the hub they talk to, their options, and how they fail."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from hub.cli.home import Home
from hub.errors import HubError
from hub.model import Role, is_plain
from hub.settings import Settings

DEFAULT_DATA = Path(".hub")
DAY_S = 86_400.0
SECRETIVE = re.compile("SECRET|URL")  # settings whose values are not shown
TOKEN_S = DAY_S  # of tokens that commands make for themselves

Data = Annotated[Path, typer.Option("--data", help="The folder of a `hub dev`, where its address and key are found.")]
Url = Annotated[
    str,
    typer.Option("--url", envvar="HUB_URL", show_default="the `hub dev` of --data", help="Where the hub answers."),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="HUB_TOKEN",
        show_default="made with HUB_JWT_SECRET, or with the key of --data",
        help="Who calls.",
    ),
]
Tenant = Annotated[str, typer.Option("--tenant", help="The tenant that a token is made for.")]


def fail(message: str, status: int = 1) -> NoReturn:
    """Ends the command with a sentence on stderr."""
    print(message, file=sys.stderr)
    sys.exit(status)


def load(**defaults: Any) -> Settings:
    """The settings of the environment, which win over `defaults`; or an exit that says which one to mend."""
    try:
        return Settings(**{name: value for name, value in defaults.items() if not is_set(name)})
    except ValidationError as error:
        fail("\n".join(faults(error)), 2)


def is_set(name: str) -> bool:
    return bool(os.environ.get(variable(name)))


def variable(name: str) -> str:
    return f"HUB_{name.upper()}"


def faults(error: ValidationError) -> list[str]:
    """A line a fault, each with the name of its setting."""
    lines = []
    for fault in error.errors():
        name = variable(str(fault["loc"][0])) if fault["loc"] else "settings"
        given = fault["input"]
        value = f": {given!r}" if isinstance(given, str) and not SECRETIVE.search(name) else ""
        lines.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}{value}")
    return lines


def address(url: str, data: Path) -> str:
    """The hub's address: as given, else of the `hub dev` that runs on `data`."""
    if url:
        return url.rstrip("/").removesuffix("/graphql")
    if running := Home(data).running:
        return running.url
    fail(f"No hub dev runs on {data}: start one, name its folder with --data, or give --url and --token.")


def token(given: str, data: Path, *, user: str | None, role: Role, tenant: str, expires_in_s: float = TOKEN_S) -> str:
    """As given; else one signed with HUB_JWT_SECRET, else with the key of the `hub dev` on `data`."""
    from hub.api.auth import TENANT, USER_MAX_CHARS, sign

    if given:
        return given
    if user is not None and not (0 < len(user) <= USER_MAX_CHARS and is_plain(user)):
        fail(f"--user has 1 to {USER_MAX_CHARS} printable characters.", 2)
    if not TENANT.fullmatch(tenant):
        fail("--tenant has 1 to 64 letters, digits, dots, dashes or underscores.", 2)
    settings = load() if is_set("jwt_secret") else None
    secret = settings.jwt_secret[0].get_secret_value() if settings else Home(data).known_secret
    if not secret:
        fail(
            f"No key to sign a token with, and none in {data}: set HUB_JWT_SECRET, or name a hub dev's folder (--data)."
        )
    return sign(
        secret,
        user=user,
        tenant=tenant,
        role=role,
        expires_in_s=expires_in_s,
        issuer=settings.jwt_issuer if settings else "",
        audience=settings.jwt_audience if settings else "",
    )


def told(error: HubError) -> str:
    """An error as the hub said it, with its code, and the field at fault."""
    field = error.extensions.get("field")
    return f"{error.extensions.get('code', error.code)}{f' ({field})' if field else ''}: {error.message}"
