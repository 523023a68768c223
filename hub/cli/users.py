"""`hub users`: find, import, and export users."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from hub.cli import user_export
from hub.cli.api_client import ApiError, HubUnreachable, run_or_exit
from hub.cli.find import print_found
from hub.cli.output import Output
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub
from hub.cli.user_files import SUFFIXES, UserFileError
from hub.cli.user_import import UserImport
from hub.model import Role

app = typer.Typer(
    no_args_is_help=True,
    help="""Find, import, and export the users of a tenant.

    Example: hub users import users.csv""",
)


@app.command("find")
def find_users(
    text: Annotated[str, typer.Argument(help="An id, email address, phone number, or name.", show_default=False)],
    output: Output = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Find users by id, email address, phone number, or name.

    `hub find` also finds sends, deliveries, and notifications. If nobody is found, the exit code is 1.

    Example: hub users find alice@example.org
    """
    print_found(resolve_hub(url, token, data), tenant, text, output, "USER")


@app.command("import")
def import_users(
    file: Annotated[Path, typer.Argument(help="A .csv or .jsonl file.", show_default=False)],
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Create or change the users in a file.

    CSV has the columns id, name, email, phone, locale, timezone, and attributes.NAME. An empty cell keeps the stored
    value, but a row with any attribute replaces all attributes. JSON lines have the fields of `UserInput`. Rejected
    rows are printed with their line and column, and written to FILE.rejected.csv or .jsonl. Correct them there and
    import that file. If the import is stopped, run the same command again: it continues after the last row that is
    done.

    Example: hub users import users.csv
    """
    hub = resolve_hub(url, token, data)
    access_token = hub.service_token(tenant)
    started_s = time.monotonic()
    try:
        running = UserImport(file, hub.url, access_token, tenant)
        before = running.done.imported
        if before or running.done.rejected:
            print(f"Continuing after {before + running.done.rejected:,} rows.", file=sys.stderr)
        asyncio.run(running.run())
    except UserFileError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}.", 2)
    except (ApiError, HubUnreachable) as error:
        reason = hub.format_error(error) if isinstance(error, ApiError) else str(error)
        fail(f"{reason}\n{_stopped(running)}")
    except KeyboardInterrupt:
        fail(_stopped(running), 130)
    seconds = max(time.monotonic() - started_s, 0.001)
    done = running.done
    users = "1 user" if done.imported == 1 else f"{done.imported:,} users"
    print(f"{users} imported in {seconds:.1f} s ({(done.imported - before) / seconds:,.0f}/s).")
    if done.rejected:
        rows = "1 row was" if done.rejected == 1 else f"{done.rejected:,} rows were"
        fail(f"{rows} rejected. Correct and import: {running.rejected_path}")


def _stopped(running: UserImport) -> str:
    return f"{running.done.imported:,} users are imported. Run the same command again to continue."


@app.command("export")
def export_users(
    file: Annotated[
        Path | None, typer.Argument(help="A .csv or .jsonl file. Defaults to JSON lines on the standard output.")
    ] = None,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Write all users of a tenant to a file that `hub users import` reads.

    A locale or time zone that equals that of the tenant is left out. Devices, preferences, and inboxes are not
    exported.

    Example: hub users export users.csv
    """
    if file and file.suffix.lower() not in SUFFIXES:
        fail(f"{file}: the name must end with {' or '.join(SUFFIXES)}.", 2)
    hub = resolve_hub(url, token, data)
    access_token = hub.token(user=None, role=Role.ADMIN, tenant=tenant)  # to read the tenant's locale
    if file is None:
        run_or_exit(user_export.export_json(hub.url, access_token, sys.stdout), hub)
        return
    try:
        count = run_or_exit(user_export.write_export(file, hub.url, access_token), hub)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}.", 2)
    print(f"{count:,} users exported to {file}.")
