"""The commands. Each explains itself with `--help`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from pydantic import ValidationError

from hub import log
from hub.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A notification hub that a team runs itself. `hub dev` starts everything on this machine.",
)


@app.command()
def serve() -> None:
    """Run the API. Start as many processes as you like beside one another."""
    from hub.__main__ import serve as run

    settings = load()
    log.configure(settings.log_level)
    uvloop.run(run(settings))


@app.command()
def work() -> None:
    """Run the ticker: snoozes that end, notifications that expire. Start one or more."""
    from hub.__main__ import work as run

    settings = load()
    log.configure(settings.log_level)
    uvloop.run(run(settings))


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail if schema.graphql is not what the code says.")] = False,
) -> None:
    """Print the GraphQL schema.

    Example: hub schema > schema.graphql
    """
    from hub.api.schema import make_schema

    text = make_schema().as_str() + "\n"
    if not check:
        sys.stdout.write(text)
    elif not Path("schema.graphql").exists() or Path("schema.graphql").read_text() != text:
        sys.exit("schema.graphql is stale: run `hub schema > schema.graphql`.")


def load() -> Settings:
    """The settings of the environment, or an exit that says which one to mend."""
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(["HUB", *(str(part) for part in fault["loc"])]).upper() if fault["loc"] else "settings"
            print(f"{name}: {fault['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(2)


def main() -> None:
    app()
