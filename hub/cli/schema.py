"""`hub schema`: print the GraphQL schema, or a reference page that is generated from it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.target_hub import fail

SCHEMA_FILE = Path("schema.graphql")
PAGE = Path("docs/reference/graphql.md")
ACCESS_PAGE = Path("docs/reference/roles-and-scopes.md")


def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help=f"Print {PAGE} instead.")] = False,
    access: Annotated[bool, typer.Option("--access", help=f"Print {ACCESS_PAGE} instead.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help=f"Fail if {SCHEMA_FILE}, {PAGE}, or {ACCESS_PAGE} is out of date.")
    ] = False,
) -> None:
    """Print the GraphQL schema.

    Example: hub schema > schema.graphql
    """
    from hub.api.schema.access_page import access_page
    from hub.api.schema.reference_page import graphql_page
    from hub.api.schema.root import make_schema

    text = make_schema().as_str() + "\n"
    if check:
        _check(SCHEMA_FILE, text, "hub schema")
        _check(PAGE, graphql_page(text), "hub schema --markdown")
        _check(ACCESS_PAGE, access_page(text), "hub schema --access")
    else:
        sys.stdout.write(graphql_page(text) if markdown else access_page(text) if access else text)


def _check(file: Path, text: str, command: str) -> None:
    if not file.exists() or file.read_text() != text:
        fail(f"{file} is out of date: run `{command} > {file}`.")
