"""What commands have in common: their settings, the hub they talk to, their options, and how they fail."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from msgspec import Struct
from pydantic import ValidationError

from hub.cli.data_dir import Home
from hub.errors import HubError
from hub.model import Channel, Role
from hub.settings import Settings
from hub.text import IDENTIFIER_RULE, is_identifier

DEFAULT_DATA = Path(".hub")
DAY_S = 86_400.0
SECRETIVE = re.compile("SECRET|URL|TOKEN|PASSWORD|PRIVATE_KEY")  # settings whose values are not shown
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
        show_default="made with HUB_JWT_SECRET for --url, else with the key of --data",
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
        text = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:  # about several settings together, and names them
            lines.append(text if text.startswith("HUB_") else f"settings: {text}")
            continue
        name = variable(str(fault["loc"][0]))
        where = "".join(f" {part}" for part in fault["loc"][1:] if part in Channel.__members__)
        given = fault["input"]
        value = f": {given!r}" if isinstance(given, str) and not SECRETIVE.search(name) else ""
        lines.append(f"{name}:{where} {text}{value}")
    return lines


class Key(Struct, frozen=True):
    """What tokens are signed with. `named` is how a person knows it."""

    secret: str
    named: str
    issuer: str = ""
    audience: str = ""

    def sign(self, *, user: str | None, role: Role, tenant: str, expires_in_s: float = TOKEN_S) -> str:
        """A token; or an exit that says what can't be in one."""
        from hub.api.auth import TENANT, sign

        if user is not None and not is_identifier(user):
            fail(f"--user is {IDENTIFIER_RULE}.", 2)
        if not TENANT.fullmatch(tenant):
            fail("--tenant has 1 to 64 letters, digits, dots, dashes or underscores.", 2)
        return sign(
            self.secret,
            user=user,
            tenant=tenant,
            role=role,
            expires_in_s=expires_in_s,
            issuer=self.issuer,
            audience=self.audience,
        )


class Hub(Struct, frozen=True):
    """The hub that a command calls, and the key that fits it; `given` is a token instead."""

    url: str
    key: Key | None = None
    given: str = ""

    def token(self, *, user: str | None, role: Role, tenant: str) -> str:
        return self.key.sign(user=user, role=role, tenant=tenant) if self.key else self.given

    def told(self, error: HubError) -> str:
        """An error as the hub said it, with its code, and the field or the token at fault."""
        field = error.extensions.get("field")
        code = error.extensions.get("code", error.code)
        text = f"{code}{f' ({field})' if field else ''}: {error.message}"
        return f"{text} {self.whose()}" if code == "UNAUTHENTICATED" else text

    def whose(self) -> str:
        """Which hub was called, and where the token comes from."""
        how = f"signed with {self.key.named}" if self.key else "given by --token or HUB_TOKEN"
        return f"The hub is {self.url}; the token was {how}."


def hub_of(url: str, token: str, data: Path) -> Hub:
    """The hub at `url`, with the environment's key; or without `url` the `hub dev` that runs on `data`, with its own.
    Never some of each. A token or a folder that is named wins."""
    home = Home(data)
    running = home.running
    if not url:
        if not running:
            fail(
                f"No hub dev runs on {data}: start one, name its folder with --data, or name another hub by --url "
                "(HUB_URL) with --token (HUB_TOKEN) or HUB_JWT_SECRET."
            )
        return Hub(running.url, given=token) if token else Hub(running.url, _key_in(home))
    url = url.rstrip("/").removesuffix("/graphql")
    if token:
        return Hub(url, given=token)
    if data == DEFAULT_DATA and is_set("jwt_secret"):
        return Hub(url, _key_of_environment())
    if data != DEFAULT_DATA or (running and running.url == url):
        return Hub(url, _key_in(home))
    fail(f"No key for the hub at {url}: give --token (HUB_TOKEN), set HUB_JWT_SECRET, or name its folder with --data.")


def key_of(data: Path) -> Key:
    """The environment's key; or that of the `hub dev` on `data`, if that is named or the environment has none."""
    if data == DEFAULT_DATA and is_set("jwt_secret"):
        return _key_of_environment()
    return _key_in(Home(data))


def _key_of_environment() -> Key:
    settings = load()
    secret = settings.jwt_secret[0].get_secret_value()
    return Key(secret, "HUB_JWT_SECRET", settings.jwt_issuer, settings.jwt_audience)


def _key_in(home: Home) -> Key:
    named = f"the key of the hub dev on {home.folder}"
    if running := home.running:
        return Key(running.secret, named, running.issuer, running.audience)
    if secret := home.known_secret:
        return Key(secret, named)
    fail(f"No key to sign a token with in {home.folder}: set HUB_JWT_SECRET, or name a hub dev's folder (--data).")
