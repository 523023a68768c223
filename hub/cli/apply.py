"""`hub apply`: store the categories, topics, templates, and rules of a folder."""

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub


def apply(
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder. Its folders categories, topics, templates, and rules contain YAML or JSON files.",
            show_default=False,
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the differences, and store nothing.")] = False,
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Store the categories, topics, templates, and rules in the files of a folder. Others are kept.

    The command prints the differences between the files and the hub. Without any, nothing changes.

    Example: hub apply notifications --dry-run
    """
    from hub.cli.apply_files import apply_entries, files_of, read_files
    from hub.cli.setup_files import SetupFileError
    from hub.cli.setup_store import KINDS, Calls

    try:
        found = [(kind, read_files(kind, files)) for kind in KINDS if (files := files_of(kind, folder))]
    except SetupFileError as error:
        fail(str(error))
    if not found:
        fail(f"{folder} has no files. Put them into {', '.join(kind.folder for kind in KINDS)}, or run hub export.")
    apply_entries(Calls.of(resolve_hub(url, token, data), tenant), found, dry_run=dry_run)
