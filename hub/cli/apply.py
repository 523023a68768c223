"""`hub apply`: store the categories, topics, templates, and rules of a folder."""

import sys
from difflib import get_close_matches
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

    known = [kind.folder for kind in KINDS]
    for other in sorted(folder.iterdir()) if folder.is_dir() else ():
        if other.is_dir() and other.name not in known and (similar := get_close_matches(other.name, known, 1)):
            print(f"{other} is ignored. To apply its files, rename it to {similar[0]}.", file=sys.stderr)
    try:
        found = [(kind, read_files(kind, files)) for kind in KINDS if (files := files_of(kind, folder))]
    except SetupFileError as error:
        fail(str(error))
    if not found:
        folders = ", ".join(kind.folder for kind in KINDS)
        fail(f"{folder} has no files, or does not exist. Put them into {folders}, or run hub export.")
    apply_entries(Calls.of(resolve_hub(url, token, data), tenant), found, dry_run=dry_run)
