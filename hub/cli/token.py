"""`hub token`: print an access token."""

import re
from typing import Annotated

import typer

from hub import iso_duration
from hub.cli.target_hub import DAY_S, DEFAULT_DATA, Data, Tenant, fail, resolve_key
from hub.model import STAFF, Role

ROLES = "|".join([*STAFF, Role.SERVICE, Role.ADMIN])
MAX_DURATION_S = 3660 * DAY_S
SHORT_DURATION = re.compile(r"(?=\d)((?:\d+W)?(?:\d+D)?)((?:\d+H)?(?:\d+M)?(?:\d+S)?)", re.ASCII)


def token(
    user: Annotated[str | None, typer.Option("--user", help="The user that the token authenticates.")] = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--role",
            metavar=ROLES,
            help="The role of a back end (service, admin), or of a person who uses the console (viewer, support, "
            "operator), whose id is --user. With --user, the roles service and admin also have the inbox of that user.",
        ),
    ] = None,
    tenant: Tenant = "default",
    expires: Annotated[
        str, typer.Option("--expires", help="The lifetime as an ISO 8601 duration, such as PT15M, PT1H, or P30D.")
    ] = "PT1H",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print an access token.

    The token is signed with HUB_JWT_SECRET. If --data is used or HUB_JWT_SECRET is not set, the token is signed with
    the key of `hub dev` in the data folder.

    Example: hub token --role service --expires P30D
    """
    if user is None and role is None:
        fail("Choose --user ID or --role service.", 2)
    if role == Role.USER:
        fail("A user's token has no role: leave --role out and use --user.", 2)
    token_role = parse_role(role) if role else Role.USER
    if token_role in STAFF and user is None:
        fail(f"--role {role} requires --user, the id of the person, for the audit log.", 2)
    print(resolve_key(data).sign(user=user, role=token_role, tenant=tenant, expires_in_s=parse_duration(expires)))


def parse_role(text: str) -> Role:
    """Return the role of an option. Exit with an error if it is not one of ROLES."""
    if text not in ROLES.split("|"):
        fail(f"--role {text}: use {ROLES.replace('|', ', ')}.", 2)
    return Role(text)


def parse_duration(text: str, option: str = "--expires") -> float:
    """Return the seconds of a duration such as PT24H or 24h. Exit with an error if the duration is invalid, zero, or
    too long."""
    given = f"{option} {text}".rstrip()
    if text.isdecimal():
        fail(f"{given}: add a unit, such as {text}h or {text}d.", 2)
    try:
        seconds = iso_duration.parse(to_iso(text))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_DURATION_S:
        fail(f"{given}: use a duration of at most ten years, such as 15m, 24h, 1d12h, PT1H or P30D.", 2)
    return seconds


def to_iso(text: str) -> str:
    """Return a duration such as 1d12h in the ISO 8601 format: P1DT12H. Return other texts in upper case."""
    upper = text.upper()
    match = SHORT_DURATION.fullmatch(upper)
    if not match:
        return upper
    days, time = match.groups()
    return f"P{days}T{time}" if time else f"P{days}"
