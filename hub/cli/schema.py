"""`hub schema`: print the GraphQL schema."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.targets import fail

SCHEMA_FILE = Path("schema.graphql")


def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail if schema.graphql differs from the code.")] = False,
) -> None:
    """Print the GraphQL schema.

    Example: hub schema > schema.graphql
    """
    from hub.api.schema.root import make_schema

    text = make_schema().as_str() + "\n"
    if not check:
        sys.stdout.write(text)
    elif not SCHEMA_FILE.exists() or SCHEMA_FILE.read_text() != text:
        fail(f"{SCHEMA_FILE} is out of date: run `hub schema > {SCHEMA_FILE}`.")
