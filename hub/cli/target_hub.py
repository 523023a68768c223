"""Common options, the hub that a command calls with its key, and the error messages of settings."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from msgspec import Struct

from hub.cli.data_dir import DataDirectory
from hub.errors import HubError
from hub.model import TENANT, Channel, Role
from hub.unicode_text import IDENTIFIER_RULE, is_identifier

if TYPE_CHECKING:  # the settings are slow to import, and most commands do not read them
    from pydantic import ValidationError

    from hub.settings import Settings

DEFAULT_DATA = Path(".hub")
DAY_S = 86_400.0
SECRET_NAMES = re.compile(
    "SECRET|URL|TOKEN|PASSWORD|PRIVATE_KEY|ENCRYPTION_KEY"
)  # never print the values of these settings
TOKEN_LIFETIME_S = DAY_S  # for tokens that commands create for their own calls

Data = Annotated[
    Path, typer.Option("--data", help="The data folder of a `hub dev` process, which contains its URL and key.")
]
Url = Annotated[
    str,
    typer.Option(
        "--url", envvar="HUB_URL", show_default="the `hub dev` process that uses --data", help="The URL of the hub."
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="HUB_TOKEN",
        show_default="signed with HUB_JWT_SECRET for --url, otherwise with the key in --data",
        help="The access token.",
    ),
]
Tenant = Annotated[str, typer.Option("--tenant", help="The tenant of the token.")]


def fail(message: str, status: int = 1) -> NoReturn:
    """Print the message to stderr and exit."""
    print(message, file=sys.stderr)
    sys.exit(status)


def load_settings(**defaults: Any) -> "Settings":
    """Return the settings. The environment overrides `defaults`. If settings are invalid, print them and exit."""
    from pydantic import ValidationError

    from hub.settings import Settings

    try:
        return Settings(**{name: value for name, value in defaults.items() if not is_set(name)})
    except ValidationError as error:
        fail("\n".join(describe_faults(error)), 2)


def is_set(name: str) -> bool:
    return bool(os.environ.get(variable_name(name)))


def variable_name(name: str) -> str:
    return f"HUB_{name.upper()}"


def describe_faults(error: "ValidationError") -> list[str]:
    """Return one line for each invalid setting, with the name of the setting."""
    lines = []
    for fault in error.errors():
        text = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:  # a rule for several settings, whose text names them
            lines.append(text if text.startswith("HUB_") else f"settings: {text}")
            continue
        name = variable_name(str(fault["loc"][0]))
        location = "".join(f" {part}" for part in fault["loc"][1:] if part in Channel.__members__)
        text_value = fault["input"]
        value = f": {text_value!r}" if isinstance(text_value, str) and not SECRET_NAMES.search(name) else ""
        lines.append(f"{name}:{location} {text}{value}")
    return lines


class SigningKey(Struct, frozen=True):
    """A signing key. `description` is the source of the key, for error messages."""

    secret: str
    description: str
    issuer: str = ""
    audience: str = ""

    def sign(self, *, user: str | None, role: Role, tenant: str, expires_in_s: float = TOKEN_LIFETIME_S) -> str:
        """Return a token. Exit if the user or tenant is invalid."""
        from hub.api.token_signing import sign_token

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
    """The hub that a command calls, with its signing key or an explicit token."""

    url: str
    key: SigningKey | None = None
    explicit_token: str = ""

    def token(self, *, user: str | None, role: Role, tenant: str) -> str:
        return self.key.sign(user=user, role=role, tenant=tenant) if self.key else self.explicit_token

    def service_token(self, tenant: str) -> str:
        """Return a token with the role `service`."""
        return self.token(user=None, role=Role.SERVICE, tenant=tenant)

    def format_error(self, error: HubError) -> str:
        """Return the error message with its code and the field or token that caused it."""
        field = error.extensions.get("field")
        code = error.extensions.get("code", error.code)
        text = f"{code}{f' ({field})' if field else ''}: {error.message}"
        return f"{text} {self.describe_target()}" if code == "UNAUTHENTICATED" else text

    def describe_target(self) -> str:
        """Return the URL of the hub and the source of the token."""
        origin = f"signed with {self.key.description}" if self.key else "taken from --token or HUB_TOKEN"
        return f"The hub is {self.url}; the token was {origin}."


def resolve_hub(url: str, token: str, data: Path) -> TargetHub:
    """Return the hub to call.

    With `url`, this is that hub with the key in the environment. Without `url`, it is the `hub dev` process that uses
    `data`, with the key of that process. The two are never mixed. An explicit token or folder takes precedence.
    """
    data_dir = DataDirectory(data)
    running = data_dir.running
    if not url:
        if not running:
            fail(
                f"No hub dev runs on {data}: start it, choose its folder with --data, or choose another hub with --url "
                "(HUB_URL) with --token (HUB_TOKEN) or HUB_JWT_SECRET."
            )
        return (
            TargetHub(running.url, explicit_token=token) if token else TargetHub(running.url, _data_dir_key(data_dir))
        )
    url = url.rstrip("/").removesuffix("/graphql")
    if token:
        return TargetHub(url, explicit_token=token)
    if data == DEFAULT_DATA and is_set("jwt_secret"):
        return TargetHub(url, _environment_key())
    if data != DEFAULT_DATA or (running and running.url == url):
        return TargetHub(url, _data_dir_key(data_dir))
    fail(f"No key for the hub at {url}: use --token (HUB_TOKEN), HUB_JWT_SECRET or --data.")


def resolve_key(data: Path) -> SigningKey:
    """Return the key in the environment. Return the key of `hub dev` if `data` is set or the environment has none."""
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
    fail(f"No key to sign a token with in {data_dir.folder}: set HUB_JWT_SECRET, or use --data.")
