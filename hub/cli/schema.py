"""`hub schema`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.targets import fail

EXPORTED = Path("schema.graphql")


def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail if schema.graphql is not what the code says.")] = False,
) -> None:
    """Print the GraphQL schema.

    Example: hub schema > schema.graphql
    """
    from hub.api.schema.root import make_schema

    text = make_schema().as_str() + "\n"
    if not check:
        sys.stdout.write(text)
    elif not EXPORTED.exists() or EXPORTED.read_text() != text:
        fail(f"{EXPORTED} is stale: run `hub schema > {EXPORTED}`.")
