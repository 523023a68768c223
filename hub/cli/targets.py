"""What commands have in common: their settings, the hub they talk to, their options, and how they fail."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from msgspec import Struct
from pydantic import ValidationError

from hub.cli.data_dir import DataDirectory
from hub.errors import HubError
from hub.model import Channel, Role
from hub.settings import Settings
from hub.text import IDENTIFIER_RULE, is_identifier

DEFAULT_DATA = Path(".hub")
DAY_S = 86_400.0
SECRET_NAMES = re.compile("SECRET|URL|TOKEN|PASSWORD|PRIVATE_KEY")  # settings whose values are not shown
TOKEN_LIFETIME_S = DAY_S  # of tokens that commands make for themselves

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


def load_settings(**defaults: Any) -> Settings:
    """The settings of the environment, which win over `defaults`; or an exit that says which one to mend."""
    try:
        return Settings(**{name: value for name, value in defaults.items() if not is_set(name)})
    except ValidationError as error:
        fail("\n".join(describe_faults(error)), 2)


def is_set(name: str) -> bool:
    return bool(os.environ.get(variable_name(name)))


def variable_name(name: str) -> str:
    return f"HUB_{name.upper()}"


def describe_faults(error: ValidationError) -> list[str]:
    """A line a fault, each with the name of its setting."""
    lines = []
    for fault in error.errors():
        text = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:  # about several settings together, and names them
            lines.append(text if text.startswith("HUB_") else f"settings: {text}")
            continue
        name = variable_name(str(fault["loc"][0]))
        where = "".join(f" {part}" for part in fault["loc"][1:] if part in Channel.__members__)
        given = fault["input"]
        value = f": {given!r}" if isinstance(given, str) and not SECRET_NAMES.search(name) else ""
        lines.append(f"{name}:{where} {text}{value}")
    return lines


class SigningKey(Struct, frozen=True):
    """What tokens are signed with. `named` is how a person knows it."""

    secret: str
    description: str
    issuer: str = ""
    audience: str = ""

    def sign(self, *, user: str | None, role: Role, tenant: str, expires_in_s: float = TOKEN_LIFETIME_S) -> str:
        """A token; or an exit that says what can't be in one."""
        from hub.api.auth import TENANT, sign_token

        if user is not None and not is_identifier(user):
            fail(f"--user is {IDENTIFIER_RULE}.", 2)
        if not TENANT.fullmatch(tenant):
            fail("--tenant has 1 to 64 letters, digits, dots, dashes or underscores.", 2)
        return sign_token(
            self.secret,
            user=user,
            tenant=tenant,
            role=role,
            expires_in_s=expires_in_s,
            issuer=self.issuer,
            audience=self.audience,
        )


class TargetHub(Struct, frozen=True):
    """The hub that a command calls, and the key that fits it; `given` is a token instead."""

    url: str
    key: SigningKey | None = None
    given_token: str = ""

    def token(self, *, user: str | None, role: Role, tenant: str) -> str:
        return self.key.sign(user=user, role=role, tenant=tenant) if self.key else self.given_token

    def format_error(self, error: HubError) -> str:
        """An error as the hub said it, with its code, and the field or the token at fault."""
        field = error.extensions.get("field")
        code = error.extensions.get("code", error.code)
        text = f"{code}{f' ({field})' if field else ''}: {error.message}"
        return f"{text} {self.describe_target()}" if code == "UNAUTHENTICATED" else text

    def describe_target(self) -> str:
        """Which hub was called, and where the token comes from."""
        how = f"signed with {self.key.description}" if self.key else "given by --token or HUB_TOKEN"
        return f"The hub is {self.url}; the token was {how}."


def resolve_hub(url: str, token: str, data: Path) -> TargetHub:
    """The hub at `url`, with the environment's key; or without `url` the `hub dev` that runs on `data`, with its own.
    Never some of each. A token or a folder that is named wins."""
    home = DataDirectory(data)
    running = home.running
    if not url:
        if not running:
            fail(
                f"No hub dev runs on {data}: start one, name its folder with --data, or name another hub by --url "
                "(HUB_URL) with --token (HUB_TOKEN) or HUB_JWT_SECRET."
            )
        return TargetHub(running.url, given_token=token) if token else TargetHub(running.url, _data_dir_key(home))
    url = url.rstrip("/").removesuffix("/graphql")
    if token:
        return TargetHub(url, given_token=token)
    if data == DEFAULT_DATA and is_set("jwt_secret"):
        return TargetHub(url, _environment_key())
    if data != DEFAULT_DATA or (running and running.url == url):
        return TargetHub(url, _data_dir_key(home))
    fail(f"No key for the hub at {url}: give --token (HUB_TOKEN), set HUB_JWT_SECRET, or name its folder with --data.")


def resolve_key(data: Path) -> SigningKey:
    """The environment's key; or that of the `hub dev` on `data`, if that is named or the environment has none."""
    if data == DEFAULT_DATA and is_set("jwt_secret"):
        return _environment_key()
    return _data_dir_key(DataDirectory(data))


def _environment_key() -> SigningKey:
    settings = load_settings()
    secret = settings.jwt_secret[0].get_secret_value()
    return SigningKey(secret, "HUB_JWT_SECRET", settings.jwt_issuer, settings.jwt_audience)


def _data_dir_key(data_dir: DataDirectory) -> SigningKey:
    description = f"the key of the hub dev on {data_dir.folder}"
    if running := data_dir.running:
        return SigningKey(running.secret, description, running.issuer, running.audience)
    if secret := data_dir.existing_secret:
        return SigningKey(secret, description)
    fail(f"No key to sign a token with in {data_dir.folder}: set HUB_JWT_SECRET, or name a hub dev's folder (--data).")
