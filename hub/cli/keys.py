"""`hub keys`: create, list, and revoke service keys, and the keys that encrypt stored credentials."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from hub.cli.api_client import execute, run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.cli.token import ROLES, parse_duration, parse_role
from hub.model import KeyRole, Role, Scope
from hub.utc_time import rfc3339

FIELDS = "id name role scopes preview createdAt createdBy lastUsedAt expiresAt revokedAt"
CREATE = f"""mutation ($input: ServiceKeyInput!) {{
  created: createServiceKey(input: $input) {{ secret key {{ {FIELDS} }} }}
}}"""
LIST = f"{{ serviceKeys {{ {FIELDS} }} }}"
REVOKE = f"mutation ($id: ID!) {{ revoked: revokeServiceKey(id: $id) {{ {FIELDS} }} }}"

app = typer.Typer(
    no_args_is_help=True,
    help="""Create, list, and revoke service keys, the credentials of back ends, and change encryption keys.

    Example: hub keys create shop --scope SEND""",
)
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        metavar="|".join(scope.name for scope in Scope),
        help="A scope that narrows the role. Repeat the option for several scopes. Without it, the key may do "
        "everything that its role may do.",
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name to recognize the key by.", show_default=False)],
    role: Annotated[str, typer.Option("--role", metavar=ROLES, help="The role of the key.")] = Role.SERVICE.value,
    scope: Scopes = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="The lifetime, such as P90D or 90d. Without it, the key does not expire."),
    ] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Create a service key and print it. It is printed only now, because the hub stores only its hash.

    Example: hub keys create shop --scope SEND --scope READ --expires P90D
    """
    key_role = KeyRole[parse_role(role.lower()).name]
    for one in scope or ():
        if one.upper() not in Scope.__members__:
            fail(f"--scope {one}: use {', '.join(Scope.__members__)}.", 2)
    lifetime = timedelta(seconds=parse_duration(expires)) if expires else None
    created = _call(
        CREATE,
        (url, token, tenant, data),
        input={
            "name": name,
            "role": key_role,
            "scopes": [one.upper() for one in scope or ()],
            "expiresAt": rfc3339(datetime.now(UTC) + lifetime) if lifetime else None,
        },
    )["created"]
    from hub.cli.send_progress import target_options

    print(created["secret"])
    print(
        f"Store this key in the secret store of {name} now. It cannot be shown again. It is sent in the header\n"
        "`authorization: Bearer hub_sk_...`. If it leaks, revoke it with\n"
        f"hub keys revoke {created['key']['id']}{target_options(url, tenant, data)}",
        file=sys.stderr,
    )


@app.command("list")
def list_keys(url: Url = "", token: Token = "", tenant: Tenant = "default", data: Data = DEFAULT_DATA) -> None:
    """List the service keys of a tenant, including those that were revoked in the last 90 days.

    Example: hub keys list
    """
    for key in _call(LIST, (url, token, tenant, data))["serviceKeys"]:
        scopes = "+".join(key["scopes"]) or "all"
        times = [f"created {key['createdAt']} by {key['createdBy']}", f"last used {key['lastUsedAt'] or 'never'}"]
        times += [f"{word[:-2]} {key[word]}" for word in ("expiresAt", "revokedAt") if key[word]]
        print(f"{key['id']}  {key['preview']}...  {key['name']}  {key['role'].lower()}  {scopes}  {', '.join(times)}")


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="The id of the key: see `hub keys list`.", show_default=False)],
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Revoke a service key. The hub rejects it within a second, and closes its WebSockets and event streams.

    Example: hub keys revoke 0198c6a2-7d1e-7c4b-9f3a-2b8d5e6f7a10
    """
    key = _call(REVOKE, (url, token, tenant, data), id=id)["revoked"]
    print(f"{key['name']} ({key['preview']}...) was revoked at {key['revokedAt']}.")


@app.command()
def generate_encryption_key() -> None:
    """Create a key that encrypts stored credentials, and print the setting.

    Keep a copy of the key apart from the backups of MongoDB.

    Example: hub keys generate-encryption-key >> hub.env
    """
    from hub.cli.encryption_keys import new_key_setting

    print(new_key_setting())


@app.command()
def rotate_encryption() -> None:
    """Encrypt all stored credentials with the first key in HUB_ENCRYPTION_KEYS.

    Run it with the environment of the hub, which contains HUB_MONGO_URL and HUB_ENCRYPTION_KEYS. Restart all processes
    of the hub with the new keys first. The hub can be used meanwhile. If the command is stopped, run it again: it
    continues. At the end, it prints how many credentials still use each other key, and exits with status 1 if any do.

    Example: hub keys rotate-encryption
    """
    from hub.cli.encryption_keys import rotate

    rotate()


def _call(query: str, target: tuple[str, str, str, Any], **variables: Any) -> dict[str, Any]:
    """Return the data of a call with the role `admin`. Exit with an error if it fails."""
    url, token, tenant, data = target
    hub = resolve_hub(url, token, data)
    return run_or_exit(execute(hub.url, hub.token(user=None, role=Role.ADMIN, tenant=tenant), query, **variables), hub)
