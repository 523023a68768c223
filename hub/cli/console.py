"""`hub console`: print a link that opens the operator console."""

from typing import Annotated

import typer

from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Url, resolve_hub
from hub.cli.token import ROLES, parse_role
from hub.model import STAFF

LINK_LIFETIME_S = 600.0  # long enough to open the link, and short enough for a shell history


def console(
    role: Annotated[
        str, typer.Option("--role", metavar=ROLES, help="The role. The audit log requires `admin`.")
    ] = "service",
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            help="The id of the person, for the audit log.",
            show_default="with the roles viewer, support, and operator, the name of this account",
        ),
    ] = None,
    url: Url = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a link that opens the operator console.

    The link contains a token that is valid for 10 minutes. The token is in the fragment of the URL, which browsers do
    not send to servers. Without --url, the link is for the `hub dev` process that uses --data. With --url, the token is
    signed with HUB_JWT_SECRET.

    Example: hub console --role support --user ann
    """
    token_role = parse_role(role)
    if user is None and token_role in STAFF:
        from hub.platform.audit import account_name  # it imports the database client

        user = account_name()
    hub = resolve_hub(url, "", data)
    assert hub.key  # because no token was passed
    token = hub.key.sign(user=user, role=token_role, tenant=tenant, expires_in_s=LINK_LIFETIME_S)
    print(f"{hub.url}/console/#token={token}")
